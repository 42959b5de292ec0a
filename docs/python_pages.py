"""The page of the reference about Python: every public name with its signature and what its docstring says."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from typing import Any

MODULES = ("sftdata", "sftdata.training", "sftdata.plan")
"""The modules whose `__all__` is public; a name that several have is told at the first."""

KEYS = {"Recipe": "recipe.md", "Schema": "schema.md", "Manifest": "../format.md#manifestjson"}
"""Where the fields of a settings model are told already."""

HEAD = """# Python

Every public name, with its signature and what it promises. [The Python guide](../python.md) shows them at work.
"""


def python_page() -> str:
    """Return the page of all public names."""
    told: set[int] = set()
    lines = [HEAD]
    for module in MODULES:
        lines += _module_section(module, told)
    return "\n".join(lines)


def _module_section(module: str, told: set[int]) -> Iterator[str]:
    found = import_module(module)
    yield f"## {module}\n\n{_first_line(found)}\n"
    returned: dict[str, Any] = {}
    for name in found.__all__:
        thing = getattr(found, name)
        if id(thing) in told:
            continue
        told.add(id(thing))
        yield from _name_section(f"{module}.{name}", name, thing)
        returned |= {kind.__name__: kind for kind in _classes_returned(thing)}
    for name, kind in returned.items():
        if id(kind) not in told and name not in found.__all__:
            told.add(id(kind))
            yield from _name_section(f"{kind.__module__}.{name}", name, kind)


def _classes_returned(thing: Any) -> list[type]:
    """Return our own classes that a function returns, so that the reader finds what they can do."""
    if not inspect.isfunction(thing):
        return []
    names = {node.id for node in ast.walk(_parse(thing).returns or ast.Tuple([])) if isinstance(node, ast.Name)}
    found = (inspect.getattr_static(inspect.getmodule(thing), name, None) for name in sorted(names))
    return [kind for kind in found if inspect.isclass(kind) and kind.__module__.startswith("sftdata")]


def _name_section(full: str, name: str, thing: Any) -> Iterator[str]:
    yield f"### `{full}`\n"
    if inspect.isfunction(thing):
        yield f"```py\n{_signature(name, _parse(thing))}\n```\n"
        yield render(inspect.getdoc(thing) or "")
    elif inspect.isclass(thing):
        yield from _class_section(name, thing)
    else:
        yield f"`{thing!r}`. {_text_below(full)}\n" if isinstance(thing, int | str) else f"{_text_below(full)}\n"


def _class_section(name: str, kind: type) -> Iterator[str]:
    yield render(inspect.getdoc(kind) or "")
    if name in KEYS:
        yield f"Its fields are [here]({KEYS[name]}).\n"
    if members := getattr(kind, "__members__", None):
        yield "\n".join(f"- `{key}` = `{value.value!r}`" for key, value in members.items()) + "\n"
    for key, member in vars(kind).items():
        function = inspect.unwrap(getattr(member, "fget", None) or getattr(member, "func", None) or member)
        ours = inspect.isfunction(function) and function.__module__.startswith("sftdata")
        if not ours or (key.startswith("_") and key not in ("__len__", "__getitem__", "__iter__")):
            continue
        if text := inspect.getdoc(function):
            yield f"```py\n{_signature(f'{name}.{key}', _parse(function), member is not function)}\n```\n"
            yield render(text)


def _parse(function: Any) -> ast.FunctionDef:
    parsed = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    if not isinstance(parsed, ast.FunctionDef):
        raise TypeError(f"{function} is no function")
    return parsed


def _signature(name: str, parsed: ast.FunctionDef, is_property: bool = False) -> str:
    """Write a signature as the source has it; one argument a line where it is long."""
    returns = f" -> {ast.unparse(parsed.returns)}".replace("'", "") if parsed.returns else ""
    if is_property:
        return f"{name}{returns.replace(' -> ', ': ')}"
    arguments = _arguments(parsed.args)
    whole = f"{name}({', '.join(arguments)}){returns}"
    if len(whole) <= 80:
        return whole
    return f"{name}(\n" + "".join(f"    {each},\n" for each in arguments) + f"){returns}"


def _arguments(given: ast.arguments) -> list[str]:
    """Write each argument as the source has it, `self` and `cls` left out."""
    plain = [each for each in [*given.posonlyargs, *given.args] if each.arg not in ("self", "cls")]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    told = [_argument(*pair) for pair in zip(plain, defaults, strict=True)]
    told += [f"*{_argument(given.vararg, None)}"] if given.vararg else ["*"] * bool(given.kwonlyargs)
    told += [_argument(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return told + ([f"**{_argument(given.kwarg, None)}"] if given.kwarg else [])


def _argument(given: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(given.annotation)}" if given.annotation else ""
    equals = " = " if kind else "="
    return (f"{given.arg}{kind}" + (f"{equals}{ast.unparse(default)}" if default else "")).replace("'", '"')


def _text_below(full: str) -> str:
    """Return the docstring that stands below a constant, where it is defined."""
    module, _, name = full.rpartition(".")
    home = import_module(getattr(import_module(module), "_HOMES", {}).get(name, module))
    body = ast.parse(inspect.getsource(home)).body
    for line, text in pairwise(body):
        target = ast.unparse(line.targets[0]) if isinstance(line, ast.Assign) else ""
        if target == name and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            return " ".join(str(text.value.value).split())
        if isinstance(line, ast.ImportFrom) and name in [alias.name for alias in line.names]:
            return _text_below(f"{line.module}.{name}")
    raise ValueError(f"{full} has no docstring below it")


_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):\n((?:(?: .*)?\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^(\*{0,2}[\w, ]+): ")


def render(docstring: str) -> str:
    """Turn a docstring of Google's style into Markdown."""
    return _SECTION.sub(lambda found: f"**{found[1]}**\n\n{_render_section(found[1], found[2])}\n", docstring + "\n")


def _render_section(title: str, body: str) -> str:
    body = textwrap.dedent(body).strip("\n")
    if title in ("Returns", "Yields"):
        return f"- {textwrap.indent(body, '  ').strip()}\n"
    entries = (
        _ENTRY.sub(r"- `\1`: ", line) if _ENTRY.match(line) else f"  {line.strip()}" for line in body.splitlines()
    )
    return "\n".join(entry.rstrip() for entry in entries) + "\n"


def _first_line(module: Any) -> str:
    return (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ")
