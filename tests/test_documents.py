import pytest

from sftdata.documents import Settings, read_document
from sftdata.errors import RecipeError, SchemaError


class Inner(Settings):
    size: int = 1
    names: tuple[str, ...] | str = "all"


class Outer(Settings):
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()
    share: float = 0.5
    needed: str


def faults_of(tmp_path, text, error=RecipeError):
    path = tmp_path / "document.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(error) as caught:
        read_document(path, Outer, error)
    assert str(caught.value).startswith(f"{path}: ")
    return list(caught.value.faults)


def test_a_good_document_becomes_settings(tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text("\ufeffneeded: a\ninner: {size: 2}\n", encoding="utf-8")
    assert read_document(path, Outer, RecipeError) == Outer(needed="a", inner=Inner(size=2))


def test_all_faults_come_at_once_in_order_of_line_with_key_path(tmp_path):
    text = "inner:\n  sise: 3\n  names: 5\nseveral:\n  - size: x\n  - {size: 1, size: 2}\nshare: .nan\nother: 1\n"
    assert faults_of(tmp_path, text) == [
        "line 6: several.1.size: given twice",
        "needed: missing, and it is required",
        "line 2: inner.sise: unknown key; did you mean 'size'?",
        "line 3: inner.names: found 5, expected a list or text",
        "line 5: several.0.size: found 'x', expected a valid integer, unable to parse string as an integer",
        "line 7: share: found nan, expected a finite number",
        "line 8: other: unknown key; known keys: inner, needed, several, share",
    ]


def test_the_count_of_faults_and_the_kind_of_file_are_said(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("share: a\n")
    with pytest.raises(SchemaError, match=r"s\.yaml: 2 faults in this schema"):
        read_document(path, Outer, SchemaError)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("needed: [a\n", "line 2: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("needed: a\n\tshare: 1\n", "line 2: not valid YAML: found character '\\t' that cannot start any token"),
        ("needed: a\n---\nneeded: b\n", "line 2: not valid YAML: but found another document"),
        ("needed: a\n? [a, b]\n: 1\n", "line 2: not valid YAML: found unhashable key"),
        ("needed: 2024-13-45\n", "not valid YAML: month must be in 1..12"),
        ("", "found None, expected a mapping of keys to values"),
        ("- a\n", "found ['a'], expected a mapping of keys to values"),
        ("needed: &a [*a]\n", "nested too deeply, or an anchor that holds itself"),
        ("needed: " + "[" * 5000, "nested too deeply, or an anchor that holds itself"),
        ("needed: a\ninner: 5\n", "line 2: inner: found 5, expected a mapping of keys to values"),
        ("needed: a\n1: 5\n", "line 2: 1: found 1, expected a key that is text; put it in quotes"),
    ],
)
def test_what_is_no_document_is_told_in_one_line(tmp_path, text, fault):
    assert faults_of(tmp_path, text) == [fault]


def test_what_is_no_text_is_refused(tmp_path):
    assert "cannot be read as UTF-8 text" in faults_of(tmp_path, b"needed: \xff\n")[0]
    assert "not valid YAML" in faults_of(tmp_path, b"needed: \x07\n")[0]


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    for path, words in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "is no file")):
        with pytest.raises(RecipeError, match=words):
            read_document(path, Outer, RecipeError)


def test_a_key_that_is_repeated_inside_an_anchor_does_not_hide_other_faults(tmp_path):
    found = faults_of(tmp_path, "needed: a\ninner: {size: 1, size: 1}\nshare: x\n")
    assert found[0] == "line 2: inner.size: given twice"
    assert found[1].startswith("line 3: share: found 'x'")
