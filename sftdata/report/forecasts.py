"""What `prepare --plan` prints: what a run would do, and about what it would take."""

from collections.abc import Iterator
from typing import Any

from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sftdata.errors import make_printable
from sftdata.forecast import Forecast
from sftdata.report.progress import describe_seconds
from sftdata.report.terminal import plain_console

MOST_INPUTS = 12
"""Sources that are listed; of more the others are summed up."""


def print_forecast(recipe: str, found: Forecast) -> None:
    """Print a forecast."""
    console = plain_console()
    console.print(Text(f"What `sftdata prepare {recipe}` would do. Nothing is written.\n"))
    for title, lines in _sections(found):
        console.print(_section(title, lines))
    for warning in found.warnings:
        console.print(Text(f"\nwarning: {make_printable(warning)}", style="yellow"))


def _section(title: str, lines: list[Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(min_width=13, no_wrap=True)
    table.add_column(overflow="fold")
    for number, line in enumerate(lines):
        table.add_row(title if number == 0 else "", Text(make_printable(line)) if isinstance(line, str) else line)
    return table


def _sections(found: Forecast) -> Iterator[tuple[str, list[Any]]]:
    yield "read", list(_list_inputs(found))
    for stage, does in found.stages:
        yield stage, [does]
    if found.tokenizer["backend"]:
        yield "", [f"encoder {found.tokenizer['backend']}, a vocabulary of {found.tokenizer['vocab_size']:,}"]
    yield "write", [f"to {found.output['directory']}; there is {found.output['stands_there']}"]
    if found.splits:
        yield "expected", list(_list_rows(found))
        yield "time", [f"about {describe_seconds(found.total_seconds)}: {_list_seconds(found)}"]
        yield "disk", [_describe_disk(found)]
        yield "memory", [f"about {decimal(found.memory)}"]
    yield "judged by", [_describe_sample(found)]


def _list_inputs(found: Forecast) -> Iterator[str]:
    for one in found.inputs[:MOST_INPUTS]:
        known = "".join(f", {name} {value}" for name, value in one["found"].items())
        rows = f", about {one['rows']:,} rows" if one["rows"] else ""
        yield f"{one['path']}: {one['format']}, {decimal(one['bytes'])}{rows}{known}"
    if rest := found.inputs[MOST_INPUTS:]:
        size, rows = (sum(one[name] for one in rest) for name in ("bytes", "rows"))
        yield f"and {len(rest):,} more: {decimal(size)}, about {rows:,} rows"


def _list_rows(found: Forecast) -> Iterator[Any]:
    rows = found.rows
    added = f" + {rows['augmented']:,} augmented" if rows["augmented"] else ""
    lost = f"{rows['rejected']:,} rejected + {rows['duplicates']:,} duplicates"
    yield f"{rows['read']:,} read{added} = {rows['written']:,} written + {lost}"
    if found.rejected_by_reason:
        worst = list(found.rejected_by_reason.items())[:5]
        yield f"rejected in the sample: {', '.join(f'{reason} {count:,}' for reason, count in worst)}"
    table = Table(box=None, pad_edge=False)
    table.add_column("split")
    for name in ("rows", "tokens"):
        table.add_column(name, justify="right")
    for name, split in found.splits.items():
        table.add_row(name, f"{split['rows']:,}", f"{split['tokens']:,}")
    yield Padding(table, (0, 0, 0, 0))


def _list_seconds(found: Forecast) -> str:
    return ", ".join(
        f"{stage} {describe_seconds(seconds)}" for stage, seconds in found.seconds.items() if seconds >= 0.05
    )


def _describe_disk(found: Forecast) -> str:
    made, working = (decimal(found.disk[name]) for name in ("dataset", "while_working"))
    free = decimal(found.output["free_bytes"])
    return f"about {made} for the dataset, and {working} more while it works; {free} are free"


def _describe_sample(found: Forecast) -> str:
    if found.sample["is_all"]:
        return f"all {found.sample['rows']:,} rows"
    return f"a sample: {found.sample['rows']:,} rows, {decimal(found.sample['bytes'])}; the rest may be different"
