import pickle

import polars as pl
import pytest
from pydantic import ValidationError

from sftdata.records import FIELDS, Task
from sftdata.settings.deduplication import DecontaminateSettings, DeduplicateSettings
from sftdata.stages.deduplication import BLOCK_ROWS, blocks_of, make_comparison, show_targets, sign_rows


def turn(role, content, details=None):
    return {"role": role, "content": content, "weight": None, "details": details}


def chat(*contents, details=None):
    roles = ["user", "assistant"] * len(contents)
    return {"messages": [turn(*pair, details) for pair in zip(roles, contents, strict=False)], "tools": None}


def rows_of(task, rows):
    provenance = {"row_id": pl.String, "source": pl.String, "record": pl.Int64}
    rows = [{"row_id": f"a:{number}", "source": "a", "record": number, **row} for number, row in enumerate(rows, 1)]
    return pl.DataFrame(rows, schema=provenance | FIELDS[task])


def sign(task, rows, **options):
    return sign_rows(rows_of(task, rows), make_comparison(task, DeduplicateSettings(**options)))


def equal(signed, name):
    first, second = signed[name].to_list()
    return first == second


SAME = {
    Task.TEXT_CLASSIFICATION: ({"text": "One TWO  three", "label": "a"}, {"text": "one two three ", "label": "a"}),
    Task.MULTILABEL: ({"text": "x y z", "labels": ["a", "b"]}, {"text": "X y z", "labels": ["b", "a", "a"]}),
    Task.REGRESSION: ({"text": "x", "score": 0.0}, {"text": "X", "score": 0.0}),
    Task.TOKEN_CLASSIFICATION: ({"tokens": ["A", "b"], "tags": ["O", "X"]}, {"tokens": ["a", "B"], "tags": ["O", "X"]}),
    Task.SEQ2SEQ: ({"source_text": "a", "target_text": "b"}, {"source_text": "A", "target_text": " b"}),
    Task.CAUSAL_LM: (chat("Hi", "Hello"), chat("hi ", "HELLO")),
}

OTHER_TARGET = {
    Task.TEXT_CLASSIFICATION: ({"text": "x", "label": "a"}, {"text": "x", "label": "A"}),
    Task.MULTILABEL: ({"text": "x", "labels": ["a"]}, {"text": "x", "labels": ["a", "b"]}),
    Task.REGRESSION: ({"text": "x", "score": 0.5}, {"text": "x", "score": None}),
    Task.TOKEN_CLASSIFICATION: ({"tokens": ["a"], "tags": ["O"]}, {"tokens": ["a"], "tags": ["X"]}),
    Task.SEQ2SEQ: ({"source_text": "a", "target_text": "b"}, {"source_text": "a", "target_text": "c"}),
    Task.CAUSAL_LM: (chat("q", "a", "q2", "yes"), chat("q", "a", "q2", "no")),
}


@pytest.mark.parametrize("task", Task)
def test_rows_that_say_the_same_have_the_same_hashes(task):
    signed = sign(task, SAME[task], conflicts="reject")
    assert [equal(signed, name) for name in ("content", "input", "target", "keys")] == [True] * 4


@pytest.mark.parametrize("task", Task)
def test_another_target_is_told_from_another_input(task):
    signed = sign(task, OTHER_TARGET[task], conflicts="reject")
    assert equal(signed, "input")
    assert not equal(signed, "target")
    assert equal(signed, "content") == (task not in (Task.SEQ2SEQ, Task.CAUSAL_LM))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (chat("a", "b"), chat("a b")),
        (chat("a", "b"), {"messages": [turn("user", "a"), turn("user", "b")], "tools": None}),
        (chat("a", None, details='{"tool_calls":[1]}'), chat("a", None, details='{"tool_calls":[2]}')),
        (chat("ab", "c"), chat("a", "bc")),
    ],
)
def test_conversations_differ_in_roles_turns_and_calls(one, other):
    assert not equal(sign(Task.CAUSAL_LM, [one, other]), "content")


def test_fields_that_run_into_each_other_differ():
    rows = [{"source_text": "a b", "target_text": "c"}, {"source_text": "a", "target_text": "b c"}]
    assert not equal(sign(Task.SEQ2SEQ, rows), "content")


def test_only_the_wanted_field_is_compared():
    signed = sign(Task.SEQ2SEQ, OTHER_TARGET[Task.SEQ2SEQ], fields=["source_text"])
    assert equal(signed, "content")
    assert not equal(signed, "target")


def test_a_conversation_that_ends_with_the_user_is_all_input():
    rows = [chat("q", "a", "q2"), chat("q", "a"), {"messages": [], "tools": None}, {"messages": None, "tools": None}]
    frame = rows_of(Task.CAUSAL_LM, rows)
    shown = show_targets(frame, make_comparison(Task.CAUSAL_LM, DeduplicateSettings(conflicts="reject")))
    assert shown.to_list() == ["", "assistant \x01 a", "", ""]


def test_rows_without_shingles_are_told():
    rows = [{"text": text, "label": "a"} for text in ("one two", "one two three", "", None, "!!!", "中文字", "中文")]
    assert sign(Task.TEXT_CLASSIFICATION, rows)["shingled"].to_list() == [False, True, False, False, False, True, False]


def test_without_near_nothing_is_signed():
    assert sign(Task.TEXT_CLASSIFICATION, SAME[Task.TEXT_CLASSIFICATION], near=False).columns == [
        "row_id",
        "content",
        "input",
        "target",
    ]


@pytest.mark.parametrize("task", Task)
def test_slices_and_no_rows(task):
    comparison = make_comparison(task, DeduplicateSettings(conflicts="reject"))
    rows = rows_of(task, [*SAME[task], *OTHER_TARGET[task]])
    whole = sign_rows(rows, comparison)
    parts = [sign_rows(rows[start:end], comparison) for start, end in ((0, 1), (1, 1), (1, 4))]
    assert pl.concat(parts).equals(whole)
    assert sign_rows(pl.concat([rows[:2], rows[2:]], rechunk=False), comparison).equals(whole)
    assert parts[1].schema == whole.schema


def test_blocks_hold_every_text_once_however_long():
    series = pl.Series(["x" * 2**20, "", "y"] + ["z" * 100] * (BLOCK_ROWS + 5))
    blocks = list(blocks_of(series))
    assert pl.concat(blocks).to_list() == series.to_list()
    assert max(map(len, blocks)) <= BLOCK_ROWS
    assert list(blocks_of(series[:0])) == []


def test_a_comparison_goes_to_worker_processes():
    comparison = make_comparison(Task.CAUSAL_LM, DeduplicateSettings())
    assert pickle.loads(pickle.dumps(comparison)) == comparison  # noqa: S301
    assert comparison.target is None


def sign_pairs(*pairs, **options):
    rows = rows_of(Task.MULTILABEL, [{"text": one, "text_pair": other, "labels": ["a"]} for one, other in pairs])
    return sign_rows(rows, make_comparison(Task.MULTILABEL, DeduplicateSettings(**options), has_pairs=True))


def test_the_same_text_beside_another_is_another_pair():
    for first, second, same in [
        (("a quick brown", "fox jumps over"), ("A  quick Brown", "FOX jumps over"), True),
        (("a quick brown", "fox jumps over"), ("a quick brown", "dog"), False),
        (("a quick brown", "fox jumps over"), ("a quick", "brown fox jumps over"), False),
        (("a quick brown", "fox jumps over"), ("fox jumps over", "a quick brown"), False),
    ]:
        signed = sign_pairs(first, second, conflicts="reject")
        assert [equal(signed, name) for name in ("content", "input")] == [same] * 2
        assert equal(signed, "target")


def test_near_duplicates_are_looked_for_in_both_texts():
    first, other = "the same first text of both", "of other words altogether"
    assert equal(sign_pairs((first, "a quick brown fox"), (first, "a quick brown fox")), "keys")
    assert not equal(sign_pairs((first, "a quick brown fox jumps over it"), (first, other)), "keys")
    assert not equal(sign_pairs(("a quick brown fox jumps over it", first), (other, first)), "keys")


def test_fields_may_leave_one_text_of_a_pair_out():
    signed = sign_pairs(("a b", "c"), ("a b", "d"), fields=["text"], conflicts="reject")
    assert [equal(signed, name) for name in ("content", "input")] == [True, False]
    with pytest.raises(ValueError, match="expected text or text_pair for a multilabel task"):
        sign_pairs(fields=["labels"])


def test_unknown_field_is_refused():
    with pytest.raises(ValueError, match="fields: found label, expected text for a text_classification task"):
        make_comparison(Task.TEXT_CLASSIFICATION, DeduplicateSettings(fields=["label"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"near": True}, "found True, expected false, or a mapping"),
        ({"near": {"threshold": 0.1}}, "greater than or equal to 0.3"),
        ({"near": {"action": "remove"}}, "'drop' or 'group'"),
        ({"fields": ["text", "text"]}, "expected each field once"),
        ({"fields": []}, "at least 1 item"),
        ({"conflicts": "drop"}, "'reject', 'majority' or 'keep'"),
        ({"exakt": True}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        DeduplicateSettings.model_validate(settings)


def test_decontaminate_needs_files():
    with pytest.raises(ValidationError, match="files"):
        DecontaminateSettings.model_validate({"ngram": 13})


def test_by_default_near_duplicates_are_grouped_and_nothing_falls():
    settings = DeduplicateSettings()
    assert not settings.drops
    assert (settings.near.threshold, settings.near.action) == (0.8, "group")
