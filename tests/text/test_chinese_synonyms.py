"""Our own list keeps the rules that its head states, and any file in the format of Cilin is read or refused whole."""

from importlib import resources

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.text.chinese_synonyms import CilinError, chinese_synonyms, load_cilin
from sftdata.text.segmentation import Segmenter

LINES = resources.files("sftdata").joinpath("data/chinese_synonyms.txt").read_text(encoding="utf-8").splitlines()
GROUPS = [line.split(" ") for line in LINES if line and not line.startswith("#")]
WORDS = [word.removesuffix("*") for group in GROUPS for word in group]
OPPOSITES = [
    ("高兴", "伤心"), ("漂亮", "丑陋"), ("干净", "肮脏"), ("安静", "吵闹"), ("喜欢", "讨厌"), ("优点", "缺点"),
    ("好处", "坏处"), ("成功", "失败"), ("增加", "减少"), ("提高", "降低"), ("方便", "麻烦"), ("豪华", "简陋"),
    ("陈旧", "崭新"), ("宽敞", "狭窄"), ("前面", "后面"), ("里面", "外面"), ("左边", "右边"), ("表扬", "批评"),
    ("好吃", "难吃"), ("聪明", "愚蠢"), ("清晰", "模糊"), ("热情", "冷淡"), ("同意", "反对"), ("早餐", "晚餐"),
]  # fmt: skip


def test_the_list_is_as_large_as_promised_and_keeps_its_own_rules():
    assert len(GROUPS) >= 1_200
    assert {len(group) for group in GROUPS} <= set(range(2, 7))
    assert [group for group in GROUPS if len({word.removesuffix("*") for word in group}) < len(group)] == []
    assert [group for group in GROUPS if all(word.endswith("*") for word in group)] == []
    assert [word for word in set(WORDS) if WORDS.count(word) > 2] == []
    assert [word for word in WORDS if len(word) < 2] == []
    assert [word for word in set(WORDS) if not all("一" <= sign <= "鿿" for sign in word)] == []


def test_no_group_is_part_of_another():
    sets = [frozenset(word.removesuffix("*") for word in group) for group in GROUPS]
    assert len(set(sets)) == len(sets)
    assert [one for one in sets if any(one < other for other in sets)] == []


def test_jieba_cuts_the_words_as_one_piece():
    words = pl.Series(sorted(set(WORDS)))
    share = (Segmenter().split_column(words).list.len() == 1).mean()
    assert share >= 0.95


def test_no_word_stands_for_its_opposite():
    synonyms = chinese_synonyms()
    for one, other in OPPOSITES:
        assert one in synonyms or other in synonyms
        assert not {one, *synonyms.get(one, ())} & {other, *synonyms.get(other, ())}, (one, other)


def test_a_starred_word_is_put_in_place_but_never_replaced():
    synonyms = chinese_synonyms()
    group = next(group for group in GROUPS if group[0] == "觉得")
    assert group == ["觉得", "感觉*"]
    assert synonyms["觉得"] == ("感觉",)
    assert "感觉" not in synonyms
    for word, others in synonyms.items():
        assert others
        assert word not in others
        assert len(set(others)) == len(others)


def test_the_mapping_is_made_once_and_cannot_be_changed():
    assert chinese_synonyms() is chinese_synonyms()
    with pytest.raises(TypeError):
        chinese_synonyms()["新词"] = ("旧词",)


CILIN = "Aa01A02= 人类 生人 全人类\r\nAa01A03= 人手 人员\nAb01B10# 同乡 同行\nAc02A01@ 侏儒\n\nBa01A02= 生人 陌生人\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_cilin_gives_the_synonyms_and_leaves_related_words_out(tmp_path, encoding):
    path = tmp_path / "cilin.txt"
    path.write_bytes(CILIN.encode(encoding))
    assert load_cilin(path) == {
        "人类": ("生人", "全人类"),
        "生人": ("人类", "全人类", "陌生人"),
        "全人类": ("人类", "生人"),
        "人手": ("人员",),
        "人员": ("人手",),
        "陌生人": ("生人",),
    }


words = st.text("人手中文字*=#", min_size=1, max_size=3)


@quick
@given(st.lists(st.tuples(st.sampled_from("=#@"), st.lists(words, min_size=1, max_size=4)), min_size=1, max_size=5))
def test_a_cilin_file_says_of_each_word_what_its_lines_say(tmp_path_factory, groups):
    path = tmp_path_factory.mktemp("cilin") / "cilin.txt"
    path.write_text("".join(f"Aa01A01{sign} {' '.join(group)}\n" for sign, group in groups), encoding="utf-8")
    equal = [group for sign, group in groups if sign == "="]
    expected = {
        word: {other for group in equal if word in group for other in group} - {word}
        for group in equal
        for word in group
    }
    if not equal:
        with pytest.raises(CilinError, match="no line with '='"):
            load_cilin(path)
    else:
        found = load_cilin(path)
        assert {word: set(others) for word, others in found.items()} == {w: o for w, o in expected.items() if o}


def test_a_faulty_file_is_told_in_one_message_with_line_numbers(tmp_path):
    path = tmp_path / "cilin.txt"
    path.write_text(CILIN + "人类 生人\nAa01A02=\n" + "x\n" * 30, encoding="utf-8")
    with pytest.raises(CilinError) as caught:
        load_cilin(path)
    message = str(caught.value)
    assert "line 7: found '人类 生人', expected a code, a sign and words, as 'Aa01A02= 人类 生人 全人类'" in message
    assert "line 8: found 'Aa01A02='" in message
    assert "and 12 more" in message
    assert "line 6:" not in message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xff\xff", "neither UTF-8 nor GB18030"),
        (b"", "no line with '='"),
        ("Ab01B10# 同乡 同行\n".encode(), "no line with '='"),
    ],
)
def test_a_file_that_is_no_cilin(tmp_path, content, told):
    path = tmp_path / "cilin.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CilinError, match=told):
        load_cilin(path)
