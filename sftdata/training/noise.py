"""NEFTune: noise on the embeddings of the tokens while a model trains (Jain et al. 2023, arXiv 2310.05914)."""

from typing import Any

import torch
from transformers import PreTrainedModel

from sftdata.errors import TrainingError
from sftdata.training.heads import base_of


def add_noise(model: torch.nn.Module, alpha: float) -> None:
    """Have a model add noise to its input embeddings whenever it runs in training mode; of seq2seq the encoder's.

    Each value gets one that is drawn evenly from -s to s, where s is alpha / sqrt(length * dimension), as in the paper.
    The length is that of the token's own example, padding and neighbours in a pack not counted, so that padded and
    packed examples get noise of the same size (transformers and TRL take the width of the batch). It is drawn by
    torch's generator of the device, which `seed` sets and checkpoints keep. Nothing of it is in the weights.

    Raises:
        TrainingError: the model is none of transformers.
    """
    given: dict[str, Any] = {}

    def note(_: torch.nn.Module, __: tuple[Any, ...], named: dict[str, Any]) -> None:
        given.update({name: named.get(name) for name in ("attention_mask", "position_ids")})

    def perturb(module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        if not module.training:
            return output
        size = alpha / (measure_lengths(inputs[0], **given) * output.shape[-1]).sqrt()
        return output + torch.empty_like(output).uniform_(-1, 1) * size.to(output.dtype).unsqueeze(-1)

    base: Any = base_of(model)
    if not isinstance(base, PreTrainedModel):
        raise TrainingError(
            "train.neftune_noise_alpha: only models of transformers tell which embeddings they read. Leave it out."
        )
    reader = base.get_encoder() if base.config.is_encoder_decoder else base.base_model
    reader.register_forward_pre_hook(note, with_kwargs=True)
    reader.get_input_embeddings().register_forward_hook(perturb)


def measure_lengths(
    input_ids: torch.Tensor, *, attention_mask: torch.Tensor | None, position_ids: torch.Tensor | None
) -> torch.Tensor:
    """Return how many tokens the example of each token has, on the tokens' device and without waiting for it.

    Args:
        input_ids: shape `[lines, width]`.
        attention_mask: of padded examples, 1 where there is a token, shape `[lines, width]`, int64.
        position_ids: of packs, where there is no mask: the place of each token in its example, shape `[lines, width]`.
            Without either a line is one example.

    Returns:
        float32, shape `[lines, 1]` of padded examples, at least 1; `[lines, width]` of others.
    """
    if attention_mask is not None:
        return attention_mask.sum(dim=1, keepdim=True).clamp(min=1).float()
    if position_ids is None:
        return torch.full_like(input_ids, input_ids.shape[1], dtype=torch.float32)
    example = (position_ids == 0).long().cumsum(dim=1) - 1
    counts = torch.zeros_like(position_ids).scatter_add_(1, example, torch.ones_like(position_ids))
    return counts.gather(1, example).float()
