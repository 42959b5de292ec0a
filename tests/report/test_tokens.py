"""Tokens are shown one by one; what they say together is the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.records import IGNORE_INDEX
from sftdata.report.tokens import cut_tokens


@given(text=texts | st.sampled_from(["你好 😀👩‍👩‍👧\n\t", " a  b ", "<|im_start|>user\nhi<|im_end|>"]))
@quick
def test_pieces_of_byte_level_tokens_are_the_text(byte_level, text):
    ids = byte_level.encode(text, add_special_tokens=False).ids
    pieces = cut_tokens(byte_level, ids, ids)
    assert "".join(piece.text for piece in pieces) == text
    assert [token for piece in pieces for token in piece.ids] == ids
    assert all(piece.is_trained for piece in pieces)
    assert {piece.text for piece in pieces if piece.is_special} <= {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}


@pytest.mark.parametrize("name", ["byte_level", "word_pieces"])
@given(data=st.data())
@quick
def test_any_ids_are_shown_in_order_and_none_is_lost(request, name, data):
    tokenizer = request.getfixturevalue(name)
    ids = data.draw(st.lists(st.integers(0, tokenizer.get_vocab_size() - 1), max_size=30))
    trained = data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    labels = [token if is_trained else IGNORE_INDEX for token, is_trained in zip(ids, trained, strict=True)]
    pieces = cut_tokens(tokenizer, ids, labels)
    assert [token for piece in pieces for token in piece.ids] == ids
    assert [piece.is_trained for piece in pieces for _ in piece.ids] == trained
    assert all(piece.text for piece in pieces)
    special = {token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special}
    for piece in pieces:
        assert piece.is_special == (piece.ids[-1] in special)
        if piece.is_special:
            assert piece.text == tokenizer.id_to_token(piece.ids[-1])


def test_bytes_that_are_no_character_are_a_mark(byte_level):
    (first, *rest) = byte_level.encode("😀", add_special_tokens=False).ids
    assert rest
    (piece,) = cut_tokens(byte_level, [first], [IGNORE_INDEX])
    assert piece.text == "\N{REPLACEMENT CHARACTER}"
    (whole,) = cut_tokens(byte_level, [first, *rest], [IGNORE_INDEX] * (1 + len(rest)))
    assert (whole.text, whole.ids) == ("😀", (first, *rest))


def test_tags_stand_at_their_words_but_not_the_one_for_nothing(word_pieces):
    ids = word_pieces.encode("bird of fox", add_special_tokens=False).ids[:3]
    pieces = cut_tokens(word_pieces, ids, [1, 0, IGNORE_INDEX], ("O", "B-X"))
    assert [piece.tag for piece in pieces] == ["B-X", None, None]
    assert [piece.is_trained for piece in pieces] == [True, True, False]
