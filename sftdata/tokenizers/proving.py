"""The proof that a fast encoder equals Hugging Face's, on this tokenizer and these data.

A tokenizer cuts a text into words and each word into tokens. What a fast one may get wrong is sought where it shows:
how it classes a character (each character of the data, in context), where it cuts (each added token in contexts, and
texts written to be hard), and all of it together (whole texts of the data). Characters and added tokens that differ,
and characters that were not tried, are doubtful: a text that holds one goes to the reference.

The law of the sample: if a share p of all texts differed, n texts drawn at random would miss them all with a chance of
(1 - p)^n. So 1,000 equal texts say with 95 percent certainty that fewer than 3 in 1,000 differ, and a fault that
strikes one text in 10,000 is found with a chance of 10 percent. A fault of one character or added token strikes every
text that holds it, and is sought in the other parts. While encoding, one of 1,000 texts more is compared
(`routing.keep_checking`); this adds to n, and would see an encoder that goes wrong later.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import tokenizers

from sftdata.tokenizers.adversarial import ADVERSARIAL
from sftdata.tokenizers.characters import candidate_characters, find_doubtful, in_contexts
from sftdata.tokenizers.encoders import Encode, reference_encoder
from sftdata.tokenizers.loading import Tokenizer
from sftdata.tokenizers.routing import Router, differences, shorten

ASCII = "\t\n\r" + "".join(map(chr, range(0x20, 0x7F)))
"""These are tried whether the data hold them or not."""

COMPARED_TEXTS = 1000
"""At most so many texts of the data are compared whole."""

COMPARED_BYTES = 600_000
"""At most so many bytes of them, or one text: the reference encodes 3 MB a second."""

SEED = 5
"""Of the draw, which depends on nothing else but the number of texts."""


@dataclass(frozen=True)
class Proof:
    """How a backend was compared with the reference.

    Attributes:
        backend: name and version of the one to use.
        proved: the characters that its fast encoder may see; None stands for the reference.
        doubtful: added tokens that it may not see.
        counts: what was compared and equal, by kind: `characters`, `added_tokens`, `adversarial` and `sample`.
        differs: why each faster backend is not used, or None.
    """

    backend: str
    proved: str | None = None
    doubtful: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    differs: str | None = None


def prove(backend: str, fast: Encode, tokenizer: Tokenizer, sample: pl.Series) -> Proof:
    """Compare a fast encoder with the reference, on characters and added tokens, then on texts without doubt.

    Args:
        backend: name and version of the fast one.
        fast: the encoder.
        tokenizer: what the ids must equal.
        sample: texts of the data without nulls; all give their characters.
    """
    reference = reference_encoder(tokenizer.reference)
    added = list(tokenizer.reference.get_added_tokens_decoder().values())
    tried = candidate_characters(pl.concat([sample, _strings([ASCII, *(token.content for token in added)])]))
    differing = set(differences(fast(in_contexts(tried)), reference(in_contexts(tried))))
    characters = [c for place, c in enumerate(tried) if place not in differing]
    tokens = _strings([_token_in_contexts(token) for token in added])
    wrong = [added[place] for place in differences(fast(tokens), reference(tokens))]
    counts = {"characters": len(characters), "added_tokens": len(added) - len(wrong)}
    for token in wrong:
        if token.normalized and tokenizer.reference.normalizer is not None:  # found by other spellings than its own
            return Proof(backend, counts=counts, differs=f"ids differ on added token {token.content!r}")
    proof = Proof(backend, "".join(characters), tuple(token.content for token in wrong), counts)
    return _compare_texts(proof, fast, reference, tokenizer, sample)


def _compare_texts(proof: Proof, fast: Encode, reference: Encode, tokenizer: Tokenizer, sample: pl.Series) -> Proof:
    """Compare on whole texts without a doubtful character or added token."""
    router = Router(fast, reference, proof.proved or "", proof.doubtful, tokenizer.vocab_size)
    doubtful = find_doubtful(proof.proved or "", proof.doubtful)
    counts = dict(proof.counts)
    for kind, found in {"adversarial": _strings(ADVERSARIAL), "sample": draw(sample)}.items():
        texts = found.filter(~found.str.contains(doubtful))
        counts[kind] = len(texts)
        if 2 * len(texts) < len(found) and kind == "sample":
            held = f"{len(found) - len(texts):,} of {len(found):,} texts hold what it gets wrong"
            return Proof(proof.backend, counts=counts, differs=f"ids differ: {held}")
        for text in differences(router(texts), reference(texts)):
            return Proof(proof.backend, differs=f"ids differ on {kind} text {shorten(texts[text])!r}", counts=counts)
    return replace(proof, counts=counts)


def draw(sample: pl.Series) -> pl.Series:
    """Draw the texts that are compared whole, without looking at them."""
    drawn = sample.gather(np.random.default_rng(SEED).permutation(len(sample))[:COMPARED_TEXTS])
    return drawn.filter(drawn.str.len_bytes().cum_sum().shift(1, fill_value=0) < COMPARED_BYTES)


def _token_in_contexts(token: tokenizers.AddedToken) -> str:
    """Put an added token between letters, digits, spaces and itself; and spell it otherwise, if that may count."""
    t = token.content
    spelled = f" {t.lower()} {t.upper()} " if token.normalized else ""
    return f"{t}a{t}b {t}\n{t}{t} c  {t}  .{t},1{t}2 \n {t} \n" + spelled


def _strings(texts: Sequence[str]) -> pl.Series:
    return pl.Series(texts, dtype=pl.String)
