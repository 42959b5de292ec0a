"""Whether a model is to be kept in parts by several processes."""

import json
from pathlib import Path
from typing import Any

from sftdata.conversion.draft import Draft

_HOW = "each process keeps a part, under torchrun; alone it changes nothing"


def put_fsdp(draft: Draft, keys: tuple[str, ...]) -> None:
    """Give the recipe `fsdp`, where the configuration keeps weights, gradients or optimiser in parts."""
    asked = tuple(key for key in keys if draft.get(key))
    if not asked or (asked == ("deepspeed",) and _stage(draft.get("deepspeed")) == 0):
        draft.leave(*keys)
        return
    if "quantize" in draft.settings["train"].get("lora", {}):
        draft.lack("weights in 4 bits cannot be kept in parts here; every process has them whole", *keys)
        return
    draft.put("train.fsdp", True, *asked, remark=_HOW)
    draft.differ(
        "FSDP2 of torch, which keeps weights, gradients and optimiser in parts; no offloading, no other choices", *asked
    )
    draft.leave(*keys)


def _stage(deepspeed: Any) -> int | None:
    """Return DeepSpeed's stage, if its settings are at hand or their name tells it."""
    if isinstance(deepspeed, str):
        try:
            deepspeed = json.loads(Path(deepspeed).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0 if "z0" in Path(str(deepspeed)).stem or "zero0" in Path(str(deepspeed)).stem else None
    zero = deepspeed.get("zero_optimization", {}) if isinstance(deepspeed, dict) else {}
    return zero.get("stage") if isinstance(zero, dict) else None
