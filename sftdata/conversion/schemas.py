"""The schema of a conversion: one that ships where it says the same, otherwise a file beside the recipe."""

from collections.abc import Iterator
from typing import Any

import yaml

from sftdata.proposal.yaml_text import write_comment, write_entry, write_inline, write_note
from sftdata.schema import schema_directory

Content = dict[str, Any]
"""`columns` and `parts` of a schema."""

SAYS_SOMETHING: Content = {"dtype": "str", "checks": {"not_blank": True}}
MAY_BE_MISSING: Content = {"dtype": "str", "nullable": True, "required": False}
TOOLS: Content = {
    "dtype": "json",
    "nullable": True,
    "required": False,
    "checks": {"str_matches": r'(\[|""$|null$)'},
}
"""A list of tools, or nothing."""


def find_shipped(content: Content) -> str | None:
    """Return the name of a schema that ships and says the same."""
    for path in sorted(schema_directory().glob("*.yaml")):
        shipped = yaml.safe_load(path.read_text(encoding="utf-8"))
        if shipped.get("task") == "causal_lm" and content == {key: shipped[key] for key in ("columns", "parts")}:
            return path.stem
    return None


def write_schema(content: Content, name: str, program: str, file: str) -> str:
    """Return the text of a schema file."""
    return "\n".join(_lines(content, name, program, file)) + "\n"


def _lines(content: Content, name: str, program: str, file: str) -> Iterator[str]:
    yield write_comment(f"Made by `sftdata convert-recipe` of what {file} says of the data to {program}.")
    yield f"name: {write_inline(name)}"
    yield "task: causal_lm"
    yield "columns:"
    for column, settings in content["columns"].items():
        yield from write_entry(column, settings, {}, 2)
    if note := content.get("note"):
        yield from write_note(note)
    yield f"parts: {write_inline(content['parts'])}"
