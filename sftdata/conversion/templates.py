"""Chat templates for prompts that another program puts together itself, with what is trained marked as it is there."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    """How an instruction becomes a prompt; `{instruction}`, `{input}` and `{system}` stand for what a row says.

    Attributes:
        with_input: the prompt of a row that has an input, or None where there never is one.
        without_input: the prompt of one that has none.
    """

    with_input: str | None
    without_input: str


@dataclass(frozen=True)
class Frame:
    """What stands around the turns of a conversation: behind the name of a role, what comes before and after its text.

    Attributes:
        system: around the system prompt.
        user: around a user's turn.
        assistant: around a response; all of it is trained.
        default_system: the system prompt of a conversation that has none.
    """

    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    default_system: str = ""


END = "{eos}"
"""Stands for the token that ends a text, whichever it is."""


def quote(text: str) -> str:
    """Return a text as a literal of Jinja, with what `END` stands for."""
    parts = [json.dumps(part, ensure_ascii=False) for part in text.split(END)]
    return " + eos_token + ".join(parts)


def write_prompt_template(prompt: Prompt, part: str, beginning: str, end: str | None) -> str:
    """Return a template that writes one prompt and trains the response, with the token that ends it.

    Args:
        prompt: how the prompt is put together.
        part: what stands in the row's system turn: `input` or `system`; its user turn is the instruction.
        beginning: what the tokenizer puts before every text.
        end: the token that ends a response; None: the tokenizer's `eos_token`.
    """
    ending = json.dumps(end, ensure_ascii=False) if end else "eos_token"
    prompt, space = split_space(prompt)
    plain = _fill(prompt.without_input, part)
    full = _fill(prompt.with_input, part) if prompt.with_input else plain
    return "\n".join(
        [
            f"{{#- A system turn is the row's {part}, the user's turn its instruction. -#}}",
            "{%- set has_more = messages[0]['role'] == 'system' -%}",
            "{%- set more = messages[0]['content'] if has_more else '' -%}",
            "{%- for message in messages -%}",
            "{%- if message['role'] == 'user' -%}",
            f"{{{{- {quote(beginning)} -}}}}",
            "{%- if has_more -%}",
            f"{{{{- {full} -}}}}",
            "{%- else -%}",
            f"{{{{- {plain} -}}}}",
            "{%- endif -%}",
            "{%- elif message['role'] == 'assistant' -%}",
            f"{{%- generation -%}}{{{{- {quote(space)} + message['content'] + {ending} -}}}}{{%- endgeneration -%}}",
            "{%- endif -%}",
            "{%- endfor -%}",
            "",
        ]
    )


def split_space(prompt: Prompt) -> tuple[Prompt, str]:
    """Return a prompt without the spaces at its end, and them: most tokenizers join one to the word that follows."""
    forms = [form for form in (prompt.with_input, prompt.without_input) if form is not None]
    space = min((form[len(form.rstrip(" ")) :] for form in forms), key=len)
    cut = [form[: len(form) - len(space)] for form in forms]
    return Prompt(cut[0] if prompt.with_input is not None else None, cut[-1]), space


def _fill(text: str, part: str) -> str:
    """Return an expression of Jinja that puts the row into a prompt."""
    pieces = text.replace("{instruction}", "\0message['content']\0").replace(f"{{{part}}}", "\0more\0").split("\0")
    return " + ".join(piece if index % 2 else quote(piece) for index, piece in enumerate(pieces) if piece)


def write_frame_template(frame: Frame) -> str:
    """Return a template that puts a frame around each turn and trains all of an assistant's."""
    system = f"{quote(frame.system[0])} + {{}} + {quote(frame.system[1])}"
    lines = ["{%- for message in messages -%}"]
    if frame.default_system:
        lines += [
            "{%- if loop.first and message['role'] != 'system' -%}",
            f"{{{{- {system.format(quote(frame.default_system))} -}}}}",
            "{%- endif -%}",
        ]
    content = "message['content']"
    before, after = frame.assistant
    return "\n".join(
        [
            *lines,
            "{%- if message['role'] == 'system' -%}",
            f"{{{{- {system.format(content)} -}}}}",
            "{%- elif message['role'] == 'user' -%}",
            f"{{{{- {quote(frame.user[0])} + {content} + {quote(frame.user[1])} -}}}}",
            "{%- elif message['role'] == 'assistant' -%}",
            f"{{%- generation -%}}{{{{- {quote(before)} + {content} + {quote(after)} -}}}}{{%- endgeneration -%}}",
            "{%- endif -%}",
            "{%- endfor -%}",
            "",
        ]
    )


CHATML = Frame(
    system=("<|im_start|>system\n", "<|im_end|>\n"),
    user=("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
    assistant=("", "<|im_end|>\n"),
)
"""OpenAI's chat markup language, as LLaMA-Factory trains it: with the line break behind a response."""
