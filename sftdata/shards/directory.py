"""The output directory: work inside it unseen, then move everything into place with the manifest last.

A dataset is there when its manifest is. `publish` makes it there by renames alone, each of which the file system does
whole or not at all, so that a kill leaves the old dataset, the new one, or a directory without a manifest:

    1  new files to the disk, and the new manifest into the work folder        the old dataset is there
    2  old manifest to `old/`                                                  none is there
    3  other old files to `old/`                                               none
    4  new files into place                                                    none
    5  new manifest into place                                                 the new one is there
    6  the work folder, and `old/` in it, is deleted                           the new one

As long as the new manifest is in the work folder, what was moved can be moved back; the next run does that first, so
the old dataset is there again while it works. Whatever of 6 was not done, it does, too.
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from sftdata.errors import OutputError
from sftdata.manifest import FORMAT, MANIFEST_NAME, UNFINISHED_NAME, Manifest, write_aside

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, None}
"""What a disk says when it takes no more, without saying where; polars says it without a number."""

_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}
"""What a file system says that has no way to write a folder through to the disk."""


@contextmanager
def open_output(directory: Path) -> Iterator[Path]:
    """Give the folder to work in, inside `directory`; a killed run leaves it there and the next one starts over.

    A run that fails leaves the old dataset as it was, and its `rejected.jsonl` in the work folder; one that somebody
    stops leaves nothing.

    Raises:
        OutputError: when `directory` holds something that is not ours, another run is at work in it, or it cannot be
            written, as on a full disk.
    """
    with told_plainly(directory, directory, "No new dataset was made"):
        _refuse_foreign(directory)
        work, is_new = directory / UNFINISHED_NAME, not directory.exists()
        with lock(work, directory):
            _take_back(work)
            _empty(work, keep={"lock"})
            try:
                yield work
            except GeneratorExit:
                raise
            except KeyboardInterrupt:
                if not _is_published(work):
                    _take_back(work)
                    _remove(work, with_directory=is_new)
                    raise
            except BaseException:
                _take_back(work)
                _empty(work, keep={"lock", "rejected.jsonl"})
                raise
            with suppress(OSError, KeyboardInterrupt):  # it is in place: what is not tidied up now, the next run does
                _empty(work, keep={"lock"})
                (work / "lock").unlink()
                work.rmdir()


def look_at_output(directory: Path) -> str:
    """Say what stands where a dataset is to be written, and write nothing.

    Raises:
        OutputError: as `open_output` would.
    """
    _refuse_foreign(directory)
    place = _nearest_folder(directory)
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"{directory} cannot be written: you may not write to {place}. Choose another directory.")
    held = directory / UNFINISHED_NAME / "lock"
    if held.exists():
        lock(held.parent, directory).close()
    if (directory / MANIFEST_NAME).exists():
        rows = json.loads((directory / MANIFEST_NAME).read_text(encoding="utf-8")).get("rows", {}).get("written", "?")
        return f"a dataset of {rows:,} rows, which is replaced"
    return "what a run left that was killed, which is cleared away" if held.exists() else "nothing yet"


def free_space(directory: Path) -> int:
    """Return the bytes that are free where `directory` is, or will be."""
    return shutil.disk_usage(_nearest_folder(directory)).free


def _nearest_folder(directory: Path) -> Path:
    """Return the directory, or the first above it that exists."""
    return next(folder for folder in (directory.absolute(), *directory.absolute().parents) if folder.exists())


def publish(work: Path, manifest: Manifest) -> None:
    """Move what the manifest names from the work folder into the dataset's directory, in the place of what was there.

    Everything is on the disk before the manifest is in its place, so that a loss of power leaves no half either.

    Raises:
        OutputError: when something that the old manifest does not name is in the way.
    """
    directory, old = work.parent, work / "old"
    new_names = _names_in(manifest.model_dump(mode="json"))
    old_names = _old_names(directory)
    for name in new_names:
        if name not in old_names and os.path.lexists(directory / name):
            raise OutputError(f"{directory / name} is in the way and not of the old dataset; move it elsewhere")
        flush(work / name)
    old.mkdir()
    write_aside(work / MANIFEST_NAME, manifest.to_json())
    _flush_folder(work)
    if old_names:
        (directory / MANIFEST_NAME).rename(old / MANIFEST_NAME)
        _flush_folder(directory)
    for name in old_names:
        if os.path.lexists(directory / name):
            (directory / name).rename(old / name)
    for name in new_names:
        (work / name).rename(directory / name)
    _flush_folder(directory)
    (work / MANIFEST_NAME).rename(directory / MANIFEST_NAME)
    _flush_folder(directory)


def _is_published(work: Path) -> bool:
    """Tell whether `publish` has come to its last step, so that nothing is to be taken back."""
    return (work / "old").exists() and not any((work / name).exists() for name in (MANIFEST_NAME, "dataset_dict.json"))


def _remove(work: Path, *, with_directory: bool) -> None:
    _empty(work, keep=())
    work.rmdir()
    if with_directory:
        with suppress(OSError):
            work.parent.rmdir()


def _take_back(work: Path) -> None:
    """Undo what a `publish` that did not come to its end has moved. Killed itself, it can be done again."""
    directory, old = work.parent, work / "old"
    if not (work / MANIFEST_NAME).exists():
        return
    for name in _names_in(json.loads((work / MANIFEST_NAME).read_text(encoding="utf-8"))):
        if not os.path.lexists(work / name):
            (directory / name).rename(work / name)
    for path in old.iterdir():
        if path.name != MANIFEST_NAME:
            path.rename(directory / path.name)
    _flush_folder(directory)
    if (old / MANIFEST_NAME).exists():
        (old / MANIFEST_NAME).rename(directory / MANIFEST_NAME)
    (work / MANIFEST_NAME).unlink()


def _names_in(manifest: Any) -> list[str]:
    """Return what belongs to the dataset of a manifest of any format: names of files and folders beside it.

    Raises:
        ValueError: when it is no manifest.
    """
    try:
        names = {*manifest["splits"], *(name.partition("/")[0] for name in manifest["files"])}
        is_ours = isinstance(manifest["format"], int) and all(
            Path(name).name == name not in {"", ".."} for name in names
        )
    except (AttributeError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise ValueError("not a manifest of sftdata")
    return sorted(names)


def _old_names(directory: Path) -> list[str]:
    path = directory / MANIFEST_NAME
    return _names_in(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


def _refuse_foreign(directory: Path) -> None:
    if os.path.lexists(directory) and not directory.is_dir():
        what = "a link to nothing" if directory.is_symlink() and not directory.exists() else "a file"
        raise OutputError(f"{directory} is {what}; name a directory")
    if not directory.exists() or not (found := sorted(path.name for path in directory.iterdir())):
        return
    try:
        document = json.loads((directory / MANIFEST_NAME).read_text(encoding="utf-8"))
        _names_in(document)
    except (OSError, ValueError):
        if UNFINISHED_NAME in found and MANIFEST_NAME not in found:
            return
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise OutputError(
            f"{directory} is not empty and was not written by sftdata (it holds {shown}). "
            "Nothing was written. Name an empty or new directory."
        ) from None
    if document["format"] > FORMAT:
        raise OutputError(
            f"{directory} holds a dataset of format {document['format']}; this sftdata writes format {FORMAT}. "
            "Nothing was written. Update sftdata, or name another directory."
        )


def lock(work: Path, place: Path) -> TextIO:
    """Make the folder in which a run works on what goes to `place`, and lock it for as long as this process lives.

    Close what is returned to let go of it.

    Raises:
        OutputError: when another run has it.
    """
    while True:
        work.mkdir(parents=True, exist_ok=True)
        try:
            held = (work / "lock").open("w")
        except FileNotFoundError:  # a run that has just ended took the folder with it
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            raise OutputError(f"another run is writing to {place}; wait for it, or choose another directory") from None
        if os.fstat(held.fileno()).st_nlink:
            return held
        held.close()  # the file that we have locked is no longer that in the folder


@contextmanager
def told_plainly(place: Path, within: Path, outcome: str) -> Iterator[None]:
    """Say of a failure to write where it was and what is left; a full disk itself does not say where it is.

    Args:
        place: what could not be written.
        within: a failure at a path elsewhere is none of ours.
        outcome: what was not made.

    Raises:
        OutputError: with what the disk said.
    """
    try:
        yield
    except OSError as failure:
        named = failure.filename
        if not Path(str(named)).is_relative_to(within) if named else failure.errno not in _DISK:
            raise
        # what Arrow says beside the number is longer, and polars says no number
        reason = os.strerror(failure.errno) if failure.errno else str(failure).partition(" (os error")[0]
        raise OutputError(
            f"{place} cannot be written: {reason}. {outcome}, and an old one is "
            "as it was. Make room or choose another directory, and run it again."
        ) from failure


def flush(path: Path) -> None:
    """Write a file, or a folder with all in it, through to the disk."""
    for inner in path.iterdir() if path.is_dir() else ():
        flush(inner)
    if path.is_dir():
        _flush_folder(path)
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as failure:
        if failure.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(handle)


def _empty(folder: Path, keep: Collection[str]) -> None:
    for path in folder.iterdir():
        if path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
