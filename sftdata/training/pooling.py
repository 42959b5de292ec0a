"""Rows of several examples for encoders with one answer an example: what they pool is the first token of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sftdata.training.batch import Batch

_BODIES = ("encoder", "transformer")
"""What models call the layers from whose output they pool."""


@contextmanager
def pool_first_tokens(model: Any, batch: Batch) -> Iterator[None]:
    """Let a model see each example of a row as a row of its own, with nothing but its first token, behind the layers.

    Whether that is all that a model makes its answer of is for a trial to show.

    Args:
        model: of transformers, without adapters around it.
        batch: of a single row, with `cu_seqlens`.

    Raises:
        NotImplementedError: the model has no layers that are called as usual.
    """
    found = [layers for name in _BODIES if (layers := getattr(model.base_model, name, None)) is not None]
    if not found or batch.cu_seqlens is None:
        raise NotImplementedError("no encoder whose output is pooled")
    firsts = batch.cu_seqlens[: max(1, len(batch.rows))]

    def pool(_: torch.nn.Module, __: Any, output: Any) -> Any:
        output["last_hidden_state"] = output[0][0, firsts][:, None]
        return output

    handle = found[0].register_forward_hook(pool)
    try:
        yield
    finally:
        handle.remove()
