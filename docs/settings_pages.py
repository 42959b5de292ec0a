"""Pages of the reference about YAML: every key of a recipe and of a schema, from the JSON Schemas of their models."""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sftdata.checks import TASK_CHECKS
from sftdata.editor_schemas import make_editor_schema
from sftdata.row_checks import ROW_CHECKS
from sftdata.schema import PARTS, load_schema, schema_directory

Node = dict[str, Any]

RECIPE = """# Keys of a recipe

Every key, at every depth, with what it may be and what holds without it. [The recipe](../recipe.md) explains them with
examples. `sftdata schema recipe` prints the same as a JSON Schema, with which an editor completes and checks a recipe.

`a.b` is the key `b` inside of `a`; `a[]` is each entry of the list `a`.
"""

SCHEMA = """# Keys of a schema

Every key of a schema file, every check, every part, and the schemas that ship. [The schema](../schema.md) explains them
with examples. `sftdata schema schema` prints the keys as a JSON Schema for editors.

`columns.NAME` is what stands behind the name of a column.
"""


def recipe_page() -> str:
    """Return the page of all keys of a recipe."""
    return "\n".join([RECIPE, *_key_sections(make_editor_schema("recipe"), "Top level")])


def schema_page() -> str:
    """Return the page of all keys, checks and parts of a schema."""
    sections = _key_sections(make_editor_schema("schema"), "Top level")
    return "\n".join([SCHEMA, *sections, *_check_section(), *_parts_section(), *_shipped_section()])


def _key_sections(schema: Node, title: str) -> Iterator[str]:
    """Yield a section for each group of keys; one that stands in several places is told once."""
    places: dict[str, list[str]] = {}
    _collect(schema, "", schema["$defs"], places)
    yield from _section(f"## {title}", schema, [""], places)
    for name, paths in places.items():
        level = "###" if "." in paths[0] else "##"
        yield from _section(f"{level} `{paths[0]}`", schema["$defs"][name], paths, places)


def _collect(group: Node, path: str, groups: Mapping[str, Node], places: dict[str, list[str]]) -> None:
    for key, node in group.get("properties", {}).items():
        for name, suffix in _groups_in(node, groups):
            inner = f"{path}.{key}{suffix}".removeprefix(".")
            places.setdefault(name, []).append(inner)
            _collect(groups[name], inner, groups, places)


def _groups_in(node: Node, groups: Mapping[str, Node]) -> Iterator[tuple[str, str]]:
    """Yield the groups of keys that a value may be, and what stands behind the key on the way to them."""
    name = node.get("$ref", "").rpartition("/")[2]
    if "properties" in groups.get(name, {}):
        yield name, ""
    for choice in node.get("anyOf", ()):
        yield from _groups_in(choice, groups)
    for key, suffix in (("items", "[]"), ("additionalProperties", ".NAME")):
        if isinstance(node.get(key), dict):
            yield from ((name, suffix + rest) for name, rest in _groups_in(node[key], groups))


def _section(heading: str, group: Node, paths: list[str], places: Mapping[str, list[str]]) -> Iterator[str]:
    yield f"{heading}\n"
    if paths[0] and "description" in group:
        yield f"{group['description']}\n"
    if len(paths) > 1:
        yield f"The same keys stand in {', '.join(f'`{path}`' for path in paths[1:])}.\n"
    for key, node in group["properties"].items():
        says = f"{_say_type(node, places)}; {_say_default(key, node, group)}"
        yield f"- **`{key}`**: {says}.\\\n  {node['description']}"
    yield ""


def _say_default(key: str, node: Node, group: Node) -> str:
    if key in group.get("required", ()):
        return "required"
    default = node.get("default")
    if isinstance(default, dict):
        return "left out, its keys have their defaults"
    return f"default `{_spell(default)}`" if default not in (None, []) else "none by default"


def _say_type(node: Node, places: Mapping[str, list[str]]) -> str:
    """Say in words what a value may be, with its range."""
    name = node.get("$ref", "").rpartition("/")[2]
    if name in places:
        return f"[these keys](#{slug(places[name][0])})"
    if "anyOf" in node:
        choices = [_say_type(choice, places) for choice in node["anyOf"] if choice.get("type") != "null"]
        return " or ".join([*choices[:-1], choices[-1] + _say_range(node)])
    if "const" in node:
        return f"`{_spell(node['const'])}`"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if name == "Task":
        return "one of the [tasks](schema.md#parts)"
    if node.get("type") == "array":
        entries = _say_type(node["items"], places)
        kind = f"list, each entry with {entries}" if entries.startswith("[these") else f"list of {entries}"
        return kind + ", at least one" * bool(node.get("minItems"))
    if node.get("type") == "object":
        values = node.get("additionalProperties")
        return f"mapping of names to {_say_type(values, places)}" if isinstance(values, dict) else "mapping"
    return _say_plain(node)


def _say_plain(node: Node) -> str:
    kinds = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    kind = "date" if node.get("format") == "date" else kinds.get(node.get("type", ""), "any value")
    return kind + " of one letter" * (node.get("maxLength") == 1) + _say_range(node)


_BOUNDS = {"minimum": "from", "ge": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


def _say_range(node: Node) -> str:
    return "".join(f" {word} {node[key]}" for key, word in _BOUNDS.items() if key in node)


def _spell(value: Any) -> str:
    """Write a value as a recipe has it."""
    return value if isinstance(value, str) and value else json.dumps(value)


def slug(heading: str) -> str:
    """Return the anchor that a heading gets, on the site and on the page of a repository."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _check_section() -> Iterator[str]:
    yield "## Checks\n"
    yield (
        "What may stand under `checks` of a column: a name, and behind it `true`, the first argument alone, or all "
        "arguments by name. Each is what [a row is rejected for](reasons.md), as `COLUMN:CHECK`.\n"
    )
    names: dict[Callable[..., Any], list[str]] = {}
    for name, check in (TASK_CHECKS | ROW_CHECKS).items():
        names.setdefault(check, []).append(name)
    for check, called in sorted(names.items(), key=lambda item: item[0].__name__):
        own = check.__name__
        others = [f"`{name}`" for name in called if name != own]
        also = f" (also {', '.join(others)})" if others else ""
        yield f"- **`{own}`**{also}: {_say_arguments(check)}.\\\n  {' '.join((inspect.getdoc(check) or '').split())}"
    yield (
        "- **`unique`**: `true`.\\\n  A value may stand in one row only, in the whole data; every row that shares one "
        "is rejected."
    )
    yield "- **a name of your own**: `{function: module:name}`, with `element_wise: true` for one value at a time.\n"


def _say_arguments(check: Callable[..., Any]) -> str:
    parameters = [p for p in inspect.signature(check).parameters.values() if p.name != "column"]
    told = [f"`{p.name}`" + ("" if p.default is p.empty else f" (default `{_spell(p.default)}`)") for p in parameters]
    return ", ".join(told) or "`true`"


def _parts_section() -> Iterator[str]:
    yield "## Parts\n"
    yield "What may stand under `parts`, by task. A conversation can be given in several ways.\n"
    yield "| Task | Needed | May be there |\n| --- | --- | --- |"
    for task, alternatives in PARTS.items():
        for needed, extra in alternatives:
            cells = (", ".join(f"`{part}`" for part in sorted(parts)) for parts in (needed, extra))
            yield f"| `{task}` | {' | '.join(cells)} |"
    yield ""


def _shipped_section() -> Iterator[str]:
    yield "## Schemas that ship\n"
    yield "Named without a path: `schema: alpaca`, or `--schema alpaca`.\n"
    for path in sorted(schema_directory().glob("*.yaml")):
        schema = load_schema(path.stem)
        yield f"- **`{path.stem}`** ({schema.task}): {schema.description}"
