"""Promise 1: every planted fault is found with its own reason, and no good row is lost."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import faults
import faulty_csv
import faulty_jsonl
import pytest

FORMATS = {"csv": (faulty_csv.write_csv, faulty_csv.SCHEMA), "jsonl": (faulty_jsonl.write_jsonl, faulty_jsonl.SCHEMA)}


PROGRAM = """
import atexit, pathlib, re, sys
from sftdata.cli import main
atexit.register(lambda: sys.stderr.write(re.search("VmHWM.*", pathlib.Path("/proc/self/status").read_text())[0]))
main()
"""
"""The command, which says at its end how much memory it took at most. What wait4 says of a child is never below what
its parent had, and a test run has much."""


class Run(NamedTuple):
    """What `sftdata validate` said, and its peak memory in bytes."""

    report: dict[str, Any]
    rejected: list[dict[str, Any]]
    peak: int


def validate(data: Path, schema: dict[str, Any], *options: str) -> Run:
    document, out = data.with_suffix(".schema.yaml"), data.with_suffix(".rejected.jsonl")
    document.write_text(json.dumps(schema))
    command = [sys.executable, "-c", PROGRAM, "validate", str(data), "--schema", str(document)]
    command += ["--json", "--rejected", str(out), "--max-rejected", "1.0", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    with out.open(encoding="utf-8") as lines:
        rejected = [json.loads(line) for line in lines]
    peak = int(re.search(r"VmHWM:\s*(\d+) kB", done.stderr)[1]) * 1024
    return Run(json.loads(done.stdout), rejected, peak)


def show_differences(ledger: faults.Ledger, rejected: list[dict[str, Any]]) -> list[str]:
    """Return one line for each record that was not accounted for as it was planted."""
    planted = {record: (line, reasons, kind) for record, line, kind, reasons in ledger.planted}
    found = {row["record"]: (row["line"], frozenset(row["reasons"])) for row in rejected}
    differences = []
    for record in sorted(planted.keys() | found.keys()):
        line, reasons, kind = planted.get(record, (None, frozenset(), "a good record"))
        if found.get(record, (None, frozenset())) != (line, reasons):
            differences.append(f"{record} ({kind}): {(line, sorted(reasons))} became {found.get(record)}")
    return differences


def assert_accounted(ledger: faults.Ledger, run: Run) -> None:
    differences = show_differences(ledger, run.rejected)
    assert not differences, "\n".join([f"{len(differences)} records differ", *differences[:40]])
    counts = {"rows": ledger.records, "accepted": ledger.records - len(ledger.planted), "rejected": len(ledger.planted)}
    assert {name: run.report[name] for name in counts} == counts
    assert len(run.rejected) == len(ledger.planted)
    reasons = [reason for planted in ledger.planted for reason in planted.reasons]
    assert run.report["reasons"] == {reason: reasons.count(reason) for reason in sorted(set(reasons))}


@pytest.mark.parametrize("name", FORMATS)
def test_every_planted_fault_is_found_and_no_good_row_is_lost(tmp_path, name):
    write, schema = FORMATS[name]
    ledger = write(tmp_path / f"faulty.{name}", 20_000)
    assert len({planted.kind for planted in ledger.planted}) > 30
    assert_accounted(ledger, validate(tmp_path / f"faulty.{name}", schema))


@pytest.mark.parametrize("name", FORMATS)
def test_faults_are_accounted_for_alike_by_any_number_of_workers(tmp_path, name):
    write, schema = FORMATS[name]
    ends = {"csv": "cut in quotes", "jsonl": "cut in a character"}
    ledger = write(tmp_path / f"faulty.{name}", 3000, huge=0, end=ends[name], seed=8)
    alone = validate(tmp_path / f"faulty.{name}", schema)
    assert_accounted(ledger, alone)
    assert validate(tmp_path / f"faulty.{name}", schema, "--workers", "2")[:2] == alone[:2]


@pytest.mark.real
@pytest.mark.parametrize("name", FORMATS)
def test_a_million_records_with_planted_faults_are_accounted_for_in_bounded_memory(tmp_path, name):
    write, schema = FORMATS[name]
    ledger = write(tmp_path / f"faulty.{name}", 1_000_000, huge=2)
    run = validate(tmp_path / f"faulty.{name}", schema)
    assert_accounted(ledger, run)
    assert run.peak < 1.5e9


def test_what_is_kept_of_a_record_that_is_too_large_is_bounded(tmp_path):
    ledger = faulty_csv.write_csv(tmp_path / "faulty.csv", 2000, huge=1)
    rejected = validate(tmp_path / "faulty.csv", faulty_csv.SCHEMA).rejected
    (huge,) = [planted for planted in ledger.planted if planted.kind in faulty_csv.TOO_LARGE]
    (row,) = [row for row in rejected if row["record"] == huge.record]
    assert len(json.dumps(row["original"])) < 40_000_000 < faults.HUGE
    assert any(length in row["detail"] for length in ("50,0", "50.0", "47.7", "500"))
