"""On real tokenizers, templates and data: our text, ids and labels are those of transformers."""

import json
from pathlib import Path

import polars as pl
import pytest
import transformers
from examples import as_rows, placed_examples, prepare_here

import sftdata
from sftdata import IGNORE_INDEX
from sftdata.tokenizers.chat_template import ChatTemplate, TemplateRefused
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.tokenizers.rendering import Renderer, render_conversations

pytestmark = pytest.mark.real

SAMPLES = Path(__file__).parents[2] / "samples"
TEMPLATES = ["Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "meta-llama-Llama-3.1-8B-Instruct", "LFM2.5-8B-A1B"]
TEMPLATES += ["google-gemma-2-2b-it", "deepseek-ai-DeepSeek-V3.1"]
NO_THOUGHT = "<think>\n\n</think>\n\n"
ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<｜end▁of▁sentence｜>")


def reference(directory: Path) -> transformers.PreTrainedTokenizerBase:
    return transformers.AutoTokenizer.from_pretrained(directory)


def as_messages(instruction, input, output):  # noqa: A002 - the column's name
    asked = f"{instruction}\n{input}" if input.strip() else instruction
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": output}]


@pytest.mark.parametrize("model", ["smollm2", "qwen3"])
@pytest.mark.parametrize("sample", ["translation_en_zh", "wordnet_chat"])
def test_conversations_have_the_ids_of_apply_chat_template_and_train_the_responses(tmp_path, assets, model, sample):
    schema = "alpaca" if sample.startswith("translation") else "messages"
    source = SAMPLES / f"{sample}.jsonl"
    settings = {"tokenizer": str(assets / model), "max_length": 2048}
    out = prepare_here(tmp_path, task="causal_lm", schema=schema, sources=[{"path": str(source)}], tokenize=settings)
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    tokenizer, seen = reference(assets / model), 0
    for place, example in placed_examples(out):
        messages = rows[place].get("messages") or as_messages(**rows[place])
        assert example["input_ids"] == tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
        trained = tokenizer.decode([label for label in example["labels"] if label != IGNORE_INDEX])
        said = [turn["content"] for turn in messages if turn["role"] == "assistant"]
        as_the_template_has_it = said
        if model == "qwen3":  # before its last response it writes an empty thought, which the model has to write too
            as_the_template_has_it = [*said[:-1], NO_THOUGHT + said[-1].lstrip("\n")]
        assert trained == "".join(f"{text}<|im_end|>" for text in as_the_template_has_it)
        seen += 1
    assert seen == len(rows)
    assert sftdata.read_manifest(out).tokenizer.backend.startswith("gigatoken")


def test_texts_have_the_ids_that_minilm_gives_them(tmp_path, assets):
    source = SAMPLES / "wordnet_topics.csv"
    out = prepare_here(
        tmp_path,
        task="text_classification",
        schema=str(SAMPLES / "wordnet_topics.schema.yaml"),
        sources=[{"path": str(source)}],
        split={"train": 0.8, "validation": 0.1, "test": 0.1, "stratify": "label", "seed": 7},
        tokenize={"tokenizer": str(assets / "minilm"), "max_length": 128},
    )
    rows = pl.read_csv(source)
    expected = reference(assets / "minilm")(rows["text"].to_list())["input_ids"]
    names = sftdata.read_manifest(out).label_names
    seen = 0
    for place, example in placed_examples(out):
        assert example["input_ids"] == expected[place]
        assert names[example["labels"]] == rows["label"][place]
        seen += 1
    assert seen == len(rows) == 5001


CONTENTS = [
    "plain",
    " leading",
    "trailing ",
    "two\nlines\n",
    "你好，世界。",
    "😀 👩‍👩‍👧",
    "a {{ b }} {% c %} \\n",
    "1. x\n2. y",
    '<tag> & "quotes"',
]


def conversations():
    for i, content in enumerate(CONTENTS):
        for system in (False, True):
            for turns in (1, 3):
                talk = [{"role": "system", "content": f"Be brief. {content}"}] if system else []
                for turn in range(turns):
                    talk.append({"role": "user", "content": f"{content} asked {turn}"})
                    talk.append({"role": "assistant", "content": CONTENTS[(i + turn) % len(CONTENTS)]})
                yield talk


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_renders_as_transformers_does_and_spans_hold_the_responses(assets, name):
    source = (assets / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    tokenizer = reference(assets / "qwen3")
    ours = load_tokenizer(str(assets / "qwen3"))
    renderer = Renderer(ChatTemplate(source, ours.named_tokens()), ENDS)
    talks = list(conversations())
    done = render_conversations(as_rows(talks), renderer)
    kept = 0
    for row, messages in zip(done.iter_rows(named=True), talks, strict=True):
        try:
            renderer.template.render(messages)
        except TemplateRefused as refusal:
            assert row["detail"] == str(refusal)
            with pytest.raises(Exception, match=r"\S"):
                tokenizer.apply_chat_template(messages, chat_template=source, tokenize=False)
            continue
        assert row["reason"] is None, row["detail"]
        real = tokenizer.apply_chat_template(messages, chat_template=source, tokenize=False)
        # the one difference: a template that asks for today's date gets none from us, so that bytes stay the same
        if "strftime_now" not in source:
            assert row["text"] == real
        spoken = [row["text"].encode()[a:b].decode() for a, b in zip(row["starts"], row["ends"], strict=True)]
        said = [turn["content"] for turn in messages if turn["role"] == "assistant"]
        for text, content in zip(spoken, said, strict=True):
            text = text.removesuffix("\n")  # which LFM2.5's tags enclose
            assert text.endswith(ENDS)
            bare = next(text.removesuffix(end) for end in ENDS if text.endswith(end)).removeprefix(NO_THOUGHT)
            assert bare in (content, content.strip(), content.strip("\n"))
        kept += 1
    assert kept >= len(talks) / 2
