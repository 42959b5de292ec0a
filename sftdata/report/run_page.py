"""The report of a training run: one HTML file that needs no network.

It shows what stands in the directory of the run, so it can be made while the run works, too, and again at any time.
"""

import warnings
from pathlib import Path

from jinja2 import UndefinedError

from sftdata.errors import TrainingError, UsageError
from sftdata.manifest import MANIFEST_NAME, UNFINISHED_NAME, write_aside
from sftdata.report.page import REPORT_NAME, fill_page, write_report
from sftdata.report.run_facts import gather_run_facts
from sftdata.training.run import RUN_NAME


def write_any_report(directory: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of what stands in a directory, a prepared dataset or a run; return where it stands.

    Args:
        directory: what `prepare` or `train` wrote.
        out: the file to write, `report.html` in `directory` where it is not given.

    Raises:
        UsageError: it is neither; or the file would replace another one of what stands there.
        TrainingError: the record of the run is damaged.
        VerificationError: a file of the dataset is missing or damaged.
    """
    directory = Path(directory)
    if (directory / RUN_NAME).is_file():
        return write_run_report(directory, out)
    if not (directory / MANIFEST_NAME).is_file() and not (directory / UNFINISHED_NAME).exists():
        what = "is neither a prepared dataset nor a run" if directory.is_dir() else "is not a directory"
        lacks = f": it has no {MANIFEST_NAME} and no {RUN_NAME}" if directory.is_dir() else ""
        raise UsageError(f"{directory} {what}{lacks}. Name what `sftdata prepare` or `sftdata train` wrote.")
    return write_report(directory, out)


def write_run_report(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run, finished or not; return where it stands.

    Args:
        run: the directory of the run.
        out: the file to write, `report.html` in `run` where it is not given.

    Raises:
        UsageError: the file would replace another one of the run.
        TrainingError: it is no run, or its files are damaged.
    """
    run = Path(run)
    path = run / REPORT_NAME if out is None else Path(out)
    if path.is_dir():
        raise UsageError(f"{path} is a directory; name a file: -o {path / REPORT_NAME}")
    if path.exists() and path.resolve().is_relative_to(run.resolve()) and path.name != REPORT_NAME:
        raise UsageError(f"{path} is a file of the run; name another one: -o FILE.html")
    try:
        content = render_run(run)
    except (ArithmeticError, AttributeError, LookupError, TypeError, UndefinedError, ValueError) as cause:
        raise TrainingError(
            f"a file of {run} says something that the report cannot show ({cause!r}). Evaluate the run again with "
            "`sftdata evaluate`; if it is still so, delete its folder `evaluations`."
        ) from cause
    write_aside(path, content)
    return path


def add_run_report(run: Path) -> None:
    """Write the report of a run into its directory; should it not come about, a warning says so, and no more.

    A model that was trained for hours is worth more than a page about it.
    """
    try:
        write_aside(run / REPORT_NAME, render_run(run))
    except Exception as cause:
        warnings.warn(f"{run / REPORT_NAME} could not be made: {cause!r}", RuntimeWarning, stacklevel=2)


def render_run(run: Path) -> str:
    """Return the page.

    Raises:
        TrainingError: it is no run, or its record is damaged.
    """
    return fill_page("run.html.jinja", gather_run_facts(run), ["report.css", "run.css"], ["report.js", "run.js"])
