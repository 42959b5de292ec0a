"""A text is found in token ids as it is in the decoded text, without decoding."""

import numpy as np
import pytest
import tokenizers
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import quick
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from sftdata.view.spelling import find_rows, spell

SIGNS = ["a", "B", "é", "É", "п", "П", "你", "好", "😀", " ", "\n", ".", "the", "Fox", "12", "'s", "#", "▁"]
some_texts = st.lists(st.lists(st.sampled_from(SIGNS), max_size=8).map("".join), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def sentence_pieces():
    """Llama's kind: a mark for spaces, and a token for each byte of a character that the vocabulary lacks."""
    vocabulary = [f"<0x{byte:02X}>" for byte in range(256)] + ["<unk>", "▁", "a", "b", "B", "▁the", "fox", "é", "你"]
    tokenizer = Tokenizer(
        models.BPE(dict(zip(vocabulary, range(300), strict=False)), [], byte_fallback=True, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def encode(tokenizer, texts):
    rows = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return rows, np.array([token for row in rows for token in row], dtype=np.int32), starts


def find(tokenizer, texts, query, most=99):
    spelling = spell(tokenizer)
    rows, ids, starts = encode(tokenizer, texts)
    pattern = spelling.compile(query)
    return rows, find_rows(spelling, pattern, ids, starts, most) if pattern else []


@given(texts=some_texts, data=st.data())
@quick
def test_byte_level_tokens_are_searched_as_their_text_is(byte_level, texts, data):
    source = data.draw(st.sampled_from(texts))
    begin = data.draw(st.integers(0, len(source)))
    query = data.draw(st.sampled_from([str.upper, str.lower, str]))(source[begin : begin + 5]).strip()
    assume(query)
    rows, hits = find(byte_level, texts, query)
    plain = [" ".join(text.lower().split()) for text in texts]
    wanted = " ".join(query.lower().split())
    assert [hit.row for hit in hits] == [place for place, text in enumerate(plain) if wanted in text]
    for hit in hits:
        row, first, last = rows[hit.row], hit.first, hit.last
        assert wanted in read(byte_level, row[first:last])
        assert wanted not in read(byte_level, row[first + 1 : last]), "no token too many"
        assert wanted not in read(byte_level, row[first : last - 1])


def read(tokenizer, ids):
    return " ".join(tokenizer.decode(ids, skip_special_tokens=False).lower().split())


@pytest.mark.parametrize("name", ["word_pieces", "sentence_pieces"])
@given(texts=some_texts, data=st.data())
@quick
def test_other_tokens_are_searched_without_white_space(request, name, texts, data):
    tokenizer = request.getfixturevalue(name)
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    source = data.draw(st.sampled_from(texts))
    begin = data.draw(st.integers(0, len(source)))
    query = "".join(source[begin : begin + 5].replace("▁", " ").split())
    assume(query)
    rows, hits = find(tokenizer, texts, query)
    normal = tokenizer.normalizer.normalize_str(query) if tokenizer.normalizer else query
    wanted = "".join(normal.lower().split())
    assume(wanted)
    runs = [split_at(row, special) for row in rows]
    decoded = [["".join(tokenizer.decode(run).lower().split()) for run in row] for row in runs]
    assert [hit.row for hit in hits] == [n for n, row in enumerate(decoded) if any(wanted in run for run in row)]


def split_at(row, special):
    runs = [[]]
    for token in row:
        runs = [*runs, []] if token in special else [*runs[:-1], [*runs[-1], token]]
    return runs


def test_special_tokens_are_found_by_their_whole_name_alone(byte_level, word_pieces):
    texts = ["<|im_start|>user\nhello<|im_end|>", "im_start user", "<|im_start|>tool"]
    assert [hit.row for hit in find(byte_level, texts, "<|im_start|>USER")[1]] == [0]
    assert [hit.row for hit in find(byte_level, texts, "start")[1]] == [1]
    assert [hit.row for hit in find(byte_level, texts, "<|im_start|>")[1]] == [0, 2]
    assert [hit.row for hit in find(word_pieces, ["[CLS] the fox", "a cls fox"], "cls")[1]] == [1]
    assert [hit.row for hit in find(word_pieces, ["[CLS] the fox", "a cls fox"], "[CLS] the")[1]] == [0]


def test_no_hit_reaches_over_the_edge_of_a_row(byte_level):
    _, hits = find(byte_level, ["the fo", "x jumps", "", "the fox"], "fox")
    assert [hit.row for hit in hits] == [3]
    assert find(byte_level, ["ab", "cd"], "a b c")[1] == []


@pytest.mark.parametrize("query", ["οδος", "ΟΔΟΣ", "οδοσ"])
def test_case_does_not_count_in_any_script(byte_level, query):
    _, hits = find(byte_level, ["ΟΔΟΣ", "οδος", "οδού", "ΠΡΙΒΕΤ"], query)
    assert [hit.row for hit in hits] == [0, 1]


def test_so_many_hits_are_enough_and_each_row_counts_once(byte_level):
    _, hits = find(byte_level, ["dog dog dog", "", "dog", "dog"], "dog", most=2)
    assert [hit.row for hit in hits] == [0, 2]


@pytest.mark.parametrize("query", ["", "  ", "\n"])
def test_nothing_to_look_for_is_no_pattern(byte_level, query):
    assert spell(byte_level).compile(query) is None


def test_a_mark_for_spaces_alone_is_nothing_to_look_for(sentence_pieces):
    assert spell(sentence_pieces).compile("▁ ▁") is None


@pytest.mark.parametrize("query", ["a.c", "(", "[a-z]+", "\\", "a|b", "^$", "\x00", "\ud800"])
def test_a_query_is_no_pattern_of_its_own(byte_level, query):
    _, hits = find(byte_level, ["abc", "zzz", "b"], query)
    assert hits == []


@given(ids=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20))
@quick
def test_any_ids_are_spelled_as_nothing_where_the_tokenizer_lacks_them(byte_level, ids):
    spelling = spell(byte_level)
    offsets, data = spelling.write(np.array(ids, dtype=np.int32))
    known = [number for number in ids if 0 <= number < len(spelling.pieces) - 1]
    assert len(offsets) == len(ids) + 1
    assert bytes(data)[: offsets[-1]] == b"".join(spelling.pieces[number].as_py() for number in known)


def test_every_tokenizer_can_be_spelled():
    for model in (models.WordLevel({"a": 0, "[UNK]": 1}, "[UNK]"), models.BPE(), models.Unigram([("a", 0.0)], 0)):
        tokenizer = tokenizers.Tokenizer(model)
        assert len(spell(tokenizer).pieces) == tokenizer.get_vocab_size() + 1
