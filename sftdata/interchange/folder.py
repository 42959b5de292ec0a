"""The folder of an export: made beside its place, and put there by a rename when it is whole."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sftdata.errors import OutputError
from sftdata.manifest import MANIFEST_NAME
from sftdata.shards.directory import lock, told_plainly

EXPORT_NAME = "export.json"
"""Says of an export what it holds, and that it is ours to replace."""


@contextmanager
def open_export(out: Path) -> Iterator[Path]:
    """Give an empty folder to write to; without a failure it takes the place of `out` at the end.

    A killed run leaves `.NAME.sftdata-unfinished` beside `out`; the next one clears it away.

    Raises:
        OutputError: when `out` holds something that is no export, another run is writing it, or the disk refuses.
    """
    out = out.resolve()
    aside = out.with_name(f".{out.name}.sftdata-unfinished")
    with told_plainly(out, aside, "No export was made"):
        _refuse_foreign(out)
        with lock(aside, out):
            _put_back(aside, out)
            try:
                (aside / "new").mkdir()
                yield aside / "new"
                if out.exists():
                    out.rename(aside / "old")
                (aside / "new").rename(out)
            finally:
                _put_back(aside, out)
                shutil.rmtree(aside, ignore_errors=True)


def _put_back(aside: Path, out: Path) -> None:
    """Undo what a run that was killed between its two renames did, and clear away what it wrote."""
    if (aside / "old").exists() and not out.exists():
        (aside / "old").rename(out)
    for leftover in ("new", "old"):
        shutil.rmtree(aside / leftover, ignore_errors=True)


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; name a directory")
    found = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    foreign = [name for name in found if name not in _names_in(out)]
    if MANIFEST_NAME in foreign:
        raise OutputError(f"{out} holds a prepared dataset. Nothing was written. Name an empty or new directory.")
    if foreign:
        shown = ", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else "")
        raise OutputError(
            f"{out} is not empty, and not all in it is an export of sftdata (it holds {shown}). "
            "Nothing was written. Name an empty or new directory."
        )


def _names_in(out: Path) -> set[str]:
    """Return the files and folders in `out` that its export wrote."""
    try:
        record: dict[str, Any] = json.loads((out / EXPORT_NAME).read_text(encoding="utf-8"))
        return {EXPORT_NAME, *(str(name).partition("/")[0] for name in record["files"])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
