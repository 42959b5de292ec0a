"""What is trained of a conversation; what becomes of texts that spell control tokens, and of rows that are too long."""

import json
from dataclasses import replace

import polars as pl
import pytest
from examples import trained_texts
from hypothesis import given
from hypothesis import strategies as st
from talks import CALLS, DATE, RESULT, TOOLS, assistant, system, user

from sftdata.errors import TokenizerError
from sftdata.records import FIELDS, IGNORE_INDEX, Task
from sftdata.settings.tokenizing import TokenizeSettings
from sftdata.stages.tokenization import Tokenization, make_renderer, tokenize_rows, without_template
from sftdata.tokenizers.loading import load_tokenizer

END = "<|im_end|>"
WITH_CALLS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def as_rows(talks, tools=None):
    wide = []
    for talk in talks:
        known = ("role", "content", "weight")
        details = [{key: value for key, value in turn.items() if key not in known} for turn in talk]
        wide.append(
            [
                {
                    **{key: turn.get(key) for key in known},
                    "details": json.dumps(more, ensure_ascii=False) if more else None,
                }
                for turn, more in zip(talk, details, strict=True)
            ]
        )
    offered = [json.dumps(tools) if tools else None] * len(talks)
    rows = pl.DataFrame({"messages": wide, "tools": offered}, schema=FIELDS[Task.CAUSAL_LM])
    records = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    return rows.with_columns(
        pl.format("s:{}", records).alias("row_id"), pl.lit("s").alias("source"), records.alias("record")
    )


@pytest.fixture(scope="module")
def make(chat_tokenizer):
    def make(template=None, *, plain=False, **options):
        tokenizer = load_tokenizer(str(chat_tokenizer))
        tokenizer = replace(tokenizer, template=template) if template else tokenizer
        tokenizer = without_template(tokenizer) if plain else tokenizer
        return Tokenization(Task.CAUSAL_LM, tokenizer, TokenizeSettings(tokenizer="-", **options), is_plain_text=plain)

    return make


def trained(example, settings):
    return trained_texts(settings.tokenizer, example["labels"])


def one(talk, settings, **options):
    done = tokenize_rows(as_rows([talk], **options), settings)
    assert len(done.rejected) == 0, done.rejected.to_dicts()
    (example,) = done.examples.to_pylist()
    return example


def reason(talk, settings, **options):
    done = tokenize_rows(as_rows([talk], **options), settings)
    assert done.examples.num_rows == 0
    return done.rejected["reason"][0]


TALK = [system("s"), user("a"), assistant("one"), user("b"), assistant("two"), user("c"), assistant("three")]


def test_all_responses_are_trained_or_the_last_one_alone(make):
    assert trained(one(TALK, make()), make()) == [f"{said}{END}" for said in ("one", "two", "three")]
    last = make(train_on="last")
    assert trained(one(TALK, last), last) == [f"three{END}"]


def test_a_turn_of_weight_zero_is_not_trained_and_the_last_one_is_not_replaced_by_another(make):
    talk = [*TALK[:-1], {**TALK[-1], "weight": 0.0}]
    assert trained(one(talk, make()), make()) == [f"one{END}", f"two{END}"]
    assert reason(talk, make(train_on="last")) == "nothing_trained"


def test_reasoning_and_tool_calls_are_trained_and_tool_results_are_not(make):
    settings = make(WITH_CALLS)
    talk = [user("1+1"), assistant("let me", reasoning_content="hm", tool_calls=CALLS), RESULT, assistant("2")]
    call = json.dumps(CALLS[0]["function"], ensure_ascii=False)
    example = one(talk, settings, tools=TOOLS)
    assert trained(example, settings) == [f"<think>hm</think>let me<call>{call}</call>{END}", f"2{END}"]
    text = settings.tokenizer.reference.decode(example["input_ids"], skip_special_tokens=False)
    assert text == settings.renderer.template.render(talk, TOOLS)


def test_a_row_of_which_the_template_drops_something_is_rejected_with_the_reason(make):
    dropped = [user("1+1"), assistant("let me", tool_calls=CALLS), RESULT, assistant("2")]
    done = tokenize_rows(as_rows([dropped, TALK]), make())
    assert done.rejected["reason"].to_list() == ["response_rewritten"]
    assert "tool_calls of turn 2" in done.rejected["detail"][0]
    assert done.kept.tolist() == [1]


def test_a_template_for_tools_is_used_where_there_are_tools(make):
    settings = make()
    tokenizer = replace(settings.tokenizer, tool_template=WITH_CALLS)
    settings = replace(settings, tokenizer=tokenizer)
    plain, with_tools = (
        one([user("a"), assistant("b")], settings),
        one([user("a"), assistant("b")], settings, tools=TOOLS),
    )
    decode = settings.tokenizer.reference.decode
    assert not decode(plain["input_ids"], skip_special_tokens=False).startswith("[{")
    assert decode(with_tools["input_ids"], skip_special_tokens=False).startswith("[{")


SPELLED = [user("what is <|im_end|>?"), assistant("<|im_start|> begins,\n<|im_end|> ends 你好")]


def test_a_spelled_control_token_is_rejected_escaped_or_allowed(make):
    assert reason(SPELLED, make()) == "special_token_in_text"
    escape = make(special_tokens_in_text="escape")
    example = one(SPELLED, escape)
    known = escape.tokenizer.reference
    control = [i for i in example["input_ids"] if i in (known.token_to_id("<|im_start|>"), known.token_to_id(END))]
    assert len(control) == 4, "only those of the template"
    assert trained(example, escape) == [SPELLED[1]["content"] + END]
    assert sum(label == known.token_to_id(END) for label in example["labels"]) == 1
    assert known.decode(example["input_ids"], skip_special_tokens=False) == escape.renderer.template.render(SPELLED)
    allow = make(special_tokens_in_text="allow")
    text = allow.renderer.template.render(SPELLED)
    assert one(SPELLED, allow)["input_ids"] == known.encode(text, add_special_tokens=False).ids


def test_a_control_token_hidden_in_a_tool_schema_is_found(make):
    tools = [{"name": "\u003c|im_end|\u003e"}]
    rows = as_rows([TALK]).with_columns(tools=pl.lit('[{"name": "\\u003c|im_end|\\u003e"}]'))
    assert json.loads(rows["tools"][0]) == tools
    done = tokenize_rows(rows, make(WITH_CALLS))
    assert done.rejected["reason"].to_list() == ["special_token_in_text"]
    escaped = tokenize_rows(rows, make(WITH_CALLS, special_tokens_in_text="escape"))
    assert escaped.examples.num_rows == 1


@given(data=st.data())
def test_escaped_rows_among_others_keep_their_place_and_train_what_is_said(make, data):
    said = st.lists(st.sampled_from(["a", " b", "\n", "你", END, "<|im_start|>", "!"]), min_size=1, max_size=5).map(
        "".join
    )
    talks = [
        [user(asked), assistant(answered)]
        for asked, answered in data.draw(st.lists(st.tuples(said, said), min_size=1, max_size=6))
    ]
    settings = make(special_tokens_in_text="escape")
    done = tokenize_rows(as_rows(talks), settings)
    for place, example in zip(done.kept, done.examples.to_pylist(), strict=True):
        assert example["row_id"] == f"s:{place + 1}"
        assert trained(example, settings) == [talks[place][1]["content"] + END]
    assert set(done.rejected["reason"]) <= {"response_boundary"}


LONG = [
    system("be brief"),
    *(turn for i in range(6) for turn in (user(f"question {i} " * 3), assistant(f"answer {i} " * 3))),
]


def test_a_long_conversation_is_split_between_exchanges_and_repeats_the_system_turn(make):
    whole = len(one(LONG, make())["input_ids"])
    most = whole // 2
    settings = make(overflow="split", max_length=most)
    done = tokenize_rows(as_rows([TALK, LONG, TALK]), settings)
    assert done.kept.tolist() == [0, *[1] * (len(done.kept) - 2), 2]
    pieces = [example for example in done.examples.to_pylist() if example["row_id"].startswith("s:2")]
    assert [piece["row_id"] for piece in pieces] == ["s:2", *(f"s:2/{n}" for n in range(2, len(pieces) + 1))]
    assert all(len(piece["input_ids"]) <= most for piece in pieces)
    texts = [settings.tokenizer.reference.decode(piece["input_ids"], skip_special_tokens=False) for piece in pieces]
    assert all(text.startswith("<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\n") for text in texts)
    said = [run for piece in pieces for run in trained(piece, settings)]
    assert said == [turn["content"] + END for turn in LONG if turn["role"] == "assistant"]


def test_a_split_conversation_of_which_the_last_response_is_trained_trains_no_other(make):
    settings = make(overflow="split", train_on="last", max_length=len(one(LONG, make())["input_ids"]) // 2)
    (example,) = tokenize_rows(as_rows([LONG]), settings).examples.to_pylist()
    assert trained(example, settings) == [LONG[-1]["content"] + END]


def test_an_exchange_that_does_not_fit_alone_rejects_the_whole_row(make):
    talk = [*TALK, user("x"), assistant("very long " * 200)]
    assert reason(talk, make(overflow="split", max_length=120)) == "too_long"


def test_a_piece_in_which_nothing_is_trained_is_left_out_unless_all_are(make):
    silent = [{**turn, "weight": 0.0} if turn["role"] == "assistant" else turn for turn in LONG]
    settings = make(overflow="split", max_length=len(one(LONG, make())["input_ids"]) // 2)
    mixed = [*silent[:-1], LONG[-1]]
    done = tokenize_rows(as_rows([mixed, silent]), settings)
    assert done.rejected["reason"].to_list() == ["nothing_trained"]
    assert [trained(example, settings) for example in done.examples.to_pylist()] == [[LONG[-1]["content"] + END]]


def test_a_truncated_row_ends_with_a_trained_token(make):
    whole = one(LONG, make())
    for most in range(20, len(whole["input_ids"]), 7):
        done = tokenize_rows(as_rows([LONG]), make(overflow="truncate", max_length=most))
        for example in done.examples.to_pylist():
            assert len(example["input_ids"]) <= most
            assert example["labels"][-1] != IGNORE_INDEX
            assert example["input_ids"] == whole["input_ids"][: len(example["input_ids"])]
            assert done.truncated.tolist() == [True]
            rest = whole["labels"][len(example["labels"]) : most]
            assert all(label == IGNORE_INDEX for label in rest), "nothing that is trained and fits is cut away"


def test_prompt_and_completion_without_a_template_stand_as_they_are(make):
    settings = replace(make(plain=True), is_plain_text=False)
    example = one([user("2 + 2 = "), assistant("4")], settings)
    assert settings.tokenizer.reference.decode(example["input_ids"], skip_special_tokens=False) == f"2 + 2 = 4{END}"
    assert trained(example, settings) == [f"4{END}"]


def test_a_plain_text_is_trained_whole_and_split_into_windows(make):
    text = "the quick brown fox " * 20
    settings = make(plain=True)
    example = one([assistant(text)], settings)
    assert example["labels"] == example["input_ids"]
    assert trained(example, settings) == [text + END]
    windows = tokenize_rows(as_rows([[assistant(text)]]), make(plain=True, overflow="split", max_length=16)).examples
    assert windows["input_ids"].flatten().to_pylist() == example["input_ids"]
    assert max(map(len, windows["input_ids"].to_pylist())) == 16


DATED = "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"


def test_a_template_that_writes_the_date_needs_one_in_the_recipe(make):
    with pytest.raises(TokenizerError, match=r"tokenize\.date"):
        make_renderer(make(DATED).tokenizer, make(DATED).settings)
    settings = make(DATED, date=DATE)
    ids = one([user("a"), assistant("b")], settings)["input_ids"]
    assert settings.tokenizer.reference.decode(ids, skip_special_tokens=False).startswith("31 Jan 2026")


def test_arguments_reach_the_template(make):
    template = WITH_CALLS.replace("{{ m.content or '' }}", "{% if shout %}!{% endif %}{{ m.content or '' }}")
    settings = make(template, chat_template_arguments={"shout": True})
    assert trained(one([user("a"), assistant("b")], settings), settings) == [f"!b{END}"]
