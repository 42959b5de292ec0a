import unicodedata

import polars as pl
import pytest
from ftfy import fix_encoding
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.text import normalization as forms
from sftdata.text.protection import MASK


def apply(function, *values, **options):
    return function(pl.Series(values, dtype=pl.String), **options).to_list()


def matches(guard, text):
    return pl.Series([text]).str.contains(guard)[0]


GUARDED = [
    (forms.MOJIBAKE, forms.repair_encoding, {}),
    *((forms.NOT_ASCII, forms.normalize_unicode, {"form": form}) for form in ("NFC", "NFD", "NFKC", "NFKD")),
    *((forms.FULL_WIDTH, forms.narrow, {"which": which}) for which in ("alphanumeric", "all")),
    (forms.CONTROL, forms.remove_control_characters, {}),
    (forms.ZERO_WIDTH, forms.remove_zero_width, {}),
    *((forms.CHINESE, forms.convert_chinese, {"script": script}) for script in ("simplified", "traditional")),
    *((forms.CASED[case], forms.fold_case, {"case": case}) for case in ("lower", "upper")),
    *((forms.SPACED[keep], forms.normalize_whitespace, {"keep": keep}) for keep in ("lines", "words")),
]
signs = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(0xFDEF)]) | st.sampled_from(" \n\r\t\u200d")
)


@pytest.mark.parametrize(("guard", "function", "options"), GUARDED, ids=lambda value: getattr(value, "__name__", None))
@given(signs)
@quick
def test_a_text_that_the_guard_does_not_match_does_not_change(guard, function, options, text):
    if not matches(guard, text):
        assert apply(function, text, **options) == [text]


@given(
    st.text(st.characters(max_codepoint=0x7FF) | st.sampled_from("“”…—–’汉字éüßЖ")),
    st.sampled_from(["latin-1", "cp1252", "cp1251", "cp1253", "cp1257", "mac-roman", "cp437", "cp1250", "iso-8859-2"]),
)
@quick
def test_every_mojibake_that_ftfy_repairs_passes_the_guard(text, encoding):
    broken = text.encode("utf-8").decode(encoding, errors="replace")
    if fix_encoding(broken) != broken:
        assert matches(forms.MOJIBAKE, broken)


def test_repair_reaches_both_sides_of_a_mask_and_changes_nothing_else():
    assert apply(forms.repair_encoding, f"schÃ¶n {MASK} å¥½", "“ok” &amp; ｆｕｌｌ ﬁ") == [
        f"schön {MASK} 好",
        "“ok” &amp; ｆｕｌｌ ﬁ",
    ]


@given(texts, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
@quick
def test_unicode_forms_are_those_of_python(text, form):
    if all(unicodedata.category(sign) != "Cn" for sign in text):  # Python may know an older Unicode
        assert apply(forms.normalize_unicode, text, form=form) == [unicodedata.normalize(form, text)]


def test_full_width_to_half_width():
    assert apply(forms.narrow, "ＡＢｃ１，（。　", which="alphanumeric") == ["ABc1，（。　"]
    assert apply(forms.narrow, "ＡＢｃ１，（。　～", which="all") == ["ABc1,(。 ~"]


def test_control_characters():
    found = apply(forms.remove_control_characters, "a\x1b[1;31mred\x1b[0m\x00\x7f\x9f", "a\fb\x0bc\x85d", "a\tb\r\nc")
    assert found == ["ared", "a\nb\nc\nd", "a\tb\r\nc"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u200bb\u00adc\ufeff\u2060\u202ed", "abcd"),
        ("a\u200db\u200cc", "abc"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("🏴\U000e0067\U000e0062\U000e007f", "🏴\U000e0067\U000e0062\U000e007f"),
        ("hi\U000e0067\U000e0062", "hi"),
    ],
)
def test_zero_width_characters_go_but_where_they_mean_something(text, expected):
    assert apply(forms.remove_zero_width, text) == [expected]


def test_chinese_by_phrases_and_one_call_for_all():
    assert apply(forms.convert_chinese, "乾隆 乾燥 臺灣", "", "a\n漢\0字", script="simplified") == [
        "乾隆 干燥 台湾",
        "",
        "a\n汉\0字",
    ]
    assert apply(forms.convert_chinese, "皇后在后面", script="traditional") == ["皇后在後面"]
    assert apply(forms.convert_chinese, script="simplified") == []


def test_case():
    assert apply(forms.fold_case, "ÀB ΑΣ Straße", case="lower") == ["àb ας straße"]
    assert apply(forms.fold_case, "Straße", case="upper") == ["STRASSE"]


def test_white_space():
    text = " a \t b\r\n  c\u3000\u00a0d \n\n\n\ne\u2028f "
    assert apply(forms.normalize_whitespace, text, keep="lines") == ["a b\n  c d\n\ne\nf"]
    assert apply(forms.normalize_whitespace, text, keep="words") == ["a b c d e f"]
