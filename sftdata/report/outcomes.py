"""What a command prints at its end."""

from pathlib import Path
from typing import Any

from rich.text import Text

from sftdata.errors import make_printable
from sftdata.report.scores import folds_table
from sftdata.report.terminal import (
    plain_console,
    reasons_table,
    rejections_table,
    rows_line,
    stage_lines,
    summary_console,
    summary_table,
)


def print_validation(report: Any) -> None:
    """Print what `validate` found."""
    console = summary_console()
    for file, found in report.found.items():
        if found:
            said = ", ".join(f"{name} {value}" for name, value in found.items())
            console.print(Text(make_printable(f"{file}: {said}")))
    console.print(f"{report.rows:,} rows: {report.accepted:,} accepted, {report.rejected:,} rejected")
    if report.rejected:
        console.print(reasons_table(report.reasons))
        more = f" (the first {len(report.examples)})" if report.rejected > len(report.examples) else ""
        console.print(f"\nrejected rows{more}:")
        console.print(rejections_table(report.examples))


def print_prepared(directory: Path, manifest: Any, recipe: Path | None) -> None:
    """Print what `prepare` made, and what to do next."""
    console = summary_console()
    console.print(rows_line(manifest))
    for line in stage_lines(manifest):
        console.print(line)
    if manifest.rejected_by_reason:
        console.print(reasons_table(manifest.rejected_by_reason))
    console.print(summary_table(manifest))
    console.print(f"tokenizer {manifest.tokenizer.name}, backend {manifest.tokenizer.backend}")
    console.print(f"\nThe dataset is in {directory}. Look at it:  sftdata inspect {directory}")
    if recipe:
        console.print(f"Train from it:  sftdata train {recipe}")


def print_verified(directory: Path, manifest: Any) -> None:
    """Print that a dataset is whole, and what is in it."""
    console = summary_console()
    console.print(summary_table(manifest))
    console.print(f"{rows_line(manifest)}\n{directory} is whole: every digest and count agrees with its manifest.")


def print_exported(out: Path, record: Any) -> None:
    """Print what `export` wrote."""
    console = summary_console()
    for name, rows in record.rows.items():
        said = f"{name}: {rows:,} rows, {record.tokens[name]:,} tokens"
        if packs := record.packs.get(name):
            full = record.tokens[name] / (packs * record.capacity)
            said += f", in {packs:,} packs of at most {record.capacity:,} tokens, {full:.2%} full"
        console.print(said)
    console.print(f"The export is in {out}.")


def print_trained(directory: Path, result: Any) -> None:
    """Print where a trained model is, and what to do next."""
    run, console = result.output_dir, summary_console()
    if result.deviations:
        console.print(folds_table(result))
        console.print(
            f"\nThe runs are in {run}/fold-0 and so on, and beside them what they say of rows they have not seen."
        )
        console.print(f"Ask all of them together:  sftdata predict {run} --text ...")
    else:
        console.print(f"\nThe model is in {run}. Measure it:  sftdata evaluate {run} --data {directory}")


def print_address(address: str) -> None:
    """Print where a page is, and how to end it."""
    plain_console().print(Text(address))
    summary_console().print(
        "Open this in a browser. Whoever has the address, on this machine, sees the data. Ctrl-C ends it."
    )
