"""Commands that show what a dataset holds."""

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What prepare or train wrote.")],
    split: Annotated[str, typer.Option(help="The split to look at.")] = "train",
    row: Annotated[
        str | None, typer.Option(metavar="ID", help="Show the row with this id, and the training steps that see it.")
    ] = None,
    step: Annotated[
        int | None, typer.Option(metavar="N", help="Show which rows a training step sees; steps count from 1.")
    ] = None,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="Show the first N rows.")] = 5,
    rejected: Annotated[bool, typer.Option("--rejected", help="Show rejected rows instead.")] = False,
) -> None:
    """Show rows as text, with the trained tokens coloured; or what a training step is made of."""
    from sftdata.report.steps import data_of, find_plan, has_plan, step_view, steps_line
    from sftdata.report.terminal import RowView, plain_console, rejections_table
    from sftdata.shards.reader import load_split, read_rejected

    console, data = plain_console(), data_of(directory)
    if rejected:
        console.print(rejections_table(read_rejected(data, count)))
        return
    if step is not None:
        console.print(step_view(*find_plan(directory), step))
        return
    rows = load_split(data, split)
    view = RowView(data, rows, colour=console.color_system is not None)
    for example in rows[:count] if row is None else [rows.find(row)]:
        console.print(view.show(example))
    if row is not None and split == "train" and has_plan(directory):
        console.print(steps_line(find_plan(directory)[1], rows.position(row)))


def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What prepare wrote.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE.html", help="The file to write; report.html in DIR by default."),
    ] = None,
) -> None:
    """Write the report of a prepared dataset again, one HTML file that needs no network."""
    from sftdata.report.page import write_report
    from sftdata.report.terminal import plain_console

    plain_console().print(f"The report is in {write_report(directory, out)}. Open it in a browser.")
