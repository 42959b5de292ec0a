"""The reference is that of the code, nothing is missing from it, and the promises name tests that exist."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import typer.main
from examples import make_conversations
from tiny import settings

import sftdata
from sftdata import errors
from sftdata.checks import TASK_CHECKS
from sftdata.cli import app
from sftdata.editor_schemas import make_editor_schema
from sftdata.row_checks import ROW_CHECKS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MADE = ("commands", "recipe", "schema", "python", "errors")


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture
def make(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    yield import_module("make_reference").make
    for name in ("make_reference", "python_pages", "settings_pages"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", MADE)
def test_a_page_that_is_made_from_the_code_is_up_to_date(make, name):
    assert page(f"reference/{name}") == make(name), "run: python docs/make_reference.py"


def test_every_command_and_option_is_there_with_its_help():
    told = page("reference/commands")
    commands = typer.main.get_command(app).commands
    assert len(commands) >= 11
    for name, command in commands.items():
        _, _, section = told.partition(f"\n## sftdata {name}\n")
        section = section.partition("\n## ")[0]
        assert section, name
        for parameter in command.params:
            known = [parameter.metavar] if parameter.param_type_name == "argument" else parameter.opts
            assert parameter.help, f"{name} {known}: no help"
            assert all(each in section for each in [*known, parameter.help] if each), f"{name} {known}"


@pytest.mark.parametrize("kind", ["recipe", "schema"])
def test_every_key_is_there_with_its_description(kind):
    schema, told = make_editor_schema(kind), page(f"reference/{kind}")
    groups = [schema, *(group for group in schema["$defs"].values() if "properties" in group)]
    keys = [(key, node["description"]) for group in groups for key, node in group["properties"].items()]
    assert len(keys) > 15
    assert [key for key, text in keys if not re.search(rf"\*\*`{key}`\*\*.*\\\n  {re.escape(text)}", told)] == []
    assert len(re.findall(r"^- \*\*`\w+`\*\*: ", told, re.MULTILINE)) >= len(keys)


def test_every_check_is_there():
    told = page("reference/schema")
    assert [name for name in TASK_CHECKS | ROW_CHECKS if f"`{name}`" not in told] == []


def test_every_public_name_and_its_arguments_are_there():
    told = page("reference/python")
    for module in ("sftdata", "sftdata.training", "sftdata.plan"):
        for name in import_module(module).__all__:
            assert f".{name}`\n" in told, name
    arguments = [each.arg for function in _functions_of(sftdata.__all__) for each in function.args.kwonlyargs]
    assert len(arguments) > 20
    assert [each for each in arguments if not re.search(rf"\b{each}: ", told)] == []


def _functions_of(names: list[str]) -> Iterator[ast.FunctionDef]:
    for name in names:
        home = import_module(sftdata._HOMES[name])
        body = ast.parse(Path(str(home.__file__)).read_text(encoding="utf-8")).body
        yield from (node for node in body if isinstance(node, ast.FunctionDef) and node.name == name)


def test_every_error_is_there_with_its_exit_code():
    told = page("reference/errors")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BaseException)]
    assert len(kinds) > 12
    for kind in kinds:
        code = getattr(kind, "exit_code", "128 and the signal's number")
        assert f"## `{kind.__name__}`\n\nExit code {code}." in told, kind.__name__
    assert [code for code in (0, 1, 2) if f"| {code} | " not in told] == []


REASON = re.compile(r"[a-z*_]+(:[a-z0-9*_-]+)?")
NO_REASONS = {"name:endgeneration", "hub:*", "sha256:*"}
"""Texts that look like reasons with a colon in them and are none."""

STAGES = {"read", "validate", "clean", "deduplicate", "decontaminate", "balance", "tokenize"}


@cache
def trees() -> dict[str, ast.Module]:
    """Return the modules in which rows are rejected, by path."""
    apart = {"training", "report", "cli", "proposal", "interchange", "shards", "plan", "view", "conversion"}
    paths = [path.relative_to(ROOT) for path in (ROOT / "sftdata").rglob("*.py")]
    return {str(p): ast.parse((ROOT / p).read_text(encoding="utf-8")) for p in paths if p.parts[1] not in apart}


def texts(node: ast.AST, constants: dict[str, str]) -> Iterator[str]:
    """Yield the texts that an expression holds, with a star for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
        yield from [text[1:], f"target_{text[1:]}"] if ast.unparse(node).startswith("f'{side}") else [text]
    elif isinstance(node, ast.Name):
        yield from [constants[node.id]] if node.id in constants else []
    elif isinstance(node, ast.List | ast.Tuple):
        yield from (text for part in node.elts for text in texts(part, constants))
    elif isinstance(node, ast.BinOp):
        yield from texts(node.left, constants)


def constants_of(tree: ast.Module) -> dict[str, str]:
    """Return the texts that names such as `REASON` stand for."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names, values = (getattr(side, "elts", [side]) for side in (node.targets[0], node.value))
            pairs = [(ast.unparse(name), list(texts(value, {}))) for name, value in zip(names, values, strict=False)]
            found |= {name: known[0] for name, known in pairs if len(known) == 1}
    return found


@cache
def constants_everywhere() -> dict[str, str]:
    return {name: text for tree in trees().values() for name, text in constants_of(tree).items()}


@cache
def places_of_reasons() -> dict[str, int]:
    """Return at which place a function or type takes a reason, by its name."""
    found = {}
    for tree in trees().values():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.FunctionDef):
                names = [each.arg for each in node.args.args if each.arg != "self"]
            elif isinstance(node, ast.ClassDef):
                names = [ast.unparse(line.target) for line in node.body if isinstance(line, ast.AnnAssign)]
            places = [names.index(name) for name in ("reason", "reasons") if name in names]
            if places and isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = places[0]
    return found


def given_reasons(node: ast.AST) -> list[ast.expr]:
    """Return the expressions in a node that are taken for a reason."""
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("reason", "reasons"):
        return [node.value]
    if not isinstance(node, ast.Call):
        return []
    place = places_of_reasons().get(ast.unparse(node.func).rpartition(".")[2])
    by_name = [keyword.value for keyword in node.keywords if keyword.arg in ("reason", "reasons")]
    return by_name + (node.args[place : place + 1] if place is not None else [])


def reasons_in_the_code() -> dict[str, str]:
    """Return every reason that the code spells, with a star for what is filled in, and a module that does."""
    found: dict[str, str] = {}
    for path, tree in trees().items():
        constants = constants_everywhere() | constants_of(tree)
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant | ast.JoinedStr)
            by_look = [text for text in texts(node, {}) if ":" in text] if is_text else []
            by_place = [text for given in given_reasons(node) for text in texts(given, constants)]
            found |= {text: path for text in by_look + by_place if REASON.fullmatch(text) and text not in NO_REASONS}
    return found


def reasons_on_the_page() -> set[str]:
    words = re.findall(r"^- \*\*`([^`]+)`\*\*: .*\\\n  → ", page("reference/reasons"), re.MULTILINE)
    return {re.sub("[A-Z]+", "*", word) for word in words}


def test_every_reason_that_the_code_spells_is_on_the_page_and_no_other():
    found = reasons_in_the_code()
    assert len(found) > 40
    covered = {"encoding:utf-8": "encoding:*", "repeated:*_ngrams": "repeated:*"}
    expected = {covered.get(reason, reason) for reason in found}
    assert {reason: found[reason] for reason in expected - reasons_on_the_page()} == {}, "tell them in reasons.md"
    assert reasons_on_the_page() - expected == set(), "no longer in the code"


@pytest.mark.parametrize("called", ["reject", "partition", "Fault", "Broken", "drop.add"])
def test_a_reason_is_spelled_or_handed_on_where_a_row_is_rejected(called):
    """So that the test above sees it."""
    given = []
    for tree in trees().values():
        constants = constants_everywhere() | constants_of(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == called:
                given += [(each, list(texts(each, constants))) for each in given_reasons(node)]
    assert given
    handed_on = re.compile("reason|broken|fault|name|why|chosen")
    assert [ast.unparse(each) for each, found in given if not found and not handed_on.search(ast.unparse(each))] == []


def test_the_stages_are_those_of_the_page():
    headings = re.findall(r"^## Stages? (.+)$", page("reference/reasons"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(headings))) == STAGES
    told = {text for tree in trees().values() for name, text in constants_of(tree).items() if name.endswith("STAGE")}
    assert told <= STAGES
    assert STAGES - told == {"balance"}  # which selection.py writes where it rejects


PROMISED = re.compile(r"^- \[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)", re.MULTILINE)


def test_every_promise_names_tests_that_exist():
    sections = re.split(r"^## \d\. ", page("promises"), flags=re.MULTILINE)[1:]
    assert len(sections) == 7
    for section in sections:
        named = PROMISED.findall(section)
        assert len(named) >= 3, section[:40]
        assert len(named) == len(re.findall(r"^- \[", section, re.MULTILINE))
        for name, path in named:
            assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}: {name}"


def pattern_of(name: str) -> str:
    """Turn a name of the page of files into a regular expression: words in capitals stand for something."""
    return re.sub(
        "SPLIT|FILE|STEP|NUMBER", lambda found: {"SPLIT": r"[\w-]+", "FILE": ".+"}.get(found[0], r"\d+"), name
    )


def unknown_files(folder: Path, heading: str) -> list[str]:
    """Return the files in a folder that the section of a page does not name."""
    section = page("reference/files").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    known = [pattern_of(name.replace(".", r"\.")) for cell in first_cells for name in re.findall("`([^`]+)`", cell)]
    assert len(known) > 3
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 2
    return [file for file in files if not any(re.fullmatch(name, file) for name in known)]


def make_llama(folder: Path) -> Path:
    """Write a model of no size with as many embeddings as the tokenizer of `chat_recipe` has ids."""
    import transformers

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=500, **sizes)).save_pretrained(folder)
    return folder


def test_every_file_that_commands_write_is_on_the_page(tmp_path, chat_recipe):
    rows = make_conversations(30)
    recipe = chat_recipe([*rows, *rows[:3], {"messages": []}], deduplicate={"exact": True}, max_rejected=1)
    out = tmp_path / "out"
    sftdata.prepare(sftdata.load_recipe(recipe))
    assert (out / "duplicates.jsonl").stat().st_size * (out / "rejected.jsonl").stat().st_size
    assert unknown_files(out, "A dataset") == []
    sftdata.train(out, settings(make_llama(tmp_path / "llama"), tmp_path / "run", max_steps=1))
    assert unknown_files(tmp_path / "run", "A run") == []
    for to in ("trl", "jsonl"):
        sftdata.export(out, tmp_path / to, to=to)
        assert unknown_files(tmp_path / to, "An export") == []
