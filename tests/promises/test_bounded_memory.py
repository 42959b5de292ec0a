"""Promise 5: peak memory does not grow with the data."""

import json
import os
import subprocess
import sys

import polars as pl
import pytest

ROWS = 300_000
"""Enough that all slices that are ever under way at once are full."""

PREPARED = 50_000
"""Rows of a chunk."""

SCHEMA = """
name: memory
columns:
  id: {dtype: int}
  text: {dtype: str, checks: {not_blank: true, str_length: {max_value: 500}}}
  label: {dtype: str, checks: {isin: [a, b, c, d]}}
"""


def write(path, rows):
    number = pl.int_range(rows, eager=True)
    label = (number % 100).cast(pl.String).replace_strict({"0": "bad"}, default="a")  # one row in a hundred is rejected
    text = "words that make a row as long as rows usually are, and then some more; " * 2 + number.cast(pl.String)
    frame = pl.DataFrame({"id": number, "text": text, "label": label})
    (frame.write_csv if path.suffix == ".csv" else frame.write_ndjson)(path)
    return path


PROGRAM = """
import sys
from sftdata.cli import main
try:
    main()
finally:  # the peak of this very program; rusage would count the process that started it as well
    print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""


GIVING_BACK = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "16777216",
    "_RJEM_MALLOC_CONF": "narenas:1,dirty_decay_ms:100,muzzy_decay_ms:0",
}
"""Has the allocators of Python and polars give back what is free: else what they keep, some 40 MB more or less from run
to run, hides what is held."""


def peak(*command):
    """Return the peak resident memory of a command in MiB."""
    program = [sys.executable, "-c", PROGRAM, *map(str, command)]
    done = subprocess.run(program, capture_output=True, text=True, check=True, env={**os.environ, **GIVING_BACK})
    return int(done.stderr.split()[-2]) / 1024


def peak_of_validation(path, schema):
    """Return the peak resident memory of `sftdata validate` in MiB."""
    rejected = path.with_suffix(".rejected")
    return peak("validate", path, "--schema", schema, "--max-rejected", "1.0", "--rejected", rejected)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("unique", [False, True])
def test_four_times_the_rows_need_no_more_memory(tmp_path, suffix, unique):
    schema = tmp_path / "memory.yaml"
    schema.write_text(SCHEMA.replace("{dtype: int}", "{dtype: int, unique: true}") if unique else SCHEMA)
    few = peak_of_validation(write(tmp_path / f"few{suffix}", ROWS), schema)
    many = peak_of_validation(write(tmp_path / f"many{suffix}", 4 * ROWS), schema)
    grown = (tmp_path / f"many{suffix}").stat().st_size - (tmp_path / f"few{suffix}").stat().st_size
    index = 3 * ROWS * 60 if unique else 0  # what must stand once only keeps some bytes a row
    assert (many - few) * 2**20 < grown / 2 + index, "the rows of the file are held in memory"


def write_recipe(folder, rows, tokenizer):
    """Write texts of a thousand characters, no two of them alike, and a recipe for them."""
    number, primes = pl.int_range(rows, eager=True), [prime for prime in range(3, 540, 2) if prime % 7 > 1]
    words = [((number * prime) % 99_991).cast(pl.String) for prime in primes]
    frame = pl.select(pl.concat_str(words, separator=" ").alias("text"), (number % 4).cast(pl.String).alias("label"))
    frame.write_csv(folder / f"{rows}.csv")
    tokenize = {"tokenizer": str(tokenizer), "max_length": 8, "overflow": "truncate"}
    recipe = {"task": "text_classification", "schema": "text_label", "sources": [{"path": f"{rows}.csv"}]}
    recipe |= {"tokenize": tokenize, "deduplicate": {"exact": True}, "output": {"dir": f"out-{rows}"}}
    (folder / f"{rows}.yaml").write_text(json.dumps(recipe))
    return folder / f"{rows}.yaml"


def test_prepare_holds_no_texts_of_the_rows_that_it_has_read(tmp_path, text_tokenizer):
    few = peak("prepare", write_recipe(tmp_path, PREPARED, text_tokenizer))
    many = peak("prepare", write_recipe(tmp_path, 3 * PREPARED, text_tokenizer))
    grown = (tmp_path / f"{3 * PREPARED}.csv").stat().st_size - (tmp_path / f"{PREPARED}.csv").stat().st_size
    assert (many - few) * 2**20 < grown / 2, "the rows are held in memory"  # indexes take some 200 bytes a row
