"""Write a proposal down as YAML: the schema, and the recipe."""

from collections.abc import Iterable, Iterator
from typing import Any

from sftdata.proposal.drafting import DraftColumn
from sftdata.proposal.proposing import Proposal
from sftdata.proposal.yaml_text import write_comment, write_entry, write_inline, write_note, write_scalar
from sftdata.records import Task

SMALL = 2000
"""Rows below which validation and test get a larger share."""


def write_schema(proposal: Proposal) -> str:
    """Return the text of the schema file."""
    draft = proposal.draft
    used = [column for column in draft.columns if column.used]
    others = [column for column in draft.columns if not column.used]
    lines = [*_head(proposal), f"name: {write_scalar(draft.name)}", *_doubts(proposal, "task")]
    lines += [f"task: {draft.task}"] if draft.task else []
    lines += ["columns:"]
    for column in used:
        lines += _column(proposal, column)
    if others:
        lines.append(write_comment("Other columns of the file; take away the # to have one checked too.", 2))
        lines += [write_comment(f"{line}  # {column.note}", 2) for column in others for line in _inline(column)]
    lines += [f"parts: {write_inline(draft.parts)}"] if draft.task else []
    return "\n".join(lines) + "\n"


def _head(proposal: Proposal) -> Iterator[str]:
    yield write_comment(f"Proposed by `sftdata init {proposal.file}`, which looked at {proposal.sample.extent}.")
    yield from write_note(f"It {describe_verdict(proposal)}.")
    if proposal.options:
        yield write_comment(f"Read the file with{proposal.options}.")


def describe_verdict(proposal: Proposal) -> str:
    """Say how many rows the schema accepts, and why it rejects the others."""
    verdict = proposal.verdict
    if not verdict.rejected:
        return (
            f"accepts all of the {verdict.rows:,} rows that it was tried on" if verdict.rows > 1 else "accepts the row"
        )
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in verdict.reasons.items())
    return f"rejects {verdict.rejected:,} of the {verdict.rows:,} rows that it was tried on: {reasons}"


def _doubts(proposal: Proposal, *about: str, indent: int = 0) -> Iterator[str]:
    for doubt in proposal.doubts:
        if doubt.about in about:
            yield from write_note(f"unsure: {doubt.text}", indent)


def _column(proposal: Proposal, column: DraftColumn) -> Iterator[str]:
    yield from write_note(column.note, 2)
    yield from _doubts(proposal, column.name, indent=2)
    remarks = {value: f"{count:,}" for value, count in column.counts.items()}
    remarks |= {value: f"{remarks[value]}, is it {write_scalar(meant)}?" for value, meant in column.left_out.items()}
    yield from write_entry(column.name, column.settings, remarks, 2, column.left_out)


def _inline(column: DraftColumn) -> Iterator[str]:
    yield f"{write_scalar(column.name)}: {write_inline(column.settings)}"


def write_recipe(proposal: Proposal, schema: str, place: str, tokenizer: str) -> str:
    """Return the text of the recipe file.

    Args:
        proposal: what was found.
        schema: what the recipe calls the schema.
        place: the data, as seen from the recipe.
        tokenizer: the tokenizer, as seen from the recipe.
    """
    lines = [
        write_comment(f"Proposed by `sftdata init {proposal.file}`, which looked at {proposal.sample.extent}."),
        write_comment("Look at what is marked `unsure` before anything else."),
        f"task: {proposal.draft.task}",
        *_schema_lines(proposal, schema),
        *_source_lines(proposal, place),
        *_doubts(proposal, "split"),
        f"split: {write_inline(_split(proposal))}",
        *_tokenize_lines(proposal, tokenizer),
        f"output: {{dir: {write_scalar('out/' + proposal.draft.name)}}}",
        *_doubts(proposal, "max_rejected"),
        "max_rejected: 0.02  # most rejected rows: a share (with a point) or a number of rows (without)",
        *(_train_lines(proposal, tokenizer) if proposal.draft.task else ()),
    ]
    return "\n".join(lines) + "\n"


def _schema_lines(proposal: Proposal, schema: str) -> Iterator[str]:
    if not proposal.shipped:
        yield f"schema: {write_scalar(schema)}"
        return
    for column in proposal.draft.columns:
        yield from write_note(f"{column.name}: {column.note}")
    yield from _doubts(proposal, "task", *(column.name for column in proposal.draft.columns))
    yield f"schema: {proposal.shipped}  # ships with sftdata; fits as it is"


def _source_lines(proposal: Proposal, place: str) -> Iterator[str]:
    sample = proposal.sample
    yield from _doubts(proposal, "sources")
    yield "sources:"
    yield f"  - path: {write_scalar(place)}"
    if sample.settings.format:
        yield f"    format: {sample.settings.format}"
    if isinstance(sample.settings.header, tuple):
        yield f"    header: {write_inline(sample.settings.header)}"
    if sample.found:
        yield write_comment("found: " + "; ".join(f"{name} {said}" for name, said in sample.found.items()), 4)


def _split(proposal: Proposal) -> dict[str, Any]:
    small = proposal.sample.whole and proposal.sample.looked < SMALL
    shares = (
        {"train": 0.8, "validation": 0.1, "test": 0.1} if small else {"train": 0.9, "validation": 0.05, "test": 0.05}
    )
    wanted = _STRATIFY.get(proposal.draft.task) if proposal.draft.task else None
    return {**shares, **({"stratify": wanted} if wanted else {}), "seed": 7}


_STRATIFY = {Task.TEXT_CLASSIFICATION: "label", Task.MULTILABEL: "labels", Task.REGRESSION: "score"}
"""What a split of each task is stratified by."""


def _tokenize_lines(proposal: Proposal, tokenizer: str) -> Iterator[str]:
    yield "tokenize:"
    yield from _doubts(proposal, "tokenizer", indent=2)
    yield f"  tokenizer: {write_scalar(tokenizer)}"
    yield from write_note(describe_tokens(proposal), 2)
    yield from _doubts(proposal, "max_length", indent=2)
    yield f"  max_length: {proposal.max_length}"
    yield f"  overflow: {'truncate' if proposal.truncate else 'reject'}  # what happens to a longer row"


def describe_tokens(proposal: Proposal) -> str:
    """Say how many tokens an example has, and how that is known."""
    if proposal.lengths is None:
        return ""
    least, half, most, greatest = proposal.lengths.tokens
    return f"{least:,} to {greatest:,} tokens, median {half:,}, 99% up to {most:,} ({proposal.lengths.how})"


def _train_lines(proposal: Proposal, tokenizer: str) -> Iterable[str]:
    return (
        write_comment(line)
        for line in (
            "To train as well, take away the #:",
            "train:",
            f"  model: {write_scalar(tokenizer)}",
            f"  output_dir: {write_scalar('out/' + proposal.draft.name + '-run')}",
        )
    )
