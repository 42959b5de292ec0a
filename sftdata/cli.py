"""The command line: parse, call, print, exit code. What is heavy is imported where it is used."""

import gc
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sftdata.errors import SftdataError, UsageError, make_printable

app = typer.Typer(
    name="sftdata",
    help="Turn raw text into training data for supervised fine-tuning, and train from it.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes to use; the result does not depend on it.")]


def main() -> None:
    """Run the command line; a person's mistake ends in one message and an exit code, never in a traceback."""
    gc.set_threshold(100_000, 50, 100)  # imports make many objects that stay; looking through them costs a tenth second
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
def _start(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from sftdata import __version__

        typer.echo(__version__)


@app.command()
def init(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file, glob or directory.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RECIPE", help="The recipe to write; named after FILE.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="A local directory or a name on the hub, to count tokens with.")
    ] = None,
) -> None:
    """Look at data, and write a recipe and a schema to start from."""
    from sftdata.proposal import init as run
    from sftdata.proposal.showing import show_written
    from sftdata.report.terminal import plain_console

    written = run(file, out, tokenizer)
    plain_console().print(*show_written(written), sep="\n")


@app.command()
def schema(
    kind: Annotated[Literal["recipe", "schema"], typer.Argument(metavar="recipe|schema", help="Which YAML format.")],
) -> None:
    """Print the JSON Schema of a YAML format, for editors."""
    from sftdata.editor_schemas import make_editor_schema

    _print_json(make_editor_schema(kind))


@app.command()
def validate(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Files, globs, directories, hub:NAME, or a database with --query."),
    ],
    schema: Annotated[
        str,
        typer.Option(
            help="A schema file, one that ships (text_label, alpaca, ...), or module:name of a schema of pandera's."
        ),
    ],
    rejected: Annotated[Path | None, typer.Option(help="Write rejected rows here, one JSON line each.")] = None,
    max_rejected: Annotated[
        str, typer.Option(metavar="LIMIT", help="Rejected rows to put up with: a share (0.02) or a number of rows (5).")
    ] = "0",
    format: Annotated[str | None, typer.Option(help="The format, where name and content do not tell it.")] = None,  # noqa: A002  # the option's name
    encoding: Annotated[str | None, typer.Option(help="The encoding of text files; detected by default.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="What separates fields; found by default.")] = None,
    quoting: Annotated[
        bool | None, typer.Option("--quoting/--no-quoting", help="Whether fields may be quoted; found by default.")
    ] = None,
    header: Annotated[
        str | None, typer.Option(help="The header's line, or the columns of a file without one: text,label.")
    ] = None,
    comment: Annotated[str | None, typer.Option(help="Lines that begin so are no records.")] = None,
    query: Annotated[str | None, typer.Option(help="What to select; FILE is then a database: sqlite:///x.db.")] = None,
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Check every row against a schema; exit with 1 if more are rejected than allowed."""
    from sftdata.report.progress import show_progress
    from sftdata.settings.sources import make_source_settings
    from sftdata.validation import validate as run

    limit = _parse_limit(max_rejected)
    given = {"format": format, "encoding": encoding, "delimiter": delimiter, "quoting": quoting}
    given |= {"header": header, "comment": comment, "query": query}
    sources = [make_source_settings(file, given) for file in files]
    with show_progress() as watch:
        report = run(
            sources, schema, rejected=rejected, workers=workers, watch=lambda read: watch("validate", read, read)
        )
    if as_json:
        _print_json(report.to_json())
    else:
        from sftdata.report.outcomes import print_validation

        print_validation(report)
    report.check_limit(limit, str(rejected) if rejected else None, tell_reasons=as_json or not sys.stderr.isatty())


@app.command()
def prepare(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe file.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write here instead of the recipe's output.dir.")
    ] = None,
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Turn the recipe's sources into tokenised Arrow shards."""
    from sftdata.pipeline import prepare as run
    from sftdata.recipe import load_recipe
    from sftdata.report.progress import show_progress

    loaded = load_recipe(recipe)
    with show_progress() as watch:
        manifest = run(loaded, out=out, workers=workers, watch=watch)
    if as_json:
        _print_json(manifest.model_dump(mode="json"))
        return
    from sftdata.report.outcomes import print_prepared

    print_prepared(out or loaded.resolve(loaded.output.dir), manifest, recipe if loaded.train else None)


@app.command()
def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What prepare wrote.")], as_json: JsonOption = False
) -> None:
    """Check every file of a prepared dataset against its manifest."""
    from sftdata.report.terminal import plain_console, rows_line, summary_table
    from sftdata.shards.verification import verify as run

    manifest = run(directory)
    if as_json:
        _print_json({"verified": True, "rows": manifest.rows.model_dump(), "splits": list(manifest.splits)})
        return
    console = plain_console()
    console.print(summary_table(manifest))
    console.print(f"{rows_line(manifest)}\n{directory} is whole: every digest and count agrees with its manifest.")


@app.command()
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


@app.command()
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


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What prepare wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new directory, or an earlier export to replace.")],
    to: Annotated[
        Literal["trl", "llamafactory", "axolotl", "jsonl", "parquet"],
        typer.Option(help="Packs for TRL, a tokenized_path, a tokenised dataset for axolotl, or tables."),
    ],
    split: Annotated[list[str] | None, typer.Option(help="A split; may be given again. All by default.")] = None,
    contents: Annotated[
        Literal["ids", "text"], typer.Option("--with", help="What tables hold: tokens, or the text of them.")
    ] = "ids",
    capacity: Annotated[
        int | None,
        typer.Option(metavar="TOKENS", min=1, help="Most tokens of a pack for TRL; tokenize.max_length by default."),
    ] = None,
) -> None:
    """Write a prepared dataset the way another program wants it."""
    from sftdata.interchange import export as run
    from sftdata.report.outcomes import print_exported

    print_exported(out, run(directory, out, to=to, splits=split, contents=contents, capacity=capacity))


@app.command()
def train(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE]", help="The recipe file.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What prepare wrote; the recipe's output.dir.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="A local directory or a name on the hub.")] = None,
    out: Annotated[str | None, typer.Option(metavar="RUN", help="Where checkpoints and the model go.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    profile: Annotated[
        int | None,
        typer.Option(metavar="STEPS", min=1, help="Trace so many steps, warmed up, into RUN/profile; 3 are enough."),
    ] = None,
) -> None:
    """Train a model from prepared shards.

    Either a RECIPE says how, or --data and --model do, with the default settings.
    """
    from sftdata.training import train as run

    directory, settings = _training_settings(recipe, data, model, out)
    result = run(directory, settings, resume=resume, profile=profile)
    if os.environ.get("RANK", "0") == "0":  # torchrun starts this command once for each rank
        from sftdata.report.outcomes import print_trained

        print_trained(directory, result)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What train wrote.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="What prepare wrote.")],
    split: Annotated[str, typer.Option(help="The split to evaluate on.")] = "test",
    as_json: JsonOption = False,
) -> None:
    """Measure a trained model on a split."""
    from sftdata.report.scores import scores_view
    from sftdata.report.terminal import plain_console
    from sftdata.training import evaluate as measure

    scores = measure(run, data, split)
    if as_json:
        _print_json(scores)
    else:
        plain_console().print(scores_view(scores))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What train wrote.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="Texts a line each, or a table with a column text, for pairs text_pair, or tokens."
        ),
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", metavar="T", help="A text; may be given again.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Label, score, tag, translate or answer texts with a trained model."""
    from sftdata.report.scores import predictions_table
    from sftdata.report.terminal import plain_console
    from sftdata.sources.texts import read_texts
    from sftdata.training import predict as run_model

    more, pairs = read_texts(file) if file else ([], None)
    texts = [*(text or []), *more]
    if not texts:
        raise UsageError("nothing to predict: give a FILE with one text a line, or --text")
    if text and pairs is not None:
        raise UsageError(f"--text is a single text, but {file} has pairs; put it into the file")
    predictions = run_model(run, texts, pairs)
    if as_json:
        _print_json(predictions)
    else:
        plain_console().print(predictions_table(predictions))


def _training_settings(recipe: Path | None, data: Path | None, model: str | None, out: str | None) -> tuple[Path, Any]:
    from sftdata.recipe import load_recipe
    from sftdata.settings.training import TrainSettings

    if recipe is None:
        if data is None or model is None:
            raise UsageError("give a RECIPE with a `train` part, or both --data DIR and --model NAME")
        return data, TrainSettings(model=model, output_dir=out or f"{data}-run")
    loaded = load_recipe(recipe)
    if loaded.train is None:
        raise UsageError(f"{recipe} has no `train` part; add one with at least model and output_dir")
    settings = loaded.resolve_training(loaded.train)
    chosen = {"model": model or settings.model, "output_dir": out or settings.output_dir}
    return data or loaded.resolve(loaded.output.dir), settings.model_copy(update=chosen)


def _parse_limit(text: str) -> float:
    from sftdata.settings.limits import check_limit, parse_limit

    try:
        return check_limit(parse_limit(text))
    except ValueError:
        raise UsageError(
            f"--max-rejected: found {text!r}, expected a share from 0.0 to 1.0, or a whole number of rows"
        ) from None


def _print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def _complain(message: str) -> None:
    sys.stderr.write(f"error: {make_printable(message)}\n")
