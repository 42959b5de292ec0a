"""What the tests of encoders share: texts, the ids of the reference one text at a time, and sabotage."""

import json

import numpy as np
import polars as pl

from sftdata.tokenizers.loading import Tokenizer


def strings(*texts):
    return pl.Series(texts, dtype=pl.String)


SAMPLE = strings(*["the quick brown fox", "你好，世界。", "What is 1 + 1?", "😀 emoji"] * 5)
CHAT = "<|im_start|>user\nhi <|im_end|>\n<|im_start|>assistant\n你好<|im_end|>"


def encode_alone(tokenizer, texts):
    return [tokenizer.reference.encode(text, add_special_tokens=False).ids for text in texts]


def pieces(encoded):
    ids, lengths = encoded
    return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] if len(lengths) else []


def sabotage(real, spoiled):
    """Return an encoder with one wrong id in each text for which `spoiled` gives True."""

    def encode(texts):
        ids, lengths = real(texts)
        rows = np.flatnonzero([bool(spoiled(text)) for text in texts])
        rows = rows[lengths[rows] > 0]
        ids = ids.copy()
        ids[(np.cumsum(lengths) - lengths)[rows]] += 1
        return ids, lengths

    return encode


def without_bytes(tokenizer, *missing):
    """A byte-level tokenizer whose vocabulary lacks some bytes, given by their characters."""
    content = json.loads(tokenizer.text)
    for byte in missing:
        content["model"]["vocab"].pop(byte)
    merges = content["model"]["merges"]
    content["model"]["merges"] = [pair for pair in merges if not set("".join(pair)) & set(missing)]
    return Tokenizer("gaps", json.dumps(content), {}, None, {})
