"""Find what a recipe names: files by path, pattern or directory, saved datasets, databases and hub datasets.

A path may lead anywhere, for people's data lies where it lies; but only what the recipe names is opened, never a path
or pattern that stands inside data.
"""

import fnmatch
import glob
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sftdata.errors import SourceError
from sftdata.settings.sources import SourceSettings
from sftdata.sources.compression import COMPRESSIONS, open_binary
from sftdata.sources.folders import ABOUT, find_splits, is_saved
from sftdata.sources.parsing import MAX_RECORD
from sftdata.sources.source import Source

PACKED_INSIDE = {"parquet", "arrow"}
"""Formats that are read from their end, and so not out of a compressed file."""

FOREIGN = {
    "a spreadsheet; save the sheet as CSV": ".xlsx .xls .ods .numbers",
    "opening it could run code; save the rows as Parquet or JSON Lines": ".pkl .pickle .joblib .pt .pth",
    "arrays, not rows; save the rows as Parquet or JSON Lines": ".npy .npz .h5 .hdf5 .mat .safetensors",
    "an archive; unpack it and name the files inside": ".zip .tar .tgz .7z .rar",
    "a database; instead of `path` give `uri: sqlite:///FILE` and a `query`": ".db .sqlite .sqlite3",
    "not a format that is read; convert it to CSV, JSON Lines or Parquet": ".orc .avro .dta .sav .xml .html .pdf .docx",
    "CoNLL-U; give `format: conll` and name its ten columns in `header`, among them `tokens` and `tags`": ".conllu",
    "the name does not say what is in it; give `format`": ".txt .text .dat .log",
}
"""What to do with files that people often have and no reader takes by their name, and how those names end."""

Found = Source | str
"""A source, or what is wrong with what was found in its place."""


def find(settings: Iterable[SourceSettings], base: Path, suffixes: Mapping[str, str]) -> list[Source]:
    """Find all that `settings` names, in their order; the files of a pattern or directory in order of name.

    Args:
        settings: the sources of a recipe.
        base: the folder that relative paths start from.
        suffixes: how the names of files end, and the format that this means.

    Raises:
        SourceError: with everything that is missing, of no known format, or named twice, at once.
    """
    found = [item for setting in settings for item in _find(setting, base, suffixes)]
    sources = [item for item in found if isinstance(item, Source)]
    faults = [item for item in found if isinstance(item, str)]
    faults += [f"{place}: named more than once" for place in _repeated(map(_place, sources))]
    ids = {source.name: source.id for source in sources}
    faults += [f"the id {one} stands for two files; rename one" for one in _repeated(ids.values())]
    if faults:
        raise SourceError("\n".join(["sources that cannot be read:", *(f"  {fault}" for fault in faults)]))
    return sources


def _find(setting: SourceSettings, base: Path, suffixes: Mapping[str, str]) -> Iterator[Found]:
    try:
        if setting.dataset is not None and is_saved(base / setting.dataset):
            yield from _look_at(setting.dataset, base, setting, suffixes)
        elif setting.dataset is not None:
            yield from _find_on_hub(setting, base)
        elif setting.uri is not None:
            yield _find_database(setting, base)
        for pattern in [setting.path] if isinstance(setting.path, str) else setting.path or ():
            yield from _find_files(pattern, base, setting, suffixes)
    except SourceError as problem:
        yield str(problem)


def _find_on_hub(setting: SourceSettings, base: Path) -> Iterator[Found]:
    from sftdata.sources import hub

    for name, split in hub.find_splits(setting, base):
        yield _source(base, name, "hub", setting.model_copy(update={"split": split}))


def _find_database(setting: SourceSettings, base: Path) -> Found:
    from sftdata.sources import sql

    path, name = sql.find(setting, base)
    problem = path and _why_unreadable(path)
    return f"{path}: {problem}" if problem else _source(path or base, name, "sql", setting)


def _find_files(pattern: str, base: Path, setting: SourceSettings, suffixes: Mapping[str, str]) -> Iterator[Found]:
    try:
        names = _expand(pattern, base, setting.format, suffixes)
        if not names:
            yield _why_nothing(base / pattern, suffixes)
        for name in names:
            yield from _look_at(name, base, setting, suffixes)
    except (OSError, ValueError) as cause:  # a folder that may not be read; a name that no file can have
        yield f"{base / pattern}: {getattr(cause, 'strerror', None) or cause}"


def _expand(pattern: str, base: Path, given: str | None, suffixes: Mapping[str, str]) -> list[str]:
    """Return the names that `pattern` stands for, as seen from `base`."""
    path = base / pattern
    if is_saved(path) or (os.path.lexists(path) and (not path.is_dir() or given == "dataset")):
        return [Path(pattern).as_posix()]
    if path.is_dir():
        inside = sorted(name for name in os.listdir(path) if not name.startswith("."))  # noqa: PTH208  # names alone
        names = [Path(pattern, name) for name in inside if given or _split_name(name, suffixes)[0]]
        return [name.as_posix() for name in names if not (base / name).is_dir() and name.name not in ABOUT]
    walk = "**" in Path(pattern).parts
    found = _walk(pattern, base) if walk else glob.glob(pattern, root_dir=base)  # noqa: PTH207  # Path.glob refuses absolute patterns
    names = [Path(name) for name in sorted(set(found))]
    return [
        name.as_posix() for name in names if is_saved(base / name) or not ((base / name).is_dir() or name.name in ABOUT)
    ]


def _walk(pattern: str, base: Path) -> Iterator[str]:
    """Match a pattern with `**`. Unlike `glob`, enter a folder once, so that links in a circle end."""
    parts = Path(pattern).parts
    start = parts.index("**")
    entered = set()
    tops = sorted(glob.glob(str(Path(*parts[:start])), root_dir=base)) if start else ["."]  # noqa: PTH207
    for top in (top for top in tops if (base / top).is_dir()):
        for folder, folders, files in os.walk(base / top, followlinks=True, onerror=_raise):
            found = Path(folder).stat()
            inside = Path(folder).relative_to(base / top)
            matching = {name for name in [*folders, *files] if _matches((*inside.parts, name), parts[start:])}
            again = (found.st_dev, found.st_ino) in entered
            entered.add((found.st_dev, found.st_ino))
            yield from [] if again else (str(Path(top, inside, name)) for name in matching)
            whole = {name for name in folders if name in matching and is_saved(Path(folder, name))}
            folders[:] = [] if again else sorted(n for n in folders if n not in whole and not n.startswith("."))


def _raise(problem: OSError) -> None:
    raise problem


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or (bool(parts) and _matches(parts[1:], pattern))
    fits = bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and not parts[0].startswith(".")
    return fits and _matches(parts[1:], pattern[1:])


def _look_at(name: str, base: Path, setting: SourceSettings, suffixes: Mapping[str, str]) -> Iterator[Found]:
    path = base / name
    if is_saved(path) and setting.format in (None, "dataset"):
        for part, inner in find_splits(path, setting.split):
            yield _source(inner, (Path(name) / part).as_posix(), "dataset", setting)
    elif setting.format == "dataset":
        yield f"{path}: not a directory that `save_to_disk` of datasets wrote"
    elif problem := _why_unreadable(path):
        yield f"{path}: {problem}"
    elif setting.format is not None:
        yield _source(path, name, setting.format, setting)
    else:
        found, packed = _split_name(name, suffixes)
        if found is None:
            yield f"{name}: {_why_unknown(name, suffixes)}"
        elif packed and found in PACKED_INSIDE:
            yield f"{name}: {found} cannot be read out of a compressed file, and is compressed inside; unpack it"
        else:
            yield _source(path, name, "rejected" if found == "jsonl" and _holds_rejected(path) else found, setting)


def _holds_rejected(path: Path) -> bool:
    from sftdata.sources.rejected import looks_like_rejected

    try:
        with open_binary(path) as file:
            return looks_like_rejected(file.readline(MAX_RECORD))
    except (SourceError, OSError):  # told when the file is read
        return False


def _why_unreadable(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except OSError as cause:
        return f"a link that leads nowhere ({cause.strerror})" if path.is_symlink() else str(cause.strerror)
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        return f"{kind}, expected a file; write what it gives to a file first, for it is read more than once"
    return None if os.access(path, os.R_OK) else "you may not read this file (see its permissions)"


def _why_nothing(path: Path, suffixes: Mapping[str, str]) -> str:
    if path.is_dir():
        return f"{path}: a directory without a file of a known format; known: {_known(suffixes)}"
    return f"{path}: {'no file matches' if glob.has_magic(str(path)) else 'no such file'}"


def _why_unknown(name: str, suffixes: Mapping[str, str]) -> str:
    bare = name.lower().removesuffix(_packing(name))
    for advice, endings in FOREIGN.items():
        if bare.endswith(tuple(endings.split())):
            return advice
    return f"no known format by its name; known: {_known(suffixes)}; or give `format`"


def _known(suffixes: Mapping[str, str]) -> str:
    return f"{', '.join(suffixes)} (text also compressed: {', '.join(COMPRESSIONS)})"


def _split_name(name: str, suffixes: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the format that a name stands for, and the suffix of its compression."""
    packed = _packing(name)
    bare = name.lower().removesuffix(packed)
    return next((known for suffix, known in suffixes.items() if bare.endswith(suffix)), None), packed


def _packing(name: str) -> str:
    return next((ending for ending in COMPRESSIONS if name.lower().endswith(ending)), "")


def _source(path: Path, name: str, found: str, setting: SourceSettings) -> Source:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return Source(path, name, digest[:8], found, setting)


def _place(source: Source) -> str:
    return source.name if source.format in {"hub", "sql"} else str(source.path.resolve())


def _repeated(values: Iterable[str]) -> list[str]:
    seen: dict[str, int] = {}
    for value in values:
        seen[value] = seen.get(value, 0) + 1
    return [value for value, count in seen.items() if count > 1]
