"""English inflection: the forms of a noun, verb or adjective, irregular ones from lists such as WordNet's.

Made for the table of synonyms, so a form that is in doubt is left out rather than guessed: a verb with two past forms
(went, gone) has none here, and an adjective has degrees only where -er and -est are surely used.
"""

import re
from collections.abc import Mapping, Sequence

FORMS = {"n": ("plural",), "v": ("third", "past", "ing"), "a": ("comparative", "superlative"), "r": ()}
"""The forms of each part of speech, beside the base form."""

_UNCHANGED = (
    "beat bet bid broadcast burst bust cast cost cut fit forecast hit hurt knit let offset overcut proofread put quit "
    "read reread recast reset rid set shed shut slit split spread sublet sweat thrust typeset undercut upset wed wet"
)
UNCHANGED_PAST = frozenset(_UNCHANGED.split())
"""Verbs whose past form may be the base form; lists of exceptions leave them out."""

_UNCOUNTED = re.compile(r"(?:.{4}(?<!busi)ness|ism|ics|hood|ware|[^s]s)$")
"""Endings of nouns that have no plural, or hardly one: `goodnesses` reads badly."""

_VOWEL_GROUP = re.compile(r"[aeiouy]+")
_DOUBLED = re.compile(r"(?:^|[^aeiou])[aeiou][bdgklmnprtvz]$")


def inflect(lemma: str, part: str, irregular: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the forms of a lemma that are beyond doubt.

    Args:
        lemma: the base form, in small letters.
        part: n, v, a or r: noun, verb, adjective or adverb.
        irregular: the irregular forms of each lemma of this part of speech.

    Returns:
        The form for each of `FORMS[part]` that the word has.
    """
    listed = irregular.get(lemma, ())
    if part == "n":
        return _plural(lemma, listed)
    if part == "v":
        return _verb_forms(lemma, listed)
    return _degrees(lemma, listed) if part == "a" else {}


def _plural(lemma: str, listed: Sequence[str]) -> dict[str, str]:
    if listed:
        return {"plural": listed[0]} if len(set(listed)) == 1 else {}
    return {} if _UNCOUNTED.search(lemma) else {"plural": _add_s(lemma)}


def _verb_forms(lemma: str, listed: Sequence[str]) -> dict[str, str]:
    progressive = [form for form in listed if form.endswith("ing")]
    past = {form for form in listed if not form.endswith(("ing", "s"))}
    forms = {"third": _add_s(lemma), "ing": progressive[0] if progressive else _add_ing(lemma)}
    if lemma in UNCHANGED_PAST or len(past) > 1:
        return forms
    return {**forms, "past": past.pop() if past else _add_ending(lemma, "ed")}


def _degrees(lemma: str, listed: Sequence[str]) -> dict[str, str]:
    more = [form for form in listed if form.endswith("er")]
    most = [form for form in listed if form.endswith("est")]
    if more and most:
        return {"comparative": more[0], "superlative": most[0]}
    syllables = len(_VOWEL_GROUP.findall(lemma.removesuffix("e")))
    if len(lemma) < 3 or syllables != 1 or lemma.endswith(("ed", "ing", "st")):
        return {}
    return {"comparative": _add_ending(lemma, "er"), "superlative": _add_ending(lemma, "est")}


def _add_s(lemma: str) -> str:
    if re.search(r"[^aeiou]y$", lemma):
        return lemma[:-1] + "ies"
    return lemma + ("es" if re.search(r"(?:s|x|z|ch|sh)$", lemma) or lemma in {"do", "go", "undergo"} else "s")


def _add_ing(lemma: str) -> str:
    if lemma.endswith("ie"):
        return lemma[:-2] + "ying"
    if lemma.endswith("e") and not lemma.endswith(("ee", "oe", "ye")):
        return lemma[:-1] + "ing"
    return _double(lemma) + "ing"


def _add_ending(lemma: str, ending: str) -> str:
    if lemma.endswith("e"):
        return lemma + ending[1:]
    if re.search(r"[^aeiou]y$", lemma):
        return lemma[:-1] + "i" + ending
    return _double(lemma) + ending


def _double(lemma: str) -> str:
    """Double the last letter of a word of one syllable such as `stop`."""
    single = len(_VOWEL_GROUP.findall(lemma)) == 1 and _DOUBLED.search(lemma)
    return lemma + lemma[-1] if single else lemma
