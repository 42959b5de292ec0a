"""The schemas of the files that are damaged."""

from typing import Any

_FLAT: dict[str, Any] = {
    "id": {"unique": True},
    "text": {"checks": {"not_blank": True, "str_length": {"max_value": 1000}}},
    "label": {"checks": {"isin": ["a", "b"]}},
    "n": {"dtype": "int", "checks": {"in_range": {"min_value": -100, "max_value": 100}}},
    "x": {"dtype": "float", "nullable": True, "checks": {"ge": 0}},
    "yes": {"dtype": "bool", "nullable": True},
}

_PARTS = {"text": "text", "label": "label"}

FLAT = {"name": "flat", "task": "text_classification", "columns": _FLAT, "parts": _PARTS, "checks": {"small": "x > n"}}

WIDE = {
    "name": "wide",
    "task": "text_classification",
    "columns": {
        **_FLAT,
        "list": {"dtype": "list[str]", "nullable": True},
        "data": {"dtype": "json", "nullable": True},
    },
    "parts": _PARTS,
}

TALKS = {
    "name": "talks",
    "task": "causal_lm",
    "columns": {
        "id": {"unique": True},
        "messages": {
            "dtype": "messages",
            "checks": {"known_roles": ["user", "assistant"], "roles_alternate": True, "no_blank_turn": True},
        },
    },
    "parts": {"messages": "messages"},
}

TAGGED = {
    "name": "tagged",
    "task": "token_classification",
    "columns": {"tokens": {"dtype": "list[str]"}, "tags": {"dtype": "list[str]"}},
    "parts": {"tokens": "tokens", "tags": "tags"},
}
