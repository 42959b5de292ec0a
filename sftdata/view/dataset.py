"""A prepared dataset that is looked at: opened anew when another run has replaced it."""

from functools import cached_property
from pathlib import Path
from threading import Lock

import tokenizers

from sftdata.manifest import MANIFEST_NAME, Manifest, read_manifest
from sftdata.report.page import load_tokenizer
from sftdata.shards.reader import Split
from sftdata.view.spelling import Spelling, spell


class Dataset:
    """What stands in a directory at one moment; rows stay on the disk.

    Attributes:
        directory: where it lies.
        manifest: what it is.
        tokenizer: its own.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manifest: Manifest = read_manifest(directory)
        self.tokenizer: tokenizers.Tokenizer = load_tokenizer(directory, self.manifest)

    @cached_property
    def spelling(self) -> Spelling:
        """What its ids spell; made when a text is first looked for, which takes a second with large vocabularies."""
        return spell(self.tokenizer)

    def split(self, name: str) -> Split:
        """Return a split that lets go of its shards when it is no longer used, so that memory stays bounded.

        Raises:
            VerificationError: there is no such split.
        """
        return Split(self.directory, name, self.manifest)

    def splits(self) -> list[Split]:
        """Return all splits, none of whose shards is open."""
        return [self.split(name) for name in self.manifest.splits]


class Opener:
    """Gives the dataset in a directory; it is read once as long as its manifest is the same file."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._lock = directory, Lock()
        self._read()

    def get(self) -> Dataset:
        """Return the dataset as it is now.

        Raises:
            VerificationError: it is no longer there, or damaged.
        """
        with self._lock:
            if self._stamp != _stamp(self._directory):
                self._read()
            return self._dataset

    def _read(self) -> None:
        self._stamp = _stamp(self._directory)
        self._dataset = Dataset(self._directory)


def _stamp(directory: Path) -> tuple[int, int, int] | None:
    try:
        found = (directory / MANIFEST_NAME).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
