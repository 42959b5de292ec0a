import pickle

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.records import FIELDS, REJECTED, Task
from sftdata.stages.decontamination import decontaminate_rows, index_evaluation, unfold_texts

EVALUATION = [
    "The quick brown fox jumps over the lazy dog near the old river bank today.",
    "What is the capital of France?",
    "这本书的内容非常丰富，适合所有喜欢历史的读者阅读",
    "",
    "!?",
]


def evaluation_of(texts, ngram=13):
    records = pl.int_range(1, len(texts) + 1, dtype=pl.Int64, eager=True)
    return index_evaluation(pl.DataFrame({"source": "eval.jsonl", "record": records, "text": texts}), ngram)


def rows_of(texts):
    return pl.DataFrame(
        {"source": ["a"] * len(texts), "record": range(len(texts)), "text": texts},
        schema={"source": pl.String, "record": pl.Int64, "text": pl.String},
    )


def rejected_in(texts, evaluation):
    result = decontaminate_rows(rows_of(texts), evaluation, ["text"])
    assert result.kept["record"].to_list() + result.rejected["record"].to_list() == sorted(
        result.kept["record"].to_list()
    ) + sorted(result.rejected["record"].to_list())
    assert len(result.kept) + len(result.rejected) == len(texts)
    assert dict(result.rejected.schema) == REJECTED
    return dict(zip(result.rejected["record"], result.rejected["detail"], strict=True))


def test_a_long_run_of_words_is_found_whatever_its_case_and_punctuation():
    long = "He said: the QUICK brown fox jumps -- over the lazy dog near the old river; and left."
    assert rejected_in([long, "the quick brown fox jumps over the lazy cat", None], evaluation_of(EVALUATION)) == {
        0: "text: shares 'the quick brown fox jumps -- over the lazy dog near the old river' with eval.jsonl:1"
    }


def test_the_whole_shared_run_is_told():
    shared = "the quick brown fox jumps over the lazy dog near the old river bank today"
    assert rejected_in(["x " + shared + " y"], evaluation_of(EVALUATION)) == {
        0: f"text: shares '{shared}' with eval.jsonl:1"
    }


def test_one_word_fewer_than_a_run_is_innocent():
    words = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "near", "the", "old"]
    assert rejected_in([" ".join(words)], evaluation_of(EVALUATION)) == {}
    assert rejected_in([" ".join(words)], evaluation_of(EVALUATION, ngram=12)) != {}


def test_a_short_evaluation_text_contaminates_only_what_equals_it():
    found = rejected_in(
        ["what is the capital of france", "what is the capital of France now"], evaluation_of(EVALUATION)
    )
    assert found == {0: "text: shares 'what is the capital of france' with eval.jsonl:2"}


def test_chinese_counts_characters():
    found = rejected_in(["我觉得这本书的内容非常丰富，适合大家", "这本书的内容"], evaluation_of(EVALUATION, ngram=10))
    assert found == {0: "text: shares '这本书的内容非常丰富,适合' with eval.jsonl:3"}


def test_texts_without_words_contaminate_nothing():
    assert rejected_in(["", "!?", None, "..."], evaluation_of(EVALUATION)) == {}
    assert rejected_in(["anything"], evaluation_of([])) == {}
    assert rejected_in([], evaluation_of(EVALUATION)) == {}


@pytest.mark.parametrize(
    ("task", "row", "field"),
    [
        (Task.SEQ2SEQ, {"source_text": "x", "target_text": EVALUATION[0]}, "target_text"),
        (Task.REGRESSION, {"text": "x", "text_pair": EVALUATION[0]}, "text_pair"),
        (Task.TOKEN_CLASSIFICATION, {"tokens": EVALUATION[0].split(), "tags": []}, "tokens"),
        (
            Task.CAUSAL_LM,
            {"messages": [{"role": "user", "content": None}, {"role": "u", "content": EVALUATION[1]}]},
            "messages",
        ),
    ],
)
def test_every_field_and_turn_is_looked_at(task, row, field):
    clean = dict.fromkeys(FIELDS[task])
    provenance = {"source": pl.String, "record": pl.Int64}
    rows = pl.DataFrame(
        [{"source": "a", "record": 1, **clean}, {"source": "a", "record": 2, **clean, **row}],
        schema=provenance | FIELDS[task],
    )
    fields = [name for name in FIELDS[task] if name not in ("tags", "tools", "score")]
    rejected = decontaminate_rows(rows, evaluation_of(EVALUATION), fields).rejected
    assert rejected["record"].to_list() == [2]
    assert rejected["detail"][0].startswith(f"{field}: shares")
    assert rejected.select("stage", "reason").row(0) == ("decontaminate", "contaminated")
    again = evaluation_of(unfold_texts(rows, fields)["text"].drop_nulls().to_list())
    assert len(decontaminate_rows(rows, again, fields).rejected) == 1


@quick
@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=12), max_size=6),
    st.lists(st.lists(st.sampled_from("abcd"), max_size=12), max_size=4),
    st.integers(2, 5),
)
def test_equals_a_search_by_hand(rows, evaluation, ngram):
    def runs(words):
        width = min(len(words), ngram)
        return {tuple(words[place : place + width]) for place in range(len(words) - width + 1) if width}

    known = set().union(*map(runs, evaluation))
    expected = {number for number, words in enumerate(rows) if runs(words) & known}
    index = evaluation_of([" ".join(words) for words in evaluation], ngram)
    assert rejected_in([" ".join(words) for words in rows], index).keys() == expected


def test_slices_give_the_same_and_the_index_goes_to_worker_processes():
    evaluation = pickle.loads(pickle.dumps(evaluation_of(EVALUATION)))  # noqa: S301
    rows = rows_of(["x", EVALUATION[0], "y", EVALUATION[1]])
    whole = decontaminate_rows(rows, evaluation, ["text"])
    parts = [decontaminate_rows(part, evaluation, ["text"]) for part in (rows[:1], rows[1:3], rows[3:], rows[:0])]
    assert pl.concat([part.rejected for part in parts]).equals(whole.rejected)
    assert pl.concat([part.kept for part in parts]).equals(whole.kept)
