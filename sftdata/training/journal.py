"""The scores of a run as JSON lines, for programs."""

import json
from collections.abc import Mapping
from pathlib import Path

JOURNAL_NAME = "metrics.jsonl"


class Journal:
    """A file with a line for each logged interval of training and each evaluation.

    A line has `part` (`train` or `validation`), `step` (taken so far) and the values. A resumed run goes on behind the
    step that it goes on from: what the killed one wrote beyond is taken away.

    Args:
        path: of the file.
        start: steps taken before.
    """

    def __init__(self, path: Path, start: int) -> None:
        kept = [line for line in _read(path) if start and json.loads(line)["step"] <= start]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._file.writelines(kept)
        self._file.flush()

    def write(self, part: str, step: int, values: Mapping[str, float]) -> None:
        """Add a line."""
        self._file.write(json.dumps({"part": part, "step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read(path: Path) -> list[str]:
    """Return the whole lines of a file; one that was cut off by a kill is none."""
    if not path.is_file():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
