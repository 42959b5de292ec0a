"""Write the pages of docs/reference that are made from the code: `python docs/make_reference.py`."""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.main
from python_pages import python_page, render
from settings_pages import recipe_page, schema_page

from sftdata import errors
from sftdata.cli import app

FOLDER = Path(__file__).parent / "reference"

MADE = "<!-- Made from the code by docs/make_reference.py; do not edit. -->\n\n"

COMMANDS = """# Commands

Every command with its arguments and options, as `sftdata COMMAND --help` tells them. Exit codes are [with the
errors](errors.md).

With `--json` stdout holds one JSON document and nothing else: of `validate` the counts (`rows`, `accepted`, `rejected`,
`reasons`, `files`), of `prepare` the [manifest](../format.md#manifestjson), of `verify` the row counts and the names of
the splits, of `evaluate` the [scores](../training.md#tasks-and-metrics).
"""

ERRORS = """# Errors and exit codes

| Exit code | Meaning |
| --- | --- |
| 0 | done |
| 1 | the data was refused, or the disk failed |
| 2 | wrong use: of a command, a recipe, a schema or a path |
| 128 and more | stopped by a signal, 128 and its number: 130 is Ctrl-C |

A mistake ends in one message on stderr that says what was found, what was expected, where, and what to do. In Python
it is the message of an exception, and all of them are in `sftdata.errors`:
"""


def commands_page() -> str:
    """Return the page of all commands and options."""
    group = typer.main.get_command(app)
    lines = [COMMANDS, "```text\nsftdata [OPTIONS] COMMAND [ARGS]...\n```\n", *_parameters(group), ""]
    for name, command in group.commands.items():  # type: ignore[attr-defined]  # it has several commands
        if not command.hidden:
            lines += [f"## sftdata {name}\n", f"```text\n{_usage(name, command)}\n```\n", f"{command.help}\n"]
            lines += [*_parameters(command), ""]
    return "\n".join(lines)


def _usage(name: str, command: Any) -> str:
    arguments = [_metavar(each) for each in command.params if each.param_type_name == "argument"]
    return " ".join(["sftdata", name, "[OPTIONS]", *arguments])


def _parameters(command: Any) -> Iterator[str]:
    for each in command.params:
        if not each.hidden:
            is_argument = each.param_type_name == "argument"
            called = _metavar(each) if is_argument else ", ".join([*each.opts, *each.secondary_opts])
            value = "" if is_argument or each.is_flag else f" {_metavar(each)}"
            yield f"- **`{called}{value}`**{_notes(each, is_argument)}\\\n  {each.help}"


def _metavar(parameter: Any) -> str:
    annotation = parameter.type_descriptor.annotation
    kinds = {int: "N", float: "NUMBER", Path: "PATH", list[str]: "TEXT", list[Path]: "PATH"}
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    return str(parameter.metavar or "|".join(map(str, choices)) or kinds.get(annotation, "TEXT"))


def _notes(parameter: Any, is_argument: bool) -> str:
    optional = is_argument and not parameter.required
    told = ["required"] * (parameter.required and not is_argument) + ["may be left out"] * optional
    told += [f"at least {parameter.min}"] * (parameter.min is not None)
    told += [f"default `{parameter.default}`"] * (parameter.default not in (None, False, []))
    told += ["may be given several times"] * bool(getattr(parameter, "multiple", False))
    return f" ({', '.join(told)})" if told else ""


def errors_page() -> str:
    """Return the page of all errors, and what a command exits with for each."""
    tree = (inspect.getdoc(errors) or "").split("\n\n")[1]
    lines = [ERRORS, f"```text\n{inspect.cleandoc(tree)}\n```\n"]
    for node in ast.parse(inspect.getsource(errors)).body:
        if isinstance(node, ast.ClassDef):
            kind = getattr(errors, node.name)
            code = (
                f"Exit code {kind.exit_code}."
                if hasattr(kind, "exit_code")
                else "Exit code 128 and the signal's number."
            )
            lines += [f"## `{node.name}`\n", f"{code} {render(inspect.getdoc(kind) or '').strip()}\n"]
    return "\n".join(lines)


PAGES: Mapping[str, Callable[[], str]] = {
    "commands": commands_page,
    "recipe": recipe_page,
    "schema": schema_page,
    "python": python_page,
    "errors": errors_page,
}
"""The pages that are made, by name."""


def make(name: str) -> str:
    """Return one page as it must stand on disk."""
    title, _, rest = PAGES[name]().partition("\n\n")
    return f"{title}\n\n{MADE}{rest.strip()}\n"


if __name__ == "__main__":
    for page in PAGES:
        (FOLDER / f"{page}.md").write_text(make(page), encoding="utf-8")
