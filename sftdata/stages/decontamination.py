"""Find rows that repeat evaluation texts: that share a long run of words with one (Brown et al. 2020, appendix C)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.records import STRINGS, StageResult, partition, shorten
from sftdata.stages.deduplication import blocks_of
from sftdata.text.fields import flatten
from sftdata.text.shingles import Buffer, Hashes, Shingles, Tokens, cut_tokens, hash_runs, normalize_texts, to_buffer

STAGE, REASON = "decontaminate", "contaminated"

SLOTS = 16
"""Places for one hash in the table that is asked first, so that hardly an innocent run of words is looked up."""


@dataclass(frozen=True)
class Evaluation:
    """The runs of words of evaluation texts.

    Attributes:
        ngram: words of a run.
        hashes: distinct hashes of all runs, and of shorter texts whole; ascending uint64, shape `[runs]`.
        texts: number of the first text that has the run, int64, shape `[runs]`.
        table: whether a hash ends so, bool; its length is a power of two.
        names: `source:record` of each text.
    """

    ngram: int
    hashes: Hashes
    texts: NDArray[np.int64]
    table: NDArray[np.bool_]
    names: pl.Series

    def find(self, hashes: Hashes) -> NDArray[np.int64]:
        """Return the text that has each run, -1 where none has; shape `[runs]`."""
        found = np.full(len(hashes), -1, dtype=np.int64)
        likely = np.flatnonzero(self.table[hashes & np.uint64(len(self.table) - 1)])
        places = np.minimum(np.searchsorted(self.hashes, hashes[likely]), len(self.hashes) - 1)
        same = self.hashes[places] == hashes[likely]
        found[likely[same]] = self.texts[places[same]]
        return found


def index_evaluation(texts: pl.DataFrame, ngram: int = 13) -> Evaluation:
    """Hash every run of `ngram` words of evaluation texts, and the shorter texts whole.

    Args:
        texts: `source` (string), `record` (int64) and `text` (string), one text a row; a record may have several.
        ngram: words in a run; a character of a script without spaces counts as one.
    """
    hashes, owners, start = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)], 0
    for _, _, runs in _cut_runs(texts["text"], ngram):
        hashes.append(runs.hashes)
        owners.append(np.repeat(np.arange(start, start + len(runs.offsets) - 1), np.diff(runs.offsets)))
        start += len(runs.offsets) - 1
    distinct, first = np.unique(np.concatenate(hashes), return_index=True)
    table = np.zeros(1 << (SLOTS * len(distinct)).bit_length(), dtype=np.bool_)
    table[distinct & np.uint64(len(table) - 1)] = True
    names = texts.select(pl.concat_str("source", "record", separator=":")).to_series()
    return Evaluation(ngram, distinct, np.concatenate(owners)[first], table, names)


def decontaminate_rows(rows: pl.DataFrame, evaluation: Evaluation, fields: Sequence[str]) -> StageResult:
    """Reject the rows that share a run of words with an evaluation text.

    Every field and every turn of a conversation is a text of its own. A text shorter than a run is contaminated when it
    equals an evaluation text, letter case, punctuation and spacing apart.

    Args:
        rows: `source`, `record` and `fields`.
        evaluation: what `index_evaluation` made.
        fields: the columns to look into: String, List(String) or conversations.
    """
    details: dict[int, str] = {}
    if len(evaluation.hashes):
        for field in fields:
            for row, told in _find_in(rows[field], evaluation):
                details.setdefault(row, f"{field}: {told}")
    keep, detail = np.ones(len(rows), dtype=np.bool_), [""] * len(rows)
    for row, told in details.items():
        keep[row], detail[row] = False, told
    return partition(rows, pl.Series(keep), stage=STAGE, reason=REASON, detail=pl.Series(detail, dtype=pl.String))


def unfold_texts(rows: pl.DataFrame, fields: Sequence[str]) -> pl.DataFrame:
    """Return `source`, `record` and `text` of every field and turn, as `index_evaluation` takes them."""
    unfolded = [pl.DataFrame(schema={"source": pl.String, "record": pl.Int64, "text": pl.String})]
    for field in fields:
        texts, owners = _unfold(rows[field])
        unfolded.append(rows.select("source", "record")[owners].with_columns(texts.alias("text")))
    return pl.concat(unfolded)


def _unfold(column: pl.Series) -> tuple[pl.Series, NDArray[np.int64]]:
    """Return the texts of a column and the row of each."""
    owners = np.arange(len(column))
    if column.dtype == STRINGS:
        return column.list.join(" "), owners
    if isinstance(column.dtype, pl.List):
        content = flatten(column).struct.field("content")
        return content, np.repeat(owners, column.list.len().fill_null(0).to_numpy())
    return column, owners


def _find_in(column: pl.Series, evaluation: Evaluation) -> Iterator[tuple[int, str]]:
    """Yield each text of a column that shares a run: its row, and what it shares with which evaluation text."""
    texts, owners = _unfold(column)
    start = 0
    for buffer, tokens, runs in _cut_runs(texts, evaluation.ngram):
        found = evaluation.find(runs.hashes)
        hits = np.flatnonzero(found >= 0)
        inside = np.searchsorted(runs.offsets, hits, side="right") - 1
        for text in np.unique(inside):
            here = hits[inside == text]
            length = np.argmin(np.diff(here, append=-1) == 1)  # runs that follow each other are one longer run
            first = int(here[0] - runs.offsets[text] + tokens.offsets[text])
            width = min(evaluation.ngram, int(tokens.offsets[text + 1] - tokens.offsets[text]))
            shared = buffer.data[tokens.starts[first] : tokens.ends[first + length + width - 1]].tobytes().decode()
            yield int(owners[start + text]), f"shares {shorten(shared)!r} with {evaluation.names[int(found[here[0]])]}"
        start += len(runs.offsets) - 1


def _cut_runs(texts: pl.Series, ngram: int) -> Iterator[tuple[Buffer, Tokens, Shingles]]:
    """Yield the runs of words of texts, block by block; of a text with fewer words the only one that it has."""
    for block in blocks_of(normalize_texts(texts)):
        buffer = to_buffer(block)
        tokens = cut_tokens(buffer)
        yield buffer, tokens, hash_runs(tokens, np.clip(np.diff(tokens.offsets), 1, ngram))
