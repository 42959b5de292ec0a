"""How the examples of a step are cut into what goes through the model at once. It never changes the gradient."""

import numpy as np

from sftdata.plan.shuffling import Rows


def micro_batches(examples: Rows, lengths: Rows, batch_size: int) -> list[Rows]:
    """Cut the examples of one step into batches of at most `batch_size`, examples of like length together.

    The gradient of the step is a sum over its examples, so how they are cut changes the padding and nothing else.
    The longest come first: what does not fit in memory fails at the first batch of a step.

    Args:
        examples: positions, shape `[step examples]`.
        lengths: tokens of every example of the split, shape `[rows]`.
        batch_size: most examples in one batch.
    """
    longest_first = _longest_first(examples, lengths)
    return [longest_first[start : start + batch_size] for start in range(0, len(examples), batch_size)]


def budget_batches(examples: Rows, lengths: Rows, max_tokens: int) -> list[Rows]:
    """Cut the examples of one step into padded batches of at most `max_tokens`, padding included.

    Examples of like length share a batch, the longest first. One that is longer than `max_tokens` is a batch alone.

    Args:
        examples: positions, shape `[step examples]`.
        lengths: tokens of every example of the split, shape `[rows]`.
        max_tokens: most of rows times the longest of them.
    """
    longest_first, batches, start = _longest_first(examples, lengths), [], 0
    while start < len(examples):
        rows = max(1, max_tokens // int(lengths[longest_first[start]]))
        batches.append(longest_first[start : start + rows])
        start += rows
    return batches


def cheapest_batches(examples: Rows, lengths: Rows, *, batch_size: int, max_tokens: int, overhead: int) -> list[Rows]:
    """Cut the examples of one step into the padded batches that cost least together, the longest first.

    A batch costs its rows times the longest of them, and `overhead`: what a pass costs however little is in it. The
    cheapest cut of sorted lengths is found by dynamic programming, as `batch_size` numbers for each example.

    Args:
        examples: positions, shape `[step examples]`.
        lengths: tokens of every example of the split, shape `[rows]`.
        batch_size: most examples in one batch.
        max_tokens: most of rows times the longest of them; one that is longer is a batch alone.
        overhead: in tokens.
    """
    longest_first = _longest_first(examples, lengths)
    widths = lengths[longest_first].astype(np.int64)
    costs, starts = np.zeros(len(examples) + 1, dtype=np.int64), np.zeros(len(examples) + 1, dtype=np.int64)
    for end in range(1, len(examples) + 1):
        first = max(0, end - batch_size)
        sizes = widths[first:end] * np.arange(end - first, 0, -1)
        totals = costs[first:end] + sizes + overhead
        totals[:-1][sizes[:-1] > max_tokens] = np.iinfo(np.int64).max
        starts[end] = first + int(totals.argmin())
        costs[end] = totals[starts[end] - first]
    batches, end = [], len(examples)
    while end:
        batches.append(longest_first[starts[end] : end])
        end = int(starts[end])
    return batches[::-1]


def _longest_first(examples: Rows, lengths: Rows) -> Rows:
    return examples[np.argsort(-lengths[examples], kind="stable")]
