"""A schema or recipe that is made to harm ends in one plain message: no code runs, and neither time nor memory does."""

import json
from pathlib import Path

import pytest
from isolated import Outcome, run_commands

GOOD = "name: s\ntask: text_classification\ncolumns: {text: {}, label: {}}\nparts: {text: text, label: label}\n"


def laughs(levels: int, width: int, element: str) -> str:
    """Return a list of lists, each of which holds the one before it many times, by reference."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, levels)]
    return "\n".join([*lines, f"{element}: *a{levels - 1}", ""])


def merges(levels: int, width: int) -> str:
    """Return mappings, each of which is merged of the one before it many times."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * width)}]}}" for level in range(1, levels)]
    return "\n".join([*lines, f"columns: *a{levels - 1}", ""])


DOCUMENTS = {
    "references to references": laughs(12, 10, "columns"),
    "references to references in a key that is not known": laughs(12, 10, "other"),
    "references to references in texts": GOOD + laughs(12, 10, "description"),
    "merges of merges": merges(12, 10),
    "a list that holds itself": "columns: &a [*a]\n",
    "a mapping that holds itself": "columns: &a {b: *a}\n",
    "a mapping that merges itself": "columns: &a {<<: *a}\n",
    "lists in lists": "columns: " + "[" * 100_000,
    "closed lists in lists": "columns: " + "[" * 20_000 + "]" * 20_000,
    "mappings in mappings": "columns: " + "{a: " * 20_000 + "}" * 20_000,
    "indented mappings": "".join(" " * level + "a:\n" for level in range(2000)),
    "lists of dashes": "- " * 20_000 + "a\n",
    "keys that are mappings": "? " * 5_000 + "a\n",
    "a huge text": "columns: " + "x" * 2_000_000,
    "a huge key": "x" * 500_000 + ": 1\n",
    "a huge whole number": GOOD + "description: " + "9" * 1_000_000,
    "a huge number by colons": GOOD + "description: " + ":".join(["59"] * 100_000),
    "many keys": "".join(f"k{number}: 1\n" for number in range(30_000)),
    "a call": "columns: !!python/object/apply:os.system ['touch {mark}']\n",
    "a new object": "columns: !!python/object/new:os.system ['touch {mark}']\n",
    "a name": "columns: !!python/name:os.system\n",
    "a module": "columns: !!python/module:os\n",
    "an object": "columns: !!python/object:subprocess.Popen {args: [touch, '{mark}']}\n",
    "a tag of one's own": "columns: !exec 'touch {mark}'\n",
    "a control character": 'name: "a\\eb"\ncolumns: \x1b[31m\n',
    "a control character in a key": 'columns: {"\\e[31mred\\a": 5}\n',
    "bytes that are not text": b"columns: \xff\xfe\x00",
    "UTF-16": "columns: 5".encode("utf-16"),
    "NUL bytes": b"\0" * 1000,
}
"""Documents that are no schema and no recipe. `{mark}` is a file that must not be there afterwards."""

SCHEMAS = {
    "a function that is not there": "nothing: {function: 'os:nothing'}",
    "a module that is not there": "nothing: {function: 'no_such_module:nothing'}",
    "a function without a module": "nothing: {function: 'system'}",
    "a path for a module": "nothing: {function: '../../evil:run'}",
    "a module that fails": "nothing: {function: 'fails:run'}",
    "a module that leaves": "nothing: {function: 'leaves:run'}",
    "a value for a function": "nothing: {function: 'os:name'}",
    "an expression that is none": "nothing: 'text ==== label'",
    "an expression with a query": "nothing: 'text in (select text from other)'",
    "an expression of an unknown column": "nothing: 'other > 1'",
    "an expression without a column": "nothing: '1 + 1'",
    "an expression that is no verdict": "nothing: 'length(text)'",
    "an expression that reads a file": "nothing: \"text = read_csv('/etc/passwd')\"",
    "a deep expression": "nothing: '" + "(" * 5000 + "text = label" + ")" * 5000 + "'",
    "a long expression": "nothing: '" + " or ".join(["text = label"] * 20_000) + "'",
}
"""Cross-column checks that no schema may have."""

CHECKS = {
    "a pattern too large": r"str_matches: '((a{1000}){1000}){1000}'",
    "a pattern too deep": "str_matches: '" + "(" * 10_000 + "a" + ")" * 10_000 + "'",
    "a pattern that is none": "str_matches: '(a'",
    "a pattern of another dialect": r"str_matches: '(?<=a)b\1'",
    "a length beyond 64 bits": "str_length: {max_value: " + "9" * 100 + "}",
    "a length below zero": "str_length: {max_value: -1, min_value: -5}",
    "a length that is no number": "str_length: {max_value: .nan}",
    "values of all kinds": "isin: [1, a, null, [x], {y: z}]",
}
"""Checks of a text column that no schema may have, or that refuse every row."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    (folder / "data.csv").write_text("text,label\na,b\n")
    (folder / "fails.py").write_text("raise RuntimeError('this module always fails')")
    (folder / "leaves.py").write_text("import sys; sys.exit(0)")
    return folder


def write(path: Path, document: str | bytes) -> str:
    content = document if isinstance(document, bytes) else document.encode()
    path.write_bytes(content.replace(b"{mark}", str(path.with_name("mark")).encode()))
    return str(path)


@pytest.fixture(scope="module")
def outcomes(folder) -> dict[tuple[str, str], Outcome]:
    """Run every document through the command that reads it."""
    commands = {}
    for number, (name, document) in enumerate(DOCUMENTS.items()):
        file = write(folder / f"document-{number}.yaml", document)
        commands["schema", name] = ["validate", str(folder / "data.csv"), "--schema", file, "--max-rejected", "1.0"]
        commands["recipe", name] = ["prepare", file]
    for number, (name, check) in enumerate(SCHEMAS.items()):
        file = write(folder / f"schema-{number}.yaml", GOOD + f"checks:\n  {check}\n")
        commands["checks", name] = ["validate", str(folder / "data.csv"), "--schema", file]
    for number, (name, check) in enumerate(CHECKS.items()):
        file = write(folder / f"check-{number}.yaml", GOOD.replace("text: {}", f"text: {{checks: {{{check}}}}}"))
        commands["check", name] = ["validate", str(folder / "data.csv"), "--schema", file]
    return dict(zip(commands, run_commands(list(commands.values()), seconds=30), strict=True))


def assert_plain(outcome: Outcome, codes: set[int]) -> None:
    assert outcome.code in codes, outcome
    assert outcome.errors.startswith("error: "), outcome
    assert "Traceback" not in outcome.errors
    assert len(outcome.errors) < 3000, outcome.errors[:3000]
    assert (outcome.output + outcome.errors).replace("\n", "").isprintable(), outcome
    assert outcome.seconds < 20, outcome.seconds
    assert outcome.peak < 1e9, outcome.peak


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("kind", ["schema", "recipe"])
def test_a_harmful_document_is_refused(outcomes, folder, kind, name):
    assert_plain(outcomes[kind, name], {2})
    assert not (folder / "mark").exists()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_check_that_cannot_be_is_refused_with_its_schema(outcomes, name):
    assert_plain(outcomes["checks", name], {2})
    assert "checks" in outcomes["checks", name].errors


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_of_a_column_is_refused_or_refuses_the_rows(outcomes, name):
    assert_plain(outcomes["check", name], {1, 2})


def test_a_schema_may_name_a_function_and_data_may_not(folder):
    mark = folder / "ran"
    (folder / "mine.py").write_text(
        "from pathlib import Path\nimport polars as pl\n"
        f"def run(data):\n    Path({str(mark)!r}).touch()\n    return data.lazyframe.select(pl.col('text') != 'x')\n"
    )
    (folder / "names.jsonl").write_text(
        "".join(
            json.dumps({"text": text, "label": "os:system", "function": "mine:run", "checks": {"a": "mine:run"}}) + "\n"
            for text in ("mine:run", "{function: mine:run}", "!!python/name:mine.run", "__import__('mine').run(1)")
        )
    )
    plain, naming = folder / "plain.yaml", folder / "naming.yaml"
    plain.write_text(GOOD)
    naming.write_text(GOOD + "checks: {mine: {function: 'mine:run'}}\n")
    command = ["validate", str(folder / "names.jsonl"), "--max-rejected", "0", "--json", "--schema"]
    (data_only,) = run_commands([[*command, str(plain)]])
    assert data_only.code == 0, data_only
    assert not mark.exists()
    (named,) = run_commands([[*command, str(naming)]])
    assert named.code == 0, named
    assert mark.exists()


def test_a_function_that_is_no_check_rejects_its_rows_and_ends_nothing(folder):
    wrong = folder / "wrong.yaml"
    command = ["validate", str(folder / "data.csv"), "--schema", str(wrong), "--json"]
    wrong.write_text(GOOD + "checks: {shell: {function: 'os:system'}}\n")
    (outcome,) = run_commands([command])
    assert_plain(outcome, {1, 2})
    assert outcome.code == 2 or outcome.report()["reasons"] == {"row:shell": 1}
