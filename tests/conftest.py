"""Small tokenizers, recipes and data that most tests need, made from code: no network, no assets."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: no test may reach for the network

import hypothesis
import pytest
import tokenizers
from browser import open_browser
from examples import make_conversations, make_pairs, make_tagged, make_texts, make_translations, write_jsonl
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from sftdata.tokenizers.loading import load_tokenizer

# Machines that run tests are of any speed, so no example is too slow; CI tries the same examples every time.
hypothesis.settings.register_profile("sftdata", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("sftdata")

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

CORPUS = [
    "the quick brown fox jumps over the lazy dog",
    "a bird in the hand is worth two in the bush",
    "what is the capital of France? The capital of France is Paris.",
    "你好，世界。今天天气很好。",
    "system user assistant hello answer question",
]


@pytest.fixture(scope="session")
def chat_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a byte-level BPE tokenizer and a ChatML template."""
    folder = tmp_path_factory.mktemp("chat-tokenizer")
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "chat_template": CHATML,
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def text_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a WordPiece tokenizer that puts [CLS] and [SEP] around a text."""
    folder = tmp_path_factory.mktemp("text-tokenizer")
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    )
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]", "cls_token": "[CLS]"}))
    return folder


@pytest.fixture(scope="session")
def byte_level(chat_tokenizer: Path) -> tokenizers.Tokenizer:
    """Hugging Face's own of `chat_tokenizer`."""
    return load_tokenizer(str(chat_tokenizer)).reference


@pytest.fixture(scope="session")
def word_pieces(text_tokenizer: Path) -> tokenizers.Tokenizer:
    """Hugging Face's own of `text_tokenizer`."""
    return load_tokenizer(str(text_tokenizer)).reference


@pytest.fixture(scope="module")  # not longer: while it is open, no other event loop can run
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def pair_tokenizer(text_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but the second text of a pair is of another type, as with BERT."""
    folder = tmp_path_factory.mktemp("pair-tokenizer")
    tokenizer = json.loads((text_tokenizer / "tokenizer.json").read_text())
    for part in tokenizer["post_processor"]["pair"][3:]:
        next(iter(part.values()))["type_id"] = 1
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    shutil.copy(text_tokenizer / "tokenizer_config.json", folder)
    return folder


SPLIT = {"train": 0.8, "validation": 0.1, "test": 0.1, "seed": 7}


def write_recipe(folder: Path, data: str, rows: list[dict[str, Any]], recipe: dict[str, Any]) -> Path:
    """Write rows and a recipe that reads them; what `recipe` lacks is usual."""
    write_jsonl(folder / data, rows)
    usual = {"sources": [{"path": data}], "split": SPLIT, "output": {"dir": "out"}}
    path = folder / "recipe.yaml"
    path.write_text(json.dumps({**usual, **recipe}))
    return path


@pytest.fixture
def text_recipe(tmp_path: Path, text_tokenizer: Path) -> Callable[..., Path]:
    """Write a text_classification recipe and its data; keyword arguments replace recipe keys."""
    recipe = {"task": "text_classification", "schema": "text_label", "split": {**SPLIT, "stratify": "label"}}
    recipe["tokenize"] = {"tokenizer": str(text_tokenizer), "max_length": 64}

    def write(rows: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
        return write_recipe(tmp_path, "data.jsonl", make_texts(200) if rows is None else rows, recipe | changes)

    return write


@pytest.fixture
def chat_recipe(tmp_path: Path, chat_tokenizer: Path) -> Callable[..., Path]:
    """Write a causal_lm recipe and its data; keyword arguments replace recipe keys."""
    recipe = {"task": "causal_lm", "schema": "messages"}
    recipe["tokenize"] = {"tokenizer": str(chat_tokenizer), "max_length": 512}

    def write(rows: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
        return write_recipe(tmp_path, "chats.jsonl", make_conversations(60) if rows is None else rows, recipe | changes)

    return write


@pytest.fixture
def tag_recipe(tmp_path: Path, text_tokenizer: Path) -> Callable[..., Path]:
    """Write a token_classification recipe and its data; keyword arguments replace recipe keys."""
    recipe = {"task": "token_classification", "schema": "tokens_tags"}
    recipe["tokenize"] = {"tokenizer": str(text_tokenizer), "max_length": 64}

    def write(rows: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
        return write_recipe(tmp_path, "tagged.jsonl", make_tagged(100) if rows is None else rows, recipe | changes)

    return write


@pytest.fixture
def translation_recipe(tmp_path: Path, chat_tokenizer: Path) -> Callable[..., Path]:
    """Write a seq2seq recipe and its data; keyword arguments replace recipe keys."""
    recipe = {"task": "seq2seq", "schema": "source_target"}
    recipe["tokenize"] = {"tokenizer": str(chat_tokenizer), "max_length": 64}

    def write(rows: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
        rows = make_translations(100) if rows is None else rows
        return write_recipe(tmp_path, "translations.jsonl", rows, recipe | changes)

    return write


@pytest.fixture
def pair_recipe(tmp_path: Path, pair_tokenizer: Path) -> Callable[..., Path]:
    """Write a recipe, its schema and its data for pairs of texts; keyword arguments replace recipe keys."""

    def write(rows: list[dict[str, Any]] | None = None, task: str = "text_classification", **changes: Any) -> Path:
        label = {"text_classification": "label", "multilabel": "labels", "regression": "score"}[task]
        dtype = {"label": "str", "labels": "list[str]", "score": "float"}[label]
        columns = {"text": {"dtype": "str"}, "other": {"dtype": "str"}, label: {"dtype": dtype}}
        parts = {"text": "text", "text_pair": "other", label: label}
        schema = {"name": "pairs", "task": task, "columns": columns, "parts": parts}
        (tmp_path / "pairs.schema.yaml").write_text(json.dumps(schema))
        recipe = {"task": task, "schema": "pairs.schema.yaml", "split": {**SPLIT, "stratify": label}}
        recipe["tokenize"] = {"tokenizer": str(pair_tokenizer), "max_length": 64}
        return write_recipe(tmp_path, "pairs.jsonl", make_pairs(200) if rows is None else rows, recipe | changes)

    return write


@pytest.fixture
def multilabel_recipe(text_recipe: Callable[..., Path]) -> Callable[..., Path]:
    """Write a recipe for single texts with any number of labels, and its data."""
    return partial(_relabelled, text_recipe, "multilabel", "text_multilabel", "labels")


@pytest.fixture
def regression_recipe(text_recipe: Callable[..., Path]) -> Callable[..., Path]:
    """Write a recipe for single texts with a score, and its data."""
    return partial(_relabelled, text_recipe, "regression", "text_score", "score")


def _relabelled(
    write: Callable[..., Path],
    task: str,
    schema: str,
    label: str,
    rows: list[dict[str, Any]] | None = None,
    **changes: Any,
) -> Path:
    rows = [{"text": row["text"], label: row[label]} for row in make_pairs(200)] if rows is None else rows
    split = {"train": 0.8, "validation": 0.1, "test": 0.1, "stratify": label, "seed": 7}
    return write(rows, **{"task": task, "schema": schema, "split": split, **changes})


@pytest.fixture(scope="session")
def assets() -> Path:
    """The directory of pinned assets; a test that needs them fails without, it is never skipped."""
    folder = Path(os.environ.get("SFTDATA_ASSETS", Path(__file__).parent.parent / ".assets"))
    if not folder.is_dir():
        pytest.fail(f"no assets in {folder}; run: python tests/real/fetch.py")
    return folder
