"""How a model counts the places of tokens."""

from typing import Any

_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet")
"""Model types that number positions from `pad_token_id + 1`, so that as many of their positions cannot be used."""


def first_position(config: Any) -> int:
    """Return the position of the first token."""
    model_type = getattr(config, "model_type", None)
    return int(config.pad_token_id) + 1 if model_type in _AFTER_PADDING else 0


def longest_input(config: Any) -> int | None:
    """Return how many tokens the model takes; None when its configuration sets no limit."""
    limit: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return None if limit is None else limit - first_position(config)
