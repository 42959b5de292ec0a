"""Models in one GGUF file, as llama.cpp has them: weights dequantised to float32, a tokenizer told by its tokens."""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import transformers

from sftdata.errors import TrainingError
from sftdata.manifest import Manifest
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.training.templates import compare_with_recipe

_TOKENS, _MERGES, _TEMPLATE = "tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.chat_template"


def is_gguf(name: str) -> bool:
    """Tell whether a model's name is that of a GGUF file."""
    return name.endswith(".gguf") and Path(name).is_file()


def read_gguf_config(path: Path) -> Any:
    """Read the configuration that a file holds, as transformers has it.

    Raises:
        TrainingError: the file is damaged, or of a kind of model that transformers does not read.
    """
    _require_gguf()
    try:
        return deepcopy(_parse_config(path, path.stat().st_mtime_ns))
    except Exception as cause:  # the reader of gguf raises whatever numpy and its enums do
        raise TrainingError(
            f"train.model: '{path}' cannot be read as GGUF ({type(cause).__name__}: {' '.join(str(cause).split())}). "
            "Fetch it again, or give the directory or the hub's name of the model that it was made from."
        ) from None


@cache
def _parse_config(path: Path, changed: int) -> Any:
    """Read it once: the vocabulary of a large model takes seconds."""
    return transformers.AutoConfig.from_pretrained(path.parent, gguf_file=path.name)


def load_gguf(make: Callable[..., Any], path: Path, given: Mapping[str, Any]) -> tuple[Any, Any]:
    """Load a model by a `from_pretrained`; it is saved like any other afterwards."""
    model, found = make(path.parent, gguf_file=path.name, **given)
    model.hf_quantizer, model.is_quantized = None, False
    model.name_or_path = None  # peft would look for a config.json there
    for config in {id(one): one for one in (model.config, given["config"])}.values():
        vars(config).pop("quantization_config", None)
    return model, found


def compare_gguf(directory: Path, manifest: Manifest, path: Path) -> tuple[list[str], list[str]]:
    """Compare the tokenizer and chat template of a file with the data's: its tokens, merges and the template.

    Args:
        directory: of the tokenizer that made the data.
        manifest: of the data.
        path: of the model.

    Returns:
        Differences, and what is worth saying.
    """
    import gguf

    fields = gguf.GGUFReader(path).fields
    held = {name: fields[name].contents() for name in (_TOKENS, _MERGES, _TEMPLATE) if name in fields}
    if not (directory / "tokenizer.json").is_file() or _TOKENS not in held:
        return [], [f"the tokenizer in {path.name} was not compared with the data's"]
    faults = _compare_tokens(directory, held)
    notes = [f"of the tokenizer in {path.name} only tokens and merges were compared, not how it cuts texts"]
    if manifest.chat_template_digest:
        with TemporaryDirectory() as folder:
            if held.get(_TEMPLATE):
                (Path(folder) / "chat_template.jinja").write_text(held[_TEMPLATE], encoding="utf-8")
            different, told = compare_with_recipe(manifest, directory, Path(folder))
        faults, notes = faults + different, notes + told
    return faults, notes


def _compare_tokens(directory: Path, held: dict[str, Any]) -> list[str]:
    loaded, theirs = load_tokenizer(str(directory)), held[_TOKENS]
    ours = {place: token for token, place in loaded.reference.get_vocab(with_added_tokens=True).items()}
    other = [place for place in sorted(ours) if place >= len(theirs) or theirs[place] != ours[place]]
    if other:
        first = other[0]
        found = repr(theirs[first]) if first < len(theirs) else "none"
        return [
            f"tokenizer: {len(other)} tokens have other ids, such as {first}: {ours[first]!r} in the data's, "
            f"{found} in the model's"
        ]
    merges = json.loads(loaded.text)["model"].get("merges")
    merges = merges and [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    if merges and _MERGES in held and merges != held[_MERGES]:
        return [f"tokenizer: merges: {len(merges)} in the data's, {len(held[_MERGES])} others in the model's"]
    return []


def _require_gguf() -> None:
    if find_spec("gguf") is None:
        raise TrainingError("train.model: GGUF needs gguf, which is not installed: pip install 'sftdata[gguf]'")
