"""What the report of a dataset says, read from the manifest, the indexes, and a bounded part of the other files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import yaml
from numpy.typing import NDArray

from sftdata.arrays import to_numpy
from sftdata.manifest import Manifest
from sftdata.records import Task, shorten
from sftdata.report.excerpts import compare, find_rejected
from sftdata.report.lengths import Axis, compare_packing, fill_bins, find_cuts, make_axis
from sftdata.report.tokens import Piece, cut_example, describe_labels, origin, origin_of
from sftdata.shards.reader import Split

STAGES = {
    "read": "Read",
    "validate": "Check against the schema",
    "clean": "Clean",
    "decontaminate": "Take out evaluation texts",
    "deduplicate": "Remove duplicates and conflicts",
    "balance": "Balance labels",
    "augment": "Copy, augment, cut into parts",
    "tokenize": "Tokenise",
}
"""The stages in their order, and what a person calls them."""

REASONS, LABELS, SPLITS, INPUTS, SHARDS = 25, 100, 6, 100, 60
"""Most of each that are shown; the rest is counted."""

ROWS = {"first": 8, "other": 4}
HEAD, TAIL = 280, 120
"""Tokens that are shown of a longer sequence: so many of its beginning, and so many of its end."""

HALF_CHARACTERS, RECIPE_CHARACTERS, NAME_CHARACTERS = 2_500, 20_000, 150
"""Characters that are shown at most of the beginning and of the end of a sequence, of the recipe, and of a name."""


def gather_facts(directory: Path, manifest: Manifest, tokenizer: tokenizers.Tokenizer) -> dict[str, Any]:
    """Return all that the page says, by section; what a dataset does not have is empty or None.

    Args:
        directory: where the files of the manifest lie.
        manifest: of the dataset, which need not be in its place yet.
        tokenizer: the dataset's own; decodes rows.

    Raises:
        VerificationError: an index or a shard is missing or damaged.
    """
    splits = {name: Split(directory, name, manifest) for name in list(manifest.splits)[:SPLITS]}
    lengths = {name: split.lengths() for name, split in splits.items()}
    max_length = find_max_length(manifest)
    return {
        "manifest": manifest,
        "max_length": max_length,
        "flow": describe_flow(manifest),
        "splits": describe_splits(manifest),
        "rejected": describe_reasons(manifest, find_rejected(directory / "rejected.jsonl")),
        "cleaning": describe_cleaning(manifest),
        "duplicates": describe_clusters(manifest),
        "labels": describe_shares(manifest),
        "scores": describe_scores(manifest, splits.values()),
        "lengths": describe_lengths(lengths, max_length),
        "packing": describe_packing(next(iter(lengths.values())), max_length),
        "scripts": manifest.statistics.get("characters_per_token", {}),
        "samples": {
            name: describe_rows(split, tokenizer, name == next(iter(splits))) for name, split in splits.items()
        },
        "provenance": describe_provenance(manifest),
    }


def find_max_length(manifest: Manifest) -> int | None:
    """Return the most tokens of a row; None where the recipe is not ours."""
    settings = manifest.recipe.get("tokenize")
    most = settings.get("max_length") if isinstance(settings, dict) else None
    return most if isinstance(most, int) and most > 0 else None


def describe_flow(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the stages, and of each the rows that come in, fall, are added and go out; the last writes the rest."""
    counts, rejected = manifest.rows, manifest.rejected_by_stage
    unknown = counts.rejected - sum(rejected.values())
    known = {**rejected, **({"rejected": unknown} if unknown else {})}
    names = [*STAGES, *(name for name in known if name not in STAGES)]
    flow, rows = [], counts.read
    for name in names:
        lost, dropped = known.get(name, 0), counts.duplicates if name == "deduplicate" else 0
        added = counts.augmented if name == "augment" else 0
        out = rows - lost - dropped + added
        if name in ("read", "tokenize") or lost or dropped or added:
            step = {"name": STAGES.get(name, name), "in": rows, "rejected": lost, "duplicates": dropped, "added": added}
            flow.append({**step, "out": out, "most": max(counts.read, counts.written, rows + added)})
        rows = out
    return flow


def describe_splits(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the sizes of each split, and what was cut in it."""
    told = manifest.statistics.get("splits", {})
    rows = max(1, manifest.rows.written)
    return [
        {
            "name": name,
            "rows": split.rows,
            "share": split.rows / rows,
            "tokens": split.tokens,
            "trained": split.trained_tokens,
            "shards": len(split.shards),
            "bytes": sum(shard.bytes for shard in split.shards),
            "truncated": told.get(name, {}).get("truncated", 0),
            "parts": told.get(name, {}).get("further_parts", 0),
        }
        for name, split in manifest.splits.items()
    ]


def describe_reasons(manifest: Manifest, examples: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the most frequent reasons, with examples of each, and how many more there are."""
    ordered = sorted(manifest.rejected_by_reason.items(), key=lambda item: (-item[1], item[0]))
    most = ordered[0][1] if ordered else 1
    shown = [
        {
            "reason": shorten(reason, NAME_CHARACTERS),
            "rows": rows,
            "share": rows / most,
            "examples": examples.get(reason, []),
        }
        for reason, rows in ordered[:REASONS]
    ]
    return {
        "reasons": shown,
        "more": len(ordered) - len(shown),
        "more_rows": sum(rows for _, rows in ordered[REASONS:]),
    }


def describe_cleaning(manifest: Manifest) -> dict[str, Any] | None:
    """Return the rows that each step changed, and samples of each with what differs."""
    if not manifest.cleaning:
        return None
    samples: dict[str, list[dict[str, Any]]] = {}
    for sample in manifest.cleaning.get("samples", ()):
        before, after = compare(sample["before"], sample["after"])
        where = _say_where(manifest, sample["row_id"])
        samples.setdefault(sample["step"], []).append(
            {"where": where, "field": sample["field"], "before": before, "after": after}
        )
    changed = manifest.cleaning.get("changed", {})
    most = max(changed.values(), default=1)
    steps = [
        {"step": step, "rows": rows, "share": rows / most, "samples": samples.get(step, [])}
        for step, rows in changed.items()
    ]
    return {"steps": steps}


def describe_clusters(manifest: Manifest) -> dict[str, Any] | None:
    """Return what the manifest tells of duplicates, with the words in which a row differs from the one that stays."""
    if not manifest.duplicates:
        return None
    samples = []
    for sample in manifest.duplicates["samples"]:
        members = [
            {
                "where": _say_where(manifest, member["row_id"]),
                "kind": member["kind"],
                "similarity": member["similarity"],
                "text": compare(sample["text"], member["text"])[1] if "text" in member else None,
            }
            for member in sample["members"]
        ]
        where = _say_where(manifest, sample["row_id"])
        samples.append({**sample, "where": where, "members": members})
    return {**manifest.duplicates, "samples": samples}


def _say_where(manifest: Manifest, row_id: str) -> str:
    source, record = origin_of(manifest, row_id)
    return f"{shorten(source, NAME_CHARACTERS)} record {record}"


def describe_shares(manifest: Manifest) -> dict[str, Any] | None:
    """Return how often each label is in each split, those that are most frequent in the first split first."""
    told = manifest.statistics.get("splits", {})
    counts = {name: of_split["labels"] for name, of_split in told.items() if "labels" in of_split}
    if not counts:
        return None
    names, first = list(counts)[:SPLITS], next(iter(counts.values()))
    totals = {name: max(1, sum(counts[name].values())) for name in names}
    labels = sorted(manifest.label_names or (), key=lambda label: (-first.get(label, 0), label))
    rows = [[counts[name].get(label, 0) / totals[name] for name in names] for label in labels[:LABELS]]
    most = max((share for row in rows for share in row), default=1) or 1
    weights = (manifest.balance or {}).get("weights") or {}
    shown = [
        {
            "label": shorten(label, NAME_CHARACTERS),
            "weight": weights.get(label),
            "of_splits": [
                {"rows": counts[name].get(label, 0), "share": share, "bar": share / most}
                for name, share in zip(names, row, strict=True)
            ],
        }
        for label, row in zip(labels, rows, strict=False)
    ]
    unit = "words" if manifest.task == Task.TOKEN_CLASSIFICATION else "rows"
    return {
        "splits": names,
        "labels": shown,
        "more": len(labels) - len(shown),
        "unit": unit,
        "has_weights": bool(weights),
    }


def describe_scores(manifest: Manifest, splits: Iterable[Split]) -> dict[str, Any] | None:
    """Return the histogram of the scores of each split."""
    if manifest.task != Task.REGRESSION:
        return None
    scores = {split.name: _read_scores(split) for split in splits}
    low = min((float(values.min()) for values in scores.values() if len(values)), default=0.0)
    high = max((float(values.max()) for values in scores.values() if len(values)), default=0.0)
    axis = Axis(low, (high - low) / 20 or 1, 20, False)
    bins = {name: np.histogram(values, axis.bins, (axis.start, axis.end))[0] for name, values in scores.items()}
    return {"axis": axis, "bins": bins}


def _read_scores(split: Split) -> NDArray[np.float64]:
    shards = [to_numpy(split.shard(number)["labels"]) for number in range(len(split.shards))]
    return np.concatenate(shards).astype(np.float64)


def describe_lengths(lengths: dict[str, NDArray[np.int64]], max_length: int | None) -> dict[str, Any]:
    """Return the histogram of the lengths of each split on one axis, and what a cut at other lengths would cost."""
    counts = {name: np.bincount(of_split, minlength=2) for name, of_split in lengths.items()}
    everything = np.zeros(max(map(len, counts.values())), dtype=np.int64)
    for of_split in counts.values():
        everything[: len(of_split)] += of_split
    axis = make_axis(everything)
    return {
        "axis": axis,
        "bins": {name: fill_bins(of_split, axis) for name, of_split in counts.items()},
        "cuts": find_cuts(everything),
        "marked": max_length,
    }


def describe_packing(lengths: NDArray[np.int64], max_length: int | None) -> list[dict[str, Any]]:
    """Return how full padded batches and packs of the first split are."""
    filled = lengths[lengths > 0]
    return compare_packing(filled, max(max_length or 0, int(filled.max()))) if len(filled) else []


def describe_rows(split: Split, tokenizer: tokenizers.Tokenizer, is_first: bool) -> list[dict[str, Any]]:
    """Return some rows of a split, spread evenly over it, token by token."""
    count = min(len(split), ROWS["first" if is_first else "other"])
    places = dict.fromkeys(len(split) * number // count for number in range(count))
    return [_describe_row(split.manifest, tokenizer, split[place]) for place in places]


def _describe_row(manifest: Manifest, tokenizer: tokenizers.Tokenizer, example: dict[str, Any]) -> dict[str, Any]:
    source, record = origin(manifest, example)
    parent = example.get("parent_id")
    relation = "" if not parent else "a part of " if "/" in example["row_id"] else "a copy of "
    sequences = [
        {"name": name, "tokens": sum(len(piece.ids) for piece in pieces), **_cut(pieces)}
        for name, pieces in cut_example(manifest, tokenizer, example)
    ]
    where = f"{relation}{shorten(source, NAME_CHARACTERS)}, record {record}"
    return {
        "row_id": example["row_id"],
        "where": where,
        "learns": shorten(describe_labels(manifest, example["labels"]), 2 * NAME_CHARACTERS) + say_weights(example),
        "sequences": sequences,
    }


def say_weights(example: dict[str, Any]) -> str:
    """Say by what the losses of an example are multiplied, where that is told and not 1 alone."""
    of_row, of_labels = example.get("weight", 1.0), {weight for weight in example.get("weights", ()) if weight}
    weights = sorted({of_row * weight for weight in of_labels or {1.0}})
    said = ", ".join(f"{weight:g}" for weight in weights[:5]) + ", …" * (len(weights) > 5)
    return f", weight {said}" if weights != [1.0] else ""


def _cut(pieces: Sequence[Piece]) -> dict[str, Any]:
    """Leave out the middle of a long sequence, and what is too much text."""
    head, tail = (pieces, []) if len(pieces) <= HEAD + TAIL else (pieces[:HEAD], pieces[-TAIL:])
    head, tail = _take(head, HALF_CHARACTERS), _take(tail, HALF_CHARACTERS)
    return {
        "head": head,
        "left_out": sum(len(p.ids) for p in pieces) - sum(len(p.ids) for p in [*head, *tail]),
        "tail": tail,
    }


def _take(pieces: Sequence[Piece], characters: int) -> list[Piece]:
    total = np.cumsum([len(piece.text) for piece in pieces], dtype=np.int64)
    return list(pieces[: int(np.searchsorted(total, characters, side="right"))])


def describe_provenance(manifest: Manifest) -> dict[str, Any]:
    """Return the recipe as YAML, and the digests of what was read and written."""
    shards = [(shard.file, shard.rows, shard.digest) for split in manifest.splits.values() for shard in split.shards]
    recipe = yaml.safe_dump(manifest.recipe, sort_keys=False, allow_unicode=True, width=100) if manifest.recipe else ""
    return {
        "recipe": shorten(recipe, RECIPE_CHARACTERS),
        "inputs": manifest.inputs[:INPUTS],
        "more_inputs": max(0, len(manifest.inputs) - INPUTS),
        "shards": shards[:SHARDS],
        "more_shards": max(0, len(shards) - SHARDS),
    }
