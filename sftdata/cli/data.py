"""Commands that turn files into a dataset."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sftdata.cli.command import told_how_to_go_on
from sftdata.cli.completion import complete_recipe, complete_schema, complete_split
from sftdata.cli.options import JsonOption, WorkersOption, print_json
from sftdata.errors import UsageError
from sftdata.report.volume import volume


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
    from sftdata.report.terminal import summary_console

    written = run(file, out, tokenizer)
    summary_console().print(*show_written(written), sep="\n")


def convert_recipe(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A configuration of LLaMA-Factory or axolotl.")],
    dataset_info: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="LLaMA-Factory's dataset_info.json; looked for in its dataset_dir by default."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RECIPE", help="The recipe to write; named after FILE.")
    ] = None,
) -> None:
    """Make a recipe of another program's configuration, and tell what differs."""
    from sftdata.conversion import convert_recipe as run
    from sftdata.conversion.showing import show_converted
    from sftdata.report.terminal import summary_console

    converted = run(file, dataset_info, out)
    summary_console().print(*show_converted(converted), sep="\n")


def schema(
    kind: Annotated[Literal["recipe", "schema"], typer.Argument(metavar="recipe|schema", help="Which YAML format.")],
) -> None:
    """Print the JSON Schema of a YAML format, for editors."""
    from sftdata.editor_schemas import make_editor_schema

    print_json(make_editor_schema(kind))


def validate(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Files, globs, directories, hub:NAME, or a database with --query."),
    ],
    schema: Annotated[
        str,
        typer.Option(
            help="A schema file, one that ships (text_label, alpaca, ...), or module:name of a schema of pandera's.",
            autocompletion=complete_schema,
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
        report = run(sources, schema, rejected=rejected, workers=workers, watch=watch)
    if as_json:
        print_json(report.to_json())
    else:
        from sftdata.report.outcomes import print_validation

        print_validation(report)
    told = not (as_json or volume.quiet)  # the reasons, in the table
    report.check_limit(limit, str(rejected) if rejected else None, tell_reasons=not told)


def prepare(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe file.", autocompletion=complete_recipe)],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write here instead of the recipe's output.dir.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be done, how long and how much it would take; write nothing.")
    ] = False,
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Turn the recipe's sources into tokenised Arrow shards."""
    from sftdata.pipeline import prepare as run
    from sftdata.recipe import load_recipe
    from sftdata.report.progress import show_progress

    loaded = load_recipe(recipe)
    if plan:
        _print_plan(recipe, loaded, out, workers, as_json=as_json)
        return
    directory = out or loaded.resolve(loaded.output.dir)
    how = f"No dataset was made, and {directory} is as it was. Run the same command again; it starts over."
    with told_how_to_go_on(lambda: how), show_progress() as watch:
        manifest = run(loaded, out=out, workers=workers, watch=watch)
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    from sftdata.report.outcomes import print_prepared
    from sftdata.report.stage_table import print_stages, tell_decisions

    tell_decisions(manifest)
    print_stages(watch, manifest)
    print_prepared(directory, manifest, recipe if loaded.train else None)


def _print_plan(path: Path, recipe: Any, out: Path | None, workers: int, *, as_json: bool) -> None:
    from sftdata.forecast import forecast
    from sftdata.report.progress import show_progress

    with show_progress() as watch:
        found = forecast(recipe, out=out, workers=workers, watch=watch)
    if as_json:
        print_json(found.to_json())
        return
    from sftdata.report.forecasts import print_forecast

    print_forecast(str(path), found)


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What prepare wrote.")], as_json: JsonOption = False
) -> None:
    """Check every file of a prepared dataset against its manifest."""
    from sftdata.report.progress import show_progress
    from sftdata.shards.verification import verify as run

    with show_progress() as watch:
        manifest = run(directory, watch)
    if as_json:
        print_json({"verified": True, "rows": manifest.rows.model_dump(), "splits": list(manifest.splits)})
        return
    from sftdata.report.outcomes import print_verified

    print_verified(directory, manifest)


def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What prepare wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new directory, or an earlier export to replace.")],
    to: Annotated[
        Literal["trl", "llamafactory", "axolotl", "jsonl", "parquet"],
        typer.Option(help="Packs for TRL, a tokenized_path, a tokenised dataset for axolotl, or tables."),
    ],
    split: Annotated[
        list[str] | None,
        typer.Option(help="A split; may be given again. All by default.", autocompletion=complete_split),
    ] = None,
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
    from sftdata.report.progress import show_progress

    how = f"No export was made, and {out} is as it was. Run the same command again."
    with told_how_to_go_on(lambda: how), show_progress() as watch:
        record = run(directory, out, to=to, splits=split, contents=contents, capacity=capacity, watch=watch)
    print_exported(out, record)


def _parse_limit(text: str) -> float:
    from sftdata.settings.limits import check_limit, parse_limit

    try:
        return check_limit(parse_limit(text))
    except ValueError:
        raise UsageError(
            f"--max-rejected: found {text!r}, expected a share from 0.0 to 1.0, or a whole number of rows"
        ) from None
