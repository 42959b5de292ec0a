"""Examples of words and the tag of each: tags become labels of pieces, and long rows end between words."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.records import IGNORE_INDEX, shorten
from sftdata.stages.tokenization.drafts import Drafts, Drop
from sftdata.stages.tokenization.encoding import reject_long
from sftdata.stages.tokenization.flat import Flags, Ints, as_lists, wrap
from sftdata.stages.tokenization.setup import Tokenization
from sftdata.stages.tokenization.words import Words, distinct_words, encode_words
from sftdata.text.fields import flatten


def tokenize_tags(rows: pl.DataFrame, settings: Tokenization, drop: Drop) -> Drafts:
    """Encode words between special tokens, and label the first piece of each word with its tag."""
    before, after = settings.wrapping
    words = encode_words(rows["tokens"], settings, drop)
    classes = find_classes(rows["tags"], words.counts, settings, drop)
    scheme = Scheme(settings.label_names or ())
    most = settings.settings.max_length - len(before) - len(after)
    parts = divide(words, scheme.find_torn(classes), most, settings, drop)
    labels = label_pieces(words.pieces, classes, scheme if settings.settings.label_all_pieces else None)
    keep = np.repeat(parts.cover(len(words.pieces)), words.pieces)
    lengths = parts.lengths(words.pieces)
    ids, wrapped = wrap(words.ids[keep], lengths, before, after)
    labels, _ = wrap(labels[keep], lengths, [IGNORE_INDEX] * len(before), [IGNORE_INDEX] * len(after))
    return Drafts(parts.rows, ids, wrapped, as_lists(labels.astype(np.int64), wrapped), parts.truncated)


def words_of(rows: pl.DataFrame, settings: Tokenization) -> pl.Series:
    """Return the words that an encoder will see."""
    return distinct_words(rows["tokens"])


def find_classes(column: pl.Series, counts: Ints, settings: Tokenization, drop: Drop) -> Ints:
    """Return the class index of the tag of each word, shape `[words]`; -1 in rows that are rejected.

    Rows are rejected as `tags:as_long_as` where there are not as many tags as words, and as `label:not_in_train`.
    """
    fits = column.list.len().fill_null(0).to_numpy() == counts
    drop.add(np.flatnonzero(~fits), "tags:as_long_as", "there are not as many tags as words")
    tags = flatten(column.filter(pl.Series(fits, dtype=pl.Boolean)))
    found = tags.cast(pl.Enum(settings.label_names or ()), strict=False).to_physical().cast(pl.Int64).fill_null(-1)
    classes = np.full(int(counts.sum()), -1, dtype=np.int64)
    classes[np.repeat(fits, counts)] = found
    rows = np.repeat(np.flatnonzero(fits), counts[fits])
    unknown = pl.DataFrame({"row": rows, "tag": tags}).filter(pl.Series(found == -1))
    for (tag,), group in unknown.group_by("tag", maintain_order=True):
        told = "a word has no tag" if tag is None else f"no row of the training part has the tag '{shorten(tag)}'"
        drop.add(group["row"].to_numpy(), "label:not_in_train", told)
    return classes


def label_pieces(pieces: Ints, classes: Ints, scheme: "Scheme | None") -> NDArray[np.int32]:
    """Label the first piece of each word with its class; the others too if there is a `scheme`, else `IGNORE_INDEX`."""
    has_pieces = pieces > 0
    first = (np.cumsum(pieces) - pieces)[has_pieces]
    if scheme:
        labels = np.repeat(scheme.later[classes], pieces).astype(np.int32)
    else:
        labels = np.full(int(pieces.sum()), IGNORE_INDEX, dtype=np.int32)
    labels[first] = classes[has_pieces]
    return labels


@dataclass(frozen=True)
class Scheme:
    """What the letters before the hyphen of BIO, BIOES, BMES and BILOU tags say; other tags stand alone."""

    names: tuple[str, ...]

    @cached_property
    def later(self) -> Ints:
        """The class of a later piece of a word by the word's class, shape `[names + 1]`.

        An entity begins once: `B-X` goes on as `I-X`, as in Hugging Face's run_ner, or as BMES's `M-X`, where the
        training part has it. Other tags are repeated. The last entry is for -1.
        """
        places = {name: place for place, name in enumerate(self.names)}
        inside = [[f"{letter}-{name[2:]}" for letter in "IM"] if name[:2] == "B-" else [] for name in self.names]
        found = [next((places[name] for name in names if name in places), place) for place, names in enumerate(inside)]
        return np.array([*found, -1], dtype=np.int64)

    def find_torn(self, classes: Ints) -> Flags:
        """Tell before which words an entity goes on, so that a division there would tear it; shape `[words]`."""
        kinds = {name[2:]: number for number, name in enumerate(self.names) if name[1:2] == "-"}
        kind = np.array([kinds.get(name[2:], -1) for name in self.names] + [-1])
        goes_on = np.array([name[:2] in ("I-", "M-", "E-", "L-") for name in self.names] + [False])
        is_open = np.array([name[:2] in ("B-", "I-", "M-") for name in self.names] + [False])
        torn = goes_on[classes]
        torn[1:] &= is_open[classes[:-1]] & (kind[classes[1:]] == kind[classes[:-1]])
        return torn


@dataclass(frozen=True)
class Parts:
    """The examples of all rows as spans of words.

    Attributes:
        rows: the row that each comes from, rising, shape `[parts]`.
        starts: its first word, shape `[parts]`.
        ends: one past its last word, shape `[parts]`.
        truncated: whether words of its row are left out, shape `[parts]`.
    """

    rows: Ints
    starts: Ints
    ends: Ints
    truncated: Flags

    def cover(self, words: int) -> Flags:
        """Tell which words are in a part, shape `[words]`."""
        edges = np.zeros(words + 1, dtype=np.int64)
        np.add.at(edges, self.starts, 1)
        np.add.at(edges, self.ends, -1)
        return np.cumsum(edges)[:-1] > 0

    def lengths(self, pieces: Ints) -> Ints:
        """Return how many tokens each part has, shape `[parts]`."""
        total = np.concatenate([[0], np.cumsum(pieces)])
        return np.asarray(total[self.ends] - total[self.starts])


def divide(words: Words, torn: Flags, most: int, settings: Tokenization, drop: Drop) -> Parts:
    """Bring rows to at most `most` tokens: reject, truncate or split those that have more.

    Each part takes as many words as it can, and ends before an entity that would be torn, where there is a word before
    it. A row with a single word that is too long is rejected.

    Args:
        words: the words of all rows.
        torn: before which words an end would tear an entity, shape `[words]`.
        most: without special tokens; may be negative.
        settings: say what is to be done.
        drop: told which rows are rejected as `too_long`.
    """
    total = np.concatenate([[0], np.cumsum(words.pieces)])
    untorn = np.maximum.accumulate(np.where(np.append(torn, False), 0, np.arange(len(total))))
    last = np.cumsum(words.counts)
    rows, starts = np.arange(len(last)), last - words.counts
    overflow, found, going = settings.settings.overflow, [], True
    while going:
        ends = np.minimum(np.searchsorted(total, total[starts] + most, side="right") - 1, last[rows])
        ends = np.maximum(np.where((untorn[ends] > starts) & (ends < last[rows]), untorn[ends], ends), starts)
        over = ends < last[rows]
        stuck = over if overflow == "reject" else over & (ends == starts)
        reject_long(rows[stuck], settings, drop, extra=settings.settings.max_length - most)
        ends = np.where(stuck, last[rows], ends)
        found.append((rows, starts, ends, over))
        more = (ends < last[rows]) & (overflow == "split")
        rows, starts, going = rows[more], ends[more], bool(more.any())
    rows, starts, ends, over = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(rows, kind="stable")
    cut = over[order] if overflow == "truncate" else np.zeros(len(order), dtype=np.bool_)
    return Parts(rows[order], starts[order], ends[order], cut)
