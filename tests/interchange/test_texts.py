"""Exports as text: what the model reads and learns, row by row, decoded from the tokens."""

import json
from functools import partial
from itertools import pairwise

import polars as pl
import pytest
import tokenizers
from examples import make_conversations, make_tagged, make_translations
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts
from tokenizers import decoders, models, normalizers, pre_tokenizers

import sftdata
from sftdata.errors import VerificationError
from sftdata.interchange.texts import Decoder
from sftdata.records import IGNORE_INDEX


@pytest.fixture
def read_text(request, tmp_path):
    """Prepare a recipe, export its text, and return the lines by split, and the dataset."""

    def read(kind, *arguments, to="jsonl", **changes):
        sftdata.prepare(sftdata.load_recipe(request.getfixturevalue(f"{kind}_recipe")(*arguments, **changes)))
        sftdata.export(tmp_path / "out", tmp_path / "text", to=to, contents="text")
        reader = partial(pl.read_ndjson, infer_schema_length=None) if to == "jsonl" else pl.read_parquet
        return {
            name: [row for path in sorted((tmp_path / "text").glob(f"{name}-*")) for row in reader(path).to_dicts()]
            for name in sftdata.read_manifest(tmp_path / "out").splits
        }

    return read


def sources(tmp_path, name):
    """The rows of a source by the ids of their examples."""
    prefix = sftdata.read_manifest(tmp_path / "out").inputs[0].id
    lines = (tmp_path / name).read_text().splitlines()
    return {f"{prefix}:{number}": json.loads(line) for number, line in enumerate(lines, 1)}


def everything(found):
    return [row for rows in found.values() for row in rows]


def reads_as(text, source):
    """Whether a text has the words of its source, as a small vocabulary knows them: in lower case, or not at all."""
    pairs = list(zip(text.split(" "), source.split(" "), strict=True))
    known = [word == expected for word, expected in pairs if expected != "[SEP]"]
    return any(known) and all(word in (expected, expected.lower(), "[UNK]") for word, expected in pairs)


def test_texts_and_label_names_come_back_without_control_tokens(read_text, tmp_path):
    found, given = everything(read_text("text")), sources(tmp_path, "data.jsonl")
    assert len(found) == len(given) == 200
    for row in found:
        assert list(row) == ["row_id", "text", "label"]
        assert row["label"] == given[row["row_id"]]["label"]
        assert reads_as(row["text"], given[row["row_id"]]["text"])


@pytest.mark.parametrize("to", ["jsonl", "parquet"])
def test_sets_of_labels_and_scores_come_back(read_text, tmp_path, to):
    found, given = everything(read_text("multilabel", to=to)), sources(tmp_path, "data.jsonl")
    assert {row["row_id"]: sorted(row["labels"]) for row in found} == {
        row_id: sorted(row["labels"]) for row_id, row in given.items()
    }
    found, given = everything(read_text("regression", to=to)), sources(tmp_path, "data.jsonl")
    assert {row["row_id"]: row["score"] for row in found} == {row_id: row["score"] for row_id, row in given.items()}


def test_both_texts_of_a_pair_come_back_with_what_stands_between_them(read_text, tmp_path):
    found, given = everything(read_text("pair")), sources(tmp_path, "pairs.jsonl")
    for row in found:
        assert reads_as(row["text"], "{text} [SEP] {other}".format(**given[row["row_id"]]))


def test_words_and_tags_come_back(read_text, tmp_path):
    found, given = everything(read_text("tag", make_tagged(100))), sources(tmp_path, "tagged.jsonl")
    assert len(found) == 100
    for row in found:
        assert row["tags"] == given[row["row_id"]]["tags"]
        assert reads_as(" ".join(row["tokens"]), " ".join(given[row["row_id"]]["tokens"]))


def test_sources_and_targets_come_back(read_text, tmp_path):
    found, given = everything(read_text("translation", make_translations(100))), sources(tmp_path, "translations.jsonl")
    assert len(found) == 100
    for row in found:
        expected = given[row["row_id"]]
        assert (row["source_text"], row["target_text"]) == (expected["source"], expected["target"])


def test_a_conversation_is_cut_where_training_begins_and_ends(read_text, tmp_path):
    found, given = everything(read_text("chat", make_conversations(60))), sources(tmp_path, "chats.jsonl")
    assert len(found) == 60
    for row in found:
        turns = given[row["row_id"]]["messages"]
        said = [segment["text"] for segment in row["segments"] if segment["label"]]
        assert said == [turn["content"] + "<|im_end|>" for turn in turns if turn["role"] == "assistant"]
        whole = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)
        assert "".join(segment["text"] for segment in row["segments"]) == whole


def test_copies_say_whose_they_are(read_text):
    found = read_text("text", augment=[{"random_swap": {"copies": 1}}])["train"]
    assert any(row["parent_id"] for row in found)
    assert all(row["row_id"].startswith(row["parent_id"]) for row in found if row["parent_id"])


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_text_needs_the_tokenizer_that_made_the_tokens(tmp_path, text_recipe, damage):
    sftdata.prepare(sftdata.load_recipe(text_recipe()))
    path = tmp_path / "out" / "tokenizer" / "tokenizer.json"
    if damage == "missing":
        path.unlink()
    else:
        path.write_text(path.read_text() + " ")
    with pytest.raises(VerificationError, match="is missing or has changed"):
        sftdata.export(tmp_path / "out", tmp_path / "text", to="jsonl", contents="text")


@pytest.fixture(scope="module")
def sentencepiece_like():
    """A tokenizer whose decoder takes the first space away, as Llama 2's does: a text depends on where it begins."""
    pieces = {"<unk>": 0, "▁": 1, **{chr(code): code - 95 for code in range(97, 123)}}
    tokenizer = tokenizers.Tokenizer(models.BPE(pieces, [], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


@given(rows=st.lists(st.tuples(st.integers(1, 27), st.booleans()), min_size=1, max_size=12))
@quick
def test_segments_put_together_are_the_text_of_all_tokens(sentencepiece_like, rows):
    decoder = Decoder.__new__(Decoder)
    decoder._tokenizer = sentencepiece_like
    ids, labels = [token for token, _ in rows], [token if keep else IGNORE_INDEX for token, keep in rows]
    segments = decoder._segments(ids, labels)
    assert "".join(segment["text"] for segment in segments) == sentencepiece_like.decode(ids)
    assert all(a["label"] != b["label"] for a, b in pairwise(segments))


@given(text=texts)
@quick
def test_a_text_without_control_tokens_around_it_is_left_alone(chat_tokenizer, text):
    decoder = Decoder.__new__(Decoder)
    decoder._tokenizer = tokenizers.Tokenizer.from_file(str(chat_tokenizer / "tokenizer.json"))
    decoder._added = {decoder._tokenizer.token_to_id("<|im_end|>")}
    assert decoder._bare(decoder._tokenizer.encode(text).ids) == text
