"""Scores of a language model, from sums: no array of tokens is needed."""

import math

from sftdata.training.metrics.scores import Scores

HIGHEST_LOSS = 700.0
"""The perplexity of a higher loss would not fit into a float64; it is given as that of this loss."""


def score_loss(loss_sum: float, targets: int) -> Scores:
    """Return `loss`, the mean over targets."""
    return Scores.make({"loss": loss_sum / targets})


def score_tokens(loss_sum: float, correct: int, tokens: int) -> Scores:
    """Return `loss` (nats a trained token), `perplexity` and `token_accuracy`."""
    return Scores.make(token_scores(loss_sum, correct, tokens))


def token_scores(loss_sum: float, correct: int, tokens: int) -> dict[str, float]:
    """Return the figures of `score_tokens` as they are, NaN among them."""
    loss = loss_sum / tokens
    perplexity = math.exp(min(loss, HIGHEST_LOSS)) if math.isfinite(loss) else loss
    return {"loss": loss, "perplexity": perplexity, "token_accuracy": correct / tokens}
