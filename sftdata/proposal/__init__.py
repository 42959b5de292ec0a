"""Look at data, propose a schema and a recipe for it, and write them down."""

import os
from dataclasses import dataclass
from pathlib import Path

from sftdata.editor_schemas import place_editor_schema
from sftdata.errors import OutputError
from sftdata.proposal.proposing import Proposal as Proposal
from sftdata.proposal.proposing import name_after
from sftdata.proposal.proposing import propose as propose
from sftdata.proposal.writing import write_recipe, write_schema


@dataclass(frozen=True)
class Written:
    """A proposal, and the files that it was written to; None for one that there is no need or no use of."""

    proposal: Proposal
    recipe: Path | None
    schema: Path | None


def init(file: str, out: Path | None = None, tokenizer: str | None = None) -> Written:
    """Look at `file` and write a recipe and, where none that ships fits, a schema beside it.

    Where no task is found there is a schema alone.

    Args:
        file: a path, pattern or directory.
        out: the recipe file; named after the data, in the current folder, when it is not given.
        tokenizer: a local directory or a name on the hub, with which tokens are counted.

    Raises:
        OutputError: when a file to be written is there already.
        SourceError: when the data cannot be read.
        NothingToWrite: when there is no record.
        TokenizerError: when the tokenizer is not there.
    """
    recipe = out or Path(f"{name_after(file)}.yaml")
    schema = recipe.with_suffix(".schema.yaml")
    for path in (recipe, schema):
        _refuse_existing(path)
    proposal = propose(file, tokenizer)
    has_task = proposal.draft.task is not None
    if not proposal.shipped:
        _write(schema, f"{place_editor_schema(schema, 'schema')}\n{write_schema(proposal)}")
    if has_task:
        used = _seen_from(recipe, proposal.tokenizer) if Path(proposal.tokenizer).is_dir() else proposal.tokenizer
        text = write_recipe(proposal, schema.name, _seen_from(recipe, file), used)
        _write(recipe, f"{place_editor_schema(recipe, 'recipe')}\n{text}")
    return Written(proposal, recipe if has_task else None, None if proposal.shipped else schema)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise OutputError(
            f"{path} is there already, and init overwrites nothing. Give another name with -o, or move it."
        )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        _refuse_existing(path)


def _seen_from(recipe: Path, file: str) -> str:
    """Return what a recipe calls a file or folder that is named as seen from here; an absolute path stays one."""
    return file if Path(file).is_absolute() else Path(os.path.relpath(file, recipe.parent)).as_posix()
