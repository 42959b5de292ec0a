"""Write a converted recipe down: the settings with where each comes from, and what became of everything else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftdata.conversion.draft import Draft, Note
from sftdata.proposal.yaml_text import show_text, write_comment, write_inline, write_note

HEADINGS = {
    "differing": "Does not mean quite the same here",
    "lacking": "Without an equivalent",
    "accepted": "So in any case",
    "running": "Says only how {program} runs",
}
"""What the lists of a draft are called, in the order in which a person should read them."""


def write_recipe(draft: Draft, config: Path) -> str:
    """Return the text of the recipe file."""
    lines = [
        write_comment(f"Made by `sftdata convert-recipe` of {config.name}, a configuration of {draft.program}."),
        *write_note(
            f"Behind each setting stands where it comes from. Below all stands what does not mean quite "
            f"the same ({len(draft.differing)}), what has no equivalent ({len(draft.lacking)}), and all other keys."
        ),
        *_settings(draft, draft.settings, "", 0),
        "",
        *tell(draft),
    ]
    return "\n".join(lines) + "\n"


def tell(draft: Draft) -> Iterator[str]:
    """Yield, as comments, what became of the keys that are not simply carried over."""
    for name, heading in HEADINGS.items():
        if notes := getattr(draft, name):
            yield write_comment(heading.format(program=draft.program) + ":")
            for note in notes:
                yield from write_note(f"- {describe(draft, note)}")
    if draft.unused:
        yield from write_note("Off, or asks for nothing: " + ", ".join(draft.unused))
    if draft.chosen:
        yield write_comment(f"Not said by {draft.program}'s configuration:")
        for text in draft.chosen:
            yield from write_note(f"- {text}")


def describe(draft: Draft, note: Note) -> str:
    """Return a note in one line: the keys as they were given, and what became of them."""
    shown = [write_inline(draft.given[key]) for key in note.keys]
    keys = [f"{key}: {value}" if len(value) < 40 else key for key, value in zip(note.keys, shown, strict=True)]
    return show_text(f"{', '.join(keys)} -> {note.text}" if keys else note.text)


def _settings(draft: Draft, settings: dict[str, Any], above: str, indent: int) -> Iterator[str]:
    for name, value in settings.items():
        path = f"{above}{name}"
        remark = f"  # {show_text(draft.remarks[path])}" if draft.remarks.get(path) else ""
        start = f"{' ' * indent}{name}:"
        if path == "sources":
            yield start + remark
            yield from (line for source in value for line in _source(source))
        elif path in draft.remarks:
            yield f"{start} {write_inline(value)}{remark}"
        else:
            yield start
            yield from _settings(draft, value, f"{path}.", indent + 2)


def _source(source: dict[str, Any]) -> Iterator[str]:
    for number, (name, value) in enumerate(source.items()):
        yield f"  {'- ' if number == 0 else '  '}{name}: {write_inline(value)}"
