"""The report of a dataset: one HTML file that needs no network, the same bytes on any machine.

Everything that is shown goes through the template's escaping; characters that do not print are spelled out first. No
text of the data stands in a script or a style, and the page's own policy lets no other script or style work.
"""

import base64
import hashlib
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import tokenizers
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from sftdata.errors import UsageError, VerificationError, make_printable
from sftdata.manifest import MANIFEST_NAME, Manifest, digest_file, digest_text, read_manifest, write_aside
from sftdata.report.facts import gather_facts
from sftdata.report.figures import draw_histogram, percent

REPORT_NAME = "report.html"


def add_report(directory: Path, manifest: Manifest, tokenizer: tokenizers.Tokenizer) -> Manifest:
    """Write the report beside the files of a dataset, and return the manifest with its digest.

    Should a page not come about, a warning says so, and the dataset has none: hours of work are worth more than a page.
    """
    try:
        content = render_report(directory, manifest, tokenizer)
    except Exception as cause:
        warnings.warn(f"{REPORT_NAME} could not be made, a defect of sftdata: {cause!r}", RuntimeWarning, stacklevel=2)
        return manifest
    path = directory / REPORT_NAME
    path.write_text(content, encoding="utf-8", newline="\n")
    return manifest.model_copy(update={"files": {**manifest.files, REPORT_NAME: digest_file(path)}})


def write_report(directory: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a finished dataset again; return where it stands.

    A dataset does not change once it is there, so in its own directory the report must be the one that it had.

    Args:
        directory: what `prepare` wrote.
        out: the file to write, `report.html` in `directory` where it is not given.

    Raises:
        UsageError: the file would replace another one of the dataset, or its report by a different one.
        VerificationError: a file that the report is made from is missing or damaged.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    path = directory / REPORT_NAME if out is None else Path(out)
    if path.is_dir():
        raise UsageError(f"{path} is a directory; name a file: -o {path / REPORT_NAME}")
    try:
        content = render_report(directory, manifest, load_tokenizer(directory, manifest))
    except (ArithmeticError, AttributeError, LookupError, TypeError, UndefinedError, ValueError) as cause:
        raise VerificationError(
            f"{directory / MANIFEST_NAME} says something that the report cannot show, in a part that is for people "
            f"alone ({cause!r}). Run `sftdata verify {directory}`, and `sftdata prepare` again."
        ) from cause
    name = _name_within(directory, path)
    if name == REPORT_NAME and manifest.files.get(name) != digest_text(content):
        found = "another report than this version makes" if name in manifest.files else "no report"
        raise UsageError(
            f"{directory}, made by {manifest.version}, has {found}, and a dataset is not changed once it is there. "
            "Name another file: -o FILE.html"
        )
    if name != REPORT_NAME and _is_ours(name, manifest):
        raise UsageError(f"{path} is a file of the dataset; name another one: -o FILE.html")
    write_aside(path, content)
    return path


def render_report(directory: Path, manifest: Manifest, tokenizer: tokenizers.Tokenizer) -> str:
    """Return the page; it depends on the files of the dataset alone, and not on where they lie.

    Raises:
        VerificationError: an index or a shard is missing or damaged.
    """
    return fill_page("report.html.jinja", gather_facts(directory, manifest, tokenizer), ["report.css"], ["report.js"])


def fill_page(template: str, facts: dict[str, Any], styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Return a page of ours, in which no other style or script works than these files."""
    style, script = ("".join(map(_read, names)) for names in (styles, scripts))
    policy = (
        f"default-src 'none'; style-src '{_allow(style)}'; script-src '{_allow(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = make_environment("sftdata.report").get_template(template)
    return page.render(facts, style=Markup(style), script=Markup(script), policy=policy)  # noqa: S704  # our own


def load_tokenizer(directory: Path, manifest: Manifest) -> tokenizers.Tokenizer:
    """Return the dataset's own tokenizer.

    Raises:
        VerificationError: it is missing, or another one than the manifest says.
    """
    path = directory / "tokenizer" / "tokenizer.json"
    if not path.is_file():
        raise VerificationError(f"{path} is missing. Run `sftdata prepare` again.")
    if digest_file(path) != manifest.tokenizer.digest:
        raise VerificationError(f"{path} has changed: its digest is not the one in the manifest. Prepare again.")
    return tokenizers.Tokenizer.from_file(str(path))


def _name_within(directory: Path, path: Path) -> str | None:
    """Return what a file is called in a dataset; None where it does not lie in it."""
    inside, within = path.resolve(), directory.resolve()
    return inside.relative_to(within).as_posix() if inside.is_relative_to(within) else None


def _is_ours(name: str | None, manifest: Manifest) -> bool:
    shards = {shard.file for split in manifest.splits.values() for shard in split.shards}
    return name in {MANIFEST_NAME, *manifest.files, *shards}


@cache
def make_environment(*packages: str) -> Environment:
    """Return what renders the templates of some packages: what they show is escaped, and no name is left empty."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "share": _share, "size": _size, "percent": percent, "token": _token}
    environment.globals["draw_histogram"] = draw_histogram
    return environment


def _finalize(value: Any) -> Any:
    """Spell out characters that do not print, lone surrogates among them, in all that is not markup of ours."""
    return make_printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _number(value: int) -> str:
    return f"{value:,}"


def _share(value: float) -> str:
    """Return a share in per cent, never as 0 or 100 where it is not."""
    said = f"{value:.1%}"
    if said == "0.0%" and value > 0:
        return "<0.1%"
    return ">99.9%" if said == "100.0%" and value < 1 else said


def _size(count: int) -> str:
    value, units = float(count), iter(("bytes", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1000 and (larger := next(units, None)):
        value, unit = value / 1000, larger
    return f"{count:,} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def _token(text: str) -> str:
    """Show the line breaks and tabs of a token."""
    return text.replace("\n", "↵\n").replace("\t", "⇥").replace("\r", "␍")


def _read(name: str) -> str:
    return (files("sftdata.report") / "templates" / name).read_text(encoding="utf-8")


def _allow(content: str) -> str:
    """Return how a content security policy names a style or script that stands in the page."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
