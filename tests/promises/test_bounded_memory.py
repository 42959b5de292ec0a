"""Promise 5: peak memory does not grow with the data."""

import subprocess
import sys

import polars as pl
import pytest

ROWS = 300_000
"""Enough that all slices that are ever under way at once are full."""

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


def peak(path, schema):
    """Return the peak resident memory of `sftdata validate` in MiB."""
    command = ["validate", str(path), "--schema", str(schema), "--max-rejected", "1.0"]
    command += ["--rejected", str(path.with_suffix(".rejected"))]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *command], capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-2]) / 1024


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("unique", [False, True])
def test_four_times_the_rows_need_no_more_memory(tmp_path, suffix, unique):
    schema = tmp_path / "memory.yaml"
    schema.write_text(SCHEMA.replace("{dtype: int}", "{dtype: int, unique: true}") if unique else SCHEMA)
    few = peak(write(tmp_path / f"few{suffix}", ROWS), schema)
    many = peak(write(tmp_path / f"many{suffix}", 4 * ROWS), schema)
    grown = (tmp_path / f"many{suffix}").stat().st_size - (tmp_path / f"few{suffix}").stat().st_size
    index = 3 * ROWS * 60 if unique else 0  # what must stand once only keeps some bytes a row
    assert (many - few) * 2**20 < grown / 2 + index, "the rows of the file are held in memory"
