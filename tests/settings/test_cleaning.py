import pickle

import pytest
from pydantic import ValidationError

from sftdata.documents import read_document
from sftdata.errors import RecipeError
from sftdata.settings.cleaning import CleanSettings, Range, Replacement, find_field_faults


def test_nothing_is_on_unless_named():
    assert all(not value for value in CleanSettings().model_dump().values())


def test_all_that_can_be_said_is_read_and_pickles():
    settings = CleanSettings.model_validate(
        {
            "fields": ["text"],
            "protect": ["code_fences", "placeholders"],
            "urls": "delete",
            "emails": {"replace": "[邮箱]"},
            "stopwords": {"languages": ["en"]},
            "characters": {"min": 1, "max": 1},
            "language": {"keep": ["en", "zh"]},
            "repetition": {"top_ngrams": {2: 0.2}},
        }
    )
    assert settings.emails == Replacement(replace="[邮箱]")
    assert settings.characters == Range(min=1, max=1)
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301  # our own


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("emails", {"replace": "x"}, "expected 2 to 60 printable characters"),
        ("emails", {"replace": " [x]"}, "expected 2 to 60 printable characters"),
        ("emails", {"replace": "a\nb"}, "expected 2 to 60 printable characters"),
        ("emails", {"replace": "\ufdd0\ufdd1"}, "expected 2 to 60 printable characters"),
        ("characters", {}, "found neither, expected min, max or both"),
        ("words", {"min": 3, "max": 2}, "found 2, which is below min, 3"),
        ("stopwords", {}, "found no list, expected at least one of languages, words, file"),
        ("stopwords", {"languages": ["english"]}, "found 'english', expected ISO 639-1 codes"),
        ("language", {"keep": ["english"]}, "found 'english', expected ISO 639 codes"),
        ("fields", ["a", "a"], "found 'a' twice"),
        ("fields", [], "at least 1 item"),
        ("protect", ["code"], "'code_fences', 'inline_code', 'latex' or 'placeholders'"),
        ("max_digits", 1.0, "less than 1"),
        ("repetition", {"top_ngrams": {0: 0.5}}, "greater than or equal to 1"),
        ("html", "maybe", "valid boolean"),
    ],
)
def test_faults_say_what_was_found_and_expected(key, value, message):
    with pytest.raises(ValidationError, match=message):
        CleanSettings.model_validate({key: value})


def test_all_faults_of_a_file_at_once_with_their_lines(tmp_path):
    path = tmp_path / "clean.yaml"
    path.write_text("htm: true\nemails: {replace: x}\nwords: {min: 3, max: 2}\ncase: title\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        read_document(path, CleanSettings, RecipeError)
    lines = caught.value.faults
    assert {line.partition(": ")[0] for line in lines} == {"line 1", "line 2", "line 3", "line 4"}
    assert "did you mean 'html'?" in lines[0]


def test_what_does_not_fit_the_fields_of_a_task():
    fine = CleanSettings(fields=("source_text",))
    assert find_field_faults(fine, ["source_text", "target_text"]) == []
    assert find_field_faults(CleanSettings(roles=("user",)), ["messages"]) == []
    assert find_field_faults(CleanSettings(fields=("txt", "label"), roles=("user",)), ["text"]) == [
        "fields: found 'txt', which holds no text; did you mean 'text'?",
        "fields: found 'label', which holds no text; known: text",
        "roles: only conversations have roles; leave it out",
    ]
