import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sftdata.augmentation import augment, make_augmenter
from sftdata.errors import UsageError
from sftdata.records import Task
from sftdata.settings.augmentation import AugmentationStep

FRAME = pl.DataFrame(
    {
        "review": [
            "An awful movie.\n\nSee {name} at https://a.bc/d now!",
            "A clever story about movies.",
            "我喜欢这部电影。",
        ],
        "stars": ["one", "five", "five"],
        "key": ["x", "y", "z"],
    }
)


def test_a_frame_gets_copies_with_its_own_columns():
    before = FRAME.clone()
    made = augment(FRAME, [{"synonym_replacement": {"rate": 1.0}}], text="review", label="stars", row_id="key")
    assert FRAME.equals(before)
    assert made.rows.columns == ["review", "stars", "key", "row_id", "parent_id"]
    assert made.rows["row_id"].to_list() == ["x+1", "y+1", "z+1"]
    assert made.rows["stars"].to_list() == ["one", "five", "five"]
    assert made.rows["review"][0] == "An unspeakable film.\n\nSee {name} at https://a.bc/d now!"
    assert made.counts == {"synonym_replacement": {"made": 3, "unchanged": 0, "duplicate": 0}}


def test_both_texts_of_pairs_change():
    frame = FRAME.with_columns(answer=pl.Series(["a clever movie", "another story", "a bad film"]))
    made = augment(frame, [{"random_swap": {"rate": 1.0}}], text="review", text_pair="answer", row_id="key").rows
    assert made.columns == ["review", "stars", "key", "answer", "row_id", "parent_id"]
    assert made["answer"][1] == "story another"
    assert made["review"][1] != FRAME["review"][1]
    for wrong in ("nothing", "length"):
        with pytest.raises(UsageError, match=r"nothing|two texts"):
            augment(frame.with_columns(length=1), [{"random_swap": {}}], text="review", text_pair=wrong)


def test_rows_have_numbers_where_no_id_is_named():
    assert augment(FRAME, [{"random_deletion": {}}], text="review").rows["parent_id"].to_list()[0] == "1"


def test_copies_of_two_rows_that_are_equal_count_once():
    frame = pl.DataFrame({"text": ["one two", "one two", "three four"]})
    made = augment(frame, [{"random_swap": {}}, {"punctuation_insertion": {"rate": 0.5}}])
    assert made.rows["text"].n_unique() == len(made.rows)
    assert made.counts["random_swap"] == {"made": 2, "unchanged": 0, "duplicate": 1}
    assert sum(made.counts["punctuation_insertion"].values()) == 3
    assert sum(of_step["made"] for of_step in made.counts.values()) == len(made.rows)


def test_messages_keep_their_own_fields():
    turns = [
        {"role": "user", "content": "A clever movie.", "name": "Ann"},
        {"role": "assistant", "content": "A movie."},
    ]
    frame = pl.DataFrame({"chat": [turns], "n": [1]})
    made = augment(frame, [{"synonym_replacement": {"rate": 1.0}}], text="chat")
    assert made.rows.schema["chat"] == frame.schema["chat"]
    assert made.rows["chat"][0].to_list()[0]["name"] == "Ann"
    assert made.rows["chat"][0].to_list()[0]["content"] != "A clever movie."
    assert made.rows["chat"][0].to_list()[1] == {"role": "assistant", "content": "A movie.", "name": None}


def test_tokens_and_tags_stay_aligned():
    frame = pl.DataFrame({"words": [["John", "saw", "clever", "movies"]], "ner": [["B-PER", "O", "O", "O"]]})
    made = augment(frame, [{"random_insertion": {"rate": 0.5}}], text="words", tags="ner").rows
    assert made["words"].list.len()[0] == made["ner"].list.len()[0] == 5
    assert made["ner"][0].to_list() == ["B-PER", "O", "O", "O", "O"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"text": "nothing"}, UsageError, "found no column 'nothing', expected it among review, stars, key"),
        ({"text": "review", "row_id": "stars"}, UsageError, "column 'stars': found ids that are null or repeat"),
    ],
)
def test_wrong_columns_are_named(options, error, message):
    with pytest.raises(error, match=message):
        augment(FRAME, [{"random_swap": {}}], **options)
    with pytest.raises(UsageError, match=r"augment, step 1: random_swap\.rate"):
        augment(FRAME, [{"random_swap": {"rate": 2}}], text="review")


@pytest.mark.parametrize(
    ("step", "task", "message"),
    [
        (
            {"sentence_reordering": {}},
            Task.TOKEN_CLASSIFICATION,
            "found sentence_reordering for a token_classification",
        ),
        ({"random_swap": {"factors": {"a": 2}}}, Task.REGRESSION, "found factors for a regression task"),
        ({"synonym_replacement": {"cilin": "none.txt"}}, Task.REGRESSION, "none.txt"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_run(step, task, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        make_augmenter([AugmentationStep.model_validate(step)], task, tmp_path)


def test_a_file_of_chinese_synonyms_is_read_beside_the_recipe(tmp_path):
    (tmp_path / "own.txt").write_text("Aa01A01= 北京大学 燕园\n", encoding="utf-8")
    step = AugmentationStep.model_validate({"synonym_replacement": {"cilin": "own.txt"}})
    table = make_augmenter([step], Task.SEQ2SEQ, tmp_path).steps[0].lists.synonyms
    rows = table.find(pl.Series(["北京大学", "电影"]))
    assert (rows >= 0).all()
    assert table.synonyms.gather(table.draw(rows[:1], np.zeros(1))).to_list() == ["燕园"]


nlpaug = pytest.mark.filterwarnings("ignore::SyntaxWarning")


@nlpaug
def test_an_augmenter_of_nlpaug_is_seeded_and_leaves_what_is_protected():
    pytest.importorskip("nlpaug")
    steps = [
        {"nlpaug": {"augmenter": "nlpaug.augmenter.char:KeyboardAug", "arguments": {"aug_char_p": 0.5}, "copies": 2}}
    ]
    ours, numpys = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    made = augment(FRAME, steps, text="review", seed=3)
    assert random.getstate() == ours
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002
    random.seed(99)
    assert augment(FRAME, steps, text="review", seed=3).rows.equals(made.rows)
    assert not augment(FRAME, steps, text="review", seed=4).rows.equals(made.rows)
    alone = augment(FRAME[1:2], steps, text="review", seed=3, row_id="key").rows["review"].to_list()
    all_rows = augment(FRAME, steps, text="review", seed=3, row_id="key").rows
    assert all_rows.filter(pl.col("key") == "y")["review"].to_list() == alone
    assert made.rows["review"][0] != FRAME["review"][0]
    assert all(
        text.count("\n\n") == 1 and "{name}" in text and "https://a.bc/d" in text for text in made.rows["review"][:2]
    )
    kept = [{"nlpaug": {**steps[0]["nlpaug"], "protect": ["CLEVER story"]}}]
    told = augment(FRAME, kept, text="review").rows.filter(pl.col("parent_id") == "2")["review"]
    assert told.str.contains("clever story", literal=True).all()
    assert len(told) == 2


@nlpaug
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augmenter": "nlpaug.augmenter.word:WordAugmenter"}, "does not run"),
        ({"augmenter": "nlpaug.augmenter.word:Nothing"}, "expected an augmenter of nlpaug"),
        ({"augmenter": "nlpaug.augmenter.word.none:Nothing"}, "cannot be loaded"),
        ({"augmenter": "nlpaug.augmenter.char:OcrAug", "arguments": {"no": 1}}, "unexpected keyword argument 'no'"),
        ({"augmenter": "nlpaug.augmenter.word:SynonymAug"}, "'wordnet' is missing.*nothing is downloaded"),
    ],
)
def test_an_augmenter_that_cannot_run_is_refused_before_the_run(settings, message, monkeypatch):
    nltk = pytest.importorskip("nltk")
    pytest.importorskip("nlpaug")
    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(UsageError, match=message):
        make_augmenter([AugmentationStep.model_validate({"nlpaug": settings})], Task.SEQ2SEQ, Path())


def test_factors_follow_the_label_column():
    made = augment(FRAME, [{"random_deletion": {"factors": {"five": 0}}}], text="review", label="stars")
    assert made.rows["stars"].to_list() == ["one"]
    lists = FRAME.with_columns(pl.concat_list("stars"))
    assert augment(lists, [{"random_deletion": {"factors": {"five": 0}}}], text="review", label="stars").rows[
        "stars"
    ].to_list() == [["one"]]
