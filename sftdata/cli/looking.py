"""Commands that show what a dataset holds."""

from pathlib import Path
from typing import Annotated

import typer

from sftdata.cli.completion import complete_split


def inspect(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What prepare or train wrote.")],
    split: Annotated[str, typer.Option(help="The split to look at.", autocompletion=complete_split)] = "train",
    row: Annotated[
        str | None, typer.Option(metavar="ID", help="Show the row with this id, and the training steps that see it.")
    ] = None,
    step: Annotated[
        int | None, typer.Option(metavar="N", help="Show which rows a training step sees; steps count from 1.")
    ] = None,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="Show N rows.")] = 5,
    first: Annotated[int, typer.Option("--from", metavar="N", min=1, help="Begin with the Nth row.")] = 1,
    rejected: Annotated[bool, typer.Option("--rejected", help="Show rejected rows instead.")] = False,
) -> None:
    """Show rows as text, with the trained tokens coloured; or what a training step is made of."""
    from sftdata.report.browsing import show_rejected, show_row, show_rows
    from sftdata.report.steps import data_of, find_plan, step_view
    from sftdata.report.terminal import plain_console

    data = data_of(directory)
    if rejected:
        show_rejected(data, first, count)
    elif step is not None:
        plain_console().print(step_view(*find_plan(directory), step))
    elif row is not None:
        show_row(directory, data, split, row)
    else:
        show_rows(directory, data, split, first, count)


def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What prepare or train wrote.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE.html", help="The file to write; report.html in DIR by default."),
    ] = None,
) -> None:
    """Write the report of a prepared dataset or of a run again, one HTML file that needs no network."""
    from sftdata.report.run_page import write_any_report
    from sftdata.report.terminal import summary_console

    summary_console().print(f"The report is in {write_any_report(directory, out)}. Open it in a browser.")


def view(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What prepare or train wrote.")],
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Where the page is; any free port by default.")
    ] = 0,
) -> None:
    """Browse and search rows, rejected rows and duplicates on a page for this machine alone, until Ctrl-C."""
    from sftdata.report.outcomes import print_address
    from sftdata.report.steps import data_of
    from sftdata.view.server import serve

    serve(data_of(directory), port, print_address)
