"""Rows and rejected rows for `inspect`, some at a time."""

from pathlib import Path

from sftdata.errors import UsageError
from sftdata.report.pager import open_pager
from sftdata.report.progress import say
from sftdata.report.steps import find_plan, has_plan, steps_line
from sftdata.report.terminal import RowView, plain_console, rejections_table
from sftdata.report.volume import can_redraw
from sftdata.shards.reader import load_split, read_rejected


def show_rows(directory: Path, data: Path, split: str, first: int, count: int) -> None:
    """Show `count` rows of a split from the row `first` on, counted from 1; each is read when it is to be shown.

    Raises:
        UsageError: the split has fewer rows.
    """
    rows = load_split(data, split)
    if first > max(1, len(rows)):
        raise UsageError(f"--from: found {first:,}; the split '{split}' has {len(rows):,} rows")
    last = min(first - 1 + count, len(rows))
    with open_pager() as console:
        view = RowView(data, rows, colour=console.color_system is not None)
        for place in range(first - 1, last):
            console.print(view.show(rows[place]))
    if last < len(rows) and can_redraw():
        others = f" --split {split}" * (split != "train") + f" -n {count}" * (count != 5)
        next_ones = f"sftdata inspect {directory}{others} --from {last + 1}"
        say(f"rows {first:,} to {last:,} of {len(rows):,}; go on:  {next_ones}")


def show_row(directory: Path, data: Path, split: str, row: str) -> None:
    """Show the row with this id, and the steps of training that see it."""
    console, rows = plain_console(), load_split(data, split)
    console.print(RowView(data, rows, colour=console.color_system is not None).show(rows.find(row)))
    if split == "train" and has_plan(directory):
        console.print(steps_line(find_plan(directory)[1], rows.position(row)))


def show_rejected(data: Path, first: int, count: int) -> None:
    """Show `count` rejected rows from the one numbered `first` on."""
    rejected = read_rejected(data, count, first - 1)
    with open_pager() as console:
        console.print(rejections_table(rejected))
