"""Say in what two tokenizers differ that can change an id; a digest also differs where no id does."""

import json
from collections.abc import Mapping
from typing import Any

from sftdata.tokenizers.loading import Tokenizer

_SHOWN = 3
"""So many tokens are named of those that differ."""


def find_differences(ours: Tokenizer, theirs: Tokenizer, *, texts: int) -> list[str]:
    """Return a line for each part in which the model's tokenizer differs from the data's, so that an id can differ.

    Both are compared as the installed `tokenizers` writes them, for older files spell the same in other ways. Left out
    is what changes no id: the order of keys, truncation and padding, which `prepare` switches off, the decoder,
    offsets, and whether a token counts as special.

    Args:
        ours: the data's.
        theirs: the model's.
        texts: 1 or 2 where the ids hold what a tokenizer puts around a text or a pair of its own accord, else 0.
    """
    mine, other = (json.loads(tokenizer.reference.to_str()) for tokenizer in (ours, theirs))
    vocabularies = [tokenizer.reference.get_vocab(with_added_tokens=True) for tokenizer in (ours, theirs)]
    found = _compare_tokens("vocabulary", *vocabularies)
    found += _compare_tokens("added tokens", *(_added_tokens(parts) for parts in (mine, other)))
    found += _compare_models(mine["model"], other["model"])
    for part in ("normalizer", "pre_tokenizer"):
        if _without_offsets(mine[part]) != _without_offsets(other[part]):
            found.append(f"{part}: {_describe_kinds(mine[part], other[part])}")
    if texts and vocabularies[0] == vocabularies[1]:
        found += _compare_wrapping(ours, theirs, ("a", "a" if texts == 2 else None))
    return found


def _added_tokens(parts: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    matters = ("id", "single_word", "lstrip", "rstrip", "normalized")
    return {token["content"]: tuple(token[key] for key in matters) for token in parts["added_tokens"]}


def _compare_tokens(what: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    missing, extra = ours.keys() - theirs.keys(), theirs.keys() - ours.keys()
    changed = {token for token in ours.keys() & theirs.keys() if ours[token] != theirs[token]}
    kinds = ((missing, "only in the data's"), (extra, "only in the model's"), (changed, "not the same in both"))
    told = [f"{len(tokens):,} {where} ({_name_some(tokens)})" for tokens, where in kinds if tokens]
    return [f"{what}, {len(ours):,} and {len(theirs):,} tokens: {', '.join(told)}"] if told else []


def _name_some(tokens: set[str]) -> str:
    shown = ", ".join(repr(token) for token in sorted(tokens)[:_SHOWN])
    return f"{shown}, ..." if len(tokens) > _SHOWN else shown


def _compare_models(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Compare how pieces are put together; the ids of the pieces are compared elsewhere."""
    if ours["type"] != theirs["type"]:
        return [f"model: {ours['type']} in the data's, {theirs['type']} in the model's"]
    found = []
    if isinstance(ours.get("vocab"), list) and ours["vocab"] != theirs["vocab"]:
        found.append("model: the scores of the vocabulary differ")
    merges, others = ours.get("merges", []), theirs.get("merges", [])
    if merges != others:
        place = next((i for i, pair in enumerate(zip(merges, others, strict=False)) if pair[0] != pair[1]), None)
        first = f", the first other one is number {place + 1:,}" if place is not None else ""
        found.append(f"merges: {len(merges):,} in the data's, {len(others):,} in the model's{first}")
    for key in sorted((ours.keys() | theirs.keys()) - {"vocab", "merges"}):
        mine, other = (None if options.get(key) == "" else options.get(key) for options in (ours, theirs))
        found += [f"model.{key}: {mine!r} in the data's, {other!r} in the model's"] if mine != other else []
    return found


def _without_offsets(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_offsets(value) for key, value in part.items() if key != "trim_offsets"}
    return [_without_offsets(value) for value in part] if isinstance(part, list) else part


def _describe_kinds(ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> str:
    mine, other = (part["type"] if part else "none" for part in (ours, theirs))
    return f"{mine} in the data's, {other} in the model's" if mine != other else f"{mine} in both, set otherwise"


def _compare_wrapping(ours: Tokenizer, theirs: Tokenizer, texts: tuple[str, str | None]) -> list[str]:
    """Compare what is put around texts; it never depends on what they say, so one letter each tells it."""
    mine, other = (tokenizer.reference.encode(*texts) for tokenizer in (ours, theirs))
    if (mine.ids, mine.type_ids) == (other.ids, other.type_ids):
        return []
    shown = [" ".join(map("{}:{}".format, encoding.tokens, encoding.type_ids)) for encoding in (mine, other)]
    what = "a text" if texts[1] is None else "a pair"
    return [f"post_processor: {what} becomes {shown[0]} in the data's, {shown[1]} in the model's"]
