"""How long texts are, in characters and in tokens, and which `max_length` covers them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from sftdata.proposal.profiles import decode_cell
from sftdata.records import Task
from sftdata.tokenizers.loading import Tokenizer

COUNTED = 10_000
"""Most rows whose tokens are counted."""
TURN = 8
"""Tokens that a chat template puts around a turn, at most, in the templates that we know."""
AROUND = 2
"""Tokens that an encoder's tokenizer puts around a text: `[CLS]` and `[SEP]`; for a second text one or two more."""

RULE = "estimated: a token for each Chinese, Japanese or Korean character and for every 4 others"
"""How tokens are estimated. On real reviews a character of Chinese took 0.6 tokens with Qwen3 and DeepSeek-V3, 1.0 with
BERT, 1.8 with SmolLM2; a token of English had 4.6 characters with each, one of JSON 3 to 4."""


class Quantiles(NamedTuple):
    """The least, the median, the 99th percentile and the greatest of some numbers."""

    least: int
    half: int
    most: int
    greatest: int


class Lengths(NamedTuple):
    """How many tokens an example has: what was found, how, and in how many rows."""

    tokens: Quantiles
    how: str
    rows: int


def find_quantiles(numbers: Sequence[int]) -> Quantiles:
    """Return quantiles that are among the numbers: so many of them are at most that. All zero where there is none."""
    ordered = sorted(numbers) or [0]
    return Quantiles(ordered[0], *(ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99, 1)))


def describe_range(numbers: Sequence[int], unit: str) -> str:
    """Say from where to where the numbers go, and the one in their middle."""
    least, half, _, greatest = find_quantiles(numbers)
    return f"{least:,} {unit}" if least == greatest else f"{least:,} to {greatest:,} {unit}, median {half:,}"


def describe_lengths(texts: Sequence[str]) -> str:
    """Say how many characters the texts have."""
    lengths = [len(text) for text in texts]
    found = find_quantiles(lengths)
    more = "" if found.least == found.greatest else f", 99% up to {found.most:,}"
    return describe_range(lengths, "characters") + more


def measure_tokens(
    records: Sequence[Mapping[str, Any]], task: Task, parts: Mapping[str, str], tokenizer: Tokenizer | None
) -> Lengths:
    """Count or estimate the tokens of the examples that the records become."""
    chosen = records[:: math.ceil(len(records) / COUNTED)]
    said = [_find_texts(record, task, parts) for record in chosen]
    ends = [0, *accumulate(map(len, said))]
    counts = _count([text for texts in said for text in texts], tokenizer)
    totals = [sum(counts[start:end]) for start, end in pairwise(ends)]
    encoder = AROUND + 2 * ("text_pair" in parts)
    around = [TURN * len(texts) if task == Task.CAUSAL_LM else encoder for texts in said]
    if task == Task.SEQ2SEQ:
        totals = [max(counts[start:end], default=0) for start, end in pairwise(ends)]
    how = f"counted with {tokenizer.name}" if tokenizer else RULE
    return Lengths(find_quantiles([a + b for a, b in zip(totals, around, strict=True)]), how, len(chosen))


def propose_max_length(lengths: Lengths) -> int:
    """Return the least power of two, 32 or more, that covers 99% of the examples."""
    return max(32, 1 << (lengths.tokens.most - 1).bit_length())


def estimate_tokens(text: str) -> int:
    """Estimate by `RULE`."""
    wide = len(_WIDE.findall(text))
    return wide + math.ceil((len(text) - wide) / 4)


_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


def _count(texts: Sequence[str], tokenizer: Tokenizer | None) -> list[int]:
    if tokenizer is None:
        return list(map(estimate_tokens, texts))
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    return [len(found) for found in tokenizer.reference.encode_batch_fast(clean, add_special_tokens=False)]


def _find_texts(record: Mapping[str, Any], task: Task, parts: Mapping[str, str]) -> list[str]:
    """Return what a model reads of a record: every turn of a conversation, or the text, or the tokens."""
    if task == Task.SEQ2SEQ:
        return _texts_in([record.get(parts[part]) for part in ("source", "target")])
    if task == Task.TOKEN_CLASSIFICATION:
        return _texts_in(decode_cell(record.get(parts["tokens"])))
    if task == Task.CAUSAL_LM:
        return [text for part, name in parts.items() for text in _texts_of_part(part, record.get(name))]
    return _texts_in([record.get(parts[part]) for part in ("text", "text_pair") if part in parts])


def _texts_of_part(part: str, value: Any) -> list[str]:
    if part == "tools" and not isinstance(value, str):
        return [json.dumps(value, ensure_ascii=False)] if value else []
    return _texts_in(decode_cell(value))


def _texts_in(value: Any) -> list[str]:
    """Return the texts anywhere in a value; those of a turn, who speaks among them, as one."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, dict):
        return ["\n".join(text for inner in value.values() for text in _texts_in(inner))]
    return [text for inner in value for text in _texts_in(inner)] if isinstance(value, list) else []
