"""What `sftdata inspect` shows of an example of each task: texts, words and tags, a source and its target."""

import pytest
from examples import make_pairs
from rich.console import Console

import sftdata
from sftdata.report.terminal import RowView, stage_lines
from sftdata.tokenizers.loading import load_tokenizer


def show(out, split="train", *, colour=False):
    """Return the shown examples by row id, without their titles."""
    console = Console(width=200, color_system="standard" if colour else None, force_terminal=colour)
    rows = sftdata.load_split(out, split)
    view = RowView(out, rows, colour=colour)
    found = {}
    for row in rows:
        with console.capture() as shown:
            console.print(view.show(row))
        title, _, text = shown.get().partition("\n")
        assert row["row_id"] in title
        found[row["row_id"]] = title, text
    return found


def prepare(recipe, out):
    sftdata.prepare(sftdata.load_recipe(recipe))
    return out / "out"


@pytest.mark.parametrize("every", [False, True])
def test_words_stand_with_their_tags(tmp_path, tag_recipe, text_tokenizer, every):
    rows = [
        {"tokens": ["bird", "of", "Paris", "fox", str(i)], "tags": ["O", "O", "B-LOC", "B-PER", "I-PER"]}
        for i in range(9)
    ]
    tokenize = {"tokenizer": str(text_tokenizer), "label_all_pieces": every}
    out = prepare(tag_recipe(rows, tokenize=tokenize, split={"train": 1, "validation": 0, "test": 0}), tmp_path)
    for title, text in show(out).values():
        assert "tokens, " in title
        assert "trained" in title
        words = text.split()
        assert [words[0], words[-1]] == ["[CLS]", "[SEP]"]
        assert "⟦paris/B-LOC⟧" in words
        assert words[-2].endswith("/I-PER⟧")
        assert "/O" not in text
    assert "⟦" not in "".join(text for _, text in show(out, colour=True).values())


def test_a_target_stands_below_its_source(tmp_path, translation_recipe):
    out = prepare(translation_recipe(), tmp_path)
    tokenizer = load_tokenizer(str(out / "tokenizer")).reference
    shown = show(out, "test")
    for row in sftdata.load_split(out, "test"):
        title, text = shown[row["row_id"]]
        source, target, end = text.split("\n")
        assert source == tokenizer.decode(row["input_ids"])
        assert target == f"⟦{tokenizer.decode(row['labels'], skip_special_tokens=False)}⟧"
        assert target.endswith("。<|im_end|>⟧")
        assert not end
        assert f"{len(row['input_ids'])} tokens, {len(row['labels'])} of the target" in title
    assert len(shown) > 3, "the test must not pass on nothing"


@pytest.mark.parametrize("task", ["text_classification", "multilabel", "regression"])
def test_both_texts_stand_there_with_what_is_learnt(tmp_path, pair_recipe, task):
    rows = make_pairs(60)
    shown = show(prepare(pair_recipe(rows, task=task), tmp_path))
    for row_id, (title, text) in shown.items():
        row = rows[int(row_id.partition(":")[2]) - 1]
        learnt = {
            "text_classification": f"label {row['label']}",
            "multilabel": f"labels {', '.join(row['labels']) or 'none'}",
            "regression": f"score {row['score']:g}",
        }
        assert f" tokens, {learnt[task]} " in title
        first, second, end = text.removeprefix("[CLS] ").split(" [SEP]")
        assert first.split()[:2] == row["text"].lower().split()[:2]  # other words are [UNK] to this tokenizer
        assert second.split()[:2] == row["other"].lower().split()[:2]
        assert not end.strip()
    assert len(shown) > 30, "the test must not pass on nothing"


def test_a_part_that_could_not_be_filled_is_told_of(text_recipe):
    alike = [
        {"text": f"one and the same long text with all but the same words, {i % 3}", "label": "a"} for i in range(90)
    ]
    manifest = sftdata.prepare(sftdata.load_recipe(text_recipe(alike, deduplicate={"exact": False})))
    told = [line for line in stage_lines(manifest) if "wished for" in line]
    assert told == [
        "split: validation has 0 rows of 9 wished for, test has 0 rows of 9 wished for; groups and duplicates stay on "
        "one side, and the largest such unit has 90 rows"
    ]
    others = sftdata.prepare(sftdata.load_recipe(text_recipe()))
    assert not [line for line in stage_lines(others) if "wished for" in line]
