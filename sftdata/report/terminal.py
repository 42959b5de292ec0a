"""Tables and rows for the terminal."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import tokenizers
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from sftdata.errors import VerificationError, make_printable
from sftdata.manifest import Manifest
from sftdata.records import IGNORE_INDEX, Task
from sftdata.report.tokens import describe_labels, origin
from sftdata.report.volume import volume
from sftdata.shards.reader import Split

TRAINED = "bold green"
CONTEXT = "dim"

UNKNOWN = 0.005
"""A share of unknown tokens from which the tokenizer does not fit the texts."""


def reasons_table(reasons: dict[str, int]) -> Table:
    """Show how many rows each reason rejects, most frequent first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("rows", justify="right")
    table.add_column("reason")
    for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(f"{count:,}", Text(make_printable(reason), style="red"))
    return table


def rejections_table(rejections: Sequence[dict[str, Any]]) -> Table:
    """Show rejected rows: where they stand, and why they were rejected."""
    table = Table(box=None, pad_edge=False)
    for name in ("source", "record", "reason", "detail"):
        table.add_column(name, justify="right" if name == "record" else "left", overflow="fold")
    for row in rejections:
        where = Path(row["source"]).name
        table.add_row(
            Text(make_printable(where)),
            str(row["record"]),
            Text(make_printable(", ".join(row["reasons"])), style="red"),
            Text(make_printable(row["detail"])),
        )
    return table


def summary_table(manifest: Manifest) -> Table:
    """Show rows, tokens and shards of each split."""
    table = Table(box=None, pad_edge=False)
    table.add_column("split")
    for name in ("rows", "tokens", "trained", "shards", "bytes"):
        table.add_column(name, justify="right")
    for name, split in manifest.splits.items():
        size = sum(shard.bytes for shard in split.shards)
        counts = (split.rows, split.tokens, split.trained_tokens, len(split.shards), size)
        table.add_row(name, *(f"{count:,}" for count in counts))
    return table


def rows_line(manifest: Manifest) -> str:
    """Return the row accounting as one sum."""
    rows = manifest.rows
    added = f" + {rows.augmented:,} augmented" if rows.augmented else ""
    lost = f"{rows.rejected:,} rejected + {rows.duplicates:,} duplicates"
    return f"{rows.read:,} read{added} = {rows.written:,} written + {lost}"


def stage_lines(manifest: Manifest) -> Iterator[str]:
    """Say in a line each what cleaning, the split, balance, augmentation and tokenising did."""
    if manifest.cleaning and manifest.cleaning["changed"]:
        changed = ", ".join(f"{step} {rows:,}" for step, rows in manifest.cleaning["changed"].items())
        yield f"rows changed by cleaning: {changed}"
    yield from _tell_parts(manifest.split)
    if manifest.split.get("crossing") and len(manifest.split["got"]) > 1:
        yield _tell_crossing(manifest.split["crossing"])
    if manifest.balance and manifest.balance["weights"]:
        weights = manifest.balance["weights"].values()
        yield f"class weights from {min(weights):.3g} to {max(weights):.3g}, for training"
    if manifest.augmentation:
        for step, counts in manifest.augmentation["steps"].items():
            kept_back = ", ".join(f"{counts[why]:,} {why}" for why in ("unchanged", "duplicate") if counts[why])
            yield f"{step}: {counts['made']:,} copies" + f" ({kept_back} left out)" * bool(kept_back)
    yield from length_lines(manifest)


def length_lines(manifest: Manifest) -> Iterator[str]:
    """Say how long the examples of the training part are, and how many of all were cut or split."""
    splits = manifest.statistics.get("splits", {})
    for name, told in list(splits.items())[:1]:
        lengths = told["tokens_per_example"]
        half, most, longest = (lengths[quantile] for quantile in ("0.5", "0.99", "1"))
        yield f"tokens an example ({name}): half up to {half:,}, 99 % up to {most:,}, at most {longest:,}"
    cut, split, parts = (
        sum(told[key] for told in splits.values()) for key in ("truncated", "split_rows", "further_parts")
    )
    if cut:
        yield f"{cut:,} examples were truncated"
    if split:
        yield f"{split:,} rows were split, into {split + parts:,} examples"
    unknown = manifest.statistics.get("vocabulary", {}).get("unknown", 0)
    if unknown >= UNKNOWN:
        yield f"{unknown:.1%} of the tokens are unknown to the tokenizer: take one for the language of these texts"


def _tell_parts(split: dict[str, Any]) -> Iterator[str]:
    """Tell of parts that got less than half of what was wished for, and why: rows that belong together stay so."""
    wanted: dict[str, int] = split.get("wanted", {})
    small = [part for part, wish in wanted.items() if split["got"].get(part, 0) < wish / 2]
    if small:
        got = ", ".join(
            f"{part} has {split['got'].get(part, 0):,} rows of {wanted[part]:,} wished for" for part in small
        )
        why = "groups and duplicates stay on one side, and the largest such unit has"
        yield f"split: {got}; {why} {split['biggest_unit']:,} rows"


def _tell_crossing(crossing: dict[str, int | None]) -> str:
    found = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in crossing.items() if count is not None)
    unknown = "; near duplicates were not looked for" if crossing.get("near_duplicates", 0) is None else ""
    return f"on two sides of the split: {found}{unknown}"


class RowView:
    """Shows examples of a split as text, with the trained tokens coloured.

    Args:
        directory: the prepared dataset; its own copy of the tokenizer decodes.
        split: one of its splits.
        colour: without it, trained text stands between `⟦` and `⟧`.
    """

    def __init__(self, directory: Path, split: Split, *, colour: bool) -> None:
        path = directory / "tokenizer" / "tokenizer.json"
        if not path.is_file():
            raise VerificationError(f"{path} is missing. Run `sftdata prepare` again.")
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._split, self._colour = split, colour

    def show(self, row: dict[str, Any]) -> RenderableType:
        """Return one example ready to print: where it comes from, its numbers, its text."""
        source, record = origin(self._split.manifest, row)
        relation = "" if not row.get("parent_id") else "a part of " if "/" in row["row_id"] else "a copy of "
        where = f"{relation}{source}, record {record}"
        learns = describe_labels(self._split.manifest, row["labels"])
        weight = f", weight {row['weight']:g}" if "weight" in row else ""
        title = f"{row['row_id']}  ({where})  {len(row['input_ids'])} tokens, {learns}{weight}"
        texts = self._texts(row["input_ids"], row["labels"], row.get("weights"))
        return Group(Rule(Text(title), align="left", style="cyan"), *texts)

    def _texts(self, ids: list[int], labels: Any, weights: list[float] | None) -> Iterator[Text]:
        """Yield what the model sees; for seq2seq also what it is to write."""
        match self._split.manifest.task:
            case Task.CAUSAL_LM:
                yield self._paint(ids, labels, weights)
            case Task.TOKEN_CLASSIFICATION:
                yield self._paint_tags(ids, labels)
            case task:
                yield self._paint(ids, [IGNORE_INDEX] * len(ids))
                if task == Task.SEQ2SEQ:
                    yield self._paint(labels, labels)

    def _paint_tags(self, ids: list[int], labels: list[int]) -> Text:
        """Show words, and behind a slash their tags, but not `O`."""
        painted, names = Text(), self._split.manifest.label_names or ()
        added = self._tokenizer.get_added_tokens_decoder()
        pairs = enumerate(zip(ids, labels, strict=True))
        starts = [place for place, (token, label) in pairs if label != IGNORE_INDEX or token in added]
        for start, end in pairwise([*starts, len(ids)]):
            word = self._tokenizer.decode(ids[start:end], skip_special_tokens=False)
            tag = "O" if labels[start] == IGNORE_INDEX else names[labels[start]]
            shown = word if tag == "O" else f"{word}/{tag}" if self._colour else f"⟦{word}/{tag}⟧"
            painted.append(f"{shown} ", style=CONTEXT if tag == "O" else TRAINED)
        return painted

    def _paint(self, ids: list[int], labels: list[int], weights: list[float] | None = None) -> Text:
        """Show a text; behind what has a weight of its own stands the weight."""
        painted = Text()
        for weight, text in self._runs(ids, weights or [float(label != IGNORE_INDEX) for label in labels]):
            shown = text if self._colour or not weight else f"⟦{text}⟧"
            painted.append(shown, style=TRAINED if weight else CONTEXT)
            painted.append(f"×{weight:g}" if weight not in (0, 1) else "", style=CONTEXT)
        return painted

    def _runs(self, ids: list[int], weights: list[float]) -> Iterator[tuple[float, str]]:
        pairs = zip(weights, ids, strict=True)
        for weight, run in groupby(pairs, key=lambda pair: pair[0]):
            yield weight, self._tokenizer.decode([token for _, token in run], skip_special_tokens=False)


def plain_console() -> Console:
    """Return the console for what was asked for, on stdout."""
    return Console(highlight=False, soft_wrap=True)


def summary_console() -> Console:
    """Return the console for what a command says of what it did, on stdout; `--quiet` makes it silent."""
    return Console(highlight=False, soft_wrap=True, quiet=volume.quiet)
