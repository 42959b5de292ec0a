"""Show a conversion in the terminal."""

import shlex
from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from sftdata.conversion import Converted
from sftdata.conversion.writing import describe


def show_converted(converted: Converted) -> Iterator[RenderableType]:
    """Yield what differs, what has no equivalent, what was written, and what to do next."""
    draft = converted.draft
    carried = sum(not remark.startswith(draft.program) for remark in draft.remarks.values())
    yield Text(f"A configuration of {draft.program}: {len(draft.given)} keys, {carried} settings made of them.")
    for heading, notes in (("Does not mean quite the same here", draft.differing), ("No equivalent", draft.lacking)):
        if notes:
            yield Text(f"\n{heading}:", style="yellow")
            yield from (Text(f"  - {describe(draft, note)}") for note in notes)
    yield Text(f"\nWrote {' and '.join(map(str, converted.files))}, with the account of every key.")
    yield Text(f"Prepare:  sftdata prepare {shlex.quote(str(converted.recipe))}")
