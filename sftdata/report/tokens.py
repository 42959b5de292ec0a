"""Examples as a person reads them: tokens, special ones too, what is trained of them, and where they are from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import tokenizers
from tokenizers.decoders import DecodeStream

from sftdata.manifest import Manifest
from sftdata.records import IGNORE_INDEX, Task


@dataclass(frozen=True)
class Piece:
    """A token, or several that only together are characters.

    Attributes:
        ids: what stands in `input_ids`.
        text: what it adds to the text; of a special token its name.
        is_special: whether it is a control token.
        is_trained: whether the model learns to write it, or learns its tag.
        tag: the tag of a word, None where there is none, or `O`.
    """

    ids: tuple[int, ...]
    text: str
    is_special: bool
    is_trained: bool
    tag: str | None = None


def origin(manifest: Manifest, example: dict[str, Any]) -> tuple[str, str]:
    """Return the file and the number of the record that an example, or what it is a copy of, was read from."""
    return origin_of(manifest, example.get("parent_id") or example["row_id"])


def origin_of(manifest: Manifest, row_id: str) -> tuple[str, str]:
    """Return the file and the number of the record that a row id names."""
    source, _, record = row_id.partition(":")
    paths = {entry.id: entry.path for entry in manifest.inputs}
    return paths.get(source, source), record


def describe_labels(manifest: Manifest, labels: Any) -> str:
    """Say what a model learns from an example."""
    names = manifest.label_names or ()
    match manifest.task:
        case Task.TEXT_CLASSIFICATION:
            return f"label {names[labels]}"
        case Task.MULTILABEL:
            return "labels " + (", ".join(compress(names, labels)) or "none")
        case Task.REGRESSION:
            return f"score {labels:g}"
        case Task.SEQ2SEQ:
            return f"{len(labels)} of the target"
    return f"{sum(label != IGNORE_INDEX for label in labels)} trained"


def cut_example(
    manifest: Manifest, tokenizer: tokenizers.Tokenizer, example: dict[str, Any]
) -> Iterator[tuple[str, list[Piece]]]:
    """Yield the token sequences of an example by name, token by token: what the model sees, and what it is to write."""
    ids, labels = example["input_ids"], example["labels"]
    match manifest.task:
        case Task.CAUSAL_LM:
            yield "tokens", cut_tokens(tokenizer, ids, labels)
        case Task.TOKEN_CLASSIFICATION:
            yield "tokens", cut_tokens(tokenizer, ids, labels, manifest.label_names or ())
        case task:
            yield "source" if task == Task.SEQ2SEQ else "tokens", cut_tokens(tokenizer, ids, [IGNORE_INDEX] * len(ids))
            if task == Task.SEQ2SEQ:
                yield "target", cut_tokens(tokenizer, labels, labels)


def cut_tokens(
    tokenizer: tokenizers.Tokenizer, ids: Sequence[int], labels: Sequence[int], tags: Sequence[str] = ()
) -> list[Piece]:
    """Decode tokens one by one; the bytes of a character that several tokens share make one piece.

    Args:
        tokenizer: decodes the ids.
        ids: the tokens.
        labels: of each token, -100 where it is not trained.
        tags: what the labels of words stand for.
    """
    added = tokenizer.get_added_tokens_decoder()
    stream, pieces, waiting = DecodeStream(skip_special_tokens=False), [], 0
    for place, (token, label) in enumerate(zip(ids, labels, strict=True)):
        text, end = _step(stream, tokenizer, token), place + 1
        if text is None and end < len(ids) and (labels[end] == IGNORE_INDEX) == (label == IGNORE_INDEX):
            continue
        is_special = token in added and added[token].special
        shown = added[token].content if is_special else _show(text, tokenizer, token)
        tag = tags[label] if tags and label != IGNORE_INDEX and tags[label] != "O" else None
        pieces.append(Piece(tuple(ids[waiting:end]), shown, is_special, label != IGNORE_INDEX, tag))
        waiting = end
    return pieces


def _step(stream: DecodeStream, tokenizer: tokenizers.Tokenizer, token: int) -> str | None:
    """Return what a token adds to the text; None where it needs the next one to be a character."""
    try:
        text: str | None = stream.step(tokenizer, token)
    except Exception:  # tokenizers raises plain Exception where a decoder takes back what it has said
        return tokenizer.id_to_token(token)
    return text


def _show(text: str | None, tokenizer: tokenizers.Tokenizer, token: int) -> str:
    """Return what to show: of bytes that are no character a mark, of a token without a text its name."""
    return "\N{REPLACEMENT CHARACTER}" if text is None else text or tokenizer.id_to_token(token) or f"[{token}]"
