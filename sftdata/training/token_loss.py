"""Cross entropy of tokens, straight from hidden states: the logits of a whole batch never exist at once.

With a vocabulary of 150,000 the logits of a trained token take 600 KB in float32, and their gradient as much again.
Here a chunk of tokens has its logits, losses and gradient computed together and gives the memory back; the matrix
products are those of the usual way (as in Hsu et al. 2024, Liger Kernel).
"""

from typing import Any

import torch

from sftdata.records import IGNORE_INDEX

CHUNK = 2**25
"""Logits that exist at once: 128 MB in float32."""


def token_losses(
    hidden: torch.Tensor,
    head: torch.nn.Linear,
    targets: torch.Tensor,
    *,
    weights: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of each target and the likeliest token in its place.

    Gradients are computed on the way forward, so what is done with the losses is fixed: they are multiplied by
    `weights`, summed, and the sum by anything.

    Args:
        hidden: what the head takes, shape `[targets, size]`.
        head: gives the logits.
        targets: token ids, `IGNORE_INDEX` where there is none, shape `[targets]`, int64.
        weights: what each loss is multiplied by afterwards, shape `[targets]`, float32.
        label_smoothing: share of the target that is spread over the vocabulary.

    Returns:
        Losses, 0 where there is no target: float32, shape `[targets]`; ids, int64, shape `[targets]`, all 0 where
        gradients are wanted.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    with torch.autocast(device, enabled=False):
        found: tuple[torch.Tensor, torch.Tensor] = _TokenLosses.apply(  # type: ignore[no-untyped-call]
            hidden, head.weight, head.bias, targets, weights, label_smoothing, dtype, torch.is_grad_enabled()
        )
    return found


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        weights: torch.Tensor | None,
        smoothing: float,
        dtype: torch.dtype,
        learning: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        losses, likeliest = torch.empty_like(targets, dtype=torch.float32), torch.zeros_like(targets)
        inputs, matrix = hidden.to(dtype), weight.to(dtype)
        wanted = [learning and need for need in ctx.needs_input_grad[:3]]  # inputs need one without grad mode, too
        gradients = [
            torch.zeros_like(x, dtype=torch.float32) if need and x is not None else None
            for x, need in zip((hidden, weight, bias), wanted, strict=True)
        ]
        rows = max(1, CHUNK // weight.shape[0])
        for start in range(0, len(targets), rows):
            here = slice(start, start + rows)
            logits = (inputs[here] @ matrix.T).float()
            if bias is not None:
                logits += bias
            losses[here], totals = _losses(logits, targets[here], smoothing)
            if any(wanted):
                slopes = _slopes(logits, totals, targets[here], None if weights is None else weights[here], smoothing)
                _add(gradients, slopes, slopes.to(dtype), inputs[here], matrix, here)
            else:
                likeliest[here] = logits.argmax(dim=1)
        ctx.save_for_backward(*gradients, weights)
        ctx.mark_non_differentiable(likeliest)
        return losses, likeliest

    @staticmethod
    def backward(ctx: Any, slopes: torch.Tensor, _: torch.Tensor) -> Any:
        *gradients, weights = ctx.saved_tensors
        total = slopes.new_tensor(max(1, len(slopes))) if weights is None else weights.sum()
        scale = slopes.sum() / torch.where(total == 0, 1, total)
        return *(None if gradient is None else gradient * scale for gradient in gradients), None, None, None, None, None


def _losses(logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses, and the logarithm of what the exponentials of a token's logits add up to; both `[chunk]`."""
    totals = logits.logsumexp(dim=1)
    picked = logits.gather(1, targets.clamp(min=0)[:, None]).squeeze(1)
    losses = totals - picked
    if smoothing:
        losses = (1 - smoothing) * losses + smoothing * (totals - logits.mean(dim=1))
    return losses.masked_fill(targets == IGNORE_INDEX, 0), totals


def _slopes(
    logits: torch.Tensor, totals: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    """Return the gradient of the weighed losses by the logits, in the memory of the logits."""
    factors = (targets != IGNORE_INDEX).float()
    factors = factors if weights is None else factors * weights
    slopes = logits.sub_((totals - factors.log())[:, None]).exp_()  # the softmax times the factor, 0 where that is 0
    if smoothing:
        slopes -= (factors * smoothing / logits.shape[1])[:, None]
    return slopes.scatter_add_(1, targets.clamp(min=0)[:, None], (factors * (smoothing - 1))[:, None])


def _add(
    gradients: list[torch.Tensor | None],
    slopes: torch.Tensor,
    rounded: torch.Tensor,
    inputs: torch.Tensor,
    matrix: torch.Tensor,
    here: slice,
) -> None:
    of_hidden, of_weight, of_bias = gradients
    if of_hidden is not None:
        of_hidden[here] = rounded @ matrix
    if of_weight is not None and rounded.dtype == torch.float32:
        of_weight.addmm_(rounded.T, inputs)
    elif of_weight is not None:
        of_weight += rounded.T @ inputs
    if of_bias is not None:
        of_bias += slopes.sum(dim=0)
