import pytest

from sftdata.errors import UsageError
from sftdata.settings.cleaning import CleanSettings
from sftdata.text.cleaner import make_cleaner
from sftdata.text.segmentation import Segmenter


def test_a_cleaner_holds_what_the_settings_name(tmp_path):
    (tmp_path / "words.txt").write_text("Foo\n", encoding="utf-8")
    settings = CleanSettings(fields=("b",), stopwords={"file": "words.txt"})
    cleaner = make_cleaner(settings, ["a", "b"], tmp_path, segmenter=Segmenter((("云计算", None),)))
    assert (cleaner.fields, cleaner.stopwords) == (("b",), {"foo"})
    assert cleaner.segmenter.words == (("云计算", None),)
    assert make_cleaner(CleanSettings(), ["a", "b"], tmp_path).fields == ("a", "b")


def test_all_that_does_not_fit_is_told_at_once():
    with pytest.raises(UsageError) as caught:
        make_cleaner(CleanSettings(fields=("c",), roles=("user",), tokens={"max": 3}), ["a"], ".")
    assert str(caught.value) == (
        "clean: fields: found 'c', which holds no text; known: a; roles: only conversations have roles; leave it out; "
        "tokens: there is no tokenizer to count with; give one, or leave it out"
    )
