"""Examples that a model gets wrong, as a person reads them: their tokens, and of each target what it costs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tokenizers

from sftdata.errors import make_printable
from sftdata.records import IGNORE_INDEX, shorten
from sftdata.report.tokens import Piece, cut_tokens

CHARACTERS = 6_000
"""Characters of a sequence that are shown at most."""

WRITTEN, NAME_CHARACTERS = 2_000, 120

LEVELS = (0.25, 1.0, 2.0, 4.0)
"""Nats from which a token is darker."""


@dataclass(frozen=True)
class Run:
    """Tokens that are shown as one: a target, a special token, or all others between two of these.

    Attributes:
        text: what they spell.
        kind: `s` for a special token, `t0` to `t4` for a target by its loss, `n` for what was left out, else empty.
        said: of a target, its loss and what the model takes for likelier; else empty.
        is_missed: whether it takes something else for likelier.
        is_special: of a target, whether it is a control token.
        tag: that is expected of a word, None where there is none.
    """

    text: str
    kind: str = ""
    said: str = ""
    is_missed: bool = False
    is_special: bool = False
    tag: str | None = None


def describe_examples(
    examples: Sequence[Mapping[str, Any]], tokenizer: tokenizers.Tokenizer | None, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what the page says of each example.

    Args:
        examples: as `training.worst.describe_worst` has them.
        tokenizer: that made the data; None where it is gone.
        names: of tags.
    """
    return [_describe(example, tokenizer, names) for example in examples]


def _describe(
    example: Mapping[str, Any], tokenizer: tokenizers.Tokenizer | None, names: Sequence[str]
) -> dict[str, Any]:
    sequences = [
        {"name": sequence["name"], "tokens": sequence["tokens"], "runs": list(_cut(sequence, tokenizer, names))}
        for sequence in example["sequences"]
    ]
    written, answer = example.get("written"), _describe_answer(example) if "expected" in example else None
    return {
        "row_id": example["row_id"],
        "where": f"{shorten(example['source'], NAME_CHARACTERS)}, record {example['record']}",
        "loss": example["loss"],
        "targets": example["targets"],
        "answer": answer,
        "sure": _measure_error(answer),
        "given_probability": example.get("given_probability"),
        "has_losses": any("losses" in part for sequence in example["sequences"] for part in sequence["stretches"]),
        "sequences": sequences,
        "preview": _preview(sequences, example),
        "written": None if written is None else shorten(written, WRITTEN),
    }


def _describe_answer(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was expected and what was said, in words, and how sure the model was."""
    confidence = example["confidence"]
    labels = {}
    if isinstance(confidence, dict):
        labels, confidence = confidence, None
    return {
        "expected": _say(example["expected"]),
        "predicted": _say(example["predicted"]),
        "is_right": example["expected"] == example["predicted"],
        "confidence": confidence,
        "labels": {shorten(name, NAME_CHARACTERS): value for name, value in labels.items()},
    }


def _measure_error(answer: Mapping[str, Any] | None) -> float | None:
    """Return how sure a model is of a wrong class, below 0 of a right one; None where there are no such numbers."""
    if answer is None or answer["confidence"] is None:
        return None
    confidence: float = answer["confidence"]
    return confidence - 1 if answer["is_right"] else confidence


def _say(answer: Any) -> str:
    if isinstance(answer, list):
        return ", ".join(shorten(name, NAME_CHARACTERS) for name in answer) or "no label"
    if answer is None:
        return "not a number"
    return shorten(answer, NAME_CHARACTERS) if isinstance(answer, str) else f"{answer:.4g}"


def _preview(sequences: Sequence[Mapping[str, Any]], example: Mapping[str, Any]) -> str:
    """Return the beginning of what is written to the model, or by it where that is what it learns."""
    runs = [run for run in sequences[0]["runs"] if run.kind not in ("s", "n")]
    stretches = example["sequences"][0]["stretches"]
    if any("losses" in stretch and "expected" not in stretch for stretch in stretches):
        runs = [run for run in runs if run.kind and not run.is_special]
    return shorten(" ".join("".join(run.text for run in runs).split()), 90)


def _cut(sequence: Mapping[str, Any], tokenizer: tokenizers.Tokenizer | None, names: Sequence[str]) -> Iterator[Run]:
    """Yield the tokens of a sequence, and how many are left out between its stretches."""
    place = characters = 0
    for stretch in sequence["stretches"]:
        if stretch["start"] > place:
            yield _leave_out(stretch["start"] - place)
        place = stretch["start"]
        for run, count in _join_plain(_cut_stretch(stretch, tokenizer, names)):
            characters += len(run.text)
            if characters > CHARACTERS:
                break
            yield run
            place += count
    if place < sequence["tokens"]:
        yield _leave_out(sequence["tokens"] - place)


def _leave_out(tokens: int) -> Run:
    return Run(f" … {tokens:,} {'token is' if tokens == 1 else 'tokens are'} left out … ", "n")


def _cut_stretch(
    stretch: Mapping[str, Any], tokenizer: tokenizers.Tokenizer | None, names: Sequence[str]
) -> Iterator[tuple[Run, int]]:
    """Yield a run for each token, or several that only together are characters, and how many tokens it is."""
    ids = stretch["ids"]
    losses = stretch.get("losses") or [None] * len(ids)
    trained = [likeliest is not None for likeliest in stretch.get("likeliest") or [None] * len(ids)]
    labels = [token if is_trained else IGNORE_INDEX for token, is_trained in zip(ids, trained, strict=True)]
    pieces = cut_tokens(tokenizer, ids, labels) if tokenizer else [Piece((i,), f"[{i}] ", False, False) for i in ids]
    place = 0
    for piece in pieces:
        end = place + len(piece.ids)
        if trained[place]:
            known = [loss for loss in losses[place:end] if loss is not None]
            yield _describe_target(piece, known, stretch, slice(place, end), tokenizer, names), end - place
        else:
            yield Run(piece.text, "s" if piece.is_special else ""), end - place
        place = end


def _describe_target(
    piece: Piece,
    losses: Sequence[float],
    stretch: Mapping[str, Any],
    here: slice,
    tokenizer: tokenizers.Tokenizer | None,
    names: Sequence[str],
) -> Run:
    """Return what a target costs; the loss of several tokens that are one character is their sum."""
    likeliest, expected = stretch["likeliest"][here], stretch.get("expected")
    loss = sum(losses)
    level = sum(loss >= least for least in LEVELS)
    if expected is None:
        wanted, found, tag = list(piece.ids), _decode(tokenizer, likeliest), None
    else:
        wanted, found, tag = expected[here], names[likeliest[0]], names[expected[here][0]]
    missed = wanted != likeliest
    said = f"loss {loss:.3g}" + (f", likelier: {shorten(make_printable(found), 60)}" if missed else "")
    shown = None if tag == "O" and not missed else tag
    return Run(piece.text, f"t{level}", said, missed, piece.is_special, shown)


def _decode(tokenizer: tokenizers.Tokenizer | None, ids: Sequence[int]) -> str:
    if tokenizer is None:
        return " ".join(map(str, ids))
    return tokenizer.decode(ids, skip_special_tokens=False) or " ".join(str(tokenizer.id_to_token(one)) for one in ids)


def _join_plain(runs: Iterator[tuple[Run, int]]) -> Iterator[tuple[Run, int]]:
    """Put together what stands between targets and special tokens."""
    text, count = "", 0
    for run, tokens in runs:
        if run.kind == "":
            text, count = text + run.text, count + tokens
            continue
        if count:
            yield Run(text), count
        text, count = "", 0
        yield run, tokens
    if count:
        yield Run(text), count
