"""Token classification and seq2seq from files to shards: opened by datasets, with names, parts and reasons."""

import json

import datasets
import pytest
from examples import make_tagged, make_translations

import sftdata
from sftdata import IGNORE_INDEX
from sftdata.errors import RecipeError, TokenizerError
from sftdata.sources import parsing


def prepare(path, **options):
    return sftdata.prepare(sftdata.load_recipe(path), **options)


def examples(out):
    """Return the examples of all splits by row id."""
    return {row["row_id"]: row for split in datasets.load_from_disk(str(out)).values() for row in split}


def record(row_id):
    return int(row_id.partition(":")[2].partition("/")[0]) - 1


def test_tags_come_back_from_the_shards(tmp_path, tag_recipe, monkeypatch):
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 30)
    rows = make_tagged(100)
    manifest = prepare(tag_recipe(rows))
    assert manifest.label_names == ("O", "B-LOC", "I-LOC")
    found = examples(tmp_path / "out")
    assert len(found) == manifest.rows.written == 100
    for row_id, example in found.items():
        row = rows[record(row_id)]
        labels = [label for label in example["labels"] if label != IGNORE_INDEX]
        assert [manifest.label_names[label] for label in labels] == row["tags"]
    features = datasets.load_from_disk(str(tmp_path / "out"))["train"].features
    assert features["labels"] == datasets.List(datasets.ClassLabel(names=["O", "B-LOC", "I-LOC"]))
    trained = sum(len(row["tags"]) for row in rows)
    assert sum(split.trained_tokens for split in manifest.splits.values()) == trained


def test_label_names_are_the_tags_of_the_training_part_alone(tmp_path, tag_recipe):
    rows = [*make_tagged(60), *({"tokens": ["one", str(i)], "tags": ["O", f"B-{i}"]} for i in range(40))]
    manifest = prepare(tag_recipe(rows, split={"train": 0.5, "validation": 0.25, "test": 0.25, "seed": 3},
                                  max_rejected=1.0))  # fmt: skip
    assert set(manifest.rejected_by_reason) == {"label:not_in_train"}
    of_train = {"O"}
    for row in sftdata.load_split(tmp_path / "out", "train"):
        of_train |= set(rows[record(row["row_id"])]["tags"])
    assert manifest.label_names == ("O", *sorted(of_train - {"O"}))
    assert manifest.rows.rejected == sum(not of_train.issuperset(row["tags"]) for row in rows), (
        "each row with another tag, and no other"
    )


def test_tags_without_o_are_sorted(tag_recipe):
    rows = [{"tokens": ["a", str(i)], "tags": ["noun", "verb" if i % 2 else "Adj"]} for i in range(40)]
    assert prepare(tag_recipe(rows)).label_names == ("Adj", "noun", "verb")


def test_words_and_tags_are_read_from_conll_lines(tmp_path, tag_recipe):
    lines = "\n\n".join(
        "\n".join(map(" ".join, zip(row["tokens"], row["tags"], strict=True))) for row in make_tagged(40)
    )
    (tmp_path / "lines.txt").write_text(lines + "\n", encoding="utf-8")
    manifest = prepare(tag_recipe(sources=[{"path": "lines.txt", "format": "conll"}]))
    assert manifest.rows.written == 40
    assert manifest.label_names == ("O", "B-LOC", "I-LOC")


def test_parts_of_a_split_row_name_their_row_and_hold_all_its_tags(tmp_path, tag_recipe, text_tokenizer):
    rows = make_tagged(40)
    tokenize = {"tokenizer": str(text_tokenizer), "max_length": 11, "overflow": "split"}
    manifest = prepare(tag_recipe(rows, tokenize=tokenize))
    assert manifest.rows.read + manifest.rows.augmented == manifest.rows.written
    assert manifest.rows.augmented > 10
    found = examples(tmp_path / "out")
    for row_id, example in found.items():
        assert example["parent_id"] == (row_id.partition("/")[0] if "/" in row_id else None)
        assert len(example["input_ids"]) <= 11
    for place, row in enumerate(rows):
        own = sorted((row_id for row_id in found if record(row_id) == place), key=lambda row_id: (len(row_id), row_id))
        labels = [label for row_id in own for label in found[row_id]["labels"] if label != IGNORE_INDEX]
        assert [manifest.label_names[label] for label in labels] == row["tags"]


def test_a_word_without_a_token_is_in_the_rejected_rows_with_its_name(tmp_path, tag_recipe):
    rows = make_tagged(20)
    rows[4] = {"tokens": ["Paris", "\u200b"], "tags": ["B-LOC", "O"]}
    manifest = prepare(tag_recipe(rows, max_rejected=1))
    assert manifest.rejected_by_reason == {"word_without_token": 1}
    (line,) = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["detail"] == "word 2, '\\u200b', gives no token, so its tag would be lost"
    assert json.loads(line)["original"] == rows[4]


def test_sources_and_targets_come_back_from_the_shards(tmp_path, translation_recipe):
    rows = make_translations(100)
    manifest = prepare(translation_recipe(rows))
    assert manifest.label_names is None
    tokenizer = sftdata.tokenizers.loading.load_tokenizer(str(tmp_path / "out" / "tokenizer")).reference
    found = examples(tmp_path / "out")
    assert len(found) == manifest.rows.written == 100
    for row_id, example in found.items():
        row = rows[record(row_id)]
        assert tokenizer.decode(example["input_ids"], skip_special_tokens=False) == row["source"]
        assert tokenizer.decode(example["labels"], skip_special_tokens=False) == row["target"] + "<|im_end|>"
    trained = sum(len(example["labels"]) for example in found.values())
    assert sum(split.trained_tokens for split in manifest.splits.values()) == trained
    features = datasets.load_from_disk(str(tmp_path / "out"))["train"].features
    assert features["labels"] == datasets.List(datasets.Value("int32"))


def test_a_tokenizer_that_gives_targets_no_end_is_refused_before_reading(tmp_path, translation_recipe, chat_tokenizer):
    folder = tmp_path / "endless"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes((chat_tokenizer / "tokenizer.json").read_bytes())
    with pytest.raises(TokenizerError, match="names no eos_token"):
        prepare(translation_recipe(tokenize={"tokenizer": str(folder)}))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("task", "settings", "fault"),
    [
        ("seq2seq", {"overflow": "split"}, "the parts of a source and of its target would not correspond"),
        ("seq2seq", {"label_all_pieces": True}, "label_all_pieces: only a token_classification task has it"),
        ("token_classification", {"max_target_length": 5}, "max_target_length: only a seq2seq task has it"),
        ("token_classification", {"train_on": "last"}, "train_on: only a causal_lm task has it"),
    ],
)
def test_settings_of_another_task_are_refused(tag_recipe, task, settings, fault):
    with pytest.raises(RecipeError, match=fault):
        sftdata.load_recipe(tag_recipe(task=task, tokenize={"tokenizer": "t", **settings}))
