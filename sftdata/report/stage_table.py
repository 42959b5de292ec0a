"""What a run of `prepare` did stage by stage, on stderr: for whoever watches it, or wants to know more."""

from collections.abc import Iterator
from textwrap import shorten

from rich.filesize import decimal
from rich.table import Table

from sftdata.manifest import Manifest
from sftdata.report.bars import messages
from sftdata.report.progress import Stages, describe_seconds, say
from sftdata.report.volume import can_redraw, volume

_LATER = {"find duplicates": "deduplicate", "split and audit": "balance", "tokenize and write": "tokenize"}
"""In which stages rows are rejected once all are read, and what the manifest calls that; the others fall before."""


def print_stages(stages: Stages, manifest: Manifest) -> None:
    """Show which rows each stage rejected, dropped and left, and what time it took."""
    if volume.quiet or not (volume.verbose or can_redraw()):
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    for name in ("rejected", "duplicates", "rows left", "time", "rate"):
        table.add_column(name, justify="right")
    for name, *counts in _flow(list(stages.told), manifest):
        stage = stages.told[name]
        table.add_row(name, *counts, describe_seconds(stage.seconds), stage.tell_rate())
    table.add_row("together", "", "", "", describe_seconds(sum(stage.seconds for stage in stages.told.values())))
    messages.print(table)
    messages.print()


def _flow(names: list[str], manifest: Manifest) -> Iterator[tuple[str, ...]]:
    """Yield each stage with the rows that it rejects and drops, and those that are left."""
    rejected = dict(manifest.rejected_by_stage)
    late = {name: rejected.pop(stage, 0) for name, stage in _LATER.items()}
    late[names[0]] = sum(rejected.values())
    left = manifest.rows.read
    for name in names:
        fallen, dropped = late.get(name, 0), manifest.rows.duplicates if name == "find duplicates" else 0
        left = manifest.rows.written if name == "tokenize and write" else left - fallen - dropped
        yield name, *(f"{count:,}" if name in late else "" for count in (fallen, dropped, left))


def tell_decisions(manifest: Manifest) -> None:
    """Say what a run has decided, with `--verbose`."""
    if not volume.verbose:
        return
    for one in manifest.inputs:
        say(f"read {one.path}: {decimal(one.bytes)}, {one.digest[:19]}")
    counts = {kind: count for kind, count in manifest.tokenizer.proof.items() if kind != "differs"}
    proof = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in counts.items())
    say(f"encoder {manifest.tokenizer.backend}" + f", equal to Hugging Face's on {proof}" * bool(proof))
    if differs := manifest.tokenizer.proof.get("differs"):
        say(f"not a faster one: {differs}")
    if manifest.label_names:
        say(f"{len(manifest.label_names)} labels: {shorten(', '.join(manifest.label_names), 100)}")
