"""What goes through a model at once."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from sftdata.plan import Rows


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Examples padded on the right, a row each; or packs: examples one behind the other in a single row.

    Attributes:
        rows: positions of the examples, in order, shape `[examples]`.
        input_ids: shape `[lines, width]`, int64.
        targets: by task: the class of each example, int64 `[examples]`; a number for each class, float32
            `[examples, classes]`; a score, float32 `[examples]`; for seq2seq the ids of the target, int64
            `[examples, target width]`; else, int64 `[lines, positions]`, what belongs to each of `positions`: the
            token that follows (causal_lm), or the label (token_classification). -100 where nothing is trained.
        positions: columns with a target in any line, ascending, shape `[positions]`, int64; None where a target is of
            the whole example. In packs it is exactly those that are trained.
        weights: what multiplies the loss of each target, in the order of the losses of `heads.HEADS`, float32, shape
            `[targets.numel()]`, of several labels a row `[lines]`; None where all count alike.
        sources: the number of the source of each target, int64, in the same order and shape, one past the last where
            there is no target; None where nobody asks.
        attention_mask: 1 where there is a token, shape `[lines, width]`, int64; None for packs.
        token_type_ids: for pairs of texts which of the two a token belongs to, shape `[lines, width]`, int64.
        position_ids: for packs: the place of each token in its example, shape `[1, width]`, int64.
        cu_seqlens: for packs: where each example begins, and where the last one ends; shape `[sequences + 1]`, int32.
        longest: tokens of the longest example (or of the filling behind packs of a fixed shape).
    """

    rows: Rows
    input_ids: torch.Tensor
    targets: torch.Tensor
    positions: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    sources: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    token_type_ids: torch.Tensor | None = None
    position_ids: torch.Tensor | None = None
    cu_seqlens: torch.Tensor | None = None
    longest: int = 0

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device; from pinned memory to a GPU without waiting for the copy."""
        if device.type == "cpu":
            return self
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: tensor.to(device, non_blocking=True)
            for name, tensor in tensors.items()
            if isinstance(tensor, torch.Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class Shape:
    """The size of batches of packs that are all alike, so that nothing is compiled anew.

    Attributes:
        tokens: width of the row.
        sequences: examples, and one more for what fills the row.
        positions: trained positions.
    """

    tokens: int
    sequences: int
    positions: int
