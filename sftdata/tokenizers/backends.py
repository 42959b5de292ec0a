"""Backends that turn texts into ids: the fastest that is proved equal to Hugging Face's, which is the reference."""

from dataclasses import replace
from importlib.metadata import version
from typing import NamedTuple

import polars as pl
import tokenizers

from sftdata.errors import TokenizerError
from sftdata.tokenizers.encoders import (
    Encode,
    Encoded,
    fast_fastokens,
    fast_gigatoken,
    fast_tokie,
    reference_encoder,
)
from sftdata.tokenizers.loading import Tokenizer
from sftdata.tokenizers.proving import Proof, prove
from sftdata.tokenizers.routing import Router, keep_checking

__all__ = [
    "FAST",
    "Backend",
    "Encode",
    "Encoded",
    "Proof",
    "choose_backend",
    "encode_reference",
    "huggingface",
    "make_backend",
]

FAST = {"gigatoken": fast_gigatoken, "fastokens": fast_fastokens, "tokie": fast_tokie}
"""The fast encoders' makers by package, fastest first."""


class Backend(NamedTuple):
    """An encoder without special tokens around the text, and the name that the manifest gives it."""

    name: str
    encode: Encode


def huggingface(tokenizer: Tokenizer) -> Backend:
    """Return the reference."""
    return Backend(_name("tokenizers"), reference_encoder(tokenizer.reference))


def make_backend(tokenizer: Tokenizer, proof: Proof | None) -> Backend:
    """Return the backend that a proof chose; the reference where nothing is proved.

    Its encoder raises TokenizerError when it finds that the proof does not hold.
    """
    reference = huggingface(tokenizer)
    if proof is None or proof.proved is None:
        return reference
    fast = FAST[proof.backend.partition(" ")[0]](tokenizer)
    router = Router(fast, reference.encode, proof.proved, proof.doubtful, tokenizer.vocab_size)
    return Backend(proof.backend, keep_checking(router, reference.encode, proof.backend))


def encode_reference(tokenizer: Tokenizer, texts: list[str]) -> list[tokenizers.Encoding]:
    """Encode with the reference, character offsets included."""
    return tokenizer.reference.encode_batch(texts, add_special_tokens=False)


def choose_backend(tokenizer: Tokenizer, wanted: str, sample: pl.Series) -> Proof:
    """Choose the backend for this tokenizer and these data.

    Args:
        tokenizer: what the ids must equal.
        wanted: `auto`, `huggingface`, or a key of `FAST`.
        sample: texts of the data at hand without nulls; all give their characters, some are compared whole.

    Raises:
        TokenizerError: when `wanted` names a fast backend that is not installed, does not fit or differs.
    """
    refused: list[str] = []
    for package in FAST if wanted == "auto" else [wanted] if wanted != "huggingface" else []:
        proof = _try(package, tokenizer, sample)
        if proof.proved is not None:
            return replace(proof, differs="; ".join(refused) or None)
        refused.append(f"{proof.backend}: {proof.differs}")
    if refused and wanted != "auto":
        raise TokenizerError(f"{refused[0]}. Hugging Face's encoder is the one to equal; use `backend: auto`.")
    return Proof(huggingface(tokenizer).name, differs="; ".join(refused) or None)


def _try(package: str, tokenizer: Tokenizer, sample: pl.Series) -> Proof:
    try:
        return prove(_name(package), FAST[package](tokenizer), tokenizer, sample)
    except ImportError:
        return Proof(package, differs="it is not installed")
    except TokenizerError as cause:
        return Proof(_name(package), differs=str(cause))


def _name(package: str) -> str:
    return f"{package} {version(package)}"
