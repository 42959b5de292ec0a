"""Take a sample of the data through the stages of `prepare`, to see what they leave of it and what they cost.

The sample is the first chunks of some of the sources, spread over all of them. It goes through the very functions of
`prepare`, into a folder that the caller removes. Small data are the sample, whole.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sftdata.engine import Watch
from sftdata.examples import SecondPass, Written, write_examples
from sftdata.fitting import fit_on_training_rows
from sftdata.pipeline import find_taken, load_segmenter, prove_backend
from sftdata.recipe import Recipe
from sftdata.selection import Selection, select_rows
from sftdata.settings.splitting import SplitSettings
from sftdata.sources import Chunk, read_chunks
from sftdata.sources.source import Source
from sftdata.spilling import FirstPass, Spilled, spill_chunks
from sftdata.validation import require_records

CHUNKS = 4
"""Chunks of the sample; as many are under way at a time in a run, so that they take the memory that it will take."""

PATIENCE = 3.0
"""Seconds for which chunks are checked; where one takes longer there is one."""

FAST_BYTES, SLOW_BYTES = 8 * 10**6, 2 * 10**6
"""So much of the sample is tokenised, by a fast encoder and by Hugging Face's."""


class Cost(NamedTuple):
    """Seconds of the clock, and of all processor cores together."""

    seconds: float
    processor: float


@dataclass
class Clock:
    """Takes the time of stages: it is told of them, as `prepare` tells its progress."""

    costs: dict[str, Cost] = field(default_factory=dict)
    _stage: str = ""
    _since: Cost = field(default_factory=lambda: Cost(0.0, 0.0))

    def __call__(self, stage: str, done: int, total: int) -> None:
        """End the stage before when another one begins."""
        if stage != self._stage:
            now = Cost(time.monotonic(), time.process_time())
            spent = Cost(*(after - before for after, before in zip(now, self._since, strict=True)))
            if self._stage:
                self.costs[self._stage] = spent
            self._stage, self._since = stage, now


@dataclass
class Sample:
    """The chunks of the sample; what was read is known once they are taken.

    Attributes:
        rows: by the name of the source; of some sources nothing is read.
        bytes: the same, as the chunks tell it.
        whole: the sources that are read to their end.
        found: what was found out about each source, for people.
    """

    sources: Sequence[Source]
    rows: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    whole: set[str] = field(default_factory=set)
    found: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def is_all(self) -> bool:
        """Whether there is nothing else to be read."""
        return len(self.whole) == len(self.sources)

    def read(self, most: int = CHUNKS) -> Iterator[Chunk]:
        """Yield at most so many chunks; sources are taken evenly from all of them."""
        places = np.unique(np.linspace(0, len(self.sources) - 1, min(most, len(self.sources))).astype(int))
        for place in places:
            source = self.sources[place]
            chunks = read_chunks(source)
            for chunk in islice(chunks, most // len(places)):
                self.rows[source.name] += len(chunk)
                self.bytes[source.name] += chunk.bytes
                self.found[source.name] = dict(chunk.found)
                yield chunk
            if next(chunks, None) is None:
                self.whole.add(source.name)


@dataclass
class Trial:
    """What became of the sample.

    Attributes:
        sample: what was read.
        rows: records that went through the checks.
        bytes: which these cover.
        rejected: by reason: while reading, checking and cleaning.
        chunks: what was kept.
        spilled: bytes of the files that a run keeps while it works.
        costs: of each stage, for the whole sample; of tokenising for `tokenized` rows.
        selection: duplicates, the split and the balance; None where no row was left.
        tokenized: rows of each split that were tokenised, copies not counted.
        written: what became of them.
        vocab_size: of the tokenizer.
        backend: which encoder a run will take, if the rest of the data agrees.
        differs: why a faster one will not do.
    """

    sample: Sample
    rows: int = 0
    bytes: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    chunks: list[Spilled] = field(default_factory=list)
    spilled: int = 0
    costs: dict[str, Cost] = field(default_factory=dict)
    selection: Selection | None = None
    tokenized: dict[str, int] = field(default_factory=dict)
    written: Written | None = None
    vocab_size: int = 0
    backend: str = ""
    differs: str | None = None

    @property
    def is_all(self) -> bool:
        """Whether the sample is all of the data."""
        return self.sample.is_all and self.rows == sum(self.sample.rows.values())

    @property
    def tokens_a_row(self) -> float:
        """Tokens that a row becomes, on average."""
        made = self.written.splits.values() if self.written else ()
        return sum(split.tokens for split in made) / max(1, sum(self.tokenized.values()))

    @property
    def kept(self) -> int:
        """Rows that checks and cleaning leave."""
        return sum(len(chunk.slim) for chunk in self.chunks)


def try_sample(trial: Trial, recipe: Recipe, first: FirstPass, second: SecondPass, folder: Path, watch: Watch) -> None:
    """Take a sample through all stages; what is known of it when one refuses the data stays in `trial`.

    Args:
        trial: with the sample, of which nothing is read yet.
        recipe: what is done.
        first: what a chunk goes through before all rows are known; its folder is not there yet.
        second: what makes examples out of rows.
        folder: an empty directory for files, which the caller removes.
        watch: told about progress.

    Raises:
        DataError: no row is left of the sample.
        RecipeError: the split asks for more rows than the sample has.
    """
    clock = Clock(trial.costs)

    def tell(stage: str, done: int, total: int) -> None:
        clock(stage, done, total)
        watch("try a sample", 0, 0)

    tell("warm up", 0, 0)  # the first chunk pays for imports
    _screen(Trial(Sample(trial.sample.sources)), replace(first, folder=folder / "warm"), 1)
    tell("read", 0, 0)
    _screen(trial, first, max(1, min(CHUNKS, int(PATIENCE / max(clock.costs["warm up"].seconds, 0.01)))))
    require_records(trial.rows, [source.name for source in trial.sample.sources])
    if trial.kept:
        _select_and_tokenize(trial, recipe, first, second, folder, tell)
    tell("", 0, 0)
    trial.spilled = sum(file.stat().st_size for name in ("rows", "duplicates") for file in (folder / name).rglob("*"))


def _screen(trial: Trial, first: FirstPass, most: int) -> None:
    first.folder.mkdir()
    with closing(spill_chunks(trial.sample.read(most), first)) as screening:
        for screened, spilled, _ in screening:
            trial.rows += screened.read
            trial.bytes += screened.bytes
            trial.rejected.update(row["reason"] for row in screened.rejected)
            trial.chunks.append(spilled)


def _select_and_tokenize(
    trial: Trial, recipe: Recipe, first: FirstPass, second: SecondPass, folder: Path, tell: Watch
) -> None:
    shares = recipe.model_copy(update={"split": _as_shares(recipe.split)})
    selection = select_rows(trial.chunks, shares, first.comparison, folder / "duplicates", tell)
    tokenization = replace(second.tokenization, has_turn_weights=any(c.has_turn_weights for c in trial.chunks))
    if recipe.tokenize.train_tokenizer:
        tell("fit the tokenizer", 0, 0)
        tokenization = fit_on_training_rows(
            tokenization, trial.chunks, selection, load_segmenter(recipe), 1, lambda done: None
        )
    tell("prove the tokenizer", 0, 0)
    tokenization, proof, _ = prove_backend(replace(tokenization, label_names=selection.labels), recipe, trial.chunks)
    tell("tokenize and write", 0, 0)
    few = _thin(selection, trial, SLOW_BYTES if proof.proved is None else FAST_BYTES)
    second = replace(second, tokenization=tokenization, names=selection.names, taken=find_taken(trial.chunks, second))
    (folder / "out").mkdir()
    trial.written = write_examples(
        folder / "out", trial.chunks, few, second, recipe.output.shard_size, 1, lambda done: None
    )
    trial.selection, trial.vocab_size = selection, tokenization.tokenizer.vocab_size
    trial.tokenized = {name: int((few.parts == place).sum()) for place, name in enumerate(selection.names)}
    trial.backend, trial.differs = proof.backend, proof.differs


def _as_shares(split: SplitSettings) -> SplitSettings:
    """Return the split with shares for numbers of rows, which a sample may not have."""
    wishes = {name: getattr(split, name) for name in split.part_names()}
    if not any(isinstance(wish, int) for wish in wishes.values()):
        return split
    return split.model_copy(update={name: 0.05 if isinstance(wish, int) else wish for name, wish in wishes.items()})


def _thin(selection: Selection, trial: Trial, most: int) -> Selection:
    """Leave rows, evenly, until what is left stands for at most so many bytes of the sources."""
    used = np.flatnonzero(selection.parts >= 0)
    count = max(1, len(used) * most // max(most, trial.bytes))
    parts = np.full_like(selection.parts, -1)
    chosen = used[np.unique(np.linspace(0, len(used) - 1, count).astype(int))]
    parts[chosen] = selection.parts[chosen]
    return replace(selection, parts=parts)
