"""Attention within each example of a row: no mask, no padding, and no question to the device about lengths.

transformers looks an attention up by name in each forward pass, and makes no mask for a name that it has none for. So a
row costs what its examples cost: on a CPU each of them is attended alone, on a GPU torch's flash kernel takes all.
"""

from typing import Any

import torch
import transformers
from torch.nn.functional import scaled_dot_product_attention

NAME = "sftdata_packed"
"""What it is called among the attentions of transformers."""

CALL = 64**2
"""On a CPU a call costs about as much as so many scores: examples are padded where that is cheaper than many calls."""


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **unknown: Any,
) -> tuple[torch.Tensor, None]:
    """Attend, as transformers calls it; return `[1, tokens, heads, size]`.

    Args:
        module: the layer, which knows whether it is causal.
        query: shape `[1, heads, tokens, size]`.
        key: shape `[1, key heads, tokens, size]`.
        value: as `key`.
        attention_mask: none.
        cu_seq_lens_q: where each example begins, and where the last one ends, shape `[examples + 1]`, int32.
        max_length_q: tokens of the longest.
        dropout: of the attention weights.
        scaling: of the scores; by default one divided by the root of the size.
        is_causal: if not as the layer says.
        sliding_window: tokens that one sees, itself included.
        unknown: what changes the scores is refused; the rest belongs to other kernels.

    Raises:
        NotImplementedError: the layer wants more than that.
    """
    if any(unknown.get(name) is not None for name in ("softcap", "s_aux", "position_bias", "cache")):
        raise NotImplementedError("scores are capped, biased or have sinks")
    if attention_mask is not None or query.shape[0] != 1 or query.shape[2] != key.shape[2]:
        raise NotImplementedError("expected one row, the same for queries and keys, without a mask")
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    window = sliding_window if sliding_window is not None and sliding_window < max_length_q else None
    if window is not None and not causal:
        raise NotImplementedError("a window to both sides")
    if query.device.type == "cpu":
        lengths = [length for length in torch.diff(cu_seq_lens_q).tolist() if length]
        padded, own = len(lengths) * max(lengths) ** 2, sum(length**2 for length in lengths)
        attend_rows = _attend_padded if padded <= 4 * own + len(lengths) * CALL else _attend_each
        found = attend_rows(query, key, value, lengths, dropout=dropout, scale=scaling, causal=causal, window=window)
        return found.transpose(1, 2), None
    if dropout:
        raise NotImplementedError("dropout of attention weights")
    return _attend_all(query, key, value, cu_seq_lens_q, max_length_q, scaling, causal=causal, window=window), None


def _attend_each(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: list[int],
    *,
    dropout: float,
    scale: float | None,
    causal: bool,
    window: int | None,
) -> torch.Tensor:
    """Attend one example after the other."""
    grouped = query.shape[1] != key.shape[1]
    parts = zip(*(torch.split(x, lengths, dim=2) for x in (query, key, value)), strict=True)
    return torch.cat(
        [
            scaled_dot_product_attention(
                one,
                of_keys,
                of_values,
                attn_mask=None if window is None else _see(one.shape[2], window),
                dropout_p=dropout,
                is_causal=causal and window is None,
                scale=scale,
                enable_gqa=grouped,
            )
            for one, of_keys, of_values in parts
        ],
        dim=2,
    )


def _attend_padded(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: list[int],
    *,
    dropout: float,
    scale: float | None,
    causal: bool,
    window: int | None,
) -> torch.Tensor:
    """Attend all examples at once, each in a row of its own; where they are of one length, nothing is copied to pad."""
    longest, lines = max(lengths), len(lengths)
    here = torch.arange(longest) < torch.tensor(lengths)[:, None] if min(lengths) < longest else None

    def spread(row: torch.Tensor) -> torch.Tensor:
        if here is None:
            return row[0].reshape(row.shape[1], lines, longest, row.shape[3]).transpose(0, 1)
        rows = row.new_zeros(lines, longest, row.shape[1], row.shape[3])
        rows[here] = row[0].transpose(0, 1)
        return rows.transpose(1, 2)

    ends = here[:, None, None] if here is not None else None
    found = scaled_dot_product_attention(
        spread(query),
        spread(key),
        spread(value),
        attn_mask=ends if not causal else None if window is None else _see(longest, window),
        dropout_p=dropout,
        is_causal=causal and window is None,  # padding stands behind what sees
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    ).transpose(1, 2)
    return (found.flatten(0, 1) if here is None else found[here]).transpose(0, 1)[None]


def _see(length: int, window: int) -> torch.Tensor:
    """Return which token sees which, shape `[length, length]`."""
    behind = torch.arange(length)[:, None] - torch.arange(length)
    return (behind >= 0) & (behind < window)


def _attend_all(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scale: float | None,
    *,
    causal: bool,
    window: int | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    sees = (-1 if window is None else window - 1, 0) if causal else (-1, -1)
    grouped = query.shape[1] != key.shape[1]
    q, k, v = (x[0].transpose(0, 1).to(value.dtype) for x in (query, key, value))  # rotations may be in float32
    found: Any = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scale, window_size=sees, enable_gqa=grouped)
    attended: torch.Tensor = found[None]
    return attended


def use_packed_attention(model: torch.nn.Module) -> str | None:
    """Let a model attend within examples from now on; return what it did before, None if it cannot change."""
    transformers.AttentionInterface.register(NAME, attend)
    before = attention_of(model)
    if before is not None:
        set_attention(model, NAME)
    return before if attention_of(model) == NAME else None


def set_attention(model: Any, name: str) -> None:
    """Let a model attend by the kernel of this name from now on."""
    model.set_attn_implementation(name)


def attention_of(model: Any) -> str | None:
    """Return the name of a model's attention; None for one that is not of transformers."""
    name: str | None = getattr(getattr(model, "config", None), "_attn_implementation", None)
    return name
