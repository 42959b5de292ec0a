"""The command line: parse, call, print, exit code. What is heavy is imported where it is used."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import typer

from sftdata.cli import data, looking, model
from sftdata.cli.command import QuietOption, VerboseOption, make_command, set_volume
from sftdata.errors import SftdataError, make_printable
from sftdata.report.volume import volume

COMMANDS: tuple[Callable[..., None], ...] = (
    data.init,
    data.convert_recipe,
    data.schema,
    data.validate,
    data.prepare,
    data.verify,
    looking.inspect,
    looking.report,
    looking.view,
    data.export,
    model.train,
    model.evaluate,
    model.predict,
)
"""All commands, in the order in which `--help` lists them."""


def _make_app(commands: Iterable[Callable[..., None]]) -> typer.Typer:
    made = typer.Typer(
        name="sftdata",
        help="Turn raw text into training data for supervised fine-tuning, and train from it.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback(invoke_without_command=True)(_start)
    for command in commands:
        made.command()(make_command(command))
    return made


def _start(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    volume.quiet = volume.verbose = False
    set_volume(quiet, verbose)
    if version:
        from sftdata import __version__

        typer.echo(__version__)


app = _make_app(COMMANDS)


def main() -> None:
    """Run the command line; a person's mistake ends in one message and an exit code, never in a traceback."""
    try:
        _app_for(sys.argv[1:])()
    except SftdataError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _complain(f"{error.strerror or error}{where}")
        sys.exit(1)


def _app_for(arguments: Sequence[str]) -> typer.Typer:
    """Return an app of the command alone that is called, for typer takes apart each one that it has before it runs any.

    Whoever calls none, asks for help or for completion needs them all.
    """
    called = [command for command in COMMANDS if command.__name__.replace("_", "-") in arguments[:1]]
    return _make_app(called) if called else app


def _complain(message: str) -> None:
    sys.stderr.write(f"error: {make_printable(message)}\n")
