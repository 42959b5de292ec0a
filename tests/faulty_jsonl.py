"""A JSON Lines file with planted faults; see faults.py."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faults import BOM, HUGE, POOL, WORDS, Fault, Ledger, Line, plan, plan_copies, write_lines

DEEP = 600
"""Levels of a value that is nested too deeply."""

SCHEMA: dict[str, Any] = {
    "name": "planted",
    "task": "causal_lm",
    "columns": {
        "id": {"unique": True, "checks": {"str_matches": r"^r\d{8}$"}},
        "messages": {
            "dtype": "messages",
            "checks": {
                "known_roles": ["system", "user", "assistant"],
                "roles_alternate": True,
                "no_blank_turn": True,
                "ends_with_response": True,
            },
        },
        "n": {"dtype": "int"},
        "score": {"dtype": "float", "checks": {"in_range": {"min_value": 0, "max_value": 5}}},
    },
    "checks": {"score_below_n": "score <= n"},
    "parts": {"messages": "messages"},
}


def _conversation(draw: random.Random, number: int) -> dict[str, Any]:
    """Return a good record."""
    turns = [{"role": "system", "content": draw.choice(["", "be brief"])}] * (number % 3 == 0)
    for _ in range(draw.randint(1, 2)):
        turns += [{"role": role, "content": " ".join(draw.choices(WORDS, k=4))} for role in ("user", "assistant")]
    return {"id": f"r{number:08d}", "messages": turns, "n": 5 + number % 9, "score": round(draw.random() * 5, 3)}


GOOD_TAILS = [
    ', "extra": 1, "extra": 2}',
    ', "extra": {"deep": [[[[1]]]], "none": null}}',
    ', "extra": "a line\u2028separator and a mark \ufeff"}',
    ', "extra": 1e999}',
    ', "extra": ' + "[" * 400 + "]" * 400 + "}",
    ', "extra": "\\ud83d\\ude00 \\" \\\\ {"}',
    ', "extra": 123456789012345678901234567890}',
    "  }",
]
"""Ends of good records that careless readers break: what no column needs is left alone."""


def _dump(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


def _good_json(draw: random.Random) -> bytes:
    line = _dump(_conversation(draw, draw.randrange(1000)))
    return line[:-1] + draw.choice(GOOD_TAILS).encode() if draw.random() < 0.005 else line


def _set(**values: Any) -> Callable[[dict[str, Any]], bytes]:
    """Make a fault of replacing some values."""
    return lambda record: _dump({**record, **values})


def _append(text: str) -> Callable[[dict[str, Any]], bytes]:
    """Make a fault of more text before the end of the object."""
    return lambda record: _dump(record)[:-1] + text.encode("utf-8", "surrogateescape") + b"}"


def _turns(*turns: tuple[str | None, str | None]) -> Callable[[dict[str, Any]], bytes]:
    return _set(messages=[{"role": role, "content": content} for role, content in turns])


def _without(key: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda record: _dump({name: value for name, value in record.items() if name != key})


FAULTS: dict[str, Fault] = {
    "syntax": Fault(lambda record: _dump(record)[:-1], ("json:syntax",)),
    "trailing comma": Fault(_append(","), ("json:syntax",)),
    "single quotes": Fault(lambda record: repr(record).encode(), ("json:syntax",)),
    "text behind the object": Fault(lambda record: _dump(record) + b" # done", ("json:syntax",)),
    "two objects": Fault(lambda record: _dump(record) * 2, ("json:syntax",)),
    "raw control character": Fault(_append(', "extra": "a\x01b"'), ("json:syntax",)),
    "NUL byte": Fault(lambda record: _dump(record) + b"\0", ("json:syntax",)),
    "NaN": Fault(_append(', "score": NaN'), ("json:syntax",)),
    "infinity in a key that no column needs": Fault(_append(', "extra": -Infinity'), ("json:syntax",)),
    "leading zero": Fault(_append(', "extra": 01'), ("json:syntax",)),
    "array": Fault(lambda record: b"[" + _dump(record) + b"]", ("json:not_an_object",)),
    "number": Fault(lambda record: b"42", ("json:not_an_object",)),
    "null": Fault(lambda record: b"null", ("json:not_an_object",)),
    "text": Fault(lambda record: b'"{}"', ("json:not_an_object",)),
    "too deep": Fault(_append(', "extra": ' + "[" * DEEP + "]" * DEEP), ("json:depth",)),
    "too deep, in objects": Fault(_append(', "extra": ' + '{"a": ' * DEEP + "1" + "}" * DEEP), ("json:depth",)),
    "invalid UTF-8": Fault(_append(', "extra": "caf\udce9"'), ("encoding:utf-8",)),
    "invalid UTF-8 in a turn": Fault(
        lambda record: _dump(record).replace(b'"content": "', b'"content": "\xff', 1), ("encoding:utf-8",)
    ),
    "byte order mark": Fault(lambda record: BOM + _dump(record), ("encoding:bom",)),
    "key given twice": Fault(_append(', "n": 5'), ("n:dtype",)),
    "key given twice in a turn": Fault(
        lambda record: _dump(record).replace(b'"role": "user"', b'"role": "user", "role": "user"', 1),
        ("messages:dtype",),
    ),
    "text in an integer": Fault(_set(n="7"), ("n:dtype",)),
    "fraction in an integer": Fault(_set(n=7.5), ("n:dtype",)),
    "boolean in an integer": Fault(_set(n=True), ("n:dtype",)),
    "integer beyond 64 bits": Fault(_set(n=2**63), ("n:dtype",)),
    "integer of 5000 digits": Fault(
        lambda record: _dump({**record, "n": 0}).replace(b'"n": 0', b'"n": ' + b"9" * 5000), ("n:dtype",)
    ),
    "float beyond its range": Fault(
        lambda record: _dump({**record, "score": 0}).replace(b'"score": 0', b'"score": 1e999'), ("score:dtype",)
    ),
    "number in a text": Fault(_set(id=17), ("id:dtype",)),
    "text instead of turns": Fault(_set(messages="hello"), ("messages:dtype",)),
    "one turn instead of turns": Fault(_set(messages={"role": "user", "content": "a"}), ("messages:dtype",)),
    "null turn": Fault(lambda record: _dump({**record, "messages": [*record["messages"], None]}), ("messages:dtype",)),
    "lone surrogate": Fault(
        lambda record: _dump(record).replace(b'"content": "', b'"content": "\\ud800', 1), ("messages:dtype",)
    ),
    "missing key": Fault(_without("n"), ("n:not_nullable",)),
    "null where a value must be": Fault(_set(score=None), ("score:not_nullable",)),
    "no turns at all": Fault(_without("messages"), ("messages:not_nullable",)),
    "empty list of turns": Fault(_set(messages=[]), ("messages:roles_alternate", "messages:ends_with_response")),
    "empty turn": Fault(_turns(("user", "a"), ("assistant", "")), ("messages:no_blank_turn",)),
    "blank turn": Fault(_turns(("user", "\u3000\n"), ("assistant", "b")), ("messages:no_blank_turn",)),
    "unknown role": Fault(
        _turns(("user", "a"), ("human", "b"), ("assistant", "c")), ("messages:known_roles", "messages:roles_alternate")
    ),
    "roles that do not alternate": Fault(
        _turns(("user", "a"), ("user", "b"), ("assistant", "c")), ("messages:roles_alternate",)
    ),
    "system turn in the middle": Fault(
        _turns(("user", "a"), ("system", "b"), ("assistant", "c")), ("messages:roles_alternate",)
    ),
    "last turn is not the response": Fault(
        _turns(("user", "a"), ("assistant", "b"), ("user", "c")), ("messages:ends_with_response",)
    ),
    "out of range": Fault(_set(score=5.5, n=6), ("score:in_range",)),
    "score above n": Fault(_set(score=4.5, n=4), ("row:score_below_n",)),
    "id of another pattern": Fault(lambda record: _dump({**record, "id": "x" + record["id"]}), ("id:str_matches",)),
    "three faults": Fault(
        lambda record: _dump({**record, "id": "x" + record["id"], "score": -1, "n": -2}),
        ("id:str_matches", "score:in_range", "row:score_below_n"),
    ),
}

TOO_LARGE = {
    "50 MB line": Fault(_append(f', "extra": "{"x" * HUGE}"'), ("json:record_size",)),
    "50 MB of syntax": Fault(lambda record: b'{"a": ' + b"[" * HUGE, ("json:record_size",)),
}

ENDS = {
    "cut in a text": Fault(lambda record: _dump(record)[:20], ("json:syntax",)),
    "cut in a character": Fault(lambda record: b'{"id": "' + "中".encode()[:2], ("encoding:utf-8",)),
}


def write_jsonl(path: Path, records: int, *, huge: int = 1, end: str = "cut in a text", seed: int = 7) -> Ledger:
    """Write a JSON Lines file of `records` records, among them `huge` too large ones and an unfinished last one."""
    draw = random.Random(seed)  # noqa: S311  # a sample, no secret
    good = [_good_json(draw).partition(b",")[2] for _ in range(POOL)]
    chosen = plan(draw, records, FAULTS, TOO_LARGE, huge)
    copies = plan_copies(draw, records, chosen)

    def lines() -> Iterator[Line]:
        for number in range(1, records):
            if number in copies:
                line = _set(id=f"r{copies[number]:08d}")(_conversation(draw, number))
                yield Line(line, "duplicate id", ("id:unique",))
            elif kind := chosen.get(number):
                fault = FAULTS.get(kind) or TOO_LARGE[kind]
                yield Line(fault.make(_conversation(draw, number)), kind, fault.reasons)
            else:
                yield Line(b'{"id": "r%08d",%b' % (number, good[number * 31 % POOL]))
        yield Line(ENDS[end].make(_conversation(draw, records)), end, ENDS[end].reasons)

    return write_lines(path, b"", lines())
