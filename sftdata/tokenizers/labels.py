"""Which tokens are trained: from character spans known while rendering, proved by decoding.

Two ways lead to the place of each token in its text. For byte-level BPE the bytes of a token are known from the
vocabulary, so that places are a running sum, and the concatenated bytes of all tokens must equal the text. For any
other tokenizer the reference gives character offsets.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers
from numpy.typing import NDArray

from sftdata.arrays import to_arrow
from sftdata.errors import TokenizerError
from sftdata.records import IGNORE_INDEX, shorten
from sftdata.tokenizers.backends import Encoded, encode_reference
from sftdata.tokenizers.loading import Tokenizer

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Weights = NDArray[np.float32]


@dataclass(frozen=True)
class Places:
    """Where tokens lie, in the texts laid end to end.

    Attributes:
        starts: first unit (byte or character) of each token, shape `[tokens]`.
        ends: one past the last unit of each token, shape `[tokens]`.
    """

    starts: Ints
    ends: Ints


def byte_table(reference: tokenizers.Tokenizer) -> pa.LargeBinaryArray | None:
    """Return the bytes that each id stands for; None unless the tokenizer is byte-level BPE without a prefix space."""
    if type(reference.model).__name__ != "BPE" or not _is_byte_level(reference):
        return None
    vocabulary = reference.get_vocab(with_added_tokens=False)
    added = reference.get_added_tokens_decoder()
    texts = [""] * (1 + max([*vocabulary.values(), *added]))
    for token, i in vocabulary.items():
        texts[i] = token
    data, lengths = _read_alphabet(texts)
    for i in added:  # written as they are, not in the alphabet
        lengths[i] = 0
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    keep = np.repeat(lengths > 0, [len(text) for text in texts])
    plain = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(data[keep])]
    )
    if not added:
        return plain
    others = pl.Series([added[i].content.encode() if i in added else None for i in range(len(texts))], dtype=pl.Binary)
    return pc.coalesce(others.to_arrow(), plain)


def _read_alphabet(texts: list[str]) -> tuple[NDArray[np.uint8], Ints]:
    """Return the bytes of all characters of `texts`, end to end, and the number of bytes of each text.

    A text with a character outside GPT-2's alphabet stands for nothing.
    """
    characters = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    alphabet = np.full(1 + max(map(ord, _byte_alphabet().values())), -1, dtype=np.int16)
    for byte, character in _byte_alphabet().items():
        alphabet[ord(character)] = byte
    found = np.where(characters < len(alphabet), alphabet[np.minimum(characters, len(alphabet) - 1)], -1)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    strange = np.repeat(np.arange(len(texts)), lengths)[found < 0]
    lengths[strange] = 0
    return found.astype(np.uint8), lengths


def find_trained(
    rendered: pl.DataFrame, encoded: Encoded, tokenizer: Tokenizer, table: pa.LargeBinaryArray | None
) -> tuple[Weights, Ints]:
    """Find the tokens that lie inside the spans of their rows, and what they weigh.

    Args:
        rendered: `text`, `starts` and `ends`, the spans in bytes of each text, rising and apart, and their `weights`.
        encoded: ids and lengths of the texts.
        tokenizer: gives character offsets for rows whose token bytes do not spell their text.
        table: what `byte_table` gave.

    Returns:
        The weight of each token, 0 where it is not trained, shape `[tokens]`; and the rows in which a token spans the
        edge of a response, shape `[torn]`, rising. Such a row must not be trained: its trained text would not be the
        response.
    """
    ids, lengths = encoded
    first_token = np.cumsum(lengths) - lengths
    placed = np.zeros(len(lengths), dtype=np.bool_)
    found = np.zeros(len(ids), dtype=np.float32)
    torn: list[Ints] = []
    if table is not None:
        offsets, spelled = _byte_offsets(ids, table)
        row_bytes = offsets[np.append(first_token, len(ids))]
        placed = _spells_text(rendered["text"], spelled, row_bytes)
        spans = rendered.with_row_index("row").filter(pl.Series(placed))
        spans = spans.explode("starts", "ends", "weights").drop_nulls("starts")
        rows = spans["row"].to_numpy().astype(np.int64)
        starts, ends = (row_bytes[rows] + spans[side].to_numpy() for side in ("starts", "ends"))
        found, tiled = mark_trained(Places(offsets[:-1], offsets[1:]), starts, ends, spans["weights"].to_numpy())
        torn.append(rows[~tiled])
    for row in np.flatnonzero(~placed):
        tokens = slice(first_token[row], first_token[row] + lengths[row])
        found[tokens], tiled = _mark_by_offsets(rendered, int(row), tokenizer, ids[tokens])
        torn.append(np.full(int((~tiled).sum()), row, dtype=np.int64))
    return found, np.unique(np.concatenate([np.zeros(0, np.int64), *torn]))


def _byte_offsets(ids: NDArray[np.int32], table: pa.LargeBinaryArray) -> tuple[Ints, NDArray[np.uint8]]:
    """Return where each token begins in the bytes of all tokens end to end, shape `[tokens + 1]`, and these bytes."""
    taken = table.take(to_arrow(ids))
    _, offset_buffer, data_buffer = taken.buffers()
    if not len(taken):
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    offsets = np.frombuffer(offset_buffer, np.int64)[taken.offset : taken.offset + len(taken) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
    return offsets - offsets[0], data


def _spells_text(texts: pl.Series, spelled: NDArray[np.uint8], row_bytes: Ints) -> Flags:
    """Tell for each row whether the bytes of its tokens are the bytes of its text: the proof by decoding."""
    lengths = texts.str.len_bytes().to_numpy().astype(np.int64)
    if np.array_equal(np.diff(row_bytes), lengths) and np.array_equal(spelled, _joined(texts)):
        return np.ones(len(texts), dtype=np.bool_)
    whole = [
        spelled[start:end].tobytes() == text.encode()
        for text, start, end in zip(texts, row_bytes[:-1], row_bytes[1:], strict=True)
    ]
    return np.array(whole, dtype=np.bool_)


def _joined(texts: pl.Series) -> NDArray[np.uint8]:
    arrow = texts.to_arrow()
    _, offset_buffer, data = arrow.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[arrow.offset : arrow.offset + len(arrow) + 1]
    return np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]


def _mark_by_offsets(
    rendered: pl.DataFrame, row: int, tokenizer: Tokenizer, ids: NDArray[np.int32]
) -> tuple[Weights, Flags]:
    """Mark one row by the reference's character offsets."""
    text, starts, ends, weights = rendered.select("text", "starts", "ends", "weights").row(row)
    encoding = encode_reference(tokenizer, [text])[0]
    if encoding.ids != ids.tolist():
        raise TokenizerError(
            f"the encoder gives other ids than Hugging Face's for {shorten(text)!r}. Use `backend: huggingface`."
        )
    offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    firsts, lasts = (
        np.array([len(text.encode()[:place].decode()) for place in side or []], np.int64) for side in (starts, ends)
    )
    return mark_trained(Places(offsets[:, 0], offsets[:, 1]), firsts, lasts, np.array(weights or [], np.float32))


def mark_trained(places: Places, starts: Ints, ends: Ints, weights: Weights) -> tuple[Weights, Flags]:
    """Give the tokens that lie inside a span its weight.

    Args:
        places: of all tokens, in rising order.
        starts: first unit of each span, shape `[spans]`, rising; spans do not overlap.
        ends: one past the last unit of each span, shape `[spans]`.
        weights: of each span, above 0, shape `[spans]`.

    Returns:
        The weight of each token, 0 outside of spans, shape `[tokens]`; and spans that tokens tile from edge to edge,
        shape `[spans]`.
    """
    count = len(places.starts)
    if count == 0:
        return np.zeros(0, dtype=np.float32), np.zeros(len(starts), dtype=np.bool_)
    first = np.searchsorted(places.starts, starts, side="left")
    last = np.searchsorted(places.ends, ends, side="right")
    inside = last > first
    starts_here = places.starts[np.minimum(first, count - 1)] == starts
    ends_here = places.ends[np.maximum(last - 1, 0)] == ends
    change = np.zeros(count + 1, dtype=np.int8)
    change[first[inside]] += 1  # spans are apart, so none begins or ends where another does
    change[last[inside]] -= 1
    trained = np.cumsum(change[:-1], dtype=np.int8).astype(np.float32)
    if (weights != 1).any() and inside.any():
        begins = np.zeros(count, dtype=np.int64)
        begins[first[inside]] = 1
        trained *= weights[inside][np.cumsum(begins) - 1]
    return trained, inside & starts_here & ends_here


def apply_mask(ids: NDArray[np.int32], trained: Flags) -> NDArray[np.int32]:
    """Return unshifted labels: the id where a token is trained, `IGNORE_INDEX` elsewhere."""
    return np.where(trained, ids, np.int32(IGNORE_INDEX))


def _is_byte_level(reference: tokenizers.Tokenizer) -> bool:
    before, after = (_describe(part) for part in (reference.pre_tokenizer, reference.decoder))
    steps = before.get("pretokenizers", [before])
    levels = [step for step in steps if step.get("type") == "ByteLevel"]
    return after.get("type") == "ByteLevel" and len(levels) == 1 and not levels[0].get("add_prefix_space")


def _describe(part: Any) -> dict[str, Any]:
    description: dict[str, Any] = json.loads(part.__getstate__()) if part is not None else {}
    return description


def _byte_alphabet() -> dict[int, str]:
    """Return GPT-2's printable character for each byte (Radford et al. 2019, `bytes_to_unicode`)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}
