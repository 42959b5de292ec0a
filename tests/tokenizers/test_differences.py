"""What is named as a difference can change an id; what changes none is not named."""

import copy
import json
from dataclasses import replace

import pytest
import tokenizers
from tokenizing import SENTENCES

from sftdata.tokenizers.differences import find_differences
from sftdata.tokenizers.loading import Tokenizer, load_tokenizer

TEXTS = [
    *SENTENCES,
    "the quick brown fox",
    "a [SEP] b <|im_end|> c",
    "  Two  spaces ",
    "What is FRANCE?",
    "hello\nworld",
]


def change(tokenizer: Tokenizer, alter) -> Tokenizer:
    document = json.loads(tokenizer.text)
    changed = copy.deepcopy(document)
    alter(changed)
    assert changed != document, "the change must change something"
    return replace(tokenizer, text=json.dumps(changed))


def ids(tokenizer: Tokenizer) -> list[list[int]]:
    """Return the ids of texts as `prepare` takes them, bare and with what the tokenizer puts around."""
    both = [tokenizer.reference.encode_batch(TEXTS, add_special_tokens=special) for special in (False, True)]
    return [encoding.ids for encodings in both for encoding in encodings]


def swap_ids(document):
    vocabulary = document["model"]["vocab"]
    vocabulary["fox"], vocabulary["the"] = vocabulary["the"], vocabulary["fox"]


def drop_merge(document):
    del document["model"]["merges"][0]


def older_merges(document):
    document["model"]["merges"] = [" ".join(pair) for pair in document["model"]["merges"]]
    del document["model"]["ignore_merges"], document["pre_tokenizer"]["use_regex"]


def add_token(document):
    number = max(document["model"]["vocab"].values()) + 1
    token = {"id": number, "content": "quick", "single_word": False, "lstrip": False, "rstrip": False}
    document["added_tokens"].append({**token, "normalized": False, "special": True})


def wrap_otherwise(document):
    document["post_processor"]["single"].pop()


CUT = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
PAD = {"strategy": {"Fixed": 99}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
HARMLESS = {
    "truncation": ("text", lambda document: document.update(truncation=CUT)),
    "padding": ("text", lambda document: document.update(padding={**PAD, "pad_to_multiple_of": None})),
    "decoder": ("text", lambda document: document.update(decoder=None)),
    "special": ("chat", lambda document: document["added_tokens"][0].update(special=False)),
    "offsets": ("chat", lambda document: document["pre_tokenizer"].update(trim_offsets=False)),
    "older file": ("chat", older_merges),
    "empty prefix": ("chat", lambda document: document["model"].update(continuing_subword_prefix="")),
    "offsets afterwards": (
        "chat",
        lambda document: document.update(
            post_processor={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
        ),
    ),
}
HARMFUL = {
    "ids": ("text", swap_ids, "vocabulary, 151 and 151 tokens: 2 not the same in both ('fox', 'the')"),
    "merges": ("chat", drop_merge, "merges: 129 in the data's, 128 in the model's, the first other one is number 1"),
    "added": ("chat", add_token, "added tokens, 3 and 4 tokens: 1 only in the model's ('quick')"),
    "spaces": (
        "chat",
        lambda document: document["added_tokens"][2].update(lstrip=True),
        "added tokens, 3 and 3 tokens: 1 not the same in both ('<|im_end|>')",
    ),
    "case": (
        "text",
        lambda document: document["normalizer"].update(lowercase=False),
        "normalizer: BertNormalizer in both, set otherwise",
    ),
    "no normalizer": (
        "text",
        lambda document: document.update(normalizer=None),
        "normalizer: BertNormalizer in the data's, none in the model's",
    ),
    "pieces": (
        "chat",
        lambda document: document["pre_tokenizer"].update(add_prefix_space=True),
        "pre_tokenizer: ByteLevel in both, set otherwise",
    ),
    "longest word": (
        "text",
        lambda document: document["model"].update(max_input_chars_per_word=2),
        "model.max_input_chars_per_word: 100 in the data's, 2 in the model's",
    ),
    "wrapping": (
        "text",
        wrap_otherwise,
        "post_processor: a text becomes [CLS]:0 a:0 [SEP]:0 in the data's, [CLS]:0 a:0 in the model's",
    ),
}


@pytest.fixture
def pick(chat_tokenizer, text_tokenizer):
    folders = {"chat": chat_tokenizer, "text": text_tokenizer}
    return lambda kind: load_tokenizer(str(folders[kind]))


@pytest.mark.parametrize("name", HARMLESS)
def test_what_changes_no_id_is_no_difference(name, pick):
    kind, alter = HARMLESS[name]
    ours = pick(kind)
    theirs = change(ours, alter)
    assert ids(ours) == ids(theirs)
    assert ours.digest != theirs.digest
    assert find_differences(ours, theirs, texts=2) == []


def test_the_order_and_the_spaces_of_the_file_are_no_difference(pick):
    ours = pick("chat")
    document = json.loads(ours.text)
    turned = {key: document[key] for key in reversed(document)}
    turned["model"] = {key: document["model"][key] for key in reversed(document["model"])}
    turned["model"]["vocab"] = dict(reversed(document["model"]["vocab"].items()))
    turned["model"] = {"type": turned["model"].pop("type"), **turned["model"]}
    theirs = replace(ours, text=json.dumps(turned, indent=4))
    assert ours.digest != theirs.digest
    assert ids(ours) == ids(theirs)
    assert find_differences(ours, theirs, texts=2) == []


@pytest.mark.parametrize("name", HARMFUL)
def test_what_can_change_an_id_is_named(name, pick):
    kind, alter, expected = HARMFUL[name]
    ours = pick(kind)
    theirs = change(ours, alter)
    assert ids(ours) != ids(theirs), "the change must be one that matters"
    assert expected in find_differences(ours, theirs, texts=1)
    assert find_differences(theirs, ours, texts=1) != []


def test_what_is_put_around_a_text_matters_only_where_the_ids_hold_it(pick, text_tokenizer, pair_tokenizer):
    ours = pick("text")
    assert find_differences(ours, change(ours, wrap_otherwise), texts=0) == []
    typed = load_tokenizer(str(pair_tokenizer))
    assert find_differences(ours, typed, texts=1) == []
    [difference] = find_differences(ours, typed, texts=2)
    assert difference.startswith(
        "post_processor: a pair becomes [CLS]:0 a:0 [SEP]:0 a:0 [SEP]:0 in the data's, [CLS]:0"
    )


def test_all_differences_are_told_at_once(pick):
    ours = pick("text")

    def alter(document):
        swap_ids(document)
        document["normalizer"] = None
        document["pre_tokenizer"] = {"type": "Whitespace"}

    found = find_differences(ours, change(ours, alter), texts=1)
    assert [difference.split(":")[0].split(",")[0] for difference in found] == [
        "vocabulary",
        "normalizer",
        "pre_tokenizer",
    ]


def test_the_scores_of_a_unigram_model_and_another_kind_of_model_are_differences(pick):
    vocabulary = [["<unk>", 0.0], ["a", -1.0], ["b", -1.5], ["ab", -2.0]]
    files = []
    for score in (-2.0, -3.0):
        vocabulary[3][1] = score
        files.append(tokenizers.Tokenizer(tokenizers.models.Unigram([tuple(pair) for pair in vocabulary], unk_id=0)))
    ours, theirs = (replace(pick("text"), text=file.to_str()) for file in files)
    assert ours.reference.encode("ab").ids != theirs.reference.encode("ab").ids
    assert find_differences(ours, theirs, texts=0) == ["model: the scores of the vocabulary differ"]
    merged = tokenizers.Tokenizer(tokenizers.models.BPE({"<unk>": 0, "a": 1, "b": 2, "ab": 3}, []))
    found = find_differences(ours, replace(ours, text=merged.to_str()), texts=0)
    assert found == ["model: Unigram in the data's, BPE in the model's"]
