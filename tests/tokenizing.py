"""What tests of the tokenisation of any task share: tiny tokenizers, settings, and what must hold for parts of a chunk.

The tokenizers are trained on a few sentences; each treats spaces, letters' case and ends of texts in a way of its own.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

from sftdata.records import FIELDS, Task
from sftdata.settings.tokenizing import TokenizeSettings
from sftdata.stages.tokenization import Tokenization, Tokenized, tokenize_rows
from sftdata.tokenizers.loading import load_tokenizer

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, but the dog's friend didn't care.",
    "Rockwell International Corp. signed an agreement in Tulsa, Oklahoma.",
    "你好，世界。今天天气很好。北京大学在中国。",
    "Übermäßig naïve café déjà-vu 1234567890",
]

PARTS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "slice": lambda rows: rows.slice(11, 9),
    "chunks": lambda rows: pl.concat([rows[11:14], rows[14:20]], rechunk=False),
    "one": lambda rows: rows[12:13],
    "none": lambda rows: rows[:0],
}
"""Ways to take a part of at least 20 rows."""


def as_chunk(task: Task, rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of a task with provenance; record numbers count from 1."""
    frame = pl.DataFrame(list(rows), schema=FIELDS[task])
    records = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    return frame.select(
        pl.format("s:{}", records).alias("row_id"), pl.lit("s").alias("source"), records.alias("record"), pl.all()
    )


def start(task: Task, directory: Path, names: tuple[str, ...] | None = None, **options: Any) -> Tokenization:
    """Return what tokenises rows of a task by the reference."""
    settings = TokenizeSettings(tokenizer=str(directory), **options)
    return Tokenization(task, load_tokenizer(str(directory)), settings, None, names)


def reasons(done: Tokenized) -> dict[int, str]:
    """Return the reason of each rejected record."""
    return dict(zip(done.rejected["record"], done.rejected["reason"], strict=True))


def check_part(rows: pl.DataFrame, part: pl.DataFrame, settings: Tokenization) -> None:
    """Assert that a part of `rows` becomes what its rows become among all."""
    whole, done = tokenize_rows(rows, settings), tokenize_rows(part, settings)
    assert len(set(whole.kept)) > len(rows) / 2, "the test must not pass on nothing"
    assert done.examples.schema == whole.examples.schema
    ids = set(part["row_id"])
    expected = [row for row in whole.examples.to_pylist() if row["row_id"].partition("/")[0] in ids]
    assert done.examples.to_pylist() == expected
    assert len(set(done.kept)) + len(done.rejected) == len(part)


def save(tokenizer: tokenizers.Tokenizer, folder: Path, **config: Any) -> Path:
    """Write a tokenizer's files; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def word_piece(folder: Path) -> Path:
    """Write a lowercasing WordPiece tokenizer with [CLS] and [SEP], as BERT's."""
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    train(tokenizer, trainers.WordPieceTrainer(vocab_size=180, special_tokens=special, show_progress=False))
    wrap_in(tokenizer, "[CLS] $A [SEP]")
    return save(tokenizer, folder, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")


def byte_level(folder: Path, template: str = "$A", *, space: bool = False, **config: Any) -> Path:
    """Write a byte-level BPE tokenizer, with or without a space before each text, as GPT-2's and RoBERTa's."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>", "<pad>"]
    train(
        tokenizer,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    wrap_in(tokenizer, template)
    return save(tokenizer, folder, **{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", **config})


def unigram(folder: Path, template: str = "$A </s>", *, scheme: str = "always", **config: Any) -> Path:
    """Write a Unigram tokenizer that marks spaces and ends texts with </s>, as T5's."""
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    strip = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), strip])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    special = ["<pad>", "</s>", "<unk>"]
    train(
        tokenizer,
        trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token="<unk>", show_progress=False),
    )
    wrap_in(tokenizer, template)
    return save(tokenizer, folder, **{"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", **config})


def prepending(folder: Path) -> Path:
    """Write a BPE tokenizer whose normaliser puts a mark before each text, as Llama 2's."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    marks = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence(marks)
    special = ["<unk>", "<s>", "</s>"]
    train(tokenizer, trainers.BpeTrainer(vocab_size=200, special_tokens=special, show_progress=False))
    wrap_in(tokenizer, "<s> $A")
    return save(tokenizer, folder, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def train(tokenizer: tokenizers.Tokenizer, trainer: Any) -> None:
    """Train on `SENTENCES`."""
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)


def wrap_in(tokenizer: tokenizers.Tokenizer, template: str) -> None:
    """Let a tokenizer put special tokens around a text."""
    named = [(token, tokenizer.token_to_id(token)) for token in template.split() if not token.startswith("$")]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=named)
