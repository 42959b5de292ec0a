"""What a conversion has found so far: the settings of the recipe, and what became of each key that was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Note(NamedTuple):
    """What became of some keys."""

    keys: tuple[str, ...]
    text: str


_OFF = (False, 0, "", "none", "no", "None")
"""Values with which a key asks for nothing; empty lists and mappings do so, too."""


def is_off(value: Any) -> bool:
    """Tell whether a key with this value asks for nothing."""
    return value is None or value in _OFF or (isinstance(value, list | dict) and not value)


@dataclass
class Draft:
    """A recipe in the making, and an account of the configuration that it is made from.

    Attributes:
        program: whose configuration it is.
        given: its keys and values, without those that were left empty.
        settings: what the recipe says, by section and key.
        remarks: where a setting comes from, by its path (`train.learning_rate`).
        differing: keys whose setting does not mean quite the same here.
        lacking: keys without an equivalent, and what to do instead.
        accepted: keys that ask for what is so in any case.
        running: keys that only say how the other program runs.
        unused: keys that ask for nothing.
        chosen: what the configuration does not say, and the recipe does.
        files: what is written beside the recipe, by what its name ends with.
    """

    program: str
    given: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    differing: list[Note] = field(default_factory=list)
    lacking: list[Note] = field(default_factory=list)
    accepted: list[Note] = field(default_factory=list)
    running: list[Note] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def get(self, key: str, default: Any = None) -> Any:
        """Return what the configuration says, or what the other program does where it says nothing."""
        return self.given.get(key, default)

    def put(self, path: str, value: Any, *keys: str, remark: str = "") -> None:
        """Give the recipe a setting, which was read from `keys`; without any of them it is the program's default."""
        *sections, name = path.split(".")
        place = self.settings
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
        self._say(path, keys, remark)

    def _say(self, path: str, keys: tuple[str, ...], remark: str) -> None:
        found = self._tell(keys)
        origin = ", ".join(found) if found else f"{self.program}'s default" if keys else ""
        self.remarks[path] = ": ".join(part for part in (origin, remark) if part)

    def accept(self, text: str, *keys: str) -> None:
        """Tell that what keys ask for is so in any case."""
        if found := self._tell(keys):
            self.accepted.append(Note(found, text))

    def differ(self, text: str, *keys: str) -> None:
        """Tell that a setting does not mean quite the same here; nothing is told where none of the keys was given."""
        if self._tell(keys):
            self.warn(text, *keys)

    def warn(self, text: str, *keys: str) -> None:
        """Tell that something does not mean quite the same here, whether it was said or is the program's way."""
        self.differing.append(Note(self._tell(keys), text))

    def lack(self, text: str, *keys: str) -> None:
        """Tell that there is no equivalent of those of `keys` that ask for something."""
        found = self._tell(keys)
        if asking := tuple(key for key in found if not is_off(self.given[key])):
            self.lacking.append(Note(asking, text))
        self.unused += [key for key in found if key not in asking]

    def leave(self, *keys: str) -> None:
        """Tell that keys ask for nothing, unless something was told of them before."""
        self.unused += self._tell(tuple(key for key in keys if key not in self.told))

    def settle(self, without: Mapping[str, str], running: Mapping[str, str]) -> None:
        """Account for the keys of which nothing was told yet, by tables of advice and its keys."""
        for advice, keys in without.items():
            self.lack(advice, *(key for key in keys.split() if key not in self.told))
        for advice, keys in running.items():
            if found := self._tell(tuple(key for key in keys.split() if key not in self.told)):
                self.running.append(Note(found, advice))
        self.lack("sftdata does not know it; look whether it matters to you", *sorted(self.given.keys() - self.told))

    def _tell(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(key for key in keys if key in self.given)
        self.told.update(found)
        return found
