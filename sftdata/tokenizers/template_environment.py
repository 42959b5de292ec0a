"""The Jinja environment of chat templates: what transformers gives them, and strings that know they are looked at.

A template may be rendered with `Tracked` strings instead of real contents (see shapes.py). For that to prove anything,
every question that a template asks of a content must reach it, also where the content has gone through a macro, a
`set` block or a concatenation: so what is put together of tracked strings is tracked too.
"""

import datetime
import json
from collections.abc import Callable, Iterable
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension
from jinja2.ext import loopcontrols as LoopControls  # noqa: N812
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

OPENS, CLOSES = "\U000ffff0", "\U000ffff1"
"""Stand in a rendered text around what `{% generation %}` encloses."""


class Tracked(str):
    """A string that is told when a template reads it; `give_up` is called where nobody can follow what it does."""

    def give_up(self) -> bool:
        """Note that the template looks into this string in a way that is not understood."""
        raise NotImplementedError

    def joined(self, text: str) -> "Tracked":
        """Return `text`, of which this string has become a part, as tracked as this one."""
        raise NotImplementedError


def concatenate(pieces: Iterable[str]) -> str:
    """Join pieces of text; where one is tracked, so is the whole, and alone it stays itself."""
    parts = [piece for piece in pieces if str.__len__(piece)]
    first = next((piece for piece in parts if isinstance(piece, Tracked)), None)
    if first is None:
        return "".join(parts)
    return parts[0] if len(parts) == 1 else first.joined("".join(parts))


class _Generator(CodeGenerator):
    """Jinja's compiler, with `~` as `concatenate`."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - the name is Jinja's
        self.write("environment.concat(map(str, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write(")))")


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """What chat templates are compiled in.

    Args:
        date: what `strftime_now` tells; None leaves it undefined.
    """

    code_generator_class = _Generator
    concat = staticmethod(concatenate)
    intercepted_binops = frozenset(["%", "*"])

    def __init__(self, date: datetime.date | None) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, LoopControls])
        self.filters["tojson"] = _to_json
        for name in ("join", "format", "wordcount", "int", "float", "map", "reject", "select"):
            self.filters[name] = _watched(self.filters[name])
        self.globals |= {"raise_exception": _raise_exception, "dict": _TemplateDict(), "namespace": _Namespace}
        if date:
            self.globals["strftime_now"] = datetime.datetime.combine(date, datetime.time()).strftime

    def call(self, context: Context, function: Any, *args: Any, **named: Any) -> Any:
        """Call a function; what Python's own strings do with a tracked one cannot be followed."""
        if isinstance(getattr(function, "__self__", None), str):
            _give_up((*args, *named.values()))
        return super().call(context, function, *args, **named)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Apply `%` or `*`."""
        _give_up((left, right))
        return super().call_binop(context, operator, left, right)


def looks_up_texts(source: str, environment: jinja2.Environment) -> bool:
    """Tell whether a template asks if something stands in a text of its own, which a tracked string is not told."""
    compared = environment.parse(source).find_all(nodes.Compare)
    return any(
        operand.op in ("in", "notin") and isinstance(operand.expr, nodes.Const) and isinstance(operand.expr.value, str)
        for comparison in compared
        for operand in comparison.ops
    )


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*args: Any, **named: Any) -> Any:
        _give_up((*args, *named.values()))
        return function(*args, **named)

    return _keep_passing(function, watched)


def _keep_passing(function: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """Let Jinja pass the wrapper what it passes the function: the context, the environment or neither."""
    wrapper.__dict__.update(function.__dict__)
    return wrapper


def _give_up(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, Tracked):
            value.give_up()
        elif isinstance(value, list | tuple):
            _give_up(value)


class _Generation(Extension):
    """`{% generation %}` marks what the assistant says; for the rendered text it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 - the type is Jinja's

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_enclose"), [], [], body).set_lineno(line)

    def _enclose(self, caller: Macro) -> str:
        return concatenate([OPENS, caller(), CLOSES])


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


class _TemplateDict:
    """`dict` for templates, without the class behind it."""

    def __call__(self, *pairs: Any, **named: Any) -> dict[Any, Any]:
        return dict(*pairs, **named)

    def fromkeys(self, *keys: Any) -> dict[Any, Any]:
        return dict.fromkeys(*keys)


class _Namespace(Namespace):
    """`namespace` for templates, which takes no names that begin with an underscore."""

    def __init__(*args: Any, **named: Any) -> None:
        self, *pairs = args
        for name in dict(*pairs, **named):
            _check_name(name)
        Namespace.__init__(self, *pairs, **named)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace of a chat template cannot hold {name!r}")
