"""Fit the tokenizer that a recipe asks for, once it is known which rows are for training; no other row is seen."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.engine import map_chunks
from sftdata.errors import TokenizerError
from sftdata.records import Task
from sftdata.selection import Selection
from sftdata.settings.tokenizing import TokenizeSettings, TrainTokenizerSettings
from sftdata.spilling import Spilled
from sftdata.stages.tokenization import Tokenization, texts_to_prove
from sftdata.text.fields import flatten
from sftdata.text.segmentation import Segmenter
from sftdata.tokenizers.loading import Tokenizer


@dataclass(frozen=True)
class TrainingRows:
    """The rows of a chunk that are for training, in the file where they lie."""

    file: Path
    chosen: NDArray[np.bool_]

    def read(self) -> pl.DataFrame:
        """Return the rows."""
        return pl.read_ipc(self.file).filter(pl.Series(self.chosen, dtype=pl.Boolean))


def begin_own_tokenizer(
    settings: TokenizeSettings, task: Task, template_file: Path | None, *, has_turns: bool
) -> Tokenizer:
    """Return the tokenizer that is to be fitted; it has its control tokens and chat template already.

    Args:
        settings: what the recipe says.
        task: what the rows teach.
        template_file: a Jinja file.
        has_turns: whether a chat template renders the rows; without a file it is ChatML.

    Raises:
        TokenizerError: when the template cannot be read, or the vocabulary is too small.
    """
    from sftdata.tokenizers.training import CHATML, begin_tokenizer

    try:
        template = template_file.read_text(encoding="utf-8") if template_file else CHATML
    except (OSError, ValueError) as cause:
        raise TokenizerError(f"the chat template {template_file} cannot be read: {cause}") from None
    return begin_tokenizer(
        cast("TrainTokenizerSettings", settings.train_tokenizer), task, template if has_turns else None
    )


def fit_on_training_rows(
    tokenization: Tokenization,
    chunks: Sequence[Spilled],
    selection: Selection,
    segmenter: Segmenter,
    workers: int,
    watch: Callable[[int], None],
) -> Tokenization:
    """Fit the tokenizer if the recipe asks for one; rows are read again chunk by chunk.

    A row counts once, however often it stands in the training part, and copies that augmentation makes do not count,
    for they come later: what they say must not decide which words are frequent.

    Args:
        tokenization: with the tokenizer that `tokenizers.training.begin_tokenizer` gave, or a pretrained one.
        chunks: all rows.
        selection: which of them are for training.
        segmenter: cuts Chinese.
        workers: processes to use; the tokenizer does not depend on it.
        watch: told how many rows are read.

    Raises:
        NothingToWrite: when no word is frequent enough.
    """
    settings = tokenization.settings.train_tokenizer
    if settings is None:
        return tokenization
    from sftdata.tokenizers.training import fit_tokenizer

    digest = partial(_digest, tokenization=tokenization, settings=settings, segmenter=segmenter)
    with closing(map_chunks(digest, _training_rows(chunks, selection, watch), workers)) as digests:
        tokenizer = fit_tokenizer(tokenization.tokenizer, settings, tokenization.task, digests)
    return replace(tokenization, tokenizer=tokenizer)


def _training_rows(
    chunks: Sequence[Spilled], selection: Selection, watch: Callable[[int], None]
) -> Iterator[TrainingRows]:
    edges = np.cumsum([0, *(len(chunk.slim) for chunk in chunks)])
    for chunk, start, end in zip(chunks, edges[:-1], edges[1:], strict=True):
        if (chosen := selection.parts[start:end] == 0).any():
            yield TrainingRows(chunk.file, chosen)
        watch(int(end))


def _digest(
    rows: TrainingRows, tokenization: Tokenization, settings: TrainTokenizerSettings, segmenter: Segmenter
) -> pl.DataFrame:
    from sftdata.tokenizers.training import digest_texts

    return digest_texts(_texts(rows.read(), tokenization), tokenization.tokenizer, settings, segmenter)


def _texts(rows: pl.DataFrame, tokenization: Tokenization) -> pl.Series:
    """Return the texts that the encoder will see; a word as often as it stands there."""
    tags = tokenization.task == Task.TOKEN_CLASSIFICATION
    return flatten(rows["tokens"]) if tags else texts_to_prove(rows, tokenization)
