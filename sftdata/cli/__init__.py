"""The command line: parse, call, print, exit code. What is heavy is imported where it is used."""

import gc
import sys
from typing import Annotated

import typer

from sftdata.cli import data, looking, model
from sftdata.cli.command import QuietOption, VerboseOption, make_command, set_volume
from sftdata.errors import SftdataError, make_printable
from sftdata.report.volume import volume

app = typer.Typer(
    name="sftdata",
    help="Turn raw text into training data for supervised fine-tuning, and train from it.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
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
):
    app.command()(make_command(command))


def main() -> None:
    """Run the command line; a person's mistake ends in one message and an exit code, never in a traceback."""
    gc.set_threshold(200_000, 50, 100)  # imports make many objects that stay; looking through them costs a tenth second
    try:
        app()
    except SftdataError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _complain(f"{error.strerror or error}{where}")
        sys.exit(1)


@app.callback(invoke_without_command=True)
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


def _complain(message: str) -> None:
    sys.stderr.write(f"error: {make_printable(message)}\n")
