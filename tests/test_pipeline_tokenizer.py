"""Tokenizers that a recipe fits: from files to shards, for each task that makes sense, and what is refused."""

import json
import shutil

import datasets
import pytest
from examples import make_conversations, make_pairs, make_tagged, make_texts, make_translations, write_jsonl

import sftdata
from sftdata import IGNORE_INDEX
from sftdata.errors import NothingToWrite, RecipeError, TokenizerError, TrainingError

KINDS = {
    "bpe": {"kind": "bpe", "vocab_size": 500},
    "bpe-jieba": {"kind": "bpe", "vocab_size": 500, "segmenter": "jieba"},
    "word-whitespace": {"kind": "word", "segmenter": "whitespace"},
    "word-nltk": {"kind": "word", "segmenter": "nltk"},
    "word-jieba": {"kind": "word", "segmenter": "jieba"},
    "char": {"kind": "char"},
}
KEEPS_SPACES = ("bpe", "bpe-jieba", "word-jieba", "char")
CHINESE = ["今天天气很好", "我们去北京大学看看", "这家酒店的服务不错", "房间太小，价格太贵", "早餐很丰富"]


def prepare(path, **options):
    return sftdata.prepare(sftdata.load_recipe(path), **options)


def own(kind, **options):
    return {"train_tokenizer": KINDS[kind], "max_length": 512, **options}


def transformers_tokenizer(folder):
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder / "out/tokenizer")


def examples(folder):
    """Return the examples of all splits by the place of their row."""
    splits = datasets.load_from_disk(str(folder / "out")).values()
    return {int(row["row_id"].partition(":")[2]) - 1: row for split in splits for row in split}


def make_chinese(count):
    return [
        {"text": f"{CHINESE[i % 5]}，{CHINESE[i // 5 % 5]} no {i // 9} 。{i}", "label": "ab"[i % 2]}
        for i in range(count)
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [make_texts, make_chinese])
def test_texts(tmp_path, text_recipe, kind, make):
    rows = make(120)
    manifest = prepare(text_recipe(rows, tokenize=own(kind)))
    assert manifest.tokenizer.name == "trained: " + kind.replace("-", " (") + ")" * ("-" in kind)
    theirs, found = transformers_tokenizer(tmp_path), examples(tmp_path)
    assert len(found) == 120
    assert manifest.tokenizer.vocab_size == len(theirs) > 10
    for place, example in found.items():
        assert example["input_ids"] == theirs(rows[place]["text"])["input_ids"]
    ids = {i for example in found.values() for i in example["input_ids"]}
    assert len(ids) > 15, "a vocabulary that knows nothing would pass"
    assert {theirs.cls_token_id, theirs.sep_token_id} < ids


@pytest.mark.parametrize("kind", ["bpe", "word-nltk"])
@pytest.mark.parametrize("task", ["text_classification", "multilabel", "regression"])
def test_pairs_of_texts_have_types(tmp_path, pair_recipe, task, kind):
    rows = make_pairs(100)
    prepare(pair_recipe(rows, task, tokenize=own(kind)))
    theirs = transformers_tokenizer(tmp_path)
    for place, example in examples(tmp_path).items():
        expected = theirs(rows[place]["text"], rows[place]["other"])
        assert example["input_ids"] == expected["input_ids"]
        assert example["token_type_ids"] == expected["token_type_ids"]
        assert set(example["token_type_ids"]) == {0, 1}


@pytest.mark.parametrize("kind", KINDS)
def test_tagged_words(tmp_path, tag_recipe, kind):
    rows = make_tagged(100)
    manifest = prepare(tag_recipe(rows, tokenize=own(kind)))
    theirs = transformers_tokenizer(tmp_path)
    for place, example in examples(tmp_path).items():
        expected = theirs(rows[place]["tokens"], is_split_into_words=True)["input_ids"]
        assert example["input_ids"] == expected
        labels = [manifest.label_names[label] for label in example["labels"] if label != IGNORE_INDEX]
        assert labels == rows[place]["tags"]


@pytest.mark.parametrize("kind", KINDS)
def test_sources_and_targets_end(tmp_path, translation_recipe, kind):
    rows = make_translations(100)
    prepare(translation_recipe(rows, tokenize=own(kind)))
    theirs = transformers_tokenizer(tmp_path)
    source, target = list(rows[0])
    for place, example in examples(tmp_path).items():
        assert example["input_ids"] == theirs(rows[place][source])["input_ids"]
        assert example["labels"] == theirs(text_target=rows[place][target])["input_ids"]
        assert example["labels"][-1] == theirs.eos_token_id


@pytest.mark.parametrize("kind", KEEPS_SPACES)
def test_conversations_are_written_in_chatml(tmp_path, chat_recipe, kind):
    rows = make_conversations(60)
    manifest = prepare(chat_recipe(rows, tokenize=own(kind, max_length=2000)))
    assert manifest.chat_template_digest
    theirs = transformers_tokenizer(tmp_path)
    unknown = theirs.unk_token_id
    for place, example in examples(tmp_path).items():
        messages = rows[place]["messages"]
        expected = theirs.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
        assert example["input_ids"] == expected["input_ids"]
        trained = [label != IGNORE_INDEX for label in example["labels"]]
        assert trained == [mask == 1 for mask in expected["assistant_masks"]]
        said = [turn["content"] + "<|im_end|>" for turn in messages if turn["role"] == "assistant"]
        if unknown not in example["labels"]:
            assert theirs.decode([label for label in example["labels"] if label != IGNORE_INDEX]) == "".join(said)
    assert theirs.eos_token == "<|im_end|>", "where generation stops"  # noqa: S105


def test_a_template_of_ones_own_gives_its_control_tokens(tmp_path, chat_recipe):
    template = "{% for m in messages %}<|{{ 'x' }}|>{{ m.role }}<|sep|>{{ m.content }}<|end|>{% endfor %}"
    (tmp_path / "own.jinja").write_text(template)
    prepare(chat_recipe(tokenize=own("bpe", chat_template="own.jinja"), max_rejected=1.0))
    assert transformers_tokenizer(tmp_path).chat_template == template
    added = json.loads((tmp_path / "out/tokenizer/tokenizer.json").read_text())["added_tokens"]
    assert [token["content"] for token in added] == ["[PAD]", "<|endoftext|>", "<|sep|>", "<|end|>"]
    with pytest.raises(TokenizerError, match=r"missing\.jinja cannot be read"):
        prepare(chat_recipe(tokenize=own("bpe", chat_template="missing.jinja")))


@pytest.mark.parametrize("kind", KEEPS_SPACES)
def test_plain_texts_end_with_the_token_that_says_so(tmp_path, chat_recipe, kind):
    rows = [{"text": row["text"]} for row in make_chinese(60)]
    prepare(chat_recipe(rows, schema="text", tokenize=own(kind)))
    theirs = transformers_tokenizer(tmp_path)
    for place, example in examples(tmp_path).items():
        assert example["input_ids"] == [*theirs(rows[place]["text"])["input_ids"], theirs.eos_token_id]
        assert example["labels"] == example["input_ids"]
    assert "<|im_start|>" not in theirs.get_vocab(), "there are no turns"


def test_prompts_and_completions_without_a_template(tmp_path, chat_recipe):
    rows = [{"prompt": f"{CHINESE[i % 5]} {i}?\n", "completion": f"{CHINESE[i % 4]}!"} for i in range(60)]
    prepare(chat_recipe(rows, schema="prompt_completion", tokenize=own("bpe", chat_template=False)))
    theirs = transformers_tokenizer(tmp_path)
    for place, example in examples(tmp_path).items():
        trained = [label for label in example["labels"] if label != IGNORE_INDEX]
        assert theirs.decode(trained) == rows[place]["completion"] + "<|endoftext|>"


def test_texts_that_spell_a_control_token_are_handled_as_told(tmp_path, text_recipe):
    rows = [*make_texts(98), {"text": "a [SEP] b", "label": "animal"}, {"text": "[PAD]", "label": "place"}]
    tokenize = own("word-whitespace", special_tokens_in_text="escape")
    assert prepare(text_recipe(rows, tokenize=tokenize)).rows.written == 100
    theirs = transformers_tokenizer(tmp_path)
    found = examples(tmp_path)
    assert found[98]["input_ids"].count(theirs.sep_token_id) == 1
    assert found[99]["input_ids"] == [theirs.cls_token_id, theirs.unk_token_id, theirs.sep_token_id]
    rejecting = prepare(text_recipe(rows, tokenize=own("word-whitespace"), max_rejected=1.0))
    assert rejecting.rejected_by_reason == {"special_token_in_text": 2}


def test_the_dictionary_of_the_recipe_is_respected(tmp_path, text_recipe):
    (tmp_path / "words.txt").write_text("天天气 99999999\n", encoding="utf-8")
    prepare(text_recipe(make_chinese(60), tokenize=own("word-jieba")))
    assert "天天气" not in transformers_tokenizer(tmp_path).get_vocab()
    prepare(text_recipe(make_chinese(60), tokenize=own("word-jieba"), dictionary="words.txt"))
    assert "天天气" in transformers_tokenizer(tmp_path).get_vocab()


def test_progress_is_told_of_a_tokenizer_that_is_fitted_and_of_no_other(text_recipe):
    told = []
    prepare(text_recipe(make_texts(50), tokenize=own("char")), watch=lambda *seen: told.append(seen))
    assert [seen for seen in told if seen[0] == "fit the tokenizer"] == [("fit the tokenizer", 50, 50)]
    told.clear()
    prepare(text_recipe(make_texts(50)), watch=lambda *seen: told.append(seen))
    assert told
    assert "fit the tokenizer" not in {stage for stage, _, _ in told}


def test_a_training_part_without_a_frequent_word_is_told(tmp_path, text_recipe):
    tokenize = {"train_tokenizer": {**KINDS["word-nltk"], "min_frequency": 10_000}}
    with pytest.raises(NothingToWrite, match=r"lower tokenize\.train_tokenizer\.min_frequency"):
        prepare(text_recipe(tokenize=tokenize))
    tiny = {"train_tokenizer": {"kind": "bpe", "vocab_size": 100}}
    with pytest.raises(TokenizerError, match="found 100, expected at least 259: 3 control tokens and 256 bytes"):
        prepare(text_recipe(tokenize=tiny))


FAULTS = [
    ({"max_length": 9}, "tokenize: found neither, expected one of tokenizer, train_tokenizer"),
    ({"tokenizer": "t", "train_tokenizer": {"kind": "bpe"}}, "tokenize.train_tokenizer: found both, expected one of"),
    ({"train_tokenizer": {"kind": "bpm"}}, "tokenize.train_tokenizer.kind: found 'bpm', expected 'bpe', 'word' or"),
    ({"train_tokenizer": {}}, "tokenize.train_tokenizer.kind: missing, and it is required"),
    ({"train_tokenizer": {"kind": "word"}}, "tokenize.train_tokenizer: kind word needs a segmenter"),
    (
        {"train_tokenizer": {"kind": "char", "segmenter": "jieba"}},
        "train_tokenizer.segmenter: kind char knows no words",
    ),
    ({"train_tokenizer": {"kind": "bpe", "segmenter": "nltk"}}, "tokenize.train_tokenizer.segmenter: kind bpe finds"),
    ({"train_tokenizer": {"kind": "bpe", "vocab_size": 0}}, "tokenize.train_tokenizer.vocab_size: found 0"),
]


@pytest.mark.parametrize(("tokenize", "fault"), FAULTS)
def test_settings_that_do_not_go_together_are_faults_with_their_place(text_recipe, tokenize, fault):
    with pytest.raises(RecipeError) as caught:
        sftdata.load_recipe(text_recipe(tokenize=tokenize, max_rejected=-1))
    assert len(caught.value.faults) == 2, "told with the other faults, and once"
    assert any(fault in line for line in caught.value.faults), caught.value.faults


@pytest.mark.parametrize("segmenter", ["whitespace", "nltk"])
def test_causal_lm_refuses_words_that_forget_their_spaces(chat_recipe, segmenter):
    with pytest.raises(RecipeError, match="it forgets the spaces"):
        sftdata.load_recipe(chat_recipe(tokenize=own(f"word-{segmenter}")))


def test_a_filter_by_tokens_needs_a_tokenizer_that_is_there(text_recipe):
    clean = {"tokens": {"max": 100}}
    with pytest.raises(RecipeError, match=r"clean\.tokens counts tokens, but rows are cleaned before it is fitted"):
        sftdata.load_recipe(text_recipe(clean=clean, tokenize=own("bpe")))


def test_a_model_that_learned_other_ids_is_refused_and_one_with_new_weights_is_trained(tmp_path, text_recipe):
    import shutil

    import transformers
    from tiny import settings

    from sftdata.training import predict, train

    prepare(text_recipe(tokenize=own("word-nltk")))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = tmp_path / "model"
    transformers.BertModel(transformers.BertConfig(vocab_size=9999, **sizes)).save_pretrained(model)
    train(tmp_path / "out", settings(model, tmp_path / "new", max_steps=2), progress=False)
    assert (tmp_path / "new/tokenizer.json").read_bytes() == (tmp_path / "out/tokenizer/tokenizer.json").read_bytes()
    assert predict(tmp_path / "new", ["the quick fox", "我们"])[1]["label"] in ("animal", "place", "thing")
    shutil.copy(tmp_path / "out/tokenizer/tokenizer.json", model)
    train(tmp_path / "out", settings(model, tmp_path / "same", max_steps=2), progress=False)
    document = json.loads((model / "tokenizer.json").read_text())
    document["model"]["vocab"]["another"] = 77
    (model / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(TrainingError, match=r"(?s)tokenizer: vocabulary, .* or give a model with new weights"):
        train(tmp_path / "out", settings(model, tmp_path / "other", max_steps=2), progress=False)


def test_samples_of_real_rows(tmp_path):
    """Glosses of WordNet, English, and translations, Chinese; both ship with sftdata."""
    from pathlib import Path

    samples = Path(__file__).parent.parent / "samples"
    lines = [json.loads(line) for line in (samples / "translation_en_zh.jsonl").read_text("utf-8").splitlines()]
    texts = [str(value) for line in lines for value in line.values() if isinstance(value, str)]
    rows = [{"text": text} for text in dict.fromkeys(texts)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    for kind in KEEPS_SPACES:
        recipe = {
            "task": "causal_lm", "schema": "text", "sources": [{"path": "rows.jsonl"}], "max_rejected": 0.1,
            "tokenize": {"train_tokenizer": KINDS[kind]}, "output": {"dir": "out"},
        }  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
        manifest = prepare(tmp_path / "recipe.yaml")
        assert manifest.rows.written > 0.9 * len(rows) > 50
        assert manifest.splits["train"].tokens < sum(map(len, texts))


def test_a_template_for_tools_is_kept_beside_the_default_one(tmp_path, chat_recipe, chat_tokenizer):
    config = json.loads((chat_tokenizer / "tokenizer_config.json").read_text())
    with_tools = "[TOOLS {{ tools | length }}]" + config["chat_template"]
    named = [("default", config["chat_template"]), ("tool_use", with_tools)]
    config["chat_template"] = [{"name": name, "template": template} for name, template in named]
    shutil.copytree(chat_tokenizer, tmp_path / "named")
    (tmp_path / "named" / "tokenizer_config.json").write_text(json.dumps(config))
    turns = [{"role": "user", "content": "what is the capital"}, {"role": "assistant", "content": "Paris"}]
    tools = json.dumps([{"type": "function", "function": {"name": "f", "parameters": {}}}])
    rows = [{"messages": turns}, {"messages": turns, "tools": tools}]
    settings = {"max_length": 512}
    for number, tokenizer in enumerate([tmp_path / "named", tmp_path / "out-0" / "tokenizer"]):
        recipe = chat_recipe(
            rows,
            schema="tools",
            split={"train": 1.0},
            tokenize={"tokenizer": str(tokenizer), **settings},
            output={"dir": f"out-{number}"},
        )
        sftdata.prepare(sftdata.load_recipe(recipe))
    first, again = (tmp_path / f"out-{number}" for number in range(2))
    ids = [[row["input_ids"] for row in sftdata.load_split(out)] for out in (first, again)]
    assert ids[0] == ids[1]
    assert len(ids[0][1]) > len(ids[0][0]), "the template for tools is in force for the row that has some"
    import transformers

    kept = transformers.AutoTokenizer.from_pretrained(again / "tokenizer").chat_template
    assert kept == dict(named)
    sftdata.verify(again)
