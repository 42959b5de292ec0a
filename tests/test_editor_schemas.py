"""The JSON Schemas for editors: up to date, and right about documents that are good and that are not."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml
from examples import make_texts, write_jsonl

from sftdata.checks import TASK_CHECKS
from sftdata.editor_schemas import make_editor_schema as make
from sftdata.editor_schemas import place_editor_schema
from sftdata.errors import RecipeError, SchemaError
from sftdata.proposal import init
from sftdata.recipe import load_recipe
from sftdata.row_checks import ROW_CHECKS
from sftdata.schema import load_schema, schema_directory

KINDS = ("recipe", "schema")
ROOT = Path(__file__).parent.parent
SCHEMAS = [*schema_directory().glob("*.yaml"), *ROOT.glob("samples/*.schema.yaml")]
RECIPES = [path for path in ROOT.glob("samples/*.yaml") if path not in SCHEMAS]
LOADERS = {"recipe": (load_recipe, RecipeError), "schema": (load_schema, SchemaError)}

RECIPE = """
task: causal_lm
schema: alpaca
sources: [{path: data.jsonl}]
tokenize: {tokenizer: some/where}
output: {dir: out}
"""
SCHEMA = """
name: own
task: text_classification
columns:
  text: {checks: {not_blank: true}}
  label: {}
parts: {text: text, label: label}
"""
GOOD = {"recipe": RECIPE, "schema": SCHEMA}


@cache
def make_editor_schema(kind):
    return make(kind)


def faults(kind, document):
    validator = jsonschema.Draft202012Validator(make_editor_schema(kind))
    return [fault.message for fault in validator.iter_errors(document)]


def loads(kind, text, tmp_path):
    load, error = LOADERS[kind]
    path = tmp_path / f"{kind}.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except error:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_file_is_what_the_command_prints(kind):
    done = subprocess.run(
        [sys.executable, "-c", "from sftdata.cli import main; main()", "schema", kind], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    committed = (ROOT / "schemas" / "json" / f"{kind}.schema.json").read_text(encoding="utf-8")
    assert committed == done.stdout, f"run: sftdata schema {kind} > schemas/json/{kind}.schema.json"


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_json_schema(kind):
    made = make_editor_schema(kind)
    jsonschema.Draft202012Validator.check_schema(made)
    assert made["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_schema_that_ships_is_good(path):
    assert faults("schema", yaml.safe_load(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_sample_recipe_is_good(path):
    assert faults("recipe", yaml.safe_load(path.read_text(encoding="utf-8"))) == []


def test_there_are_documents_to_try():
    assert len(SCHEMAS) >= 11
    assert len(RECIPES) >= 3


def test_the_files_are_not_taken_for_schemas():
    assert not [path for path in schema_directory().glob("*.yaml") if "json" in path.name]
    with pytest.raises(SchemaError):
        load_schema("json/schema.schema")


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_the_formats_is_described(kind):
    made = make_editor_schema(kind)
    groups = [made, *made["$defs"].values()]
    keys = [(name, node) for group in groups for name, node in group.get("properties", {}).items()]
    assert len(keys) > 15
    assert [name for name, node in keys if not node.get("description")] == []


def nodes_in(node):
    """Yield a node and all that stand in it."""
    yield node
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for part in inside:
        yield from nodes_in(part)


def properties(kind):
    """Yield each key of a format, at any depth, with its name and what it may be."""
    made = make_editor_schema(kind)
    for group, node in {kind: made, **made["$defs"]}.items():
        for name, inner in node.get("properties", {}).items():
            yield f"{group}.{name}", inner


@pytest.mark.parametrize("kind", KINDS)
def test_every_choice_is_explained_where_it_is_made(kind):
    chosen = [
        (name, str(value), node["description"])
        for name, node in properties(kind)
        for part in nodes_in({key: value for key, value in node.items() if key != "properties"})
        if isinstance(part, dict)
        for value in (*part.get("enum", ()), *([part["const"]] if isinstance(part.get("const"), str) else ()))
    ]
    assert len(chosen) >= (60 if kind == "recipe" else 8)
    assert [(name, value) for name, value, text in chosen if value not in text] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_group_is_described_and_the_tasks_are_explained(kind):
    groups = make_editor_schema(kind)["$defs"]
    assert [name for name, node in groups.items() if not node.get("description")] in ([], ["JsonValue"])
    assert all(task in groups["Task"]["description"] for task in groups["Task"]["enum"])


def test_every_number_of_a_recipe_has_a_bound():
    bounds = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    numbers = [
        (name, {**node, **part})
        for name, node in properties("recipe")
        for part in nodes_in(node)
        if isinstance(part, dict) and part.get("type") in ("number", "integer") and not name.endswith(".seed")
    ]
    assert len(numbers) > 60
    assert {name for name, part in numbers if not bounds & part.keys()} == set()


def test_every_check_is_there_with_its_description():
    checks = make_editor_schema("schema")["$defs"]["Column"]["properties"]["checks"]["properties"]
    assert checks.keys() == TASK_CHECKS.keys() | ROW_CHECKS.keys() | {"unique"}
    assert all(node["description"] for node in checks.values())


CHANGES = {
    "recipe": [
        ("task: causal_lm", "task: nonsense"),
        ("schema: alpaca", "schema: 5"),
        ("schema: alpaca", "schemas: alpaca"),
        ("output: {dir: out}", "output: out"),
        ("output: {dir: out}", "output: {dir: out, shard_size: 3 apples}"),
        ("output: {dir: out}", ""),
        ("[{path: data.jsonl}]", "[]"),
        ("[{path: data.jsonl}]", "[{path: data.jsonl, format: xml}]"),
        ("[{path: data.jsonl}]", "[{path: data.jsonl, dataset: imdb}]"),
        ("[{path: data.jsonl}]", "[{format: csv}]"),
        ("[{path: data.jsonl}]", "[{uri: 'sqlite:///x.db'}]"),
        ("[{path: data.jsonl}]", "[{path: data.jsonl, delimiter: ab}]"),
        ("some/where}", "some/where, max_length: 0}"),
        ("some/where}", "some/where, overflow: explode}"),
        ("some/where}", "some/where, max_lenght: 5}"),
        ("output:", "max_rejected: -1\noutput:"),
        ("output:", "split: {train: 0}\noutput:"),
        ("output:", "train: {model: m}\noutput:"),
        ("output:", "train: {model: m, output_dir: o, lora: {r: 0}}\noutput:"),
    ],
    "schema": [
        ("name: own", ""),
        ("name: own", "name: own\ncolour: red"),
        ("task: text_classification", "task: nonsense"),
        ("label: {}", "label: {dtype: text}"),
        ("label: {}", "label: {nulable: true}"),
        ("label: {}", "label: {nullable: perhaps}"),
        ("label: {}", "label: {checks: {isin: red}}"),
        ("label: {}", "label: {checks: {is_in: [red]}}"),
        ("label: {}", "label: {checks: {isin: {values: [red]}}}"),
        ("label: {}", "label: {checks: {not_blank: 5}}"),
        ("label: {}", "label: {checks: {str_length: {maximum: 5}}}"),
        ("label: {}", "label: {checks: {str_length: many}}"),
        ("label: {}", "label: {checks: {in_range: 5}}"),
        ("label: {}", "label: {checks: {in_range: {min_value: 5}}}"),
        ("label: {}", "label: {checks: {own: {function: no_colon}}}"),
        ("label: {}", "label: {checks: {own: {function: 'a:b', vectorized: true}}}"),
        ("parts: {text: text, label: label}", "parts: {text: text}"),
        ("parts: {text: text, label: label}", "parts: {text: text, label: label, score: label}"),
        ("parts: {text: text, label: label}", ""),
        ("parts: {text: text, label: label}", "parts: [text, label]"),
    ],
}


@pytest.mark.parametrize(("kind", "change"), [(kind, change) for kind in KINDS for change in CHANGES[kind]])
def test_a_fault_is_found_here_and_by_the_loader(kind, change, tmp_path):
    text = GOOD[kind].replace(*change)
    assert text != GOOD[kind]
    assert faults(kind, yaml.safe_load(text))
    assert not loads(kind, text, tmp_path)


ALLOWED = {
    "recipe": [
        ("output:", "max_rejected: 5\noutput:"),
        ("output:", "max_rejected: 0.5\noutput:"),
        ("{dir: out}", "{dir: out, shard_size: 256MB}"),
        ("{dir: out}", "{dir: out, shard_size: 1.5 GiB}"),
        ("{dir: out}", "{dir: out, shard_size: 1000}"),
        ("path: data.jsonl", "path: [a.csv, b.csv], header: [text, label], encoding: gb18030"),
        ("path: data.jsonl", "path: a.tsv, header: 3, quoting: false, comment: '#'"),
        ("path: data.jsonl", "uri: 'sqlite:///x.db', query: SELECT 1"),
        ("path: data.jsonl", "dataset: imdb, split: train"),
        ("output:", "train: {model: m, output_dir: o, lora: {target_modules: [q, v]}}\noutput:"),
    ],
    "schema": [
        ("label: {}", "label: {checks: {isin: [red, green]}}"),
        ("label: {}", "label: {checks: {isin: {allowed_values: [red]}}}"),
        ("label: {}", "label: {checks: {str_length: {max_value: 5}, str_matches: '[a-z]+', unique: true}}"),
        ("label: {}", "label: {checks: {str_length: 3}}"),
        ("label: {}", "label: {checks: {eq: red}}"),
        ("label: {}", "label: {unique: true}\n  turns: {dtype: messages, checks: {roles_alternate: true}}"),
        ("label: {}", "label: {}\n  turns: {dtype: messages, checks: {roles_alternate: {tools: true}}}"),
        ("label: {}", "label: {}\n  turns: {dtype: messages, keys: {role: from}, roles: {human: user}}"),
        ("label: {}", "label: {}\n  n: {dtype: int, checks: {ge: 3, in_range: {min_value: 0, max_value: 9}}}"),
        ("label: {}", "label: {checks: {own: {function: 'math:isnan', element_wise: true}}}"),
        ("parts:", "checks: {differ: text <> label}\nunique: [text, label]\nparts:"),
        ("{text: text, label: label}", "{label: label, text: text}"),
        ("task: text_classification", "# no task"),
    ],
}


@pytest.mark.parametrize(("kind", "change"), [(kind, change) for kind in KINDS for change in ALLOWED[kind]])
def test_what_loads_is_good(kind, change, tmp_path):
    text = GOOD[kind].replace(*change)
    text = text.replace("parts: {text: text, label: label}", "") if "no task" in text else text
    assert text != GOOD[kind]
    assert loads(kind, text, tmp_path)
    assert faults(kind, yaml.safe_load(text)) == []


def test_what_init_writes_is_good(tmp_path):
    written = init(str(write_jsonl(tmp_path / "data.jsonl", make_texts(60))), tmp_path / "made.yaml")
    for kind, path in (("recipe", written.recipe), ("schema", written.schema)):
        assert faults(kind, yaml.safe_load(path.read_text(encoding="utf-8"))) == []


def test_the_schema_is_put_beside_a_document_and_kept_up_to_date(tmp_path):
    line = place_editor_schema(tmp_path / "below" / "recipe.yaml", "recipe")
    copy = tmp_path / "below" / line.partition("$schema=")[2]
    assert json.loads(copy.read_text(encoding="utf-8")) == make_editor_schema("recipe")
    copy.write_text("of another version", encoding="utf-8")
    assert place_editor_schema(tmp_path / "below" / "recipe.yaml", "recipe") == line
    assert json.loads(copy.read_text(encoding="utf-8")) == make_editor_schema("recipe")


def test_what_init_writes_names_a_schema_that_is_there(tmp_path):
    written = init(str(write_jsonl(tmp_path / "data.jsonl", make_texts(60))), tmp_path / "made.yaml")
    for path in (written.recipe, written.schema):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        assert first.startswith("# yaml-language-server: $schema=")
        assert (tmp_path / first.partition("=")[2]).is_file()
