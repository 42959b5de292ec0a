"""Read datasets of the Hugging Face hub by name and revision, and directories laid out like one, through `datasets`.

`datasets` is an extra (`sftdata[hub]`), and imports slowly, so it is imported where it is used.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sftdata.errors import SourceError
from sftdata.hub import hub_or_cache
from sftdata.manifest import digest_file
from sftdata.settings.sources import SourceSettings
from sftdata.sources.batches import cut
from sftdata.sources.batches import original as original
from sftdata.sources.columns import parse as parse
from sftdata.sources.source import Slice, Source

BATCH_ROWS = 1000
"""Rows that are asked for at a time; as many as `datasets` writes at a time."""


def find_splits(setting: SourceSettings, base: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the split of each source that a `dataset` setting means.

    Raises:
        SourceError: when no split is given and the dataset cannot be reached to ask for them.
    """
    for split in [setting.split] if setting.split else _split_names(setting, base):
        revision = f"@{setting.revision}" if setting.revision else ""
        subset = f"/{setting.subset}" if setting.subset else ""
        yield f"hub:{setting.dataset}{revision}{subset}/{split}", split


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of one split, which `datasets` downloads and keeps in its cache.

    Raises:
        SourceError: when the dataset cannot be reached, or `datasets` refuses what is in it.
    """
    setting = source.settings
    fixed = setting.revision or _is_local(setting, source.path)
    found = {} if fixed else {"revision": "none is given, so the dataset may change under the same name"}
    with _told(source.name, local=_is_local(setting, source.path)):
        rows = _library().load_dataset(**_arguments(setting, source.path), split=setting.split).with_format("arrow")
    with _told(source.name, local=True):  # all of it is here now, and others may ask the hub while slices are taken
        batches = (batch for table in rows.iter(BATCH_ROWS) for batch in table.to_batches())
        yield from cut(batches, source.name, found)


def identify(source: Source) -> tuple[int, str]:
    """Return the size of the split in bytes, 0 where it is not known, and a digest of its files.

    A file of the hub counts by its address, which holds the commit; a local one by its content.
    """
    with _told(source.name, local=_is_local(source.settings, source.path)):
        builder = _library().load_dataset_builder(**_arguments(source.settings, source.path))
        split = str(source.settings.split)
        files = (builder.config.data_files or {}).get(split, [builder.hash])
        parts = [digest_file(Path(file)) if Path(file).is_file() else file for file in files]
        sizes = [Path(file).stat().st_size for file in files if Path(file).is_file()]
    digest = hashlib.sha256("\n".join([source.name, *parts]).encode()).hexdigest()
    return sum(sizes) or _size_of(builder, split), f"sha256:{digest}"


def _size_of(builder: Any, split: str) -> int:
    known = (builder.info.splits or {}).get(split)
    return int(known.num_bytes or 0) if known else 0


def _split_names(setting: SourceSettings, base: Path) -> list[str]:
    with _told(f"hub:{setting.dataset}", local=_is_local(setting, base)):
        arguments = _arguments(setting, base)
        return list(
            _library().get_dataset_split_names(arguments["path"], arguments["name"], revision=arguments["revision"])
        )


def _arguments(setting: SourceSettings, base: Path) -> dict[str, Any]:
    if _is_local(setting, base):
        return {"path": str(base / str(setting.dataset)), "name": setting.subset, "revision": None}
    return {"path": setting.dataset, "name": setting.subset, "revision": setting.revision}


def _is_local(setting: SourceSettings, base: Path) -> bool:
    return (base / str(setting.dataset)).is_dir()


def _library() -> Any:
    try:
        import datasets  # type: ignore[import-untyped]
    except ImportError:
        raise SourceError("the package `datasets` is not installed; install it: pip install 'sftdata[hub]'") from None
    return datasets


@contextmanager
def _told(name: str, *, local: bool) -> Iterator[None]:
    """Say in plain words what goes wrong in `datasets`, which raises whatever its own libraries raise."""
    with nullcontext() if local else _reached() as obstacle:
        try:
            yield
        except SourceError:
            raise
        except Exception as problem:
            cause = problem.__cause__ or problem
            first = str(cause).strip().partition("\n")[0] or type(cause).__name__
            if obstacle and isinstance(problem, ConnectionError):
                first = f"its cache on this machine does not have it, and {obstacle}"
            raise SourceError(f"{name} cannot be read: {first}") from None


@contextmanager
def _reached() -> Iterator[str | None]:
    """Ask the hub only where it can be reached; `datasets` has a switch of its own for it."""
    config = _library().config
    before = config.HF_HUB_OFFLINE
    with hub_or_cache() as obstacle:
        config.HF_HUB_OFFLINE = before or obstacle is not None
        try:
            yield obstacle
        finally:
            config.HF_HUB_OFFLINE = before
