"""Read a YAML document so that every fault in it can be named with its line and key path."""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sftdata.errors import FaultsError, UsageError
from sftdata.records import shorten


class Settings(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show what somebody set: a recipe has more than a hundred defaults."""
        return ((name, value) for name, value in super().__repr_args__() if name in self.model_fields_set)


Text = Annotated[str, Field(min_length=1)]
"""Text that is not empty: an empty path would mean the recipe's own directory."""

MAX_BYTES = 2 * 2**20
"""Most bytes of a recipe or schema; parsing YAML takes some ten seconds for so many."""

MAX_NODES = 200_000
"""Most values of a recipe or schema once its anchors are unfolded: ten lines of YAML can stand for a billion."""

MOST_FAULTS = 20
"""Most faults of one document that are told at once."""

AnySettings = TypeVar("AnySettings", bound=Settings)


def read_document(path: Path, model: type[AnySettings], error: type[FaultsError]) -> AnySettings:
    """Read `path` and check it against `model`.

    Raises:
        FaultsError: of the type `error`, with all faults of the document at once.
    """
    text = _read_text(path, error)
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if _count_nodes(root, {}) > MAX_NODES:
            raise error(str(path), [f"its anchors unfold to more than {MAX_NODES:,} values; write it without them"])
        faults = [f"line {line}: {key}: given twice" for key, line in _repeated_keys(root)]
        data = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as cause:
        line = cause.problem_mark.line + 1 if cause.problem_mark else 1
        raise error(str(path), [f"line {line}: not valid YAML: {cause.problem}"]) from None
    except (yaml.YAMLError, ValueError) as cause:  # ValueError: 2024-13-45 looks like a date and is none
        raise error(str(path), [f"not valid YAML: {cause}"]) from None
    except RecursionError:
        raise error(str(path), ["nested too deeply, or an anchor that holds itself"]) from None
    if not isinstance(data, dict):
        raise error(str(path), [f"found {_brief(data)}, expected a mapping of keys to values"])
    try:
        settings = model.model_validate(data, context={"base": path.parent})
    except ValidationError as cause:
        as_written = yaml.compose(text, Loader=yaml.SafeLoader)  # constructing has put what `<<` names into the nodes
        raise error(str(path), faults + describe_faults(cause, model, as_written)) from None
    if faults:
        raise error(str(path), faults)
    return settings


def check_mapping(
    given: Mapping[str, Any], model: type[AnySettings], error: type[FaultsError], base: Path
) -> AnySettings:
    """Check what stands in Python as it would in a document. Paths may be `Path`s, and relative ones start from `base`.

    Raises:
        FaultsError: of the type `error`, with all faults at once.
    """
    data = _as_document(given)
    try:
        return model.model_validate(data, context={"base": base})
    except ValidationError as cause:
        raise error("what was given", describe_faults(cause, model, data)) from None


def _as_document(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {str(key): _as_document(value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return [_as_document(value) for value in given]
    return os.fspath(given) if isinstance(given, os.PathLike) else given


def _read_text(path: Path, error: type[FaultsError]) -> str:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise error(str(path), ["is no file, but a directory; name a YAML file" if path.is_dir() else "is no file"])
        if size > MAX_BYTES:
            raise error(str(path), [f"has {size:,} bytes, expected at most {MAX_BYTES:,}; is it the right file?"])
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        beside = [found.name for found in path.parent.glob("*.y*ml")]
        close = difflib.get_close_matches(path.name, beside, n=1)
        said = f"; did you mean '{path.with_name(close[0])}'?" if close else ""
        raise error(str(path), [f"no such file{said}"]) from None
    except (OSError, ValueError) as cause:  # ValueError: bytes that are no UTF-8, or a NUL in the name
        raise error(str(path), [f"cannot be read as UTF-8 text: {cause}"]) from None


def _count_nodes(node: yaml.Node | None, counted: dict[int, int]) -> int:
    """Count the values of a document with its anchors unfolded, each node once."""
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in counted:
        inside = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        counted[id(node)] = 1 + sum(_count_nodes(part, counted) for part in inside)
    return counted[id(node)]


def hint(name: str, known: Iterable[str]) -> str:
    """Say which known name is close, or which there are."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"


def make_settings(model: type[AnySettings], values: Mapping[str, Any], name: str) -> AnySettings:
    """Make settings out of what somebody wrote in Python; `name` is what the message calls them.

    Raises:
        UsageError: with all faults at once.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as cause:
        faults = dict.fromkeys(_tell(dict(fault), model) for fault in cause.errors()[:MOST_FAULTS])
        raise UsageError(f"{name}: " + "; ".join(faults)) from None


def _tell(fault: dict[str, Any], model: type[BaseModel]) -> str:
    """Say where a fault is and what it is; of a value with alternatives pydantic names the alternative as well."""
    keys = [key for key in fault["loc"] if isinstance(key, int) or (key.replace("_", "").isalpha() and key.islower())]
    return f"{'.'.join(map(str, keys))}: {_explain(fault, model, keys)}"


def describe_faults(cause: ValidationError, model: type[BaseModel], root: Any) -> list[str]:
    """Put each fault that pydantic found into one line: where, what was found, what was expected.

    `root` is the document that was read, as YAML's nodes or as Python has it, or None.
    """
    lines: dict[tuple[int, str], list[str]] = {}
    for fault in cause.errors()[:MOST_FAULTS]:
        keys, line = _locate(root, fault["loc"], fault["type"])
        where = ".".join(str(key) for key in keys) or "(whole file)"
        place = (line or 0, f"line {line}: {where}: " if line else f"{where}: ")
        lines.setdefault(place, []).append(_explain(dict(fault), model, keys))
    more = cause.error_count() - MOST_FAULTS
    told = [where + _join(lines[line, where]) for line, where in sorted(lines)]
    return told + ([f"and {more:,} more"] if more > 0 else [])


def _join(faults: list[str]) -> str:
    """Put what the alternatives of one value expect into one line."""
    first, *others = dict.fromkeys(faults)
    return " or ".join([first, *(other.rpartition(", expected ")[2] for other in others)])


def _explain(fault: dict[str, Any], model: type[BaseModel], keys: list[Any]) -> str:
    if fault["type"] == "extra_forbidden":
        known = _known_keys(model, keys[:-1])
        close = difflib.get_close_matches(str(keys[-1]), known, n=1)
        told = f"known keys: {', '.join(known)}" if 0 < len(known) < 99 else ""
        hint = f"did you mean '{close[0]}'?" if close else told
        return f"unknown key; {hint}".rstrip("; ")
    if fault["type"] == "missing":
        return "missing, and it is required"
    message = _PLAIN.get(fault["type"]) or fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return message if fault["type"] == "value_error" else f"found {_brief(fault['input'])}, expected {message}"


_PLAIN = {
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "too_short": "at least one entry",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "invalid_key": "a key that is text; put it in quotes",
}
"""What pydantic says in the words of Python, in the words of YAML."""


def _known_keys(model: type[BaseModel], keys: Iterable[Any]) -> list[str]:
    for key in keys:
        field = next((f for name, f in model.model_fields.items() if key in (name, f.alias)), None)
        nested = next((t for t in _types_in(field.annotation) if issubclass(t, BaseModel)), None) if field else None
        model = nested or model
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _types_in(annotation: Any) -> list[type]:
    inside = [found for part in getattr(annotation, "__args__", ()) for found in _types_in(part)]
    return inside or ([annotation] if isinstance(annotation, type) else [])


def _locate(node: Any, location: tuple[Any, ...], fault: str) -> tuple[list[Any], int | None]:
    """Return the keys of `location` that stand in the document, and the line of the last one.

    pydantic puts the names of types and validators between them.
    """
    keys, line = [], None
    for place, key in enumerate(location, start=1):
        if found := _find(node, key):
            line, node = found
        elif place < len(location) or fault not in {"missing", "extra_forbidden"}:
            continue
        keys.append(key)
    return keys, line


def _find(node: Any, key: Any) -> tuple[int | None, Any] | None:
    """Return the line and the value of a key in one level of a document; what Python made has no lines."""
    if isinstance(node, dict) and key in node:
        return None, node[key]
    if isinstance(node, list) and isinstance(key, int) and key < len(node):
        return None, node[key]
    if isinstance(node, yaml.MappingNode):
        return next(((name.start_mark.line + 1, value) for name, value in node.value if name.value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line + 1, node.value[key]
    return None


def _repeated_keys(node: yaml.Node | None, path: str = "") -> list[tuple[str, int]]:
    found = []
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                found.append((path + name, key.start_mark.line + 1))
            seen.add(name)
            found += _repeated_keys(value, f"{path}{name}.")
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            found += _repeated_keys(value, f"{path}{position}.")
    return found


def _brief(value: Any) -> str:
    try:
        return shorten(repr(value), 60)
    except ValueError:  # Python does not write integers of more than some thousand digits
        return "a number of very many digits"
