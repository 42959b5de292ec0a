"""The texts of a column as pieces, and back: texts, tokens with their tags, turns of conversations."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import polars as pl

from sftdata.keys import mix
from sftdata.records import STRINGS
from sftdata.stages.augmentation.choosing import Keys
from sftdata.text.cutting import cut_lists, cut_texts
from sftdata.text.fields import map_texts, text_rows
from sftdata.text.pieces import Bools, Ints, Pieces, Replacement
from sftdata.text.segmentation import Segmenter

OUTSIDE = "O"
"""The tag of a token that is in no span; only such tokens are changed."""

JOINT = "\x1f"
"""Between tokens where lists of them are compared as texts."""


Edit = Callable[[Pieces, pl.Series, Keys], Pieces | Replacement | pl.Series]
"""Takes pieces, the texts that they make up, and a random key for each text; returns other pieces, what is to stand in
the place of some, or other texts."""


@dataclass(frozen=True)
class Column:
    """A column of text in pieces.

    Attributes:
        name: of the column.
        roles: for conversations, whose turns are meant.
        row: the row of each text, ascending, shape `[units]`.
        texts: the texts themselves, shape `[units]`; tokens with `JOINT` between them.
        pieces: the same in pieces.
    """

    name: str
    roles: tuple[str, ...]
    row: Ints
    texts: pl.Series
    pieces: Pieces


def cut_column(
    rows: pl.DataFrame, name: str, roles: tuple[str, ...], segmenter: Segmenter, protect: Collection[str]
) -> Column:
    """Cut the texts of a column into pieces."""
    column = rows[name]
    if column.dtype == STRINGS:
        free = rows["tags"].list.eval(pl.element() == OUTSIDE)
        return Column(name, roles, np.arange(len(rows)), column.list.join(JOINT), cut_lists(column, free))
    texts = _find_texts(column, roles)
    row = text_rows(column, roles).to_numpy().astype(np.int64)
    return Column(name, roles, row, texts, cut_texts(texts, segmenter, protect))


def change_column(
    column: Column, rows: pl.DataFrame, chosen: Bools, keys: Keys, edit: Edit
) -> tuple[pl.DataFrame, Bools]:
    """Change the texts of some rows.

    Args:
        column: of all rows, in pieces.
        rows: those that are chosen.
        chosen: which of all rows these are.
        keys: a random key for each of `rows`.
        edit: makes the new texts; only ever pieces out of tokens.

    Returns:
        `rows` with the new texts, and which of them changed.
    """
    units = chosen[column.row]
    row = (np.cumsum(chosen) - 1)[column.row[units]]
    texts, pieces = column.texts.filter(pl.Series(units)), column.pieces.take(units)
    edited = edit(pieces, texts, _unit_keys(row, keys, column.name))
    if isinstance(edited, Replacement):
        edited = pieces.write(edited, texts) if pieces.spaced else pieces.put(edited)
    new = edited if isinstance(edited, pl.Series) else _join(edited)
    changed = np.bincount(row, weights=(new != texts).fill_null(False).to_numpy(), minlength=len(rows)) > 0
    if isinstance(edited, Pieces) and not edited.spaced:
        return rows.with_columns(edited.lists().alias(column.name), _align_tags(rows["tags"], edited)), changed
    new = new.zip_with(texts.is_not_null(), texts) if texts.null_count() else new
    return rows.with_columns(map_texts(rows[column.name], lambda _: new, column.roles)), changed


def _join(pieces: Pieces) -> pl.Series:
    return pieces.texts() if pieces.spaced else pieces.lists().list.join(JOINT)


def _find_texts(column: pl.Series, roles: tuple[str, ...]) -> pl.Series:
    found: list[pl.Series] = []

    def keep(texts: pl.Series) -> pl.Series:
        found.append(texts)
        return texts

    map_texts(column, keep, roles)
    return found[0]


def _unit_keys(row: Ints, keys: Keys, name: str) -> Keys:
    """Draw a key for each text out of that of its row, which texts of the row it is, and the column."""
    nth = (np.arange(len(row)) - np.searchsorted(row, row)).astype(np.uint64)
    salt = np.uint64(int.from_bytes(name.encode()[-8:], "little"))
    return mix(keys[row] + mix(nth + salt))


def _align_tags(tags: pl.Series, edited: Pieces) -> pl.Series:
    """Let tags follow their tokens; what was inserted is in no span, for it stands behind a token that is in none."""
    if edited.origin is None:
        return tags
    flat = pl.concat([tags.explode(empty_as_null=False, keep_nulls=False), pl.Series(tags.name, [OUTSIDE])])
    return edited.group(flat.gather(np.where(edited.origin < 0, len(flat) - 1, edited.origin)))
