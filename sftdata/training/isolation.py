"""Whether a model keeps the examples of a pack apart."""

import numpy as np
import torch

from sftdata.plan import Rows
from sftdata.training.heads import takes

_LENGTHS = [5, 1, 9, 2]
"""Of the examples that try a model: of several lengths, one of a single token among them."""

_TOLERANCE = 1e-3
"""Of the logits' spread. Rounding stays far below it, a token that sees another example far above."""


def can_pack(model: torch.nn.Module) -> bool:
    """Tell whether a causal language model gives packed examples the logits that each has alone.

    Tried on the model itself, with a few random tokens, in float32: which models isolate examples by `position_ids`
    depends on their kind of layers (a recurrent state runs on), their attention kernel and the version of transformers.
    """
    if not takes(model, "position_ids"):
        return False
    training, device = model.training, next(model.parameters()).device
    ids = torch.from_numpy(_tokens(model)).to(device)
    positions = torch.from_numpy(np.concatenate([np.arange(length) for length in _LENGTHS])).to(device)
    model.eval()
    try:
        with torch.inference_mode():
            packed = model(input_ids=ids[None], position_ids=positions[None], use_cache=False).logits[0]
            alone = [model(input_ids=part[None], use_cache=False).logits[0] for part in torch.split(ids, _LENGTHS)]
    except (RuntimeError, ValueError, TypeError):
        return False
    finally:
        model.train(training)
    expected = torch.cat(alone)
    spread = float(expected.std())
    return bool((packed - expected).abs().max() <= _TOLERANCE * spread)


def _tokens(model: torch.nn.Module) -> Rows:
    size = int(model.get_input_embeddings().weight.shape[0])  # type: ignore[operator]
    return np.random.default_rng(0).integers(0, size, sum(_LENGTHS))
