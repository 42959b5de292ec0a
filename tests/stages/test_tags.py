"""Pieces of words are Hugging Face's, the first piece of each word has its tag, and no tag is lost without a reason."""

from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import tokenizing
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts
from tokenizing import PARTS, as_chunk, check_part, reasons, start

from sftdata.records import IGNORE_INDEX, Task
from sftdata.stages.tokenization import texts_to_prove, tokenize_rows
from sftdata.stages.tokenization.drafts import Drop
from sftdata.stages.tokenization.tags import Scheme, divide
from sftdata.stages.tokenization.words import Words, encode_words
from sftdata.tokenizers.backends import choose_backend

NAMES = ("O", "B-LOC", "B-PER", "I-PER")

KINDS = {
    "word_piece": tokenizing.word_piece,
    "byte_level": tokenizing.byte_level,
    "byte_level_space": lambda folder: tokenizing.byte_level(folder, "<s> $A </s>", space=True),
    "unigram": tokenizing.unigram,
    "unigram_first": lambda folder: tokenizing.unigram(folder, scheme="first"),
    "unigram_never": lambda folder: tokenizing.unigram(folder, scheme="never"),
    "prepending": tokenizing.prepending,
}

WORDS = ["The", "the", "dog's", "Rockwell", "déjà-vu", "北", "京大学", "123", "(", " two words ", "ＡＢ", "ﬁ"]
CONTROLS = ["\u200b", "\x01", "", "[SEP]", "</s>", "a</s>b"]
word = st.sampled_from(WORDS) | texts
sentence = st.lists(word, max_size=6)


@pytest.fixture(scope="module", params=KINDS)
def directory(request, tmp_path_factory):
    return KINDS[request.param](tmp_path_factory.mktemp("tokenizers") / request.param)


@pytest.fixture(scope="module")
def settings(directory):
    return start(Task.TOKEN_CLASSIFICATION, directory, NAMES, special_tokens_in_text="allow")


@pytest.fixture(scope="module")
def cased(tmp_path_factory):
    """Pieces are single characters almost, so that words have several."""
    folder = tokenizing.byte_level(tmp_path_factory.mktemp("cased"), "<s> $A </s>")
    return start(Task.TOKEN_CLASSIFICATION, folder, NAMES)


def change(settings, **options):
    return start(settings.task, settings.settings.tokenizer, settings.label_names, **options)


def chunk(*rows):
    return as_chunk(Task.TOKEN_CLASSIFICATION, [{"tokens": words, "tags": tags} for words, tags in rows])


def tagged(count):
    """Return rows of two to five words."""
    rows = []
    for i in range(count):
        words = [WORDS[(i + place) % len(WORDS)] for place in range(2 + i % 4)]
        rows.append((words, [NAMES[(i + place * 3) % 4] for place in range(len(words))]))
    return chunk(*rows)


def of_reference(settings, words, *, add_special_tokens=True):
    return settings.tokenizer.reference.encode(words, is_pretokenized=True, add_special_tokens=add_special_tokens)


@quick
@given(sentences=st.lists(st.lists(word | st.sampled_from(CONTROLS), max_size=6), min_size=1, max_size=4))
def test_words_have_the_pieces_of_pretokenised_input(settings, sentences):
    column = pl.Series("tokens", sentences, dtype=pl.List(pl.String))
    words = encode_words(column, settings, Drop(column.to_frame()))
    expected = [of_reference(settings, words, add_special_tokens=False) for words in sentences]
    assert words.ids.tolist() == [token for encoding in expected for token in encoding.ids]
    assert words.counts.tolist() == [len(words) for words in sentences]
    pieces = [encoding.word_ids.count(place) for encoding, words in zip(expected, sentences, strict=True)
              for place in range(len(words))]  # fmt: skip
    assert words.pieces.tolist() == pieces


@quick
@given(sentences=st.lists(sentence, min_size=1, max_size=5), data=st.data())
def test_labelled_pieces_are_the_first_of_their_words_and_decode_to_the_tags(settings, sentences, data):
    tag = st.sampled_from(NAMES)
    rows = [(words, data.draw(st.lists(tag, min_size=len(words), max_size=len(words)))) for words in sentences]
    done = tokenize_rows(chunk(*rows), settings)
    for place, example in zip(done.kept, done.examples.to_pylist(), strict=True):
        words, tags = rows[place]
        encoding = of_reference(settings, words)
        assert example["input_ids"] == encoding.ids
        labels = dict(enumerate(example["labels"]))
        firsts = [encoding.word_ids.index(number) for number in range(len(words))]
        assert [NAMES[labels.pop(first)] for first in firsts] == tags
        assert set(labels.values()) <= {IGNORE_INDEX}
    for record, reason in reasons(done).items():
        words = rows[record - 1][0]
        found = set(of_reference(settings, words, add_special_tokens=False).word_ids)
        assert reason == ("no_tokens" if not words else "word_without_token")
        assert found != set(range(len(words))) or not words


@pytest.mark.parametrize("part", PARTS)
def test_a_part_gives_what_the_whole_gives(cased, part):
    rows = tagged(30)
    check_part(rows, PARTS[part](rows), cased)
    check_part(rows, PARTS[part](rows), change(cased, max_length=9, overflow="split"))


def test_the_fast_backend_gives_the_same(directory):
    settings = start(Task.TOKEN_CLASSIFICATION, directory, NAMES, special_tokens_in_text="allow")
    proof = choose_backend(settings.tokenizer, "auto", texts_to_prove(tagged(30), settings))
    fast = type(settings)(settings.task, settings.tokenizer, settings.settings, proof, NAMES)
    assert tokenize_rows(tagged(30), fast).examples == tokenize_rows(tagged(30), settings).examples


def test_labels_are_lists_of_int64_with_names(cased):
    examples = tokenize_rows(tagged(3), cased).examples
    assert examples.schema.field("labels").type == pa.list_(pa.int64())
    assert (
        b'{"feature": {"names": ["O", "B-LOC", "B-PER", "I-PER"], "_type": "ClassLabel"}, "_type": "List"}'
        in (examples.schema.metadata[b"huggingface"])
    )


def test_an_entity_begins_once_where_all_pieces_are_labelled(cased):
    rows = chunk((["Zürich", "Jünü", "ü"], ["B-LOC", "B-PER", "I-PER"]))
    every = tokenize_rows(rows, change(cased, label_all_pieces=True)).examples.to_pylist()[0]
    first = tokenize_rows(rows, cased).examples.to_pylist()[0]
    of_word = of_reference(cased, ["Zürich", "Jünü", "ü"]).word_ids
    assert every["input_ids"] == first["input_ids"]
    for place, number in enumerate(of_word):
        begins = number is not None and of_word.index(number) == place
        # no I-LOC stands in the training part, so B-LOC is repeated; B-PER goes on as I-PER
        expected = IGNORE_INDEX if number is None else [NAMES.index("B-LOC"), NAMES.index("I-PER")][min(number, 1)]
        assert every["labels"][place] == (first["labels"][place] if begins else expected)
    assert every["labels"].count(NAMES.index("I-PER")) > 3, "the test must not pass on nothing"


def test_a_tag_of_bmes_goes_on_as_m():
    names = ("O", "B-LOC", "E-LOC", "M-LOC", "S-LOC")
    assert [names[place] for place in Scheme(names).later[:-1]] == ["O", "M-LOC", "E-LOC", "M-LOC", "S-LOC"]


def test_each_fault_has_its_reason_and_its_word(cased):
    rows = chunk(
        (["fine"], ["O"]),
        ([], []),
        (["a", "\u200b"], ["O", "O"]),
        (["a"], ["O", "O"]),
        (["a", "b"], ["O", "B-MISC"]),
        (["a", "x</s>"], ["O", "O"]),
        (["a"] * 100, ["O"] * 100),
        (None, None),
        (["a", None], ["O", None]),
        (["a", "b"], ["O", None]),
    )
    done = tokenize_rows(rows, change(cased, max_length=50))
    assert reasons(done) == {
        2: "no_tokens",
        4: "tags:as_long_as",
        5: "label:not_in_train",
        6: "special_token_in_text",
        7: "too_long",
        8: "no_tokens",
        9: "word_without_token",
        10: "label:not_in_train",
    }
    details = dict(zip(done.rejected["record"], done.rejected["detail"], strict=True))
    assert details[5] == "no row of the training part has the tag 'B-MISC'"
    assert details[9] == "word 2, '', gives no token, so its tag would be lost"
    assert details[10] == "a word has no tag"
    assert done.kept.tolist() == [0, 2]


def test_a_word_of_dropped_characters_is_named(tmp_path):
    settings = start(Task.TOKEN_CLASSIFICATION, tokenizing.word_piece(tmp_path), NAMES)
    done = tokenize_rows(chunk((["a"], ["O"]), (["a", "b", "\u200b", "\x01"], ["O"] * 4)), settings)
    assert done.rejected["reason"].to_list() == ["word_without_token"]
    assert done.rejected["detail"].to_list() == ["word 3, '\\u200b', gives no token, so its tag would be lost"]


def test_control_tokens_in_words_are_handled_as_told(cased):
    rows = chunk((["a", "</s>", "b"], ["O", "B-PER", "I-PER"]))
    end = cased.tokenizer.reference.token_to_id("</s>")
    allowed = tokenize_rows(rows, change(cased, special_tokens_in_text="allow")).examples.to_pylist()[0]
    escaped = tokenize_rows(rows, change(cased, special_tokens_in_text="escape")).examples.to_pylist()[0]
    assert allowed["input_ids"].count(end) == 2
    assert escaped["input_ids"].count(end) == 1
    for example in (allowed, escaped):
        assert [label for label in example["labels"] if label != IGNORE_INDEX] == [0, 2, 3]


def words_of(settings, example):
    """Return the text of each labelled word, and its tag."""
    starts = [place for place, label in enumerate(example["labels"]) if label != IGNORE_INDEX]
    decode = settings.tokenizer.reference.decode
    return [
        (decode(example["input_ids"][a:b]), NAMES[example["labels"][a]])
        for a, b in pairwise([*starts, len(example["labels"])])
    ]


def test_truncation_cuts_between_words_and_keeps_the_special_tokens(cased):
    words, tags = ["déjà", "déjà", "déjà", "déjà"], ["O", "B-PER", "I-PER", "O"]
    whole = of_reference(cased, words)
    size = whole.word_ids.count(0)
    short = change(cased, overflow="truncate", max_length=2 * size + 3)
    done = tokenize_rows(chunk((words, tags), (words[:1], tags[:1])), short)
    first, second = done.examples.to_pylist()
    # the second word would begin an entity that is torn, so only the first is kept
    assert first["input_ids"] == of_reference(cased, words[:1]).ids
    assert words_of(cased, first) == words_of(cased, second) == [("déjà", "O")]
    assert done.truncated.tolist() == [True, False]


@pytest.mark.parametrize("overflow", ["truncate", "split"])
def test_a_word_that_is_too_long_rejects_its_row(cased, overflow):
    rows = chunk((["a", "ü" * 40], ["O", "O"]), (["ü" * 40, "a"], ["O", "O"]), (["a", "b"], ["O", "O"]))
    done = tokenize_rows(rows, change(cased, overflow=overflow, max_length=20))
    assert reasons(done) == ({2: "too_long"} if overflow == "truncate" else {1: "too_long", 2: "too_long"})
    nothing_fits = tokenize_rows(rows, change(cased, overflow=overflow, max_length=2))
    assert reasons(nothing_fits) == {1: "too_long", 2: "too_long", 3: "too_long"}


def test_parts_of_a_row_are_named_and_hold_all_its_words(cased):
    words = [f"{WORDS[i % 4]}" for i in range(20)]
    tags = ["B-PER", "I-PER", "O", "B-LOC"] * 5
    done = tokenize_rows(chunk((["a"], ["O"]), (words, tags)), change(cased, overflow="split", max_length=16))
    parts = done.examples.to_pylist()[1:]
    assert [part["row_id"] for part in parts[:3]] == ["s:2", "s:2/2", "s:2/3"]
    assert [place for part in parts for place in words_of(cased, part)] == list(zip(words, tags, strict=True))
    assert all(len(part["input_ids"]) <= 16 for part in parts)
    assert done.parts.tolist() == [0, *range(len(parts))]
    assert not done.truncated.any()


def naive_parts(pieces, torn, most):
    """Take as many words as fit; step back to the start of an entity that would be torn, if words are left."""
    spans, first = [], 0
    while first < len(pieces):
        end = first
        while end < len(pieces) and sum(pieces[first : end + 1]) <= most:
            end += 1
        if end == first:
            return None
        back = end
        while end < len(pieces) and back > first and torn[back]:
            back -= 1
        spans.append((first, back if back > first else end))
        first = spans[-1][1]
    return spans or [(0, 0)]


@quick
@given(
    rows=st.lists(st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=9), max_size=5),
    most=st.integers(0, 8),
    overflow=st.sampled_from(["split", "truncate", "reject"]),
)
def test_rows_are_divided_as_a_naive_loop_divides_them(cased, rows, most, overflow):
    counts, flat = np.array([len(row) for row in rows], np.int64), [word for row in rows for word in row]
    pieces = np.array([count for count, _ in flat], np.int64)
    words = Words(counts, pieces, np.zeros(int(pieces.sum()), np.int32))
    drop = Drop(pl.DataFrame({"row": counts}))
    parts = divide(words, np.array([flag for _, flag in flat], np.bool_), most, change(cased, overflow=overflow), drop)
    starts = np.cumsum(counts) - counts
    for number, row in enumerate(rows):
        mine = parts.rows == number
        offsets = starts[number]
        found = list(zip((parts.starts[mine] - offsets).tolist(), (parts.ends[mine] - offsets).tolist(), strict=True))
        sizes = [count for count, _ in row]
        expected = naive_parts(sizes, [flag for _, flag in row], most)
        if overflow == "truncate":  # what is behind the cut does not matter
            is_kept, expected = naive_parts(sizes[:1], [False], most) is not None, found[:1]
            assert found[0][0] == 0
            assert sum(sizes[: found[0][1]]) <= most or not is_kept
            assert parts.truncated[mine].tolist() == [found[0][1] < len(row)] or not is_kept
        else:
            is_kept = sum(sizes) <= most if overflow == "reject" else expected is not None
        assert drop.kept()[number] == is_kept
        assert found == expected or not is_kept
    assert parts.cover(len(pieces)).sum() == sum((parts.ends - parts.starts).tolist())
    assert parts.lengths(pieces).sum() == pieces[parts.cover(len(pieces))].sum()


@given(tags=st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y", "E-Y", "S-X"]), max_size=8))
def test_an_entity_is_torn_only_where_it_goes_on(tags):
    names = ("O", "B-X", "B-Y", "E-Y", "I-X", "I-Y", "S-X")
    classes = np.array([names.index(tag) for tag in tags], np.int64)
    expected = [
        after[:2] in ("I-", "E-") and before[:2] in ("B-", "I-") and before[2:] == after[2:]
        for before, after in pairwise(tags)
    ]
    assert Scheme(names).find_torn(classes).tolist()[1:] == expected
