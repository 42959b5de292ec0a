import pickle

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import detailed_turns, quick, texts

from sftdata.errors import UsageError
from sftdata.records import FIELDS, PROVENANCE, REJECTED, Task
from sftdata.settings.cleaning import CleanSettings
from sftdata.stages.cleaning import SAMPLE_LENGTH, Sample, clean, clean_rows, merge_changed, merge_samples
from sftdata.text.cleaner import make_cleaner
from sftdata.text.fields import text_fields

few = settings(quick, max_examples=25)  # polars compiles the regular expressions again in each call

dirty = st.lists(
    texts
    | st.sampled_from(["http://x.cn", "13800138000", "<p>", "&amp;", "  ", "\u200b", "Ａ", "schÃ¶n", "Hi", "x@y.cn"])
).map("".join)
VALUES = {
    "text": st.none() | dirty,
    "text_pair": st.none() | dirty,
    "tokens": st.lists(st.none() | dirty, max_size=3),
    "source_text": dirty,
    "target_text": st.none() | dirty,
    "messages": st.none()
    | st.lists(st.none() | st.builds(dict, detailed_turns, content=st.none() | dirty), max_size=3),
}
STEPS = {
    "repair": True,
    "html": True,
    "unicode": "NFKC",
    "zero_width": True,
    "urls": "delete",
    "emails": "replace",
    "phone_numbers": "reject",
    "case": "lower",
    "whitespace": "lines",
    "characters": {"max": 30},
    "max_digits": 0.5,
}


def make_rows(task, values):
    fields = FIELDS[task]
    plain = {"text_pair": None, "label": "a", "labels": ["a"], "score": 0.5, "tags": ["O"], "tools": None}
    table = [
        {"row_id": f"f:{place + 1}", "source": "f", "record": place + 1}
        | {name: value[name] if name in value else plain[name] for name in fields}
        for place, value in enumerate(values)
    ]
    return pl.DataFrame(table, schema={**PROVENANCE, **fields})


@st.composite
def rows_of_any_task(draw):
    task = draw(st.sampled_from(Task))
    names = text_fields(task, has_pairs="text_pair" in FIELDS[task])
    values = st.fixed_dictionaries({name: VALUES[name] for name in names})
    return task, make_rows(task, draw(st.lists(values, max_size=7)))


def cleaner_of(task, **settings):
    names = text_fields(task, has_pairs="text_pair" in FIELDS[task])
    cleaner = make_cleaner(CleanSettings(**settings), names, ".")
    return pickle.loads(pickle.dumps(cleaner))  # noqa: S301  # as worker processes get it


def clean_texts(*values, **settings):
    rows = make_rows(Task.REGRESSION, [{"text": value} for value in values])
    return clean_rows(rows, cleaner_of(Task.REGRESSION, **settings))


@given(rows_of_any_task())
@few
def test_every_row_is_kept_or_rejected_and_cleaning_again_changes_nothing(given_rows):
    task, rows = given_rows
    before, cleaner = rows.to_dicts(), cleaner_of(task, **STEPS)
    done = clean_rows(rows, cleaner)
    assert rows.to_dicts() == before
    assert done.kept.schema == rows.schema
    assert dict(done.rejected.schema) == REJECTED
    records = done.kept["record"].to_list(), done.rejected["record"].to_list()
    assert records == (sorted(records[0]), sorted(records[1]))
    assert sorted(records[0] + records[1]) == rows["record"].to_list()
    others = [name for name in rows.columns if name not in cleaner.fields]
    assert_frame_equal(done.kept.select(others), rows.filter(pl.col("record").is_in(records[0])).select(others))
    again = clean_rows(done.kept, cleaner)
    assert_frame_equal(again.kept, done.kept)
    assert (again.changed, again.samples, len(again.rejected)) == ({}, [], 0)


@given(rows_of_any_task(), st.data())
@few
def test_chunks_and_slices_give_the_same_rows_counts_and_samples(given_rows, data):
    task, rows = given_rows
    cleaner = cleaner_of(task, **STEPS)
    whole = clean_rows(rows, cleaner)
    cut = data.draw(st.integers(0, len(rows)))
    parts = [clean_rows(part, cleaner) for part in (rows[:cut], rows[cut:])]
    assert_frame_equal(pl.concat([part.kept for part in parts]), whole.kept)
    assert_frame_equal(pl.concat([part.rejected for part in parts]), whole.rejected)
    assert merge_changed(part.changed for part in parts) == whole.changed
    assert merge_samples(part.samples for part in parts) == whole.samples
    chunked = clean_rows(pl.concat([rows[:cut], rows[cut:]], rechunk=False), cleaner)
    assert_frame_equal(chunked.kept, whole.kept)


def test_steps_count_the_rows_they_changed_and_show_the_first_of_them():
    done = clean_texts("<b>A</b>", "a", "&amp;lt; B", None, *["<i>x</i>"] * 9, html=True, case="lower")
    assert done.kept["text"].to_list() == ["a", "a", "< b", None, *["x"] * 9]
    assert done.changed == {"html": 11, "case": 2}
    assert done.samples[:2] == [
        Sample("html", "f:1", "text", "<b>A</b>", "A"),
        Sample("html", "f:3", "text", "&amp;lt; B", "&lt; B"),
    ]
    assert [sample.row_id for sample in done.samples] == ["f:1", "f:3", "f:5", "f:6", "f:7", "f:1", "f:3"]


def test_samples_of_long_texts_show_where_they_change():
    (sample,) = clean_texts("x" * 5000 + " Y" + "z" * 5000, case="lower").samples
    assert "x Yz" in sample.before
    assert "x yz" in sample.after
    assert sample.before.startswith("...x")
    assert max(len(sample.before), len(sample.after)) <= SAMPLE_LENGTH + 3


def test_work_that_one_step_makes_for_another_is_done():
    done = clean_texts(
        "138http://x.cn/ 00138000",
        "ａ＠ｘ．ｃｎ",
        "&amp;lt;b&amp;gt;1380<!-- -->0138000",
        html=True,
        half_width="all",
        whitespace="words",
        stopwords={"words": ["/"]},
        urls="delete",
        emails="replace",
        phone_numbers="replace",
    )
    assert done.kept["text"].to_list() == ["138 00138000", "<EMAIL>", "<PHONE>"]


def test_each_kind_is_deleted_replaced_or_rejected():
    text = "a http://x.cn b"
    assert clean_texts(text, urls="delete").kept["text"].to_list() == ["a  b"]
    assert clean_texts(text, urls="replace", case="lower").kept["text"].to_list() == ["a <URL> b"]
    assert clean_texts(text, urls={"replace": "[链接]"}).kept["text"].to_list() == ["a [链接] b"]
    rejected = clean_texts(text, "fine", urls="reject").rejected
    assert rejected.select("record", "stage", "reason", "detail").rows() == [
        (1, "clean", "contains:url", "text: found 'http://x.cn'")
    ]


def test_all_reasons_of_a_row_are_told():
    done = clean_texts("13800138000", phone_numbers="reject", max_digits=0.5, characters={"max": 3}, words={"min": 2})
    assert done.rejected["reasons"].to_list() == [
        ["contains:phone_number", "too_long:characters", "too_short:words", "too_many:digits"]
    ]
    assert done.rejected["reason"].to_list() == ["contains:phone_number"]
    assert done.rejected["detail"][0].startswith(
        "text: found '13800138000'; text: found 11 characters, expected at most 3"
    )


def test_a_text_that_becomes_blank_is_rejected_and_one_that_was_blank_is_not():
    done = clean_texts("http://x.cn ", "<p> </p>", "", " ", None, "\u200b", urls="delete", html=True, zero_width=True)
    assert done.rejected["record"].to_list() == [1, 2, 6]
    assert set(done.rejected["reason"]) == {"empty:text"}
    assert done.rejected["detail"][0] == "text: nothing is left of 'http://x.cn '"


def test_a_text_whose_protected_parts_would_change_is_rejected():
    done = clean_texts("＄x$A$", "$x$ B", half_width="all", case="lower", protect=["latex"])
    assert done.kept["text"].to_list() == ["$x$ b"]
    assert done.rejected["reason"].to_list() == ["unstable:text"]


def test_conversations_are_cleaned_turn_by_turn_and_by_role():
    turns = [("system", "A "), ("user", "B "), ("assistant", None), ("user", "http://x.cn")]
    messages = [{"role": role, "content": content, "weight": None, "details": None} for role, content in turns]
    rows = make_rows(Task.CAUSAL_LM, [{"messages": messages[:3]}, {"messages": messages}])
    settings = {"case": "lower", "whitespace": "lines", "urls": "delete", "roles": ["user"]}
    done = clean_rows(rows, cleaner_of(Task.CAUSAL_LM, **settings))
    assert [turn["content"] for turn in done.kept["messages"][0]] == ["A ", "b", None]
    assert done.rejected["reason"].to_list() == ["empty:messages"]
    assert done.changed == {"urls": 1, "case": 2, "whitespace": 2}
    without = clean_rows(rows, cleaner_of(Task.CAUSAL_LM, **{**settings, "roles": ["assistant"]}))
    assert_frame_equal(without.kept, rows)


def test_tokens_stay_as_many_and_none_vanishes():
    tokens = ["Ｈｉ", "\u200b", "http://x.cn", "the", "<b>", None]
    rows = make_rows(Task.TOKEN_CLASSIFICATION, [{"tokens": tokens}])
    settings = {"unicode": "NFKC", "zero_width": True, "urls": "delete", "html": True, "stopwords": {"words": ["the"]}}
    done = clean_rows(rows, cleaner_of(Task.TOKEN_CLASSIFICATION, **settings))
    assert done.kept["tokens"].to_list() == [["Hi", "\u200b", "<URL>", "the", "<b>", None]]


def test_only_the_named_fields_are_cleaned():
    rows = make_rows(Task.SEQ2SEQ, [{"source_text": "A", "target_text": "B"}])
    done = clean_rows(rows, cleaner_of(Task.SEQ2SEQ, fields=["target_text"], case="lower"))
    assert done.kept.select("source_text", "target_text").rows() == [("A", "b")]


def test_tags_in_upper_case_are_html_and_not_placeholders():
    done = clean_texts("<DIV>{x} <NAME></DIV>`<DIV>`", html=True, protect=["placeholders", "inline_code"])
    assert done.kept["text"].to_list() == ["{x} <NAME>\n`<DIV>`"]


def test_clean_takes_any_frame():
    frame = pl.DataFrame({"source": ["A", "http://x.cn"], "id": [7, 8], "label": ["X", "Y"]})
    done = clean(frame, fields="source", row_id="id", urls="delete", case="lower")
    assert done.kept.rows() == [("a", 7, "X")]
    assert done.rejected.drop("detail").rows() == [("8", 1, "empty:source", ["empty:source"])]
    assert clean(frame, fields=["source", "label"], case="lower").kept["label"].to_list() == ["x", "y"]
    assert clean(frame[:0], fields="source", case="lower", language={"keep": ["en"]}).kept.shape == (0, 3)


def test_clean_takes_conversations_by_any_name():
    frame = pl.DataFrame({"chat": [[{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]]})
    done = clean(frame, fields="chat", roles=["assistant"], case="lower")
    assert [turn["content"] for turn in done.kept["chat"][0]] == ["A", "b"]
    with pytest.raises(UsageError, match="no column holds turns with a role"):
        clean(pl.DataFrame({"a": ["x"]}), fields="a", roles=["user"], case="lower")


def test_clean_tells_all_faults_at_once():
    frame = pl.DataFrame({"a": ["x"], "n": [1]})
    with pytest.raises(UsageError) as caught:
        clean(frame, fields=["a", "n", "b"], row_id="q", htm=True, words={"min": 3, "max": 1})
    assert str(caught.value).split("; ") == [
        "clean: found no column 'b'",
        "known: a, n",
        "found no column 'q'",
        "known: a, n",
        "column 'n': found Int64, expected String, List(String) or a list of turns",
        "words: found 1, which is below min, 3",
        "unknown setting 'htm'",
        "did you mean 'html'?",
    ]
    with pytest.raises(UsageError, match="expected at least one column"):
        clean(frame, fields=[])


def test_tokens_are_counted_by_what_is_handed_in():
    frame = pl.DataFrame({"a": ["x", "xxxx"]})
    done = clean(frame, fields="a", tokens={"max": 3}, count_tokens=lambda texts: texts.str.len_bytes())
    assert done.rejected["reason"].to_list() == ["too_long:tokens"]
    with pytest.raises(UsageError, match="there is no tokenizer to count with"):
        clean(frame, fields="a", tokens={"max": 3})
