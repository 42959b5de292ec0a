"""Run an augmenter of nlpaug: seeded for each text, offline, and only between line breaks and protected spans."""

import importlib
import json
import random
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.errors import UsageError
from sftdata.text.cutting import protected_pattern

PROBE = "The quick brown fox jumps over the lazy dog."
"""A text on which an augmenter is tried before a run."""


@dataclass(frozen=True)
class Foreign:
    """An augmenter of nlpaug: its module and class, and the arguments of the class as JSON."""

    augmenter: str
    arguments: str


def make_foreign(augmenter: str, arguments: dict[str, Any]) -> Foreign:
    """Name an augmenter, and try it.

    Raises:
        UsageError: if nlpaug is not installed, has no such augmenter, or what that one needs is missing.
    """
    foreign = Foreign(augmenter, json.dumps(arguments, sort_keys=True))
    try:
        _augment(_load(foreign), PROBE, 0)
    except UsageError:
        raise
    except (Exception, SystemExit) as cause:
        reason = next((line.strip(" *") for line in str(cause).splitlines() if line.strip(" *")), type(cause).__name__)
        raise UsageError(
            f"augment: {augmenter} does not run: {reason} "
            "(a model or corpus that it needs must be there before; nothing is downloaded)"
        ) from None
    return foreign


def augment_texts(
    texts: pl.Series, keys: NDArray[np.uint64], foreign: Foreign | None, protect: Collection[str] = ()
) -> pl.Series:
    """Augment each text with its own seed; line breaks and protected spans stay as they are.

    Args:
        texts: strings, shape `[texts]`; nulls stay.
        keys: a random key for each, shape `[texts]`.
        foreign: the augmenter.
        protect: terms that stay as they are.
    """
    if foreign is None:
        raise TypeError("found no augmenter of nlpaug, expected one")
    augmenter = _load(foreign)
    spans = texts.str.extract_all(protected_pattern(protect)).to_list()
    values = [
        text if text is None else "".join(_augment_around(augmenter, text, of_text, int(key)))
        for text, of_text, key in zip(texts.to_list(), spans, keys, strict=True)
    ]
    return pl.Series(texts.name, values, dtype=pl.String)


def _augment_around(augmenter: Any, text: str, kept: list[str], key: int) -> Iterator[str]:
    """Augment what stands between the spans to keep, each stretch on its own."""
    place = 0
    for number, span in enumerate([*kept, ""]):
        end = text.index(span, place) if span else len(text)
        stretch = text[place:end]
        words = stretch.strip()
        if words:
            before, _, after = stretch.partition(words)
            yield before + _augment(augmenter, words, key + number) + after
        else:
            yield stretch
        yield span
        place = end + len(span)


@lru_cache(maxsize=8)
def _load(foreign: Foreign) -> Any:
    """Build the augmenter, once a process; only a class of nlpaug itself will do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nlpaug 1.1 is from before today's Python
            from nlpaug.base_augmenter import Augmenter
    except ImportError:
        raise UsageError("augment: nlpaug is not installed; install it with: pip install 'sftdata[nlpaug]'") from None
    module, _, name = foreign.augmenter.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as cause:
        raise UsageError(f"augment: {module} cannot be loaded: {cause}") from None
    if not (isinstance(found, type) and issubclass(found, Augmenter) and found.__module__.startswith("nlpaug.")):
        raise UsageError(f"augment: found {foreign.augmenter}, expected an augmenter of nlpaug")
    with _seeded(0), _offline():
        return found(**json.loads(foreign.arguments))


def _augment(augmenter: Any, text: str, key: int) -> str:
    with _seeded(key), _offline():
        found = augmenter.augment(text)
    one = found[0] if isinstance(found, list) and found else found
    return one if isinstance(one, str) and one else text


@contextmanager
def _seeded(key: int) -> Iterator[None]:
    """Seed the global generators, which nlpaug draws from, and give them back as they were."""
    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(key)
    np.random.seed(key % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)  # noqa: NPY002


@contextmanager
def _offline() -> Iterator[None]:
    """Keep nltk and the hub from downloading what nlpaug misses."""
    import huggingface_hub.constants as hub
    import nltk

    before, nltk.download = nltk.download, _refuse
    offline, hub.HF_HUB_OFFLINE = hub.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        nltk.download, hub.HF_HUB_OFFLINE = before, offline


def _refuse(corpus: str, *_: Any, **__: Any) -> None:
    raise LookupError(f"nltk's corpus {corpus!r} is missing; install it with nltk.download({corpus!r})")
