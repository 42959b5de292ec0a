"""YAML that is written by hand says what it is to say."""

import yaml
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.proposal.yaml_text import write_comment, write_entry, write_inline, write_note, write_scalar

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
scalars = (
    any_text | st.integers() | st.booleans() | st.sampled_from(["yes", "null", "1", "1e3", "~", "a: b", "- a", "#", ""])
)
values = st.recursive(
    scalars | st.lists(scalars, max_size=6), lambda inner: st.dictionaries(any_text, inner, max_size=4), max_leaves=12
)


@quick
@given(scalar=scalars)
def test_a_scalar_is_read_back_in_a_list_and_in_a_mapping(scalar):
    assert yaml.safe_load(f"[{write_scalar(scalar)}, 1]") == [scalar, 1]
    assert yaml.safe_load(f"a: {write_scalar(scalar)}") == {"a": scalar}


@quick
@given(key=any_text, value=values)
def test_an_entry_is_read_back(key, value):
    assert yaml.safe_load("\n".join(write_entry(key, value, {}))) == {key: value}
    assert yaml.safe_load(write_inline(value)) == value


@quick
@given(entries=st.lists(any_text, min_size=1, max_size=5, unique=True), remark=any_text)
def test_remarks_are_comments(entries, remark):
    remarks = {entry: write_comment(remark)[2:] for entry in entries}
    text = "\n".join(write_entry("checks", {"isin": entries}, remarks))
    assert yaml.safe_load(text) == {"checks": {"isin": entries}}


@quick
@given(text=any_text, indent=st.integers(0, 4))
def test_a_comment_is_one_whatever_it_says(text, indent):
    lines = [write_comment(text, indent), *write_note(text * 9, indent)]
    assert all(line.strip().startswith("#") and line.isprintable() for line in lines)
    assert yaml.safe_load("\n".join([*lines, "a: 1"])) == {"a": 1}


def test_it_reads_as_if_written_by_hand():
    column = {"dtype": "str", "checks": {"isin": ["neg", "pos"]}}
    assert list(write_entry("label", column, {"neg": "12", "pos": "9"}, 2)) == [
        "  label:",
        "    dtype: str",
        "    checks:",
        "      isin:",
        "        - neg  # 12",
        "        - pos  # 9",
    ]
    assert list(write_entry("text", {"dtype": "str", "checks": {"not_blank": True}}, {}, 2)) == [
        "  text: {dtype: str, checks: {not_blank: true}}"
    ]
