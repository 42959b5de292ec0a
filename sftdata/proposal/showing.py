"""Show a proposal in the terminal."""

import shlex
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sftdata.proposal import Written
from sftdata.proposal.proposing import Proposal
from sftdata.proposal.writing import describe_tokens, describe_verdict
from sftdata.proposal.yaml_text import show_text


def show_written(written: Written) -> Iterator[RenderableType]:
    """Yield what was found, what is unsure, what was written, and what to do next."""
    proposal = written.proposal
    sample, draft = proposal.sample, proposal.draft
    found = "".join(f", {name} {said}" for name, said in sample.found.items())
    yield Text(f"{proposal.file}: {sample.format}{show_text(found)}; looked at {sample.extent}")
    yield Text(f"task: {draft.task or 'none'}\n")
    yield _columns_table(proposal)
    if draft.task:
        yield Text(f"\nan example: {describe_tokens(proposal)}")
    if proposal.doubts:
        yield Text("\nunsure:", style="yellow")
        yield from (Text(show_text(f"  {doubt.about}: {doubt.text}")) for doubt in proposal.doubts)
    yield Text(f"\nThe schema {describe_verdict(proposal)}.")
    yield from map(Text, _next_steps(written))


def _next_steps(written: Written) -> Iterator[str]:
    proposal = written.proposal
    schema = proposal.shipped or str(written.schema)
    files = " and ".join(str(path) for path in (written.schema, written.recipe) if path)
    fits = f" The schema {schema} ships with sftdata and fits as it is." if proposal.shipped else ""
    yield f"Wrote {files}.{fits}"
    if not written.recipe:
        yield "There is no recipe: no task was found. Without one rows can be validated, and nothing more."
    command = f"sftdata validate {shlex.quote(proposal.file)} --schema {shlex.quote(schema)}"
    yield f"Check every row:  {command}{proposal.options}"
    if written.recipe:
        yield f"Prepare:          sftdata prepare {shlex.quote(str(written.recipe))}"


def _columns_table(proposal: Proposal) -> Table:
    parts = {column: part for part, column in proposal.draft.parts.items()}
    table = Table(box=None, pad_edge=False)
    for name in ("column", "part", "dtype"):
        table.add_column(name)
    table.add_column("found", overflow="fold")
    for column in proposal.draft.columns:
        cells = (column.name, parts.get(column.name, "-"), column.settings["dtype"], column.note)
        table.add_row(*(Text(show_text(cell)) for cell in cells), style="" if column.used else "dim")
    return table
