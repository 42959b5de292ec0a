"""The compiled module; offsets are int64, and the interpreter is free for other threads while it works."""

from collections.abc import Sequence
from typing import Any

SOURCES: str
"""The digest of the C sources that it was compiled from."""

Capsules = tuple[object, object]
"""A column as the PyCapsule protocol of Arrow hands it over: the schema and the array."""

def make_buffer(size: int, /) -> bytearray:
    """Return so many bytes, whatever they are, in large pages of memory where the system has them."""

def is_utf8(data: Any, /) -> bool:
    """Tell whether bytes are UTF-8."""

def find_records(
    data: Any,
    limit: int,
    final: bool,
    most: int,
    delimiter: int,
    quoting: bool,
    width: int,
    starts: Any,
    ends: Any,
    lines: Any,
    /,
) -> tuple[int, int, int, bool] | None:
    """Find the records that end within `limit` bytes, in a file whose lines end with a line feed.

    The last three arguments are arrays of `most` int64, which are filled as in `csv_records.Records`. `final` says that
    nothing follows after `limit` bytes.

    Returns:
        How many records there are, where they end, how many line breaks stand before that, and whether all is known to
        be ASCII without NUL; None where something looks wrong, or no line is whole.
    """

def parse_cells(
    data: Any,
    starts: Any,
    ends: Any,
    delimiter: int,
    quoting: bool,
    width: int,
    places: Sequence[int],
    /,
) -> tuple[tuple[Capsules, ...], list[tuple[int, int]]] | None:
    """Parse valid records of UTF-8 into columns of text, with null for an empty field.

    Args:
        data: the bytes.
        starts: where each record begins, int64.
        ends: where each ends, int64.
        delimiter: the byte between fields.
        quoting: whether fields may stand in quotes.
        width: how many fields a record has.
        places: the fields that are wanted, by number.

    Returns:
        A column for each place, of the records that have `width` fields; and of the others the number and how many
        they have. None where a record is not valid.
    """

def find_lines(data: Any, line: int, starts: Any, ends: Any, lines: Any, /) -> tuple[int, int, int, int] | None:
    """Find the lines that end with a line feed and are not blank, without the white space around them.

    Args:
        data: the bytes.
        line: the number of the first line.
        starts: where each line begins is put here, int64.
        ends: where each ends, as long.
        lines: the number of each, as long.

    Returns:
        How many there are, how many line feeds, and where the first and the last of these stand. None where there are
        more lines than room for them.
    """

def parse_json(
    data: Any,
    starts: Any,
    ends: Any,
    odd: Any,
    names: Sequence[str],
    kinds: bytes,
    turns: Sequence[tuple[str | None, ...] | None],
    /,
) -> tuple[Capsules, ...] | None:
    """Parse records that are JSON objects into columns; a key that a record lacks is null.

    Args:
        data: the bytes.
        starts: where each record begins, int64.
        ends: where each ends, int64.
        odd: a byte for each record, which is set to 1 where the record is not valid, or its values are not what the
            columns take, or that is not certain here; such a record is left out of the columns.
        names: the keys that are wanted.
        kinds: a letter for each of them: `s` text, `c` text or a number or boolean as it is written, `i` int, `f`
            float, `b` boolean, `l` a list of texts, `m` a conversation, dtype `records.MESSAGES`.
        turns: for each column of turns what these call their role and their content, and then in pairs what they call
            a role and what we call it, in at most 12 bytes; None where such a turn makes its record odd.

    Returns:
        A column for each name. None where there are too many bytes for one buffer.
    """
