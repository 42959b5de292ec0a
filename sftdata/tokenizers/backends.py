"""Backends that turn texts into ids, and the proof that a fast one equals Hugging Face's.

The proof has four parts: each character of a sample of the data, in a context of spaces, digits and letters; hard
texts; every added token; and a part of the sample itself. Characters that fail, and those that were not tried, are
unproved: a row that holds one goes to the reference.
"""

import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import tokenizers
from numpy.typing import NDArray

from sftdata.errors import TokenizerError
from sftdata.tokenizers.loading import Tokenizer

Encoded = tuple[NDArray[np.int32], NDArray[np.int64]]
"""The ids of all texts end to end, shape `[tokens]`, and the number of ids of each text, shape `[texts]`."""

COMPARED_TEXTS = 1000
"""About so many texts of the data are encoded by both backends."""

Encode = Callable[[pl.Series], Encoded]
"""Takes texts without nulls, String, shape `[texts]`."""


class Backend(NamedTuple):
    """An encoder without special tokens around the text, and the name that the manifest gives it."""

    name: str
    encode: Encode


@dataclass(frozen=True)
class Proof:
    """How a backend was compared with the reference.

    Attributes:
        backend: name of the one to use.
        proved: a regular expression for the characters that the fast backend may see; None stands for the reference.
        counts: texts compared, by kind; for characters, those that were equal.
        differs: why a fast backend that was tried is not used, or None.
    """

    backend: str
    proved: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    differs: str | None = None


def huggingface(tokenizer: Tokenizer) -> Backend:
    """Return the reference."""
    return Backend(f"tokenizers {version('tokenizers')}", _reference_encode(tokenizer.reference))


def tokie(tokenizer: Tokenizer, proved: str) -> Backend:
    """Return tokie's backend for texts of `proved` characters, and the reference for the others.

    Raises:
        TokenizerError: when tokie does not support this tokenizer.
    """
    fast, reference = _tokie_encode(tokenizer.text), _reference_encode(tokenizer.reference)
    return Backend(f"tokie {version('tokie')}", _route(fast, reference, proved))


def make_backend(tokenizer: Tokenizer, proof: Proof | None) -> Backend:
    """Return the backend that a proof chose; the reference where nothing is proved."""
    return huggingface(tokenizer) if proof is None or proof.proved is None else tokie(tokenizer, proof.proved)


def encode_reference(tokenizer: Tokenizer, texts: list[str]) -> list[tokenizers.Encoding]:
    """Encode with the reference, character offsets included."""
    return tokenizer.reference.encode_batch(texts, add_special_tokens=False)


def encode_plain(tokenizer: Tokenizer, texts: list[str]) -> Encoded:
    """Encode with the reference, control tokens that a text spells as the plain characters that they are."""
    plain = tokenizers.Tokenizer.from_str(tokenizer.reference.to_str())
    plain.encode_special_tokens = True
    return _reference_encode(plain)(pl.Series(texts, dtype=pl.String))


def choose_backend(tokenizer: Tokenizer, wanted: str, sample: pl.Series) -> Proof:
    """Choose the backend for this tokenizer and this data.

    Args:
        tokenizer: what the ids must equal.
        wanted: `auto`, `tokie` or `huggingface`.
        sample: texts of the data at hand; all give their characters, about `COMPARED_TEXTS` are compared.

    Raises:
        TokenizerError: when `wanted` names a fast backend that is unfit or differs.
    """
    reference = Proof(huggingface(tokenizer).name)
    if wanted == "huggingface":
        return reference
    try:
        proof = prove(tokenizer, sample)
    except TokenizerError as cause:
        proof = Proof("tokie", differs=str(cause))
    if proof.differs is None:
        return proof
    if wanted != "auto":
        raise TokenizerError(
            f"backend {proof.backend} differs from Hugging Face's: {proof.differs}. Use `backend: auto`."
        )
    return Proof(reference.backend, counts=proof.counts, differs=f"{proof.backend}: {proof.differs}")


def prove(tokenizer: Tokenizer, sample: pl.Series) -> Proof:
    """Compare the fast backend with the reference, on characters first and then, within these, on texts."""
    reference = huggingface(tokenizer)
    tried = candidate_characters(sample)
    contexts = pl.Series([f"a{c} {c}{c}1{c}\n{c}" for c in tried], dtype=pl.String)
    differing = set(_differences(_tokie_encode(tokenizer.text)(contexts), reference.encode(contexts)))
    equal = [c for place, c in enumerate(tried) if place not in differing]
    fast = tokie(tokenizer, _character_class(equal))
    added = [text for token in tokenizer.added_tokens for text in (token, f"a{token}b", f" {token}\n", token * 2)]
    compared = sample[:: max(1, len(sample) // COMPARED_TEXTS)].to_list()
    counts = {"characters": len(equal)}
    for kind, found in {"adversarial": list(ADVERSARIAL), "added_tokens": added, "sample": compared}.items():
        texts = pl.Series(found, dtype=pl.String)
        counts[kind] = len(texts)
        for text in _differences(fast.encode(texts), reference.encode(texts)):
            shown = texts[text] if len(texts[text]) <= 60 else texts[text][:57] + "..."
            return Proof(fast.name, None, counts, f"ids differ on {kind} text {shown!r}")
    return Proof(fast.name, _character_class(equal), counts)


def candidate_characters(texts: Iterable[str]) -> list[str]:
    """Return printable ASCII and the characters of `texts` that are assigned and not private, in order."""
    found = set().union(*texts, map(chr, range(0x20, 0x7F)), "\t\n\r")
    return sorted(c for c in found if c in "\t\n\r" or unicodedata.category(c) not in {"Cn", "Co", "Cc", "Cs"})


def _character_class(characters: Sequence[str]) -> str:
    """Return a regular expression that finds a character which is not one of `characters`."""
    codes = np.array(sorted(map(ord, characters)), dtype=np.int64)
    runs = np.split(codes, np.flatnonzero(np.diff(codes) > 1) + 1)
    return "[^" + "".join(rf"\x{{{run[0]:x}}}-\x{{{run[-1]:x}}}" for run in runs if len(run)) + "]"


def _differences(found: Encoded, expected: Encoded) -> list[int]:
    """Return the texts on which two encodings differ."""
    if np.array_equal(found[0], expected[0]) and np.array_equal(found[1], expected[1]):
        return []
    pieces = [np.split(ids, np.cumsum(lengths)[:-1]) for ids, lengths in (found, expected)]
    return [text for text, pair in enumerate(zip(*pieces, strict=True)) if not np.array_equal(pair[0], pair[1])]


def _route(fast: Encode, reference: Encode, proved: str) -> Encode:
    def encode(texts: pl.Series) -> Encoded:
        unproved = texts.str.contains(proved).to_numpy()
        if not unproved.any():
            return fast(texts)
        lengths = np.zeros(len(texts), dtype=np.int64)
        parts = []
        for encoder, rows in ((fast, np.flatnonzero(~unproved)), (reference, np.flatnonzero(unproved))):
            ids, lengths[rows] = encoder(texts[rows])
            parts.append(ids)
        ids = np.empty(int(lengths.sum()), dtype=np.int32)
        by_reference = np.repeat(unproved, lengths)
        ids[~by_reference], ids[by_reference] = parts
        return ids, lengths

    return encode


def _reference_encode(reference: tokenizers.Tokenizer) -> Encode:
    def encode(texts: pl.Series) -> Encoded:
        ids = [encoding.ids for encoding in reference.encode_batch_fast(texts.to_list(), add_special_tokens=False)]
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        flat = np.fromiter((i for of_text in ids for i in of_text), dtype=np.int32, count=int(lengths.sum()))
        return flat, lengths

    return encode


@lru_cache(maxsize=2)
def _tokie_encode(text: str) -> Encode:
    import tokie

    with tempfile.TemporaryDirectory() as folder:  # tokie reads files only
        path = Path(folder) / "tokenizer.json"
        path.write_text(text, encoding="utf-8")
        try:
            encoder = tokie.Tokenizer.from_json(str(path))
        except (tokie.TokieError, ValueError, RuntimeError) as cause:
            raise TokenizerError(f"tokie does not support this tokenizer ({cause})") from None
    encoder.no_truncation()
    encoder.no_padding()
    flat: Callable[..., Any] = encoder.encode_batch_flat  # type: ignore[attr-defined]  # its stub file lacks it

    def encode(texts: pl.Series) -> Encoded:
        ids, lengths = flat(texts.to_list(), add_special_tokens=False)
        return ids.astype(np.int32), lengths.astype(np.int64)

    return encode


def _script_samples() -> Sequence[str]:
    blocks = [
        (0x00A0, 0x0250),
        (0x0370, 0x0400),
        (0x0400, 0x0460),
        (0x0590, 0x0600),
        (0x0600, 0x06FF),
        (0x0900, 0x0980),
    ]
    blocks += [
        (0x0E01, 0x0E5B),
        (0x1E00, 0x1EFF),
        (0x2000, 0x206F),
        (0x20A0, 0x20C0),
        (0x2100, 0x2200),
        (0x2190, 0x2300),
    ]
    blocks += [
        (0x2500, 0x2600),
        (0x3000, 0x3100),
        (0x4E00, 0x4E80),
        (0xAC00, 0xAC80),
        (0xFB00, 0xFB07),
        (0xFF00, 0xFFEF),
    ]
    blocks += [(0x1F300, 0x1F3FF), (0x1F600, 0x1F650), (0x20000, 0x20020)]
    return ["".join(map(chr, range(*block))) for block in blocks] + [
        " ".join(chr(code) + "a" for code in range(*block)) for block in blocks
    ]


ADVERSARIAL: tuple[str, ...] = (
    *(
        "",
        " ",
        "  ",
        "\n",
        "\n\n\n",
        "\t",
        "\r\n",
        " \n \t ",
        "a",
        " a",
        "a ",
        "\u00a0",
        "\u3000",
        "\u2028x\u2029",
        "\x1c\x1d",
    ),
    *(
        "\x00",
        "\x01\x02",
        "a\x00b",
        "\x7f\x85",
        "\ufeff",
        "\u200b\u200d\u2060",
        "\u202eabc",
        "\ufffd",
        "\ue000",
        "\U0010ffff",
    ),
    *(
        "Hello, world!",
        "don't I'll WE'RE it's 'quoted' ''",
        "3.14159 1,000,000 1e-9 0x1F 12345678901234567890",
        "½ ² ① Ⅻ",
    ),
    *("snake_case camelCase UPPER-case a.b.c https://x.org/?q=1&r=%20#f me@x.org", "$€£¥ ±×÷ ≤≥ ©®™", "...!!!???---"),
    *(
        "caf\u00e9 cafe\u0301 \u1e9b\u0323 \u212b \ufb01",
        "\u0130stanbul \u00df \u1e9e \u01c5 \u03a3\u03c2",
        "\u0323\u0301a",
    ),
    *(
        "你好，世界！这是一个测试。",
        "中文English混排123",
        "日本語テキスト カタカナ ひらがな",
        "한국어 텍스트",
        "ไทย",
        "हिन्दी",
    ),
    *("😀", "👩‍👩‍👧‍👦 👍🏽 🇨🇳", "e😀\u0301", "שלום עולם", "مرحبا", "𠀀𪚥", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢"),
    *("a" * 2000, "ab " * 700, " " * 300, "\n" * 300, "=" * 300, "1" * 300, "中" * 300, "😀" * 100, "\u0301" * 100),
    *(
        "def f(x):\n    return x\n\n\tif a:\r\n  b",
        '{"a": [1, null, "b\\n"]}',
        "<html>&amp;</html>",
        "$$\\frac{1}{2}$$",
    ),
    *(
        "[CLS] [SEP] [MASK] [UNK] [PAD]",
        "<s> </s> <unk> <pad>",
        "<|im_start|> <|im_end|> <|endoftext|>",
        "▁a ▁▁b",
        "Ġa Ċ ##a",
    ),
    *_script_samples(),
)
"""Texts on which tokenizers are known to differ: spaces, controls, marks, scripts, emoji, long runs, look-alikes."""
