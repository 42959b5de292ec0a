import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.settings.cleaning import CleanSettings
from sftdata.stages.cleaning_texts import clean_texts, make_plan
from sftdata.text.cleaner import make_cleaner
from sftdata.text.protection import hide, make_pattern

actions = st.none() | st.sampled_from(["delete", "replace", {"replace": "[gone]"}, {"replace": "Ａ<b>@x.cn"}])
flags = st.booleans()
KINDS = ("urls", "emails", "chinese_ids", "card_numbers", "ip_addresses", "phone_numbers")
all_settings = st.fixed_dictionaries(
    {
        "protect": st.lists(
            st.sampled_from(["code_fences", "inline_code", "latex", "placeholders"]), unique=True, max_size=4
        ),
        "repair": flags,
        "html": flags,
        "unicode": st.sampled_from([None, "NFC", "NFD", "NFKC", "NFKD"]),
        "half_width": st.sampled_from([None, "alphanumeric", "all"]),
        "control_characters": flags,
        "zero_width": flags,
        "chinese": st.sampled_from([None, None, "simplified", "traditional"]),
        **dict.fromkeys(KINDS, actions),
        "stopwords": st.sampled_from([None, None, {"words": ["the", "of", "的", "don't", "<URL>"]}]),
        "case": st.sampled_from([None, "lower", "upper"]),
        "whitespace": st.sampled_from([None, "lines", "words"]),
    }
)

SNIPPETS = (
    "http://x.cn/a?b=1&amp;c=2|www.a.com).|a.b@x.cn|ａ．ｂ＠ｘ．ｃｎ|１３８００１３８０００|13800138000|"
    "138|00138000|-|+86 |4111111111111111|4111 1111|11010519491231002X|1.2.3.4|2001:db8::1|"
    "&amp;lt;b&amp;gt;|&lt;|&#60;|&nbsp;|<b>|</p>|<<b>b>|<!-- | -->|<script>|</script>|<a href='|'>|"
    "<br/>|<|>|&|amp;|lt;|;|`|```|$|$x$|＄|\\(|\\)|\\begin{align}|\\end{align}|{name}|{|}|%s|％s|${x}|"
    "<NAME>|<DIV>|<URL>|[gone]|\u200b|\u200d|\xad|\ufeff|\x00|\x1b[31m|\x0c|\x85|\u2028|\u3000| |  |\n|"
    "\r\n|\n\n\n|\t|é|é|\u0301|ﬁ|Å|İ|ß|ς|ŉ|の|漢字|汉字|乾隆|后面|的|the|The |of|don’t|Don't|schÃ¶n|â€œ|"
    "Ã|\ufdd0|\ufdd1|\ufdef|\U0001f468\u200d\U0001f469|\ufe0f|Ａ|Ⅷ|½|ｶﾞ|가|ᄀ|ᅡ|\ue000|~~~|{{ x }}|"
    "{% if %}|.|,|\\"
)
snippets = st.sampled_from([*SNIPPETS.split("|"), "|"])
nasty = st.lists(snippets | texts, max_size=8).map("".join)


def plan_of(settings, *, tokens=False):
    return make_plan(make_cleaner(CleanSettings(**settings), ["text"], "."), tokens=tokens)


def run(values, settings, *, tokens=False):
    series = pl.Series("text", values, dtype=pl.String)
    rows = pl.int_range(len(values), dtype=pl.UInt32, eager=True)
    return clean_texts(series, rows, plan_of(settings, tokens=tokens))


@given(st.lists(st.none() | nasty, max_size=5), all_settings, flags)
@quick
def test_cleaning_twice_changes_nothing_more(values, settings, tokens):
    done = run(values, settings, tokens=tokens)
    stable = done.texts.filter(~pl.int_range(len(values), eager=True).is_in(done.unstable.implode()))
    again = run(stable.to_list(), settings, tokens=tokens)
    assert again.texts.to_list() == stable.to_list()
    assert (again.changes, len(again.unstable)) == ([], 0)


@given(st.lists(nasty, max_size=5), all_settings)
@quick
def test_protected_spans_survive_byte_for_byte_and_in_order(values, settings):
    done = run(values, settings)
    pattern = make_pattern(settings["protect"], [])
    tags = plan_of(settings).open_tags
    for place, (before, after) in enumerate(zip(values, done.texts, strict=True)):
        spans = hide(pl.Series([before]), pattern, tags)[1].to_list()[0]
        if place not in done.unstable:
            assert_in_order(spans, after)


def assert_in_order(spans, text):
    rest = text
    for span in spans:
        assert span in rest
        rest = rest.partition(span)[2]


@given(st.lists(nasty, min_size=1, max_size=5), all_settings)
@quick
def test_tokens_never_vanish_and_other_texts_are_null_only_where_they_were(values, settings):
    done = run([*values, None], settings, tokens=True)
    assert [text and "text" for text in done.texts] == [text and "text" for text in [*values, None]]
