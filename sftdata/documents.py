"""Read a YAML document so that every fault in it can be named with its line and key path."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sftdata.errors import FaultsError


class Settings(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


AnySettings = TypeVar("AnySettings", bound=Settings)


def read_document(path: Path, model: type[AnySettings], error: type[FaultsError]) -> AnySettings:
    """Read `path` and check it against `model`.

    Raises:
        FaultsError: of the type `error`, with all faults of the document at once.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise error(str(path), ["no such file"]) from None
    except (OSError, UnicodeDecodeError) as cause:
        raise error(str(path), [f"cannot be read as UTF-8 text: {cause}"]) from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as cause:
        line = cause.problem_mark.line + 1 if cause.problem_mark else 1
        raise error(str(path), [f"line {line}: not valid YAML: {cause.problem}"]) from None
    except yaml.YAMLError as cause:
        raise error(str(path), [f"not valid YAML: {cause}"]) from None
    if not isinstance(data, dict):
        raise error(str(path), [f"found {_brief(data)}, expected a mapping of keys to values"])
    faults = [f"line {line}: {key}: given twice" for key, line in _repeated_keys(root)]
    try:
        settings = model.model_validate(data)
    except ValidationError as cause:
        raise error(str(path), faults + describe_faults(cause, model, root)) from None
    if faults:
        raise error(str(path), faults)
    return settings


def describe_faults(cause: ValidationError, model: type[BaseModel], root: yaml.Node | None = None) -> list[str]:
    """Put each fault that pydantic found into one line: where, what was found, what was expected."""
    lines = []
    for fault in cause.errors():
        keys = [key for key in fault["loc"] if not (isinstance(key, str) and key.startswith(("function-", "tagged-")))]
        where = ".".join(str(key) for key in keys) or "(whole file)"
        line = _line_of(root, keys)
        lines.append(
            (line or 0, f"line {line}: {where}: " if line else f"{where}: ", _explain(dict(fault), model, keys))
        )
    return [where + what for _, where, what in sorted(lines)]


def _explain(fault: dict[str, Any], model: type[BaseModel], keys: list[Any]) -> str:
    if fault["type"] == "extra_forbidden":
        known = _known_keys(model, keys[:-1])
        close = difflib.get_close_matches(str(keys[-1]), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}" if known else ""
        return f"unknown key; {hint}".rstrip("; ")
    if fault["type"] == "missing":
        return "missing, and it is required"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return message if fault["type"] == "value_error" else f"found {_brief(fault['input'])}, expected {message}"


def _known_keys(model: type[BaseModel], keys: Iterable[Any]) -> list[str]:
    for key in keys:
        field = next((f for name, f in model.model_fields.items() if key in (name, f.alias)), None)
        nested = next((t for t in _types_in(field.annotation) if issubclass(t, BaseModel)), None) if field else None
        model = nested or model
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _types_in(annotation: Any) -> list[type]:
    inside = [found for part in getattr(annotation, "__args__", ()) for found in _types_in(part)]
    return inside or ([annotation] if isinstance(annotation, type) else [])


def _line_of(node: yaml.Node | None, keys: Iterable[Any]) -> int | None:
    line = None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(key)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
    return line


def _repeated_keys(node: yaml.Node | None, path: str = "") -> list[tuple[str, int]]:
    found = []
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                found.append((path + str(key.value), key.start_mark.line + 1))
            seen.add(key.value)
            found += _repeated_keys(value, f"{path}{key.value}.")
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            found += _repeated_keys(value, f"{path}{position}.")
    return found


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
