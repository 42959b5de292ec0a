"""Two texts as one example: the special tokens and types around them, and how they share the room."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sftdata.errors import TokenizerError
from sftdata.stages.tokenization.flat import Flags, Ints, positions_in_rows, take_rows
from sftdata.tokenizers.backends import Encoded
from sftdata.tokenizers.loading import Tokenizer

FIRST, SECOND = -1, -2
"""Where the texts stand among the special ids of a `PairTemplate`."""


@dataclass(frozen=True)
class PairTemplate:
    """What the tokenizer makes of two texts.

    Attributes:
        ids: the special ids in order, with `FIRST` and `SECOND` in the places of the texts.
        types: the `token_type_ids` of each of them; for a text, of all its tokens.
        has_types: whether a model of this tokenizer wants to be told the types.
    """

    ids: tuple[int, ...]
    types: tuple[int, ...]
    has_types: bool

    @property
    def special(self) -> int:
        """How many special tokens there are."""
        return len(self.ids) - 2


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts as tokens.

    Attributes:
        rows: the row that each pair comes from, rising, shape `[pairs]`.
        first: the tokens of the first texts.
        second: those of the second texts.
        truncated: which pairs lost tokens, shape `[pairs]`.
    """

    rows: Ints
    first: Encoded
    second: Encoded
    truncated: Flags


def find_pair_template(tokenizer: Tokenizer) -> PairTemplate:
    """Return the special ids that the tokenizer puts around two texts.

    Without special tokens the tokenizers package tells the two texts apart by type all the same; no model wants that.

    Raises:
        TokenizerError: when it does something else to the texts.
    """
    pair = tokenizer.reference.encode("a", "b", add_special_tokens=True)
    ids: list[int] = []
    types: list[int] = []
    for token, text, kind in zip(pair.ids, pair.sequence_ids, pair.type_ids, strict=True):
        place = token if text is None else (FIRST, SECOND)[text]
        if place >= 0 or place not in ids:
            ids.append(place)
            types.append(kind)
    told = "token_type_ids" in tokenizer.config.get("model_input_names", ["token_type_ids"])
    template = PairTemplate(tuple(ids), tuple(types), told and len(ids) > 2 and any(types))
    b, a = (_lay_out(tokenizer.reference.encode(text, add_special_tokens=False).ids) for text in "ba")
    proof = tokenizer.reference.encode("b", "a").ids  # other texts than those that it was found with
    if {FIRST, SECOND} - set(ids) or frame_pairs(b, a, template)[0].tolist() != proof:
        raise TokenizerError(
            f"the tokenizer '{tokenizer.name}' changes texts when it makes a pair of them; sftdata cannot use it"
        )
    return template


def _lay_out(ids: list[int]) -> Encoded:
    return np.array(ids, dtype=np.int32), np.array([len(ids)], dtype=np.int64)


def frame_pairs(
    first: Encoded, second: Encoded, template: PairTemplate
) -> tuple[NDArray[np.int32], Ints, NDArray[np.int8]]:
    """Put pairs of texts between their special ids.

    Returns:
        The ids of all pairs end to end, shape `[tokens]`; how many each has, shape `[pairs]`; and the type of each
        token, shape `[tokens]`.
    """
    counts = np.ones((len(first[1]), len(template.ids)), dtype=np.int64)
    at_first, at_second = template.ids.index(FIRST), template.ids.index(SECOND)
    counts[:, at_first], counts[:, at_second] = first[1], second[1]
    part = np.repeat(np.tile(np.arange(len(template.ids), dtype=np.int8), len(counts)), counts.ravel())
    ids = np.array(template.ids, dtype=np.int32)[part]
    ids[part == at_first], ids[part == at_second] = first[0], second[0]
    return ids, counts.sum(axis=1), np.array(template.types, dtype=np.int8)[part]


def truncate_pairs(pairs: Pairs, room: int) -> Pairs:
    """Cut the ends of texts so that no pair has more than `room` tokens, as Hugging Face's `longest_first` does.

    The longer text loses tokens until both are as long, then both do (`truncate_encodings` of the tokenizers package).
    """
    (ids, lengths), (more_ids, more) = pairs.first, pairs.second
    long = lengths + more > room
    shorter = np.minimum(np.minimum(lengths, more), room // 2)
    first = np.where(long, np.where(lengths > more, room - shorter, shorter), lengths)
    second = np.where(long, room - first, more)
    return replace(
        pairs,
        first=(ids[positions_in_rows(lengths) < np.repeat(first, lengths)], first),
        second=(more_ids[positions_in_rows(more) < np.repeat(second, more)], second),
        truncated=long,
    )


def split_pairs(pairs: Pairs, room: int) -> Pairs:
    """Cut second texts into pieces, each behind the whole first text, so that no pair has more than `room` tokens.

    A pair stays as it is where the first text leaves no room for the second.
    """
    lengths, (ids, more) = pairs.first[1], pairs.second
    left = np.where(lengths < room, room - lengths, np.maximum(more, 1))
    pieces = np.maximum(-(-more // left), 1)
    of_piece = np.repeat(np.arange(len(more)), pieces)
    second = np.minimum(left[of_piece], more[of_piece] - left[of_piece] * positions_in_rows(pieces))
    whole = np.zeros(len(of_piece), dtype=np.bool_)
    return Pairs(pairs.rows[of_piece], take_rows(*pairs.first, of_piece), (ids, second), whole)
