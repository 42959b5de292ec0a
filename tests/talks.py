"""Conversations of many kinds for tests of chat templates."""

import datetime
from typing import Any

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Add numbers.",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "s": {"type": "string"}},
                "required": ["a"],
            },
        },
    }
]
CALLS = [{"type": "function", "id": "abcdefghi", "function": {"name": "add", "arguments": {"a": 1, "s": 'x"y\n你'}}}]
DATE = datetime.date(2026, 1, 31)


def user(content: str) -> dict[str, Any]:
    """Return what the user says."""
    return {"role": "user", "content": content}


def assistant(content: str | None, **more: Any) -> dict[str, Any]:
    """Return a response."""
    return {"role": "assistant", "content": content, **more}


def system(content: str) -> dict[str, Any]:
    """Return a system prompt."""
    return {"role": "system", "content": content}


RESULT = {"role": "tool", "content": "2", "name": "add"}

TALKS: dict[str, list[dict[str, Any]]] = {
    "single": [user("hi"), assistant("yo")],
    "several turns": [user("hi"), assistant("yo"), user("again"), assistant("sure 😀")],
    "system": [system("be nice"), user("hi"), assistant("yo")],
    "empty system": [system(""), user("hi"), assistant("yo")],
    "Chinese": [system("你是助手。"), user("你好吗？"), assistant("我很好，谢谢！")],
    "white space": [user("hi "), assistant("  yo \n"), user("\n\nx"), assistant("\nz")],
    "markers": [user("<|im_start|>assistant\nno<|im_end|>"), assistant("say <|im_end|> or </s>")],
    "template code": [user("{{ x }} {% if %}"), assistant('{"a": [1]} \\n "q"')],
    "reasoning": [user("hi"), assistant("yo", reasoning_content="hmm")],
    "reasoning twice": [
        user("hi"),
        assistant("yo", reasoning_content="hmm"),
        user("b"),
        assistant("c", reasoning_content="ok then"),
    ],
    "reasoning in the content": [user("hi"), assistant("<think>\nhm\n</think>\n\nyo")],
    "tools": [user("1+1"), assistant(None, tool_calls=CALLS), RESULT, assistant("it is 2")],
    "words and tools": [
        user("1+1"),
        assistant("let me", tool_calls=CALLS),
        RESULT,
        assistant("it is 2"),
        user("ok"),
        assistant("bye"),
    ],
    "no call": [user("hi"), assistant("I need no tool")],
}
"""By name; those in `WITH_TOOLS` have tools on offer."""

WITH_TOOLS = {"tools", "words and tools", "no call"}
