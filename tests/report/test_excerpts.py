"""Excerpts are whole lines, the same every time, and bounded."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.report import excerpts
from sftdata.report.excerpts import compare, find_rejected, sample_lines


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(excerpts, "WINDOWS", 4)
    monkeypatch.setattr(excerpts, "WINDOW", 200)


def test_of_a_large_file_whole_lines_are_read_in_windows_from_end_to_end(tmp_path, small):
    lines = [b"line %d of many" % number for number in range(500)]
    path = tmp_path / "x"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    found = list(sample_lines(path))
    assert found == list(sample_lines(path))
    assert set(found) <= set(lines)
    assert found[0] == lines[0]
    assert found[-1] == lines[-1]
    assert 30 < len(found) < 60
    assert any(b"line 1" in line or b"line 2" in line for line in found[10:-10])


def test_a_small_file_is_read_whole_and_one_that_is_not_there_is_empty(tmp_path, small):
    path = tmp_path / "x"
    path.write_bytes(b"a\nb\nc")
    assert [line.strip() for line in sample_lines(path)] == [b"a", b"b", b"c"]
    assert list(sample_lines(tmp_path / "y")) == []


def test_a_line_longer_than_a_window_is_passed_over(tmp_path, small):
    path = tmp_path / "x"
    path.write_bytes(b"a\n" + b"x" * 5000 + b"\nb\n")
    assert [line.strip() for line in sample_lines(path)] == [b"a", b"b"]


def test_a_few_rows_of_each_reason_are_taken_and_cut(tmp_path):
    row = {"source": "s" * 999, "record": 1, "stage": "read", "reasons": ["r"] * 99, "detail": "d" * 999}
    rows = [row | {"reason": f"r{number % 3}", "original": {"a": "x" * 5000}} for number in range(60)]
    junk = ["", "null", "[]", "7", '{"reason": []}', '{"a": 1}', "{", '"reason"']
    (tmp_path / "rejected.jsonl").write_text("\n".join([*map(json.dumps, rows), *junk]))
    found = find_rejected(tmp_path / "rejected.jsonl")
    assert {reason: len(some) for reason, some in found.items()} == dict.fromkeys(["r0", "r1", "r2"], excerpts.EXAMPLES)
    assert all(len(json.dumps(some)) < 2500 * excerpts.EXAMPLES for some in found.values())


@given(before=texts, after=texts)
@quick
def test_what_differs_and_what_is_equal_make_up_the_texts(before, after):
    removed, added = compare(before, after)
    assert ("".join(text for _, text in removed), "".join(text for _, text in added)) == (before, after)
    assert [text for differs, text in removed if not differs] == [text for differs, text in added if not differs]
    assert before != after or not any(differs for differs, _ in removed + added)


@given(words=st.lists(st.sampled_from(["a", "b", "中", "文"]), min_size=1), place=st.integers(0, 50))
@quick
def test_a_word_that_is_put_in_is_all_that_differs(words, place):
    before = " ".join(words)
    cut = min(place, len(words))
    after = " ".join([*words[:cut], "NEW", *words[cut:]])
    removed, added = compare(before, after)
    assert not any(differs for differs, _ in removed)
    assert "".join(text for differs, text in added if differs).strip() == "NEW"
