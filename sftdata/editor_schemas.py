"""JSON Schema of the YAML formats, with which editors complete and check a recipe or a schema while it is written.

Made from the pydantic models and the signatures of the checks. It says less than loading the file does: what depends on
several keys at once, or on the disk, only `load_recipe` and `load_schema` know.
"""

import ast
import inspect
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, TypeAdapter

from sftdata.checks import TASK_CHECKS
from sftdata.recipe import Recipe
from sftdata.row_checks import ROW_CHECKS
from sftdata.schema import PARTS, Schema, schema_directory

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Kind = Literal["recipe", "schema"]
"""The YAML formats."""

Node = dict[str, Any]

FOLDER = ".sftdata"
"""Where the JSON Schemas stand beside a recipe that a command wrote."""


def make_editor_schema(kind: Kind) -> Node:
    """Return the JSON Schema (draft 2020-12) of a format, as a JSON value."""
    model: type[BaseModel] = Recipe if kind == "recipe" else Schema
    made = model.model_json_schema(by_alias=True)
    groups = {model.__name__: made, **made.get("$defs", {})}
    for name, found in _models_in(model).items():
        _describe(groups[name], found)
    (_complete_recipe if kind == "recipe" else _complete_schema)(groups)
    return {"$schema": DIALECT, "title": f"sftdata {kind}", **_without_titles(made)}


def place_editor_schema(document: Path, kind: Kind) -> str:
    """Put the JSON Schema of a format beside a document, into `.sftdata`; return the line by which editors find it.

    An absolute path into the installed package would be wrong on every other machine, and a URL wrong for every other
    version. A file that is there already is replaced when it is of another version.
    """
    name = f"{kind}.schema.json"
    content = (schema_directory() / "json" / name).read_bytes()
    copy = document.parent / FOLDER / name
    if not copy.is_file() or copy.read_bytes() != content:
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    return f"# yaml-language-server: $schema={FOLDER}/{name}"


def _models_in(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return a model and all that stand in its fields, by name."""
    found = {model.__name__: model}
    for field in model.model_fields.values():
        for inner in _models_of(field.annotation):
            found |= _models_in(inner)
    return found


def _models_of(annotation: Any) -> list[type[BaseModel]]:
    inside = [found for part in getattr(annotation, "__args__", ()) for found in _models_of(part)]
    return inside or ([annotation] if inspect.isclass(annotation) and issubclass(annotation, BaseModel) else [])


def _describe(group: Node, model: type[BaseModel]) -> None:
    """Give each property the docstring that stands below its field; pydantic's own way costs every run 30 ms."""
    for owner in reversed([base for base in model.__mro__ if issubclass(base, BaseModel) and base is not BaseModel]):
        body = ast.parse(inspect.getsource(owner)).body[0].body  # type: ignore[attr-defined]  # it is a class
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                name = ast.unparse(field.target)
                alias = model.model_fields[name].alias if name in model.model_fields else None
                if (node := group["properties"].get(alias or name)) is not None:
                    node["description"] = " ".join(str(text.value.value).split())


def _without_titles(node: Any) -> Any:
    """Leave out the titles that pydantic makes of the names; a property may be called so."""
    if isinstance(node, dict):
        return {key: _without_titles(value) for key, value in node.items() if key != "title" or isinstance(value, dict)}
    return [_without_titles(value) for value in node] if isinstance(node, list) else node


def _complete_recipe(groups: Mapping[str, Node]) -> None:
    recipe, output = (groups[name]["properties"] for name in ("Recipe", "OutputSettings"))
    recipe["sources"]["minItems"] = 1
    recipe["max_rejected"] |= {"minimum": 0}
    output["shard_size"] = {key: output["shard_size"][key] for key in ("description", "default")} | {"anyOf": _SIZE}
    groups["SourceSettings"] |= {
        "oneOf": [{"required": [name]} for name in ("path", "dataset", "uri")],
        "dependentRequired": {"uri": ["query"], "query": ["uri"]},
    }
    groups["TokenizeSettings"]["oneOf"] = [{"required": [name]} for name in ("tokenizer", "train_tokenizer")]


_SIZE: list[Node] = [
    {"type": "integer", "minimum": 1},
    {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([KkMmGg]?[Bb]|[KkMmGg][Ii][Bb])?\s*$"},
]
"""What `parse_size` takes."""


def _complete_schema(groups: Mapping[str, Node]) -> None:
    schema, column = groups["Schema"], groups["Column"]["properties"]
    column["checks"] |= {
        "properties": {name: _check(make) for name, make in sorted((TASK_CHECKS | ROW_CHECKS).items())}
        | {"unique": {"const": True, "description": "A value may stand in one row only, in the whole data."}},
        "additionalProperties": _FUNCTION,
    }
    row_function = {**_FUNCTION, "properties": {"function": _FUNCTION["properties"]["function"]}}
    schema["properties"]["checks"]["additionalProperties"] = {"anyOf": [{"type": "string"}, row_function]}
    schema["anyOf"] = [{"required": ["columns"]}, {"required": ["pandera"]}]
    schema["allOf"] = [
        {
            "if": {"properties": {"task": {"const": str(task)}}, "required": ["task"]},
            "then": {"required": ["parts"], "properties": {"parts": _parts(alternatives)}},
        }
        for task, alternatives in PARTS.items()
    ]


_FUNCTION: Node = {
    "description": "A check of one's own: a function, as module:name.",
    "type": "object",
    "properties": {
        "function": {"type": "string", "pattern": "^[^:]+:[^:]+$"},
        "element_wise": {"type": "boolean", "default": False},
    },
    "required": ["function"],
    "additionalProperties": False,
}


def _parts(alternatives: tuple[tuple[frozenset[str], frozenset[str]], ...]) -> Node:
    choices = [
        {"required": sorted(needed), "propertyNames": {"enum": sorted(needed | extra)}}
        for needed, extra in alternatives
    ]
    return {"anyOf": choices}


def _check(make: Callable[..., Any]) -> Node:
    """Return what may stand behind a check: its arguments by name, the first alone, or `true` where none is needed."""
    parameters = [p for p in inspect.signature(make).parameters.values() if p.name != "column"]
    hints = get_type_hints(make)
    types = {p.name: TypeAdapter(hints[p.name]).json_schema() for p in parameters}
    needed = [p.name for p in parameters if p.default is p.empty]
    forms: list[Node] = [] if needed else [{"const": True}]
    if parameters and set(needed) <= {parameters[0].name}:
        first = types[parameters[0].name]
        forms.append(first or {"not": {"type": "object"}})
    if parameters:
        by_name = {"type": "object", "properties": types, "required": needed, "additionalProperties": False}
        forms.append(by_name)
    return {"description": inspect.getdoc(make) or "", **(forms[0] if len(forms) == 1 else {"anyOf": forms})}
