"""On real sentences and translations, read from files: ids and labels are those that transformers gives."""

import json
from pathlib import Path

import pytest
import transformers
from examples import placed_examples, prepare_here, write_jsonl

import sftdata
from sftdata import IGNORE_INDEX

pytestmark = pytest.mark.real

TOKENIZERS = ["minilm", "qwen3", "smollm2"]
"""WordPiece, and byte-level BPE without a space before a word; the last lacks tokens for some bytes."""

CORPORA = {
    "conll2000_chunks.txt": (40, ["tokens", "pos", "tags", "predicted"]),
    "msra_test.txt": (5000, ["tokens", "tags"]),
}
"""How many sentences a corpus has, and what its columns are."""


def sentences_of(path: Path, columns: list[str]):
    """Read a corpus apart from our reader: its words and its tags."""
    blocks = path.read_bytes().decode().replace("\r\n", "\n").split("\n\n")
    lines = [[line.split(" ") for line in block.split("\n") if line] for block in blocks]
    place = columns.index("tags")
    return [([line[0] for line in block], [line[place] for line in block]) for block in lines if block]


def align(word_ids: list[int | None], tags: list[str], names: tuple[str, ...] | None) -> list[str | None]:
    """Give pieces their tags as the token classification example of transformers does; all of them if it has names."""
    labels: list[str | None] = []
    for place, number in enumerate(word_ids):
        if number is None:
            labels.append(None)
        elif place == 0 or number != word_ids[place - 1]:
            labels.append(tags[number])
        else:
            inside = tags[number].replace("B-", "I-")
            labels.append((inside if inside in names else tags[number]) if names else None)
    return labels


@pytest.mark.parametrize(
    ("name", "every"), [("conll2000_chunks.txt", False), ("conll2000_chunks.txt", True), ("msra_test.txt", False)]
)
@pytest.mark.parametrize("model", TOKENIZERS)
def test_words_have_the_pieces_and_labels_of_is_split_into_words(tmp_path, assets, model, name, every):
    count, columns = CORPORA[name]
    out = prepare_here(
        tmp_path,
        deduplicate={"near": False},
        task="token_classification",
        schema="tokens_tags",
        sources=[{"path": str(assets / name), "format": "conll", "header": columns}],
        tokenize={"tokenizer": str(assets / model), "max_length": 2048, "label_all_pieces": every},
        split={"train": 1, "validation": 0, "test": 0},
    )
    sentences = sentences_of(assets / name, columns)
    words = [words for words, _ in sentences]
    expected = transformers.AutoTokenizer.from_pretrained(assets / model)(words, is_split_into_words=True)
    names = sftdata.read_manifest(out).label_names
    seen = 0
    for place, example in placed_examples(out):
        assert example["input_ids"] == expected["input_ids"][place]
        labels = [None if label == IGNORE_INDEX else names[label] for label in example["labels"]]
        assert labels == align(expected.word_ids(place), sentences[place][1], names if every else None)
        assert [label for label in labels if label] == sentences[place][1] or every
        seen += 1
    assert seen == len(sentences) == count
    assert names[0] == "O"


@pytest.mark.parametrize("model", TOKENIZERS)
def test_translations_have_the_ids_of_text_target_and_an_end(tmp_path, assets, model):
    texts = json.loads((assets / "jupyterlab_en_zh.json").read_text(encoding="utf-8"))
    pairs = {key.rpartition("\x04")[2]: values[0] for key, values in texts.items() if key and values[0].strip()}
    write_jsonl(tmp_path / "pairs.jsonl", [{"source": source, "target": target} for source, target in pairs.items()])
    out = prepare_here(
        tmp_path,
        deduplicate={"near": False},
        task="seq2seq",
        schema="source_target",
        sources=[{"path": "pairs.jsonl"}],
        tokenize={"tokenizer": str(assets / model), "max_length": 512},
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(assets / model)
    expected = tokenizer(list(pairs), text_target=list(pairs.values()))
    end = [] if model == "minilm" else [tokenizer.eos_token_id]  # BERT's puts its [SEP] there itself
    seen = 0
    for place, example in placed_examples(out):
        assert example["input_ids"] == expected["input_ids"][place]
        assert example["labels"] == expected["labels"][place] + end
        assert example["labels"][-1] == (tokenizer.eos_token_id or tokenizer.sep_token_id)
        seen += 1
    assert seen == len(pairs) > 1000
