r"""Hide what must not change: code, LaTeX and placeholders, each behind one character that no text has.

Patterns are tried in the order of their names here: code before LaTeX before placeholders, so that `${x}` in a code
fence is part of the fence. A fence or environment that is never closed reaches to the end of the text, and `\[` and
`\(` reach to no further than the next of their kind: so hiding takes linear time, whatever the text.
"""

import re
from collections.abc import Collection, Sequence
from typing import Literal, get_args

import polars as pl

from sftdata.text.fields import flatten, nest

MASK = "\ufdd0"
"""Stands for a protected span: a noncharacter, which Unicode promises never to assign."""

MARKS = tuple(map(chr, range(0xFDD1, 0xFDF0)))
"""Noncharacters for other uses while spans are hidden; those that a text itself holds are hidden too."""

_NONCHARACTER = "[\ufdd0-\ufdef]"

Protected = Literal["code_fences", "inline_code", "latex", "placeholders"]
"""What can be protected."""

_ENVIRONMENTS = (
    "align|alignat|aligned|array|bmatrix|cases|displaymath|eqnarray|equation|flalign|gather|gathered|math|matrix"
    "|multline|pmatrix|smallmatrix|split|subequations|tabular|tikzpicture|vmatrix"
)
_FENCES = r"(?:(?s)````+.*?(?:````+|\z)|```.*?(?:```|\z)|~~~.*?(?:~~~|\z))"
_CODE = r"(?:``[^`\n]+``|`[^`\n]+`)"
_MATH = "|".join(
    [
        *(rf"(?s:\\begin\{{{name}\*?\}}.*?(?:\\end\{{{name}\*?\}}|\z))" for name in _ENVIRONMENTS.split("|")),
        r"(?s:\$\$.+?\$\$)",
        r"\\\[(?:[^\\]|\\[^\[])+?\\\]",
        r"\\\((?:[^\\]|\\[^(])+?\\\)",
        r"\$[^\s$](?:[^$\n]*[^\s$\\])?\$",
    ]
)
_NAMES = "|".join(
    [
        r"\{\{[^{}\n]{1,80}\}\}",  # {{ name }}
        r"\{%[^%\n]{1,80}%\}",  # {% if %}
        r"\$\{[^{}\n]{1,80}\}",  # ${name}
        r"\{[A-Za-z_0-9]*(?:[.\[][^{}\n]{1,40})?(?:![rsa])?(?::[^{}\n]{1,20})?\}",  # {} {0} {name!r:>10}
        # %s %(name)s %1$s %.2f; the end of a word in ASCII alone, for that of Unicode makes matching slow
        r"%(?:\([A-Za-z_][A-Za-z0-9_]*\)|[0-9]{1,2}\$)?[-+#0]?[0-9]*(?:\.[0-9]+)?l{0,2}[sdifgxXu](?-u:\b)",
        r"%[1-9](?-u:\b)",  # %1
        r"<[A-Z][A-Z0-9_]+>",  # <NAME>
        r"<\|[^|<>\s]{1,40}\|>",  # <|im_start|>
    ]
)
PATTERNS: dict[Protected, str] = {
    "code_fences": _FENCES,
    "inline_code": _CODE,
    "latex": _MATH,
    "placeholders": _NAMES,
}
"""How each kind of protected span is found."""
assert tuple(PATTERNS) == get_args(Protected)  # noqa: S101


def make_pattern(kinds: Collection[Protected], exact: Collection[str]) -> str:
    """Return the regular expression that finds spans of `kinds`, the texts `exact`, and noncharacters."""
    own = [re.escape(text) for text in sorted(exact, key=lambda text: (-len(text), text))]
    return "|".join([_NONCHARACTER, *own, *(pattern for kind, pattern in PATTERNS.items() if kind in kinds)])


def hide(texts: pl.Series, pattern: str, but: Collection[str] = ()) -> tuple[pl.Series, pl.Series]:
    """Put `MASK` in the place of every span that `pattern` finds, except those in `but`.

    Returns:
        The texts, and the spans of each, List(String).
    """
    hidden, spans = texts.str.replace_all(pattern, MASK), texts.str.extract_all(pattern)
    if but and flatten(spans).is_in(list(but)).any():
        open_span = pl.element().is_in(list(but))
        hidden = show(hidden, spans.list.eval(pl.when(open_span).then(pl.element()).otherwise(pl.lit(MASK))))
        spans = spans.list.eval(pl.element().filter(~open_span))
    return hidden, spans


def show(texts: pl.Series, spans: pl.Series) -> pl.Series:
    """Undo `hide`: put the spans back in their order.

    Raises:
        ValueError: if a text has not as many masks as spans.
    """
    parts = texts.str.split(MASK)
    if not (parts.list.len() == spans.list.len() + 1).all():
        raise ValueError("a cleaning step removed or added a protected span; this is a defect of sftdata")
    ends = spans.list.concat(pl.repeat([""], len(spans), dtype=pl.List(pl.String), eager=True))
    return nest(flatten(parts) + flatten(ends), parts).list.join("")


def keeps_spans(texts: Sequence[str], spans: Sequence[Sequence[str]]) -> list[bool]:
    """Tell for each text whether it holds its spans byte for byte, in their order."""
    return [_keeps(text, of_text) for text, of_text in zip(texts, spans, strict=True)]


def _keeps(text: str, spans: Sequence[str]) -> bool:
    place = 0
    for span in spans:
        place = text.find(span, place)
        if place < 0:
            return False
        place += len(span)
    return True
