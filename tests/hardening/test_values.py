"""Values that are made to harm: nested, huge, many, or meant for the terminal."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from isolated import Outcome, run_commands

SCHEMA = {
    "name": "values",
    "task": "text_classification",
    "columns": {
        "text": {"checks": {"not_blank": True}},
        "label": {},
        "n": {"dtype": "int", "nullable": True},
        "x": {"dtype": "float", "nullable": True},
        "data": {"dtype": "json", "nullable": True},
        "list": {"dtype": "list[str]", "nullable": True},
    },
    "parts": {"text": "text", "label": "label"},
}

GOOD = '{"text": "a", "label": "b", "n": 1, "x": 0.5, "data": {"a": 1}, "list": ["x"]}'


def extra(value: str, key: str = "extra") -> str:
    """Return a good record with one more key, or another value of one."""
    if key == "extra":
        return f'{GOOD[:-1]}, "extra": {value}}}'
    values = {name: json.dumps(old) for name, old in json.loads(GOOD).items()} | {key: value}
    return "{" + ", ".join(f'"{name}": {new}' for name, new in values.items()) + "}"


def nest(levels: int) -> str:
    return "[" * levels + "]" * levels


LINES: dict[str, tuple[Callable[[], str], set[str]]] = {
    "500 levels that no column needs": (lambda: extra(nest(499)), set()),
    "501 levels that no column needs": (lambda: extra(nest(500)), {"json:depth"}),
    "a million levels": (lambda: extra(nest(1_000_000)), {"json:depth"}),
    "a million open brackets": (lambda: extra("[" * 1_000_000), {"json:depth", "json:syntax"}),
    "a million open braces": (lambda: '{"a":' * 1_000_000, {"json:depth", "json:syntax"}),
    "levels in a column of JSON": (lambda: extra(nest(10_000), "data"), {"json:depth"}),
    "brackets in a text": (lambda: extra(json.dumps("[{" * 100_000), "text"), set()),
    "a number of 100,000 digits that no column needs": (lambda: extra("9" * 100_000), set()),
    "a number of 100,000 digits for a column of JSON": (lambda: extra("9" * 100_000, "data"), set()),
    "a number of 100,000 digits for an integer": (lambda: extra("9" * 100_000, "n"), {"n:dtype"}),
    "a number of 100,000 digits for a float": (lambda: extra("9" * 100_000, "x"), {"x:dtype"}),
    "a number of 100,000 digits for a text": (lambda: extra("9" * 100_000, "text"), {"text:dtype"}),
    "a large exponent for a float": (lambda: extra("1e100000000", "x"), {"x:dtype"}),
    "a small exponent for a float": (lambda: extra("1e-100000000", "x"), set()),
    "a large exponent for an integer": (lambda: extra("1e100000000", "n"), {"n:dtype"}),
    "100,000 decimals for a float": (lambda: extra("0." + "3" * 100_000, "x"), set()),
    "a million zeros for an integer": (lambda: extra("-" + "0" * 1_000_000, "n"), {"json:syntax"}),
    "a text of 10 MB": (lambda: extra(json.dumps("word " * 2_000_000), "text"), set()),
    "a text of a million escapes": (lambda: extra('"' + "\\u4e2d" * 1_000_000 + '"', "text"), set()),
    "a key of 10 MB": (lambda: GOOD[:-1] + ', "' + "k" * 10_000_000 + '": 1}', set()),
    "a million keys": (lambda: GOOD[:-1] + "".join(f', "k{n}": {n}' for n in range(1_000_000)) + "}", set()),
    "one key a million times": (lambda: GOOD[:-1] + ', "k": 1' * 1_000_000 + "}", set()),
    "a needed key a million times": (lambda: GOOD[:-1] + ', "n": 1' * 1_000_000 + "}", {"n:dtype"}),
    "a list of a million entries": (lambda: extra("[" + ",".join(['"x"'] * 1_000_000) + "]", "list"), set()),
    "a list of a million empty lists": (
        lambda: extra("[" + ",".join(["[]"] * 1_000_000) + "]", "list"),
        {"list:dtype"},
    ),
    "spaces of 10 MB": (lambda: GOOD[:-1] + " " * 10_000_000 + "}", set()),
}
"""Lines by what is in them, and the reasons of which one must be given; none for a good line."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, tuple[Outcome, list[dict[str, Any]]]]:
    """Validate each line between two good ones."""
    folder = tmp_path_factory.mktemp("values")
    (folder / "schema.yaml").write_text(json.dumps(SCHEMA))
    commands = []
    for number, (make, _) in enumerate(LINES.values()):
        (folder / f"{number}.jsonl").write_text(f"{GOOD}\n{make()}\n{GOOD}\n", encoding="utf-8")
        command = ["validate", str(folder / f"{number}.jsonl"), "--schema", str(folder / "schema.yaml"), "--json"]
        commands.append([*command, "--rejected", str(folder / f"{number}.rejected"), "--max-rejected", "1.0"])
    found = run_commands(commands, seconds=60)
    files = [folder / f"{number}.rejected" for number in range(len(LINES))]
    rejected = [
        [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else [] for file in files
    ]
    return dict(zip(LINES, zip(found, rejected, strict=True), strict=True))


@pytest.mark.parametrize("name", LINES)
def test_a_harmful_line_is_taken_or_rejected_alone(outcomes, name):
    outcome, rejected = outcomes[name]
    expected = LINES[name][1]
    assert outcome.code == 0, (outcome.code, outcome.errors[-2000:])
    assert [row["record"] for row in rejected] == [2] * bool(expected)
    assert all(len(row["reasons"]) == 1 and set(row["reasons"]) <= expected for row in rejected)
    assert all(len(row["detail"]) < 1000 for row in rejected)
    assert outcome.report()["rows"] == 3
    assert outcome.seconds < 20, outcome.seconds
    assert outcome.peak < 1.5e9, outcome.peak


@pytest.mark.parametrize("place", ["in the record", "in a mapping", "in a turn"])
def test_keys_that_differ_from_record_to_record_take_no_memory(tmp_path, place):
    """Such as identifiers as keys: read into a column each, they would take records times keys."""
    with (tmp_path / "keys.jsonl").open("w") as file:
        for number in range(10_000):
            keys = {f"k{number}-{key}": key for key in range(5)}
            turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
            turns[0] |= keys if place == "in a turn" else {}
            record = {"messages": turns, **(keys if place == "in the record" else {"meta": keys})}
            file.write(json.dumps(record) + "\n")
    (outcome,) = run_commands([["validate", str(tmp_path / "keys.jsonl"), "--schema", "messages"]], seconds=60)
    assert outcome.code == 0, (outcome.code, outcome.errors[-2000:])
    assert outcome.peak < 0.6e9, outcome.peak


ESCAPES = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "back\x08\x08space",
    "\r over",
    "\x7f",
    "\x00",
]
ESCAPES += ["\u202eright to left", "\u2066isolated"]


def escape_files() -> dict[str, bytes]:
    """Return files whose values, keys and headers hold what a terminal would obey."""
    records = [{"text": " ", "label": "a" + escape} for escape in ESCAPES]
    records += [{"text": escape, "label": [escape]} for escape in ESCAPES]
    records += [{"text": {escape: escape}, "label": escape} for escape in ESCAPES]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    broken = "".join(f'{{"text": "{escape}", {escape}\n' for escape in ESCAPES)
    cells = "".join(f'"{escape}\n",\n"a{escape}"b,c\n{escape},{escape},{escape}\n' for escape in ESCAPES)
    headers = {f"header-{n}.csv": f"text{escape},label\na,b\n" for n, escape in enumerate(ESCAPES)}
    texts = {"values.jsonl": lines, "broken.jsonl": broken, "cells.csv": "text,label\n" + cells, **headers}
    return {name: text.encode() for name, text in texts.items()}


def test_nothing_that_a_terminal_obeys_comes_out_of_data(tmp_path):
    files = escape_files()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found = run_commands([["validate", str(tmp_path / name), "--schema", "text_label"] for name in files])
    for name, outcome in zip(files, found, strict=True):
        assert outcome.code in {0, 1, 2}, (name, outcome)
        assert "Traceback" not in outcome.errors
        assert (outcome.output + outcome.errors).replace("\n", "").isprintable(), (name, outcome)
    assert found[0].code == found[1].code == found[2].code == 1


def test_nothing_that_a_terminal_obeys_comes_out_of_arguments(tmp_path):
    (tmp_path / "good.csv").write_text("text,label\na,b\n")
    commands = []
    for escape in ESCAPES:
        commands += [
            ["validate", f"none{escape}.csv", "--schema", "text_label"],
            ["validate", f"{escape}*", "--schema", "text_label"],
            ["validate", str(tmp_path / "good.csv"), "--schema", f"none{escape}"],
            ["validate", str(tmp_path / "good.csv"), "--schema", f"none{escape}.yaml"],
            ["validate", str(tmp_path / "good.csv"), "--schema", "text_label", "--max-rejected", escape],
        ]
    for command, outcome in zip(commands, run_commands(commands), strict=True):
        assert outcome.code == 2, (command, outcome)
        assert (outcome.output + outcome.errors).replace("\n", "").isprintable(), (command, outcome)


def test_quotes_that_pair_over_every_line_take_no_time_to_speak_of(tmp_path):
    """Each line ends the quote of the one before it and begins another: read again and again, the file takes hours."""
    (tmp_path / "pairs.csv").write_text("text,label\n" + 'x",y,"abc\n' * 200_000)
    (outcome,) = run_commands([["validate", str(tmp_path / "pairs.csv"), "--schema", "text_label"]], seconds=60)
    assert outcome.code in {1, 2}, outcome
    assert outcome.peak < 1.5e9
