"""The row types that every stage speaks, and the two constants that go with them.

Rows are a polars `DataFrame` chunk with the columns `row_id` (string), `source` (string), `record` (int64), and
the fields of the task (`FIELDS`), and `weight` (float64) where the source has weights of rows. Rejected rows are a
`DataFrame` with `REJECTED`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

IGNORE_INDEX = -100
"""The label of a token that is not trained, as `torch.nn.CrossEntropyLoss` and transformers know it."""


class Task(StrEnum):
    """What a model learns from a row.

    `text_classification`: one label of a text; `multilabel`: any number of them; `regression`: a number;
    `token_classification`: a tag for each word; `seq2seq`: a target text from a source text; `causal_lm`: the responses
    of a conversation.
    """

    TEXT_CLASSIFICATION = "text_classification"
    MULTILABEL = "multilabel"
    REGRESSION = "regression"
    TOKEN_CLASSIFICATION = "token_classification"  # noqa: S105  # a task, not a password
    SEQ2SEQ = "seq2seq"
    CAUSAL_LM = "causal_lm"


LEAST_WEIGHT, MOST_WEIGHT = 2.0**-126, (2 - 2.0**-23) * 2.0**127
"""The bounds of a weight above 0: what float32 holds with its full precision."""

TURN = pl.Struct({"role": pl.String, "content": pl.String, "weight": pl.Float64, "details": pl.String})
"""One turn of a conversation: who speaks and what is said.

`weight` says how much the turn counts in training (null: 1, 0: not at all). `details` is a JSON object of the
other keys of the turn (`tool_calls`, `tool_call_id`, `name`, `reasoning_content`, ...) as they are written, null
where there are none. A turn that only calls tools may have a null `content`.
"""

MESSAGES = pl.List(TURN)
"""A conversation: its turns in order."""

STRINGS = pl.List(pl.String())
"""Labels of a row, tokens of a sentence, or their tags."""

PAIRS = pl.List(STRINGS)
"""Earlier exchanges, each an instruction and its response."""

FIELDS: dict[Task, dict[str, pl.DataType]] = {
    Task.TEXT_CLASSIFICATION: {"text": pl.String(), "text_pair": pl.String(), "label": pl.String()},
    Task.MULTILABEL: {"text": pl.String(), "text_pair": pl.String(), "labels": STRINGS},
    Task.REGRESSION: {"text": pl.String(), "text_pair": pl.String(), "score": pl.Float64()},
    Task.TOKEN_CLASSIFICATION: {"tokens": STRINGS, "tags": STRINGS},
    Task.SEQ2SEQ: {"source_text": pl.String(), "target_text": pl.String()},
    Task.CAUSAL_LM: {"messages": MESSAGES, "tools": pl.String()},
}
"""The columns that a row of each task has beside its provenance. `text_pair` is the second of two texts, null in all
rows of a source that has single texts; `tools` is a JSON array of tool schemas, or null."""

PROVENANCE: dict[str, pl.DataType] = {"row_id": pl.String(), "source": pl.String(), "record": pl.Int64()}

RAW_PROVENANCE: dict[str, str] = {"@row_id": "row_id", "@source": "source", "@record": "record"}
"""What provenance is called beside the columns of a source, which may have a `source` of their own."""

REJECTED: dict[str, pl.DataType] = {
    "source": pl.String(),
    "record": pl.Int64(),
    "stage": pl.String(),
    "reason": pl.String(),
    "reasons": pl.List(pl.String),
    "detail": pl.String(),
}
"""A rejected row. `reason` is the first of `reasons`; the original content is added when the row is written down."""


@dataclass(frozen=True)
class StageResult:
    """What a stage made of a chunk: every row that came in is in exactly one of the two.

    Attributes:
        kept: rows that go on, in the order in which they came.
        rejected: rows that do not, with the columns of `REJECTED`.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame


def no_rejections() -> pl.DataFrame:
    """Return an empty frame of rejected rows."""
    return pl.DataFrame(schema=REJECTED)


def reject(rows: pl.DataFrame, stage: str, reasons: Sequence[Sequence[str]], details: Sequence[str]) -> pl.DataFrame:
    """Build the rejected frame for `rows`, whose `reasons` and `details` have one entry a row.

    The caller's rows need `source` and `record`; other columns are left out.
    """
    return pl.DataFrame(
        {
            "source": rows["source"],
            "record": rows["record"],
            "stage": [stage] * len(rows),
            "reason": [of_row[0] for of_row in reasons],
            "reasons": [list(of_row) for of_row in reasons],
            "detail": list(details),
        },
        schema=REJECTED,
    )


def partition(rows: pl.DataFrame, keep: pl.Series, *, stage: str, reason: str, detail: pl.Series) -> StageResult:
    """Split `rows` by the boolean series `keep`; the others are rejected with one reason and their `detail`.

    A null in `keep` means that nothing speaks for the row, so it is rejected.
    """
    keep = keep.fill_null(False)
    if keep.all():
        return StageResult(rows, no_rejections())
    lost = rows.filter(~keep)
    return StageResult(rows.filter(keep), reject(lost, stage, [[reason]] * len(lost), detail.filter(~keep).to_list()))


def shorten(text: str, limit: int = 120) -> str:
    """Cut a long text and say so."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
