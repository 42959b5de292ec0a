"""Damaged schemas and recipes: each is still good, or all its faults are told at once; nothing else happens."""

import os
from pathlib import Path

import pytest
from mutations import TOKENS, damage

from sftdata.errors import RecipeError, SchemaError
from sftdata.recipe import load_recipe
from sftdata.schema import load_schema, schema_directory

COUNT = 100 * int(os.environ.get("SFTDATA_FUZZ", "1"))
"""Damaged copies of each document."""

SAMPLES = Path(__file__).parents[2] / "samples"
SCHEMAS = sorted([*schema_directory().glob("*.yaml"), *SAMPLES.glob("*.schema.yaml")])
RECIPES = sorted(set(SAMPLES.glob("*.yaml")) - set(SCHEMAS))

WORDS = b"""
    name task parts text label columns dtype str int float bool messages list[str] json nullable required coerce
    separator keys roles unique checks isin str_length str_matches in_range min_value max_value not_blank function
    os:system sources path format csv split train seed tokenize output dir
    true false null ~ on 0 -1 1.5 .nan .inf 0x7f 1_000 1:30 2024-01-01 '' [] {} [1] {a:1}
"""


@pytest.mark.parametrize("path", SCHEMAS + RECIPES, ids=lambda path: path.name)
def test_a_damaged_document_is_good_or_its_faults_are_told(tmp_path, path):
    good = path.read_bytes()
    load, error = (load_schema, SchemaError) if path in SCHEMAS else (load_recipe, RecipeError)
    load(path)
    copy, refused = tmp_path / "copy.yaml", 0
    for seed in range(COUNT):
        copy.write_bytes(damage(good, seed, [*TOKENS, *(word + b" " for word in WORDS.split())]))
        try:
            load(copy)
        except error as problem:
            refused += 1
            assert problem.faults, seed
            assert all(fault.strip() for fault in problem.faults), seed
        except Exception as problem:
            raise AssertionError(f"{path.name}, seed {seed}: {type(problem).__name__}: {problem}") from problem
    assert 0 < refused < COUNT, refused
