"""How a person watches a run: a bar or lines, a function that is told of everything, a profile. No torch here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sftdata.errors import TrainingError
from sftdata.functions import find_named, split_function
from sftdata.settings.training import TrainSettings

Callback = Callable[[str, int, Mapping[str, Any]], object]
"""Called with (part, step, values), where step counts the steps taken so far: `start` with the settings of the run,
`train` with what is logged of an interval, `validation` with the scores, `end` with the fields of the `TrainResult`."""


@dataclass(frozen=True, kw_only=True)
class Watching:
    """What is told of a run while it works.

    Attributes:
        progress: a bar on stderr (True), nothing (False), or a bar on a terminal and lines elsewhere (None).
        callback: called in the first process alone.
        profile: steps that are profiled, once the run has warmed up; None for no profile.
    """

    progress: bool | None = None
    callback: Callback | None = None
    profile: int | None = None


def find_callback(settings: TrainSettings) -> Callback | None:
    """Import what `train.callback` names, if it does.

    Raises:
        TrainingError: there is no such function.
    """
    if settings.callback is None:
        return None
    place = split_function(settings.callback)
    if place is None:
        raise TrainingError(
            f"train.callback: found {settings.callback!r}, expected module:function, such as tracking:log"
        )
    folder, name = place
    try:
        found: Callback = find_named(name, folder)
    except ValueError as cause:
        raise TrainingError(f"train.callback: {cause}") from None
    if not callable(found):
        raise TrainingError(f"train.callback: {settings.callback} is no function")
    return found
