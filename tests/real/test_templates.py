"""On the templates of real models: our text is that of transformers, and what is trained is what the assistant says.

The templates of TRL for training carry `{% generation %}` tags: there our spans are those that transformers reads from
the tags. With the tags taken out, our own search must find the same responses.
"""

import datetime
import functools
import importlib.util
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from talks import DATE, TALKS, TOOLS, WITH_TOOLS
from transformers.utils.chat_template_utils import render_jinja_template

from sftdata.records import FIELDS, Task
from sftdata.settings.tokenizing import TokenizeSettings
from sftdata.stages.tokenization import Tokenization, tokenize_rows
from sftdata.tokenizers.chat_template import ChatTemplate, TemplateRefused
from sftdata.tokenizers.edges import ResponseUnknown
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.tokenizers.regions import find_regions
from sftdata.tokenizers.rendering import Renderer, render_conversations

pytestmark = pytest.mark.real

TRL = Path(importlib.util.find_spec("trl").submodule_search_locations[0]) / "chat_templates"
TAG = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
TAGGED = sorted(path.name for path in TRL.glob("*.jinja") if TAG.search(path.read_text(encoding="utf-8")))
STOCK = sorted({path.name for path in TRL.glob("*.jinja")} - set(TAGGED))
ASSETS = ["Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "meta-llama-Llama-3.1-8B-Instruct", "LFM2.5-8B-A1B"]
ASSETS += ["google-gemma-2-2b-it", "deepseek-ai-DeepSeek-V3.1"]
NAMED = {"bos_token": "<s>", "eos_token": "</s>"}
CONTROL = re.compile(r"<[|｜/]?[\w▁|｜]+[|｜]?>")
WORDS = {"<think>", "</think>", "<tool_call>", "</tool_call>", "<tools>", "</tools>"}
ENDS = {token for path in TRL.glob("*.jinja") for token in CONTROL.findall(path.read_text(encoding="utf-8"))} - WORDS
ENDS = tuple(sorted(ENDS | {"</s>", "[/INST]"}))

HEADERS_IN_TAGS = ("deepseek", "gptoss", "muse", "qwen2_5", "qwen3_5", "qwen3_6", "qwen3_8", "nemotron", "diffusion")
"""Templates whose tags enclose more than the model writes after its prompt: a header, or `<think>` of the prompt."""


@pytest.fixture(autouse=True)
def today(monkeypatch):
    """Let transformers write the date that we write."""

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.combine(DATE, datetime.time())

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Frozen)


def render_by_transformers(source, messages, tools, tagged=False):
    try:
        texts, spans = render_jinja_template(
            [messages], tools=tools, chat_template=source, return_assistant_tokens_mask=tagged, **NAMED
        )
    except Exception:  # templates raise what they like
        return None, []
    return texts[0], [(start, end) for start, end in (spans[0] if spans else []) if end > start]


@functools.cache
def compiled(source):
    return ChatTemplate(source, NAMED, DATE)


def find(source, messages, tools):
    """Return the regions, or the exception that says why there are none."""
    try:
        return find_regions(compiled(source), messages, tools, ENDS)
    except (TemplateRefused, ResponseUnknown) as why:
        return why


def squeeze(text):
    return "".join(text.split())


def said_by(messages):
    """Return what the assistant says, text by text, as it may stand in a rendered conversation."""
    for turn in messages:
        if turn["role"] == "assistant":
            yield from (turn[key] for key in ("content", "reasoning_content") if turn.get(key))
            for call in turn.get("tool_calls", ()):
                yield call["function"]["name"]
                yield call["function"]["arguments"]["s"]


def is_shown(text, shown):
    forms = (text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1])
    return any(squeeze(form) in squeeze(shown) for form in forms)


@pytest.mark.parametrize("name", [*STOCK, *TAGGED])
def test_text_and_tags_are_those_of_transformers_and_every_rejection_has_its_cause(name):
    source, outcomes = (TRL / name).read_text(encoding="utf-8"), Counter()
    for kind, messages in TALKS.items():
        tools = TOOLS if kind in WITH_TOOLS else None
        text, tagged = render_by_transformers(source, messages, tools, tagged=name in TAGGED)
        found = find(source, messages, tools)
        if isinstance(found, TemplateRefused) or text is None:
            assert text is None, kind
            assert isinstance(found, TemplateRefused), kind
        elif isinstance(found, ResponseUnknown):
            trained = "".join(text[start:end] for start, end in tagged) if tagged else text
            lost = [said for said in said_by(messages) if not is_shown(said, trained)]
            moved = name.startswith(("gemma4", "diffusion")) and kind == "words and tools"  # the call comes first there
            assert lost or moved, (kind, str(found))
        else:
            assert found.text == text, kind
            ours = [span for of_turn in found.spans for span in of_turn]
            assert name in STOCK or ours == tagged, kind
            shown = ["".join(text[start:end] for start, end in of_turn) for of_turn in found.spans]
            # the prompt for a response may hold `<think>` already
            assert all(is_shown(said.removeprefix("<think>"), "".join(shown)) for said in said_by(messages)), kind
        outcomes[type(found).__name__] += 1
    wants_lists = name.startswith(("idefics", "llava", "smolvlm"))  # contents in parts, which we have as one text
    assert outcomes["Regions"] >= 5 or wants_lists, outcomes


def without_tags(source):
    def neutral(match):
        return f"{{%{match[1]} {'endif' if match[2] else 'if true'} {match[3]}%}}"

    return TAG.sub(neutral, source)


@pytest.mark.parametrize("name", TAGGED)
def test_responses_found_without_tags_are_those_in_the_tags(name):
    source, compared = (TRL / name).read_text(encoding="utf-8"), 0
    for kind, messages in TALKS.items():
        tools = TOOLS if kind in WITH_TOOLS else None
        tagged, found = find(source, messages, tools), find(without_tags(source), messages, tools)
        if isinstance(tagged, Exception) or isinstance(found, Exception):
            continue
        assert found.text == tagged.text
        for inside, ours in zip(tagged.spans, found.spans, strict=True):
            # many tags enclose the line break behind the token that ends a turn, which no model writes
            in_tags = "".join(tagged.text[start:end] for start, end in inside).rstrip()
            of_us = "".join(found.text[start:end] for start, end in ours)
            if name.startswith("diffusion"):
                of_us = of_us.removesuffix("<|tool_response>")
            assert in_tags == of_us.rstrip() or (name.startswith(HEADERS_IN_TAGS) and in_tags.endswith(of_us)), kind
            compared += 1
    assert compared >= 5 or name.startswith(("idefics", "llava", "smolvlm")), "the test must not pass on nothing"


CONTENT = st.one_of(
    st.sampled_from(
        ["", " ", "plain", " leads", "trails \n", "\nx\n\n", "你好 😀", '"q" \\ <', "<think>a</think>b", "</think>"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Co"]), max_size=12),
)
SHAPES = st.lists(st.sampled_from(["user", "assistant", "system"]), min_size=1, max_size=5)


@pytest.mark.parametrize("name", ASSETS)
@settings(max_examples=60)
@given(data=st.data())
def test_every_rendered_row_is_what_transformers_renders(name, data, assets):
    source = (assets / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    usual = st.sampled_from([["user", "assistant"], ["system", "user", "assistant"], ["user", "assistant"] * 2])
    roles = data.draw(st.one_of(usual, SHAPES))
    talks = data.draw(
        st.lists(
            st.tuples(*(CONTENT.map(lambda said, role=role: {"role": role, "content": said}) for role in roles)),
            max_size=5,
        )
    )
    wide = [[{"weight": None, "details": None, **turn} for turn in talk] for talk in talks]
    rows = pl.DataFrame({"messages": wide, "tools": [None] * len(wide)}, schema=FIELDS[Task.CAUSAL_LM])
    done = render_conversations(rows, Renderer(compiled(source), ENDS))
    for row, talk in zip(done.iter_rows(named=True), talks, strict=True):
        text, _ = render_by_transformers(source, list(talk), None)
        if row["reason"] == "template_refused":
            assert text is None
            continue
        if row["reason"]:
            assert row["reason"] == "response_rewritten"
            continue
        assert row["text"] == text
        spans = zip(row["starts"], row["ends"], strict=True)
        trained = "".join(text.encode()[start:end].decode() for start, end in spans)
        assert all(squeeze(said) in squeeze(trained) for said in said_by(talk))


@pytest.mark.parametrize("source", ["templates/LFM2.5-8B-A1B.jinja", "qwen3_training.jinja"])
def test_token_masks_are_those_of_transformers(assets, source):
    template = (assets / source if "/" in source else TRL / source).read_text(encoding="utf-8")
    ours = load_tokenizer(str(assets / "qwen3"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(assets / "qwen3")
    kinds = [kind for kind in TALKS if kind not in WITH_TOOLS | {"markers"}]
    details = [
        [{key: value for key, value in turn.items() if key not in ("role", "content")} for turn in TALKS[kind]]
        for kind in kinds
    ]
    messages = [
        [
            {
                "role": turn["role"],
                "content": turn["content"],
                "weight": None,
                "details": json.dumps(more) if more else None,
            }
            for turn, more in zip(TALKS[kind], of_talk, strict=True)
        ]
        for kind, of_talk in zip(kinds, details, strict=True)
    ]
    rows = pl.DataFrame({"messages": messages, "tools": [None] * len(kinds)}, schema=FIELDS[Task.CAUSAL_LM])
    numbers = pl.int_range(pl.len(), dtype=pl.Int64)
    rows = rows.with_columns(pl.Series("row_id", kinds), pl.lit("s").alias("source"), numbers.alias("record"))
    made = Tokenization(Task.CAUSAL_LM, replace(ours, template=template), TokenizeSettings(tokenizer="-"))
    done = tokenize_rows(rows, made)
    assert len(done.kept) >= 7
    for example in done.examples.to_pylist():
        expected = tokenizer.apply_chat_template(
            TALKS[example["row_id"]], chat_template=template, return_assistant_tokens_mask=True, return_dict=True
        )
        assert example["input_ids"] == expected["input_ids"]
        assert [int(label != -100) for label in example["labels"]] == expected["assistant_masks"]
