"""Damaged files of every format: each record is accepted or rejected, or the file is refused in plain words.

The files are damaged copies of good ones, the same ones every time; SFTDATA_FUZZ=20 tries twenty times as many. They
are read by a child process, so that a crash of native code is seen. What once failed lies in `found/` and is tried too.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from fuzz_schemas import FLAT, TAGGED, TALKS, WIDE
from isolated import Outcome, run_commands
from mutations import damage

COUNT = 40 * int(os.environ.get("SFTDATA_FUZZ", "1"))
"""Damaged copies of each format."""

FOUND = Path(__file__).parent / "found"

TEXTS = ["plain", 'with "quotes"', "two\nlines", "a, comma", "中文 🙂", " spaces ", "7", "null", "x" * 300]


def wide_records() -> list[dict[str, Any]]:
    """Return records with a value of each dtype."""
    return [
        {
            "id": f"r{number}",
            "text": TEXTS[number % len(TEXTS)],
            "label": "ab"[number % 2],
            "n": number - 40,
            "x": number / 8,
            "yes": number % 3 == 0,
            "list": TEXTS[: number % 4],
            "data": {"a": [number, None, {"b": "c"}]},
        }
        for number in range(40)
    ]


def flat_records() -> list[dict[str, Any]]:
    return [{name: row[name] for name in ("id", "text", "label", "n", "x", "yes")} for row in wide_records()]


def talks() -> list[dict[str, Any]]:
    """Return conversations."""
    said = [{"role": role, "content": text} for text in TEXTS[:4] for role in ("user", "assistant")]
    return [{"id": f"r{number}", "messages": said[: 2 + 2 * (number % 3)]} for number in range(20)]


def make_lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def make_table(separator: str) -> bytes:
    return pl.DataFrame(flat_records()).write_csv(separator=separator).encode()


def make_parquet(**options: Any) -> bytes:
    out = io.BytesIO()
    frame = pl.DataFrame([{name: value for name, value in row.items() if name != "data"} for row in wide_records()])
    frame.with_columns(data=pl.lit('{"a": 1}')).write_parquet(out, **options)
    return out.getvalue()


def make_arrow() -> bytes:
    out = io.BytesIO()
    pl.DataFrame(flat_records()).write_ipc(out)
    return out.getvalue()


def make_tagged() -> bytes:
    sentence = "EU\tB-ORG\nrejects\tO\nGerman\tB-MISC\ncall\tI-MISC\n.\tO\n\n"
    return (sentence + "中\tB-LOC\n国\tI-LOC\n\n").encode() * 10


FORMATS: dict[str, tuple[Callable[[], bytes], dict[str, Any]]] = {
    "flat.csv": (lambda: make_table(","), FLAT),
    "flat.tsv": (lambda: make_table("\t"), FLAT),
    "wide.jsonl": (lambda: make_lines(wide_records()), WIDE),
    "talks.jsonl": (lambda: make_lines(talks()), TALKS),
    "wide.json": (lambda: json.dumps(wide_records(), ensure_ascii=False, indent=1).encode(), WIDE),
    "talks.json": (lambda: json.dumps({"data": talks()}).encode(), TALKS),
    "wide.parquet": (lambda: make_parquet(), WIDE),
    "plain.parquet": (lambda: make_parquet(compression="uncompressed", row_group_size=10), WIDE),
    "flat.arrow": (make_arrow, FLAT),
    "tagged.conll": (make_tagged, TAGGED),
    "flat.csv.gz": (lambda: gzip.compress(make_table(","), mtime=0), FLAT),
    "wide.jsonl.bz2": (lambda: bz2.compress(make_lines(wide_records())), WIDE),
    "talks.jsonl.xz": (lambda: lzma.compress(make_lines(talks())), TALKS),
    "flat.csv.zst": (lambda: pa.Codec("zstd").compress(make_table(","), asbytes=True), FLAT),
}
"""Good files by name, and the schema that accepts each of their records."""


Found = list[tuple[Outcome, Path]]
"""How `validate` ended on some files, and the folder of each."""


def make_commands(folder: Path, name: str, contents: list[bytes]) -> list[list[str]]:
    """Write files of these contents, each into a folder of its own, and return the commands that validate them."""
    folder.mkdir()
    (folder / "schema.yaml").write_text(json.dumps(FORMATS[name][1]))
    commands = []
    for number, content in enumerate(contents):
        place = folder / str(number)
        place.mkdir()
        (place / name).write_bytes(content)
        command = ["validate", str(place / name), "--schema", str(folder / "schema.yaml"), "--json"]
        commands.append([*command, "--rejected", str(place / "rejected"), "--max-rejected", "1.0"])
    return commands


def run_all(folder: Path, contents: dict[str, list[bytes]]) -> dict[str, Found]:
    """Validate files of these contents by the names of their formats."""
    commands = {name: make_commands(folder / name, name, files) for name, files in contents.items()}
    outcomes = iter(run_commands([command for of_name in commands.values() for command in of_name], seconds=30))
    return {
        name: [(next(outcomes), folder / name / str(number)) for number in range(len(of_name))]
        for name, of_name in commands.items()
    }


def find_problem(outcome: Outcome, place: Path, name: str) -> str | None:
    """Say what is wrong with how a file was handled."""
    if outcome.code in {1, 2}:
        plain = outcome.errors.startswith("error: ") and "Traceback" not in outcome.errors
        return None if plain and not outcome.output else outcome.errors[-2000:] or "no message"
    if outcome.code != 0:
        return f"code {outcome.code}: {outcome.errors[-2000:]}"
    report = outcome.report()
    rejected = [json.loads(line) for line in (place / "rejected").read_bytes().splitlines()]
    records = [row["record"] for row in rejected]
    if report["rows"] != report["accepted"] + report["rejected"] or report["rejected"] != len(rejected):
        return f"the counts do not close: {report}, {len(rejected)} lines"
    if records != sorted(set(records)) or not all(1 <= record <= report["rows"] for record in records):
        return f"record numbers {records} of {report['rows']}"
    if not all(row["reasons"] and row["detail"] and row["stage"] in {"read", "validate"} for row in rejected):
        return "a rejected row without reason, detail or stage"
    lost = [row for row in rejected if is_good(row["original"], name) and row["reasons"] != ["id:unique"]]
    return f"good rows were rejected: {lost}" if lost else find_miscount(report["rows"], place / name)


def is_good(original: Any, name: str) -> bool:
    """Tell whether a record is one of the good file's, with every value as it was."""
    records = {"wide.jsonl": wide_records, "talks.jsonl": talks}.get(name)
    if records:
        return original in records()
    if name in {"flat.csv", "flat.tsv"}:
        text = make_table(",").decode()
        return original in list(csv.DictReader(io.StringIO(text, newline="")))
    return False


def find_miscount(rows: int, file: Path) -> str | None:
    """Say when a file of lines has not one record for each line that is not blank."""
    if file.suffix != ".jsonl":
        return None
    lines = sum(bool(line.strip()) for line in file.read_bytes().split(b"\n"))
    return None if rows == lines else f"{rows} records of {lines} lines"


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, Found]:
    """Validate for each format its good file, what once failed, and the damaged copies, in this order."""
    contents = {}
    for name, (make, _) in FORMATS.items():
        once = [file.read_bytes() for file in sorted(FOUND.glob(f"*-{name}"))]
        contents[name] = [make(), *once, *(damage(make(), seed) for seed in range(COUNT))]
    return run_all(tmp_path_factory.mktemp("damaged"), contents)


@pytest.mark.parametrize("name", FORMATS)
def test_the_good_file_is_accepted_whole(found, name):
    outcome, _ = found[name][0]
    assert outcome.code == 0, outcome
    report = outcome.report()
    assert report["rows"] == report["accepted"] >= 20, report


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_accounted_for_or_refused(found, name):
    problems = [f"{place}: {fault}" for outcome, place in found[name] if (fault := find_problem(outcome, place, name))]
    assert not problems, f"{len(problems)} of {len(found[name])} files:\n" + "\n".join(problems[:10])
