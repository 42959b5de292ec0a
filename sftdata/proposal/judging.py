"""Let validation itself say what it makes of a draft, and take back what the data does not keep to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from sftdata.proposal.drafting import Draft, DraftColumn
from sftdata.proposal.parts import Doubt
from sftdata.schema import Schema
from sftdata.sources import Chunk
from sftdata.stages.validation import validate_rows

HABIT = 0.1
"""A share of rows above which what they break is how the data is, and not a fault of theirs."""


@dataclass(frozen=True)
class Verdict:
    """What a schema says to the rows of the sample: how many it judged and rejects, and the reasons."""

    rows: int
    rejected: int
    reasons: Mapping[str, int]


def judge(chunks: Sequence[Chunk], schema: Schema) -> Verdict:
    """Read and check all rows of `chunks`, as validation does.

    Raises:
        MissingColumns: when the schema requires a column that is not there.
    """
    rejected = 0
    reasons: Counter[str] = Counter()
    for chunk in chunks:
        parsed = chunk.parse(schema.columns)
        rows = parsed.frame.with_columns(pl.lit("").alias("@source"), pl.lit(0, pl.Int64).alias("@record"))
        result = validate_rows(rows, schema)
        reasons.update(reason for of_row in result.rejected["reasons"].to_list() for reason in of_row)
        reasons.update(fault.reason for fault in parsed.faults)
        rejected += len(result.rejected) + len({fault.position for fault in parsed.faults})
    return Verdict(sum(map(len, chunks)), rejected, dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))))


def loosen(draft: Draft, verdict: Verdict) -> Draft:
    """Take back what so many rows break that it is no fault of theirs, and say so.

    A text, response or label that is missing or blank stays refused, however many there are: nothing is learnt from it.
    """
    broken = {reason: count for reason, count in verdict.reasons.items() if count > max(1, HABIT * verdict.rows)}
    columns, doubts = [], list(draft.doubts)
    for column in draft.columns:
        for reason, count in broken.items():
            name, _, check = reason.rpartition(":")
            if name == column.name and (looser := _loosen(column, check, name in draft.parts.values())):
                column = looser
                doubts.append(
                    Doubt(
                        name,
                        f"{_SAID.get(check, check)} in {count:,} of {verdict.rows:,} rows, so {check} is not asked for",
                    )
                )
        columns.append(column)
    return replace(draft, columns=tuple(columns), doubts=tuple(doubts))


_SAID = {
    "roles_alternate": "user and assistant do not take turns",
    "ends_with_response": "the last turn is not a response",
    "no_blank_turn": "a turn says nothing",
    "legal_tags": "tags follow each other as the scheme does not have it",
    "dtype": "values are not what sftdata takes",
}
"""What it means that rows break a check that is taken back."""


def _loosen(column: DraftColumn, check: str, has_part: bool) -> DraftColumn | None:
    if check == "dtype":
        return None if has_part else replace(column, used=False)
    if check not in _SAID or check not in column.settings.get("checks", {}):
        return None
    checks: dict[str, Any] = {name: given for name, given in column.settings["checks"].items() if name != check}
    if check == "ends_with_response":
        checks["has_response"] = True
    return replace(column, settings={**column.settings, "checks": checks})
