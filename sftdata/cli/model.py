"""Commands that train a model, and ask it."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sftdata.cli.command import told_how_to_go_on
from sftdata.cli.completion import complete_recipe, complete_split
from sftdata.cli.options import JsonOption, print_json
from sftdata.errors import UsageError
from sftdata.report.volume import volume


def train(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="The recipe file.", autocompletion=complete_recipe)
    ] = None,
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
    with told_how_to_go_on(lambda: _tell_resume(Path(settings.output_dir))):
        result = run(directory, settings, resume=resume, progress=False if volume.quiet else None, profile=profile)
    if os.environ.get("RANK", "0") == "0":  # torchrun starts this command once for each rank
        from sftdata.report.outcomes import print_trained

        print_trained(directory, result)


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What train wrote.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="What prepare wrote.")],
    split: Annotated[str, typer.Option(help="The split to evaluate on.", autocompletion=complete_split)] = "test",
    as_json: JsonOption = False,
) -> None:
    """Measure a trained model on a split."""
    from sftdata.report.progress import show_progress
    from sftdata.report.scores import scores_view
    from sftdata.report.terminal import plain_console
    from sftdata.training import evaluate as measure

    with show_progress() as watch:
        scores = measure(run, data, split, watch=watch)
    if as_json:
        print_json(scores)
    else:
        plain_console().print(scores_view(scores))


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
    from sftdata.report.progress import show_progress
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
    with show_progress() as watch:
        predictions = run_model(run, texts, pairs, watch=watch)
    if as_json:
        print_json(predictions)
    else:
        plain_console().print(predictions_table(predictions))


def _tell_resume(run: Path) -> str:
    """Say how to go on with a run that was stopped; training itself says it once it takes steps."""
    where = "goes on from its newest checkpoint" if any(run.glob("checkpoint-*/state.json")) else "starts over"
    return f"The same command with --resume {where}."


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
