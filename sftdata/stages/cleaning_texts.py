"""Clean texts: the steps in their order, again and again until they change nothing, protected spans apart.

What one step does can make work for another: two halves of a phone number come together when the URL between them is
deleted, and `&amp;lt;` is a reference, then a tag. So a text is cleaned until a whole round leaves it as it is, which
also makes cleaning idempotent. A text that finds no rest, or would lose a protected span, is told as unstable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import polars as pl

from sftdata.settings.cleaning import Action, CleanSettings, Replacement
from sftdata.text import normalization as forms
from sftdata.text.cleaner import Cleaner
from sftdata.text.html import HTML, TAGS, strip_html
from sftdata.text.personal_data import FINDERS, Kind
from sftdata.text.protection import MARKS, hide, keeps_spans, make_pattern, show
from sftdata.text.stopwords import make_guard, remove_stopwords

ROUNDS = 20
"""Most rounds; real text needs two or three, text that was escaped twenty times is rejected."""

SAMPLES = 5
"""Texts before and after that are kept for each step."""

PLACEHOLDERS: dict[Kind, str] = {
    "url": "<URL>",
    "email": "<EMAIL>",
    "chinese_id": "<ID>",
    "card_number": "<CARD>",
    "ip_address": "<IP>",
    "phone_number": "<PHONE>",
}
"""What takes the place of what is found, unless another text is given."""

_OPEN_TAGS = tuple(f"<{name.upper()}>" for name in sorted(TAGS))


class Step(NamedTuple):
    """One step: the key of `CleanSettings` that asks for it, and what it does to a String series without nulls.

    `guard` is a polars regular expression that matches in every text which the step may change.
    """

    name: str
    guard: str
    apply: Callable[[pl.Series], pl.Series]


@dataclass(frozen=True)
class Plan:
    """What is done to each text of a field.

    Attributes:
        guard: a polars regular expression that matches in every text with which there is anything to do.
        steps: in order.
        rejects: what rejects a row when it is found.
        pattern: finds what is hidden from the steps.
        open_tags: what `pattern` finds, but HTML has a better right to.
        placeholders: what the marks that steps put into texts stand for.
        tokens: whether the texts are tokens, none of which may vanish.
    """

    guard: str
    steps: tuple[Step, ...]
    rejects: tuple[Kind, ...]
    pattern: str
    open_tags: tuple[str, ...]
    placeholders: dict[str, str]
    tokens: bool


@dataclass(frozen=True)
class Change:
    """What a step did in one round: which texts it changed, and the first of them, before and after."""

    step: str
    places: pl.Series
    first: pl.Series
    before: pl.Series
    after: pl.Series


@dataclass(frozen=True)
class Finding:
    """Personal data that rejects a row: its kind, the texts that hold it, and the first of it in each."""

    kind: Kind
    places: pl.Series
    found: pl.Series


@dataclass(frozen=True)
class CleanedTexts:
    """Texts as they are after cleaning, what was done, and the places of those that found no rest."""

    texts: pl.Series
    changes: list[Change]
    findings: list[Finding]
    unstable: pl.Series


def make_plan(cleaner: Cleaner, *, tokens: bool) -> Plan:
    """Lay out what `cleaner` does to texts, or to tokens."""
    settings = cleaner.settings
    actions = _actions(settings)
    own: dict[Kind, str] = {
        kind: action.replace if isinstance(action, Replacement) else PLACEHOLDERS[kind]
        for kind, action in actions.items()
        if isinstance(action, Replacement) or action == "replace" or (action == "delete" and tokens)
    }
    marks = dict(zip(own, MARKS, strict=False))
    steps = tuple(_make_steps(cleaner, actions, marks))
    rejects = tuple(kind for kind, action in actions.items() if action == "reject")
    return Plan(
        guard="|".join([step.guard for step in steps] + [FINDERS[kind].guard for kind in rejects]),
        steps=steps,
        rejects=rejects,
        pattern=make_pattern(settings.protect, own.values()),
        open_tags=tuple(tag for tag in _OPEN_TAGS if tag not in own.values()) if settings.html else (),
        placeholders={marks[kind]: text for kind, text in own.items()},
        tokens=tokens,
    )


def _actions(settings: CleanSettings) -> dict[Kind, Action]:
    given = {kind: getattr(settings, _key(kind)) for kind in FINDERS}
    return {kind: action for kind, action in given.items() if action is not None}


def _key(kind: Kind) -> str:
    return kind + ("es" if kind == "ip_address" else "s")


def _make_steps(cleaner: Cleaner, actions: dict[Kind, Action], marks: dict[Kind, str]) -> list[Step]:
    settings = cleaner.settings
    replaced = [kind for kind, action in actions.items() if action != "reject"]
    steps = [
        settings.repair and Step("repair", forms.MOJIBAKE, forms.repair_encoding),
        settings.html and Step("html", HTML, strip_html),
        settings.unicode and Step("unicode", forms.NOT_ASCII, partial(forms.normalize_unicode, form=settings.unicode)),
        settings.half_width and Step("half_width", forms.FULL_WIDTH, partial(forms.narrow, which=settings.half_width)),
        settings.control_characters and Step("control_characters", forms.CONTROL, forms.remove_control_characters),
        settings.zero_width and Step("zero_width", forms.ZERO_WIDTH, forms.remove_zero_width),
        settings.chinese and Step("chinese", forms.CHINESE, partial(forms.convert_chinese, script=settings.chinese)),
        *(
            Step(_key(kind), FINDERS[kind].guard, partial(FINDERS[kind].replace, by=marks.get(kind, "")))
            for kind in replaced
        ),
        settings.stopwords is not None
        and Step(
            "stopwords",
            make_guard(cleaner.stopwords),
            partial(remove_stopwords, words=cleaner.stopwords, segmenter=cleaner.segmenter),
        ),
        settings.case and Step("case", forms.CASED[settings.case], partial(forms.fold_case, case=settings.case)),
        settings.whitespace
        and Step(
            "whitespace",
            forms.SPACED[settings.whitespace],
            partial(forms.normalize_whitespace, keep=settings.whitespace),
        ),
    ]
    return [step for step in steps if step]


def clean_texts(texts: pl.Series, owners: pl.Series, plan: Plan) -> CleanedTexts:
    """Clean texts until nothing changes.

    Args:
        texts: String, shape `[texts]`; nulls stay.
        owners: the row of each text, ascending, shape `[texts]`.
        plan: what to do.
    """
    places = (
        texts.str.contains(plan.guard).fill_null(False).arg_true() if plan.guard else pl.Series([], dtype=pl.UInt32)
    )
    result, changes, findings = texts, [], []
    for _ in range(ROUNDS):
        if places.is_empty():
            break
        before = result.gather(places)
        after, done, found = _clean_once(before, places, owners.gather(places), plan)
        changes += done
        findings += found
        moved = after != before
        places, after = places.filter(moved), after.filter(moved)
        result = _put(result, places, after)
    return CleanedTexts(result, changes, findings, pl.concat([places, _find_losses(texts, result, plan)]).unique())


def _put(texts: pl.Series, places: pl.Series, values: pl.Series) -> pl.Series:
    """Return `texts` with `values` at `places`; `texts` itself does not change."""
    return texts.clone().scatter(places, values) if len(places) else texts


def _find_losses(texts: pl.Series, result: pl.Series, plan: Plan) -> pl.Series:
    """Return the places of texts that lost a protected span, or in which one changed."""
    moved = (texts != result).fill_null(False).arg_true()
    places = moved.filter(texts.gather(moved).str.contains(plan.pattern))
    spans = hide(texts.gather(places), plan.pattern, plan.open_tags)[1]
    kept = keeps_spans(result.gather(places).to_list(), spans.to_list())
    return places.filter(~pl.Series(kept, dtype=pl.Boolean))


def _clean_once(
    texts: pl.Series, places: pl.Series, owners: pl.Series, plan: Plan
) -> tuple[pl.Series, list[Change], list[Finding]]:
    hidden, spans = hide(texts, plan.pattern, plan.open_tags)

    def reveal(some: pl.Series, chosen: pl.Series) -> pl.Series:
        return _reveal(some.gather(chosen), spans.gather(chosen), plan)

    changes = []
    for step in plan.steps:
        tried = hidden.str.contains(step.guard).arg_true()
        some = hidden.gather(tried)
        after = step.apply(some)
        moved = (after != some) & ((after != "") | (not plan.tokens))
        if moved.any():
            before, hidden, tried = hidden, _put(hidden, tried.filter(moved), after.filter(moved)), tried.filter(moved)
            first = tried.filter(owners.gather(tried).is_first_distinct()).head(SAMPLES)
            seen = places.gather(tried), places.gather(first), reveal(before, first), reveal(hidden, first)
            changes.append(Change(step.name, *seen))
    return _reveal(hidden, spans, plan), changes, _find(hidden, places, plan.rejects)


def _reveal(hidden: pl.Series, spans: pl.Series, plan: Plan) -> pl.Series:
    """Put protected spans and placeholders back."""
    if plan.placeholders:
        held = hidden.str.contains("[" + "".join(plan.placeholders) + "]").arg_true()
        signs, own = list(plan.placeholders), list(plan.placeholders.values())
        hidden = _put(hidden, held, hidden.gather(held).str.replace_many(signs, own))
    holders = (spans.list.len() > 0).arg_true()
    return _put(hidden, holders, show(hidden.gather(holders), spans.gather(holders)))


def _find(texts: pl.Series, places: pl.Series, kinds: Sequence[Kind]) -> list[Finding]:
    findings = []
    for kind in kinds:
        tried = texts.str.contains(FINDERS[kind].guard).arg_true()
        found = FINDERS[kind].find(texts.gather(tried))
        if found.null_count() < len(found):
            findings.append(Finding(kind, places.gather(tried.filter(found.is_not_null())), found.drop_nulls()))
    return findings
