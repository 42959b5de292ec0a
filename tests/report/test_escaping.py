"""Whatever stands in rows, labels, names and reasons stays text."""

import json
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import read_page
from strategies import quick

import sftdata
from sftdata.errors import make_printable
from sftdata.manifest import read_manifest
from sftdata.report.page import REPORT_NAME, render_report
from sftdata.tokenizers.loading import load_tokenizer

HOSTILE = [
    "</script><script>window.hit = 1</script>",
    "</style><style>body { display: none }</style>",
    '"><img src=x onerror="window.hit = 2">',
    "javascript:window.hit=4 \u202e\u2028\x00\x1b[31m",
    "'><svg onload='window.hit = 3'>",
    "<!-- </title></textarea></pre>",
    "]]><b>&lt;&amp;&#60;",
    "{{ 7 * 7 }} {% raw %} ${7*7} {# x #}",
]


def write_data(folder, tokenizer):
    """Prepare data in which everything that a person names is hostile: files, columns, labels, texts, a tokenizer."""
    file, name = "x \"><img src=x onerror=hit>&'.jsonl", '<b onclick="hit">&\'"'
    names = '"><i>words'
    (folder / names).symlink_to(tokenizer)
    schema = {
        "name": name,
        "task": "text_classification",
        "columns": {name: {"dtype": "str", "checks": {"str_length": {"min_value": 3}}}, "label": {"dtype": "str"}},
        "parts": {"text": name, "label": "label"},
    }
    (folder / "s.yaml").write_text(json.dumps(schema))
    good = [{name: f"{text} {i // 20} {i}", "label": HOSTILE[i % 3]} for i in range(60) for text in HOSTILE]
    near = [{name: "the same words stand here again " * 4 + text, "label": HOSTILE[0]} for text in HOSTILE]
    bad = [{name: "a", "label": text} for text in HOSTILE] + [{"other": text} for text in HOSTILE]
    lines = [json.dumps(row) for row in [*good, *near, *bad]] + HOSTILE[:2]
    (folder / file).write_text("".join(f"{line}\n" for line in lines))
    recipe = {
        "task": "text_classification",
        "schema": "s.yaml",
        "sources": [{"path": "*.jsonl"}],
        "clean": {"urls": "replace", "whitespace": "words"},
        "deduplicate": {"near": {"threshold": 0.6, "action": "drop"}},
        "split": {"train": 0.6, "validation": 0.2, "test": 0.2, "stratify": "label"},
        "tokenize": {"tokenizer": names, "max_length": 256},
        "output": {"dir": "out"},
        "max_rejected": 1.0,
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    sftdata.prepare(sftdata.load_recipe(folder / "recipe.yaml"))
    return folder / "out"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, text_tokenizer):
    return write_data(tmp_path_factory.mktemp("hostile"), text_tokenizer)


def test_nothing_hostile_becomes_an_element_or_an_attribute(hostile):
    page = read_page((hostile / REPORT_NAME).read_text(encoding="utf-8"))
    elements = page.all()
    assert not [element for element in elements if element.name in {"img", "i", "textarea", "raw"}]
    assert not [element for element in page.all("b") if element.attributes]
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert not {name for element in elements for name in element.attributes if name.startswith("on")}
    assert not [e for e in elements if {"src", "srcset", "style", "onerror"} & e.attributes.keys()]
    for text in HOSTILE[:5]:
        assert json.dumps(text)[1:-1] in page.one("section", id="rejected").text
        assert text not in page.one("script").text
    labels = page.one("section", id="labels").text
    assert all(text in labels for text in HOSTILE[:3])
    assert "x \"><img src=x onerror=hit>&'.jsonl" in page.one("section", id="recipe").text
    assert '<b onclick="hit">&\'":str_length' in {e.text for e in page.all(class_="what")}
    assert '"><i>words' in page.one("header", class_="top").text
    assert len(page.one(id="clusters").all("details")) > 0


def test_characters_that_steer_or_do_not_print_are_spelled_out(hostile):
    content = (hostile / REPORT_NAME).read_text(encoding="utf-8")
    assert not set(content) & set("\x00\x1b\u202e\u2028")
    assert "\\u202e\\u2028\\u0000\\u001b[31m" in content


@cache
def parts_of(directory):
    return read_manifest(directory), load_tokenizer(str(directory / "tokenizer")).reference


any_text = st.text(max_size=40) | st.sampled_from(HOSTILE)


@given(reason=any_text, detail=any_text, original=st.text(st.characters(), max_size=40), source=any_text)
@quick
def test_any_rejected_row_stands_there_as_it_is(hostile, reason, detail, original, source):
    manifest, tokenizer = parts_of(hostile)
    row = {"source": source, "record": 7, "stage": "x", "reason": reason, "reasons": [reason], "detail": detail}
    (hostile / "rejected.jsonl").write_text(json.dumps(row | {"original": original}) + "\n")
    changed = manifest.model_copy(update={"rejected_by_reason": {reason: 1}})
    page = read_page(render_report(hostile, changed, tokenizer))
    case = page.one(id="reasons").one("details")
    assert case.one(class_="what").text == make_printable(reason)
    assert case.one("pre").text == make_printable(original)
    assert case.all("p")[1].text == make_printable(detail)
    assert case.one("code").text == make_printable(source)
