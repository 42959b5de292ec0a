"""Columns of concatenated text equal a real render of every row, and spans are the responses."""

import polars as pl
import pytest
from examples import as_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.tokenizers.chat_template import ChatTemplate, TemplateRefused
from sftdata.tokenizers.edges import find_end_token
from sftdata.tokenizers.rendering import Renderer, render_conversations
from sftdata.tokenizers.shapes import Slot, compile_shape

CHATML = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
TEMPLATES = {
    "chatml": CHATML,
    "trims": "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}<|im_end|>{% endfor %}",
    "strips": "{% for m in messages %}[{{ m.role }}] {{ m.content.strip() }}<|im_end|>{% endfor %}",
    "first turn differs": (
        "{% if messages[0].role == 'system' %}"
        "{% set s = messages[0].content + '\n\n' %}{% set messages = messages[1:] %}"
        "{% else %}{% set s = '' %}{% endif %}{% for m in messages %}"
        "{% if m.role == 'user' %}[INST] {{ (s if loop.first else '') ~ m.content }} [/INST]{% else %}"
        " {{ m.content }}<|im_end|>{% endif %}{% endfor %}"
    ),
    "trims one side": "{% for m in messages %}{{ m.content.lstrip('\n').rstrip() }}<|im_end|>{% endfor %}",
    "looks for a mark": (
        "{% for m in messages %}{% if m.role == 'assistant' and '</think>' in m.content %}"
        "<|im_start|>{{ m.content.split('</think>')[-1] }}<|im_end|>{% else %}<|im_start|>{{ m.content }}<|im_end|>"
        "{% endif %}{% endfor %}"
    ),
    "skips empty": "{% for m in messages %}{% if m.content %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}",
    "asks for a prefix": (
        "{% for m in messages %}{% if m.content.startswith('x') %}X{% endif %}{{ m.content }}<|im_end|>{% endfor %}"
    ),
    "counts": "{% for m in messages %}{{ m.content | length }}:{{ m.content }}<|im_end|>{% endfor %}",
    "upper case": "{% for m in messages %}{{ m.content | upper }}<|im_end|>{% endfor %}",
    "quotes": "{% for m in messages %}{{ m.content | tojson }}<|im_end|>{% endfor %}",
    "drops responses": "{% for m in messages if m.role != 'assistant' %}{{ m.content }}<|im_end|>{% endfor %}",
    "twice": "{% for m in messages %}{{ m.content }}<|im_end|>{{ m.content }}<|im_end|>{% endfor %}",
    "refuses system": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system please') }}{% endif %}" + CHATML
    ),
    "refuses a word": (
        "{% for m in messages %}{% if 'bad' in m.content %}{{ raise_exception('bad word') }}{% endif %}"
        "{{ m.content }}<|im_end|>{% endfor %}"
    ),
}
CONTENT = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "plain",
            " leads",
            "trails \n",
            "x marks",
            "a</think>b",
            "bad",
            "你好 😀",
            "\x1c odd \x85",
            '"q" \\ <',
        ]
    ),
    st.text(max_size=12).filter(lambda text: not set(text) & set("\U0010fff0\U0010fff1")),
)
CONVERSATION = st.builds(
    lambda system, pairs: [*system, *(turn for pair in pairs for turn in pair)],
    st.lists(CONTENT.map(lambda said: {"role": "system", "content": said}), max_size=1),
    st.lists(
        st.tuples(
            CONTENT.map(lambda said: {"role": "user", "content": said}),
            CONTENT.map(lambda said: {"role": "assistant", "content": said}),
        ),
        min_size=1,
        max_size=3,
    ),
)


def renderer(name):
    return Renderer(ChatTemplate(TEMPLATES[name], {}), ("<|im_start|>", "<|im_end|>"))


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=40, deadline=None)
@given(conversations=st.lists(CONVERSATION, max_size=6))
def test_every_row_equals_its_real_render_and_every_span_is_its_response(name, conversations):
    by = renderer(name)
    done = render_conversations(as_rows(conversations), by)
    assert done["index"].to_list() == list(range(len(conversations)))
    for row, messages in zip(done.iter_rows(named=True), conversations, strict=True):
        try:
            real = by.template.render(messages)
        except TemplateRefused as refusal:
            assert (row["text"], row["reason"], row["detail"]) == (None, "template_refused", str(refusal))
            continue
        if row["reason"]:
            assert row["reason"] == "response_rewritten"
            continue
        assert row["text"] == real
        spoken = [real.encode()[start:end].decode() for start, end in zip(row["starts"], row["ends"], strict=True)]
        said = [turn["content"] for turn in messages if turn["role"] == "assistant"]
        assert len(spoken) == len(said)
        for text, content in zip(spoken, said, strict=True):
            assert text.removesuffix("<|im_end|>").strip() == content.strip()


@pytest.mark.parametrize(
    "name", ["chatml", "trims", "strips", "trims one side", "first turn differs", "looks for a mark", "skips empty"]
)
def test_usual_templates_are_compiled_and_keep_every_plain_row(name):
    roles = ["system", "user", "assistant", "user", "assistant"]
    assert compile_shape(renderer(name).template, roles) is not None
    rows = as_rows([[{"role": role, "content": f"{role} {i}"} for role in roles] for i in range(5)])
    done = render_conversations(rows, renderer(name))
    assert done["reason"].null_count() == 5
    assert done["text"].n_unique() == 5


@pytest.mark.parametrize("name", ["drops responses", "twice", "upper case"])
def test_a_template_that_changes_responses_rejects_rows_and_never_guesses(name):
    done = render_conversations(
        as_rows([[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]]), renderer(name)
    )
    assert done["reason"].to_list() == ["response_rewritten"]


def test_a_template_that_quotes_still_knows_where_the_response_is():
    done = render_conversations(
        as_rows([[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]]), renderer("quotes")
    )
    assert done["text"][0] == '"Hi"<|im_end|>"Yo"<|im_end|>'
    assert (done["starts"][0].to_list(), done["ends"][0].to_list()) == ([15], [17])


def test_a_conversation_of_very_many_turns_is_rendered_like_any_other():
    """Its cost must not grow with the square of the turns: it took over ten minutes when it did."""
    turns = [{"role": ("user", "assistant")[place % 2], "content": f"turn {place} 汉"} for place in range(600)]
    rows = as_rows([turns, turns[:10]])
    done = render_conversations(rows, renderer("chatml"))
    for index, of_row in enumerate((turns, turns[:10])):
        text, starts, ends = done.select("text", "starts", "ends").row(index)
        assert text == ChatTemplate(TEMPLATES["chatml"], {}).render(of_row)
        found = [text.encode()[start:end].decode() for start, end in zip(starts, ends, strict=True)]
        assert found == [f"{turn['content']}<|im_end|>" for turn in of_row[1::2]]


def test_sliced_and_chunked_rows_render_alike():
    rows = [[{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"}] for i in range(9)]
    whole = as_rows(rows)
    parts = pl.concat([whole[:4], whole[4:]], rechunk=False)
    by = renderer("chatml")
    assert render_conversations(parts, by).equals(render_conversations(whole, by))
    expected = render_conversations(whole, by)["text"][3:7].to_list()
    assert render_conversations(parts.slice(3, 4), by)["text"].to_list() == expected


def test_a_probe_gives_up_on_questions_it_does_not_understand():
    assert compile_shape(renderer("counts").template, ["user", "assistant"]) is None
    shape = compile_shape(renderer("trims").template, ["user"])
    assert shape is not None
    assert shape.parts == ("[user] ", Slot(0, (("strip", None),)), "<|im_end|>")


def test_the_end_token_is_the_longest_that_follows_directly():
    assert find_end_token("<|eot|>\n", ("<|e", "<|eot|>")) == "<|eot|>"
    assert find_end_token("\n<|eot|>", ("<|eot|>",)) == ""


TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}" + CHATML.replace(
    "{{ m['content'] }}", "{{ m.name if m.name }}{{ m['content'] }}"
)
ASKS = {"role": "user", "content": "q"}
SAYS = {"role": "assistant", "content": "a"}


def spoken_of(row):
    text = row["text"].encode()
    return [text[start:end].decode() for start, end in zip(row["starts"], row["ends"], strict=True)]


def test_tools_and_other_keys_of_a_turn_reach_the_template_as_they_are_written():
    by = Renderer(ChatTemplate(TOOLS, {}), ("<|im_end|>",))
    rows = as_rows([[ASKS, {"role": "tool", "content": "5", "details": '{"name": "add"}'}, SAYS], [ASKS, SAYS]])
    rows = rows.with_columns(pl.Series("tools", ['[{"b": 1.10, "a": null}]', None]))
    first, second = render_conversations(rows, by).iter_rows(named=True)
    assert first["text"].startswith('[{"b": 1.1, "a": null}]<|im_start|>')
    assert "tool\nadd5<|im_end|>" in first["text"]
    assert spoken_of(first) == spoken_of(second) == ["a<|im_end|>"]
    assert second["text"] == by.template.render([ASKS, SAYS])


@pytest.mark.parametrize("details", [None, '{"name": "bot"}'])
@pytest.mark.parametrize("weights", [(0.0, 1.0), (None, 0.0), (1.0, None), (0.0, 0.0), (0.5, 2.0), (None, 0.25)])
def test_a_response_weighs_what_its_turn_says_and_of_weight_zero_is_not_trained(weights, details):
    """Other rows of the same shape weigh something else; with `details` each row is rendered for real."""
    talk = [ASKS, {**SAYS, "content": "one", "weight": weights[0], "details": details}, {**ASKS, "weight": 0.7}]
    talk.append({**SAYS, "content": "two", "weight": weights[1]})
    others = [[{**turn, "weight": None if turn["role"] == "user" else weight} for turn in talk] for weight in (None, 3)]
    rows = render_conversations(as_rows([talk, *others]), renderer("chatml")).to_dicts()
    wanted = [(said, weight) for said, weight in zip(("one", "two"), weights, strict=True) if weight != 0]
    assert spoken_of(rows[0]) == [f"{said}<|im_end|>" for said, _ in wanted]
    assert rows[0]["weights"] == [1.0 if weight is None else weight for _, weight in wanted]
    assert [row["weights"] for row in rows[1:]] == [[1.0, 1.0], [3.0, 3.0]]


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ({"content": None, "details": '{"tool_calls": [{"function": {"name": "f"}}]}'}, "response_rewritten"),
        ({"details": '{"reasoning_content": "because"}'}, "response_rewritten"),
    ],
)
def test_a_response_whose_labels_cannot_be_proved_is_rejected_with_a_reason(turn, reason):
    done = render_conversations(as_rows([[ASKS, {**SAYS, **turn}], [ASKS, SAYS]]), renderer("chatml"))
    assert done["reason"].to_list() == [reason, None]
    assert done["text"].is_null().to_list() == [True, False]
