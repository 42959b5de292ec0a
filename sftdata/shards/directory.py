"""The output directory: work inside it unseen, then move everything into place with the manifest last."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sftdata.errors import OutputError, VerificationError
from sftdata.manifest import MANIFEST_NAME, UNFINISHED_NAME, Manifest, read_manifest, write_aside


@contextmanager
def open_output(directory: Path) -> Iterator[Path]:
    """Give the folder to work in, inside `directory`; a killed run leaves it there and the next one starts over.

    Raises:
        OutputError: when `directory` holds something that is not ours, or another run is at work in it.
    """
    _refuse_foreign(directory)
    work = directory / UNFINISHED_NAME
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"another run is writing to {directory}; wait for it, or choose another directory"
            ) from None
        for leftover in work.iterdir():
            if leftover.name != "lock":
                _remove(leftover)
        try:
            yield work
        except GeneratorExit:
            raise
        except BaseException as failure:
            _leave_only_rejected(work)
            if isinstance(failure, OSError) and failure.filename is None:  # a full disk does not say where it is
                raise OSError(failure.errno, failure.strerror or str(failure), str(directory)) from failure
            raise
        shutil.rmtree(work)


def publish(work: Path, names: list[str], manifest: Manifest) -> None:
    """Move `names` from the work folder into the dataset's directory, then write the manifest.

    The old manifest goes first, so that at no moment a mixture of old and new looks whole.
    """
    directory = work.parent
    old = _old_names(directory)
    (directory / MANIFEST_NAME).unlink(missing_ok=True)
    for name in sorted({*old, *names}):
        _remove(directory / name)
    for name in names:
        (work / name).rename(directory / name)
    write_aside(directory / MANIFEST_NAME, manifest.to_json())


def _refuse_foreign(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"{directory} is a file; name a directory")
    if not directory.exists() or (directory / UNFINISHED_NAME).is_dir():
        return
    found = sorted(path.name for path in directory.iterdir())
    if not found:
        return
    try:
        read_manifest(directory)
    except VerificationError:
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise OutputError(
            f"{directory} is not empty and was not written by sftdata (it holds {shown}). "
            "Nothing was written. Name an empty or new directory."
        ) from None


def _old_names(directory: Path) -> set[str]:
    try:
        old = read_manifest(directory)
    except VerificationError:
        return set()
    return {*old.splits, *(Path(name).parts[0] for name in old.files)}


def _leave_only_rejected(work: Path) -> None:
    for path in work.iterdir():
        if path.name not in {"rejected.jsonl", "lock"}:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
