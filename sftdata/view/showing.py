"""Rows, rejected rows and clusters of duplicates as the templates take them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from sftdata.manifest import Manifest
from sftdata.records import IGNORE_INDEX, Task, shorten
from sftdata.report.excerpts import Difference, compare
from sftdata.report.facts import NAME_CHARACTERS, say_weights
from sftdata.report.tokens import Piece, cut_tokens, describe_labels, origin, origin_of
from sftdata.shards.reader import Split
from sftdata.view.dataset import Dataset
from sftdata.view.lines import Line, Row
from sftdata.view.rows import Place

BRIEF, EXCERPT, WHOLE = 100, 240, 4000
"""Tokens that are shown of a sequence: of a row that stays for others, among other rows, and on a page of its own."""

ORIGINAL, DETAIL = 1_500, 600
"""Characters that are shown of an original and of a detail among others."""

LONGEST = 200_000
"""Characters that are shown of an original on a page of its own."""

Shown = dict[str, Any]


def show_example(dataset: Dataset, split: Split, place: Place, most: int = EXCERPT, begin: int | None = None) -> Shown:
    """Return a row token by token, with what it is and where it is from.

    Args:
        dataset: that it is of.
        split: that it is of.
        place: where it stands, and which of its tokens were looked for.
        most: tokens to show of a sequence.
        begin: the first token to show; where it is None, a little before those that were looked for.
    """
    example = split[place.row]
    manifest, parent = dataset.manifest, example.get("parent_id")
    source, record = origin(manifest, example)
    relation = "" if not parent else "a part of " if "/" in example["row_id"] else "a copy of "
    return {
        "split": split.name,
        "number": place.row + 1,
        "row_id": example["row_id"],
        "parent": parent,
        "where": f"{relation}{shorten(source, NAME_CHARACTERS)}, record {record}",
        "learns": shorten(describe_labels(manifest, example["labels"]), 2 * NAME_CHARACTERS) + say_weights(example),
        "fold": example.get("fold", -1),
        "sequences": list(_show_sequences(dataset, example, place, most, begin)),
    }


def _show_sequences(
    dataset: Dataset, example: Row, place: Place, most: int, begin: int | None
) -> Iterator[dict[str, Any]]:
    task, names = dataset.manifest.task, dataset.manifest.label_names or ()
    of_tokens, tags = task in (Task.CAUSAL_LM, Task.TOKEN_CLASSIFICATION), task == Task.TOKEN_CLASSIFICATION
    columns = {"source": "input_ids", "target": "labels"} if task == Task.SEQ2SEQ else {"tokens": "input_ids"}
    for name, column in columns.items():
        ids = example[column]
        hit = (place.first, place.last) if place.column == column else (0, 0)
        first = max(0, min(hit[0] - most // 4, len(ids) - most)) if begin is None else min(begin, len(ids))
        last = min(first + most, len(ids))
        labels = example["labels"] if of_tokens or column == "labels" else [IGNORE_INDEX] * len(ids)
        pieces = cut_tokens(dataset.tokenizer, ids[first:last], labels[first:last], names if tags else ())
        grouped = _group(pieces, hit[0] - first, hit[1] - first)
        yield {"name": name, "tokens": len(ids), "first": first, "last": last, **grouped}


def _group(pieces: Sequence[Piece], first: int, last: int) -> dict[str, Sequence[Piece]]:
    """Part pieces into what is before some tokens, what has them, and what is behind."""
    ends = np.cumsum([len(piece.ids) for piece in pieces], dtype=np.int64)
    begin = int(np.searchsorted(ends, first, side="right"))
    end = 1 + int(np.searchsorted(ends, last, side="left")) if last > first else begin
    return {"head": pieces[:begin], "hit": pieces[begin:end], "tail": pieces[end:]}


def show_rejected(line: Line, original: int = ORIGINAL, detail: int = DETAIL) -> Shown:
    """Return a rejected row; `row` is None of a line that is none."""
    if line.row is None:
        return {"at": line.at, "row": None}
    given = line.row.get("original", "")
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, indent=2)
    told = {name: str(line.row.get(name, "")) for name in ("source", "record", "line", "stage", "detail")}
    reasons = line.row.get("reasons")
    reasons = reasons if isinstance(reasons, list) else [line.row.get("reason", "")]
    return {
        "at": line.at,
        "row": {name: shorten(value, detail) for name, value in told.items()},
        "reasons": [shorten(str(reason), NAME_CHARACTERS) for reason in reasons[:20]],
        "original": shorten(text, original),
        "is_cut": len(text) > original or len(told["detail"]) > detail,
    }


def show_clusters(dataset: Dataset, lines: Iterable[Line]) -> list[Shown]:
    """Return dropped rows by the row that stays for them, in the order of the file, with the texts that are known."""
    texts = known_texts(dataset.manifest)
    clusters: dict[str, list[Shown]] = {}
    for line in lines:
        if line.row is not None and {"row_id", "kept_row_id"} <= line.row.keys():
            row_id, kept = str(line.row["row_id"]), str(line.row["kept_row_id"])
            similarity = line.row.get("similarity")
            member = {
                "row_id": row_id,
                "where": say_where(dataset.manifest, row_id),
                "kind": str(line.row.get("kind", "")),
                "similarity": similarity if isinstance(similarity, int | float) else None,
                "text": _differing(texts, kept, row_id),
            }
            clusters.setdefault(kept, []).append(member)
    return [
        {"row_id": kept, "where": say_where(dataset.manifest, kept), "text": texts.get(kept), "members": members}
        for kept, members in clusters.items()
    ]


def known_texts(manifest: Manifest) -> dict[str, str]:
    """Return the texts of some clusters, which the manifest has, by row."""
    samples = (manifest.duplicates or {}).get("samples", ())
    rows = [row for sample in samples for row in (sample, *sample["members"])]
    return {row["row_id"]: row["text"] for row in rows if "text" in row}


def _differing(texts: dict[str, str], kept: str, row_id: str) -> Difference | None:
    return compare(texts[kept], texts[row_id])[1] if kept in texts and row_id in texts else None


def say_where(manifest: Manifest, row_id: str) -> str:
    """Say which file and record a row is from."""
    source, record = origin_of(manifest, row_id)
    return f"{shorten(source, NAME_CHARACTERS)}, record {record}"
