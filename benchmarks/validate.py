"""Measure `sftdata validate` against hand-written polars and against pandas with pandera, as whole processes.

usage: python benchmarks/validate.py [--rows N ...] [--runs N] [--workers N] [--data DIR]

The data are CSV and JSON Lines of made-up English text, about 140 bytes a row; one row in a thousand has a value that
a check refuses. Each program is started anew for each run, in turn with the others. All of them must find the same
number of good rows, else this exits 1. The data stay in DIR for the next time: 3.1 GB for ten million rows.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
FORMATS = {"csv": "CSV", "jsonl": "JSON Lines"}
SEED = 7
BLOCK = 500_000
PANDAS_ROWS = 1_000_000
"""Most rows that pandas is measured on: it holds them all in memory."""

SCHEMA = {
    "name": "benchmark",
    "task": "text_classification",
    "columns": {
        "id": {"checks": {"str_matches": r"^r\d{9}$"}},
        "text": {"checks": {"str_length": {"min_value": 1, "max_value": 500}, "not_blank": True}},
        "label": {"checks": {"isin": ["neg", "neutral", "pos"]}},
        "score": {"dtype": "float", "checks": {"in_range": {"min_value": 0, "max_value": 5}}},
    },
    "parts": {"text": "text", "label": "label"},
}

TITLES = {
    "sftdata": "sftdata validate",
    "sftdata-workers": "sftdata validate --workers",
    "polars-streaming": "polars by hand, streaming",
    "polars-eager": "polars by hand, eager",
    "pandas": "pandas.read_csv + pandera",
}


class Usage(NamedTuple):
    """What one run of a program took, and the good rows that it counted."""

    seconds: float
    peak_bytes: int
    accepted: int


def good_rows(rows: int) -> int:
    """Return how many of the rows that `write_rows` makes are good."""
    return rows - rows // 1000


def write_rows(path: Path, rows: int) -> None:
    """Write rows of seeded text as CSV or JSON Lines; each thousandth has one of five faults."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(SEED)
    letters = draw.integers(ord("a"), ord("z") + 1, (5000, 9), dtype=np.uint8)
    words = [bytes(word[: 3 + number % 7]).decode() for number, word in enumerate(letters)]
    joined = [" ".join(words[number] for number in draw.integers(0, 5000, 8 + i % 17)) for i in range(100_000)]
    texts = pl.Series([text.replace(" ", ", ", 1) if i % 5 == 0 else text for i, text in enumerate(joined)])
    fault = pl.when(pl.int_range(pl.len()) % 1000 == 999).then(pl.int_range(pl.len()) // 1000 % 5)
    with path.open("wb") as file:
        for start in range(0, rows, BLOCK):
            count = min(BLOCK, rows - start)
            block = pl.DataFrame(
                {
                    "id": pl.select("r" + pl.int_range(start, start + count).cast(pl.String).str.zfill(9)).to_series(),
                    "text": texts.gather(draw.integers(0, len(texts), count)),
                    "label": pl.Series(["neg", "neutral", "pos"]).gather(draw.integers(0, 3, count)),
                    "score": (draw.random(count) * 5).round(3),
                }
            ).with_columns(
                id=pl.when(fault == 0).then(pl.lit("no id")).otherwise("id"),
                text=pl.when(fault == 1).then(pl.lit("  ")).when(fault == 2).then(pl.lit("x" * 501)).otherwise("text"),
                label=pl.when(fault == 3).then(pl.lit("unknown")).otherwise("label"),
                score=pl.when(fault == 4).then(5.5).otherwise("score"),
            )
            if path.suffix == ".csv":
                block.write_csv(file, include_header=start == 0)
            else:
                block.write_ndjson(file)


def make_data(data: Path, rows: int, suffix: str) -> Path:
    """Return a file of so many rows, written by a process of its own the first time.

    The kernel says of a child that its peak memory was at least what its parent had, so this process stays small.
    """
    path = data / f"rows-{rows}.{suffix}"
    if not path.exists():
        print(f"writing {path}", file=sys.stderr)
        aside = data / f"unfinished.{suffix}"
        subprocess.run([sys.executable, __file__, "--write", str(aside), "--rows", str(rows)], check=True)
        aside.replace(path)
    return path


def commands(file: Path, work: Path, rows: int, workers: int | None) -> dict[str, list[str]]:
    """Return the programs to compare on a file, by name."""
    sftdata = shutil.which("sftdata", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if not sftdata:
        sys.exit("the command sftdata is not installed beside this Python: pip install -e .")
    ours = [sftdata, "validate", str(file), "--schema", str(work / "schema.yaml"), "--json"]
    ours += ["--rejected", str(work / "rejected.jsonl"), "--max-rejected", "1.0"]
    polars = [sys.executable, str(HERE / "polars_validate.py"), str(file)]
    programs = {"sftdata": ours}
    if workers:
        programs["sftdata-workers"] = [*ours, "--workers", str(workers)]
    programs |= {"polars-streaming": [*polars, "streaming"], "polars-eager": [*polars, "eager"]}
    if rows <= PANDAS_ROWS and file.suffix == ".csv":
        programs["pandas"] = [sys.executable, str(HERE / "pandas_validate.py"), str(file)]
    return programs


def measure(command: list[str], log: Path) -> Usage:
    """Run a program to its end; stop if it fails."""
    with log.open("w") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        with process.stdout as stream:
            output = stream.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with {process.returncode}:\n{log.read_text()[-2000:]}")
    return Usage(seconds, usage.ru_maxrss * 1024, json.loads(output)["accepted"])


def run_all(programs: dict[str, list[str]], work: Path, runs: int) -> dict[str, list[Usage]]:
    """Run the programs in turn, `runs` times each."""
    usages: dict[str, list[Usage]] = {name: [] for name in programs}
    for number in range(runs):
        for name, command in programs.items():
            usages[name].append(measure(command, work / f"{name}.log"))
            print(f"run {number + 1} of {runs}: {TITLES[name]} {usages[name][-1].seconds:.1f} s", file=sys.stderr)
    return usages


def median(usages: list[Usage]) -> float:
    return statistics.median(usage.seconds for usage in usages)


def peak(usages: list[Usage]) -> int:
    return max(usage.peak_bytes for usage in usages)


def print_rows(title: str, rows: int, usages: dict[str, list[Usage]]) -> None:
    """Print one line of the table for each program: its time, and ours as a multiple of it."""
    ours = median(usages["sftdata"])
    for name, of_program in usages.items():
        seconds = [usage.seconds for usage in of_program]
        middle = median(of_program)
        print(
            f"| {title} | {TITLES[name]} | {middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f}) | "
            f"{rows / middle:,.0f} | {peak(of_program) / 1e6:,.0f} MB | {ours / middle:.2f} times |"
        )


def find_wrong(title: str, rows: int, usages: dict[str, list[Usage]]) -> list[str]:
    """Return one line for each program that counted other good rows than were written."""
    return [
        f"{title}: {TITLES[name]} found {usage.accepted:,} good rows, expected {good_rows(rows):,}"
        for name, of_program in usages.items()
        for usage in of_program[:1]
        if {found.accepted for found in of_program} != {good_rows(rows)}
    ]


def print_goals(measured: dict[tuple[str, int], dict[str, list[Usage]]]) -> None:
    """Print what was to be reached from a million rows on, and if it was; the faster polars program is the peer."""
    large = {(suffix, rows): usages for (suffix, rows), usages in measured.items() if rows >= PANDAS_ROWS}
    print()
    for (suffix, rows), usages in large.items():
        ours, title = median(usages["sftdata"]), f"{FORMATS[suffix]}, {rows:,} rows"
        ratio = ours / min(median(usages["polars-streaming"]), median(usages["polars-eager"]))
        limit = 3 if rows <= PANDAS_ROWS else 2
        print(f"- {title}: {ratio:.2f} times the time of polars by hand, at most {limit}: {verdict(ratio <= limit)}")
        if "pandas" in usages:
            faster = median(usages["pandas"]) / ours
            print(f"- {title}: {faster:.1f} times as fast as pandas, at least 5: {verdict(faster >= 5)}")
    for suffix, title in FORMATS.items():
        if peaks := [peak(usages["sftdata"]) / 1e6 for (found, _), usages in large.items() if found == suffix]:
            shown = ", ".join(f"{megabytes:,.0f} MB" for megabytes in peaks)
            flat = max(peaks) < 1500 and max(peaks) < 1.2 * peaks[0]
            print(f"- {title}: peak memory {shown}, flat (within a fifth) and below 1,500 MB: {verdict(flat)}")


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, help="measure sftdata with so many processes too")
    parser.add_argument("--data", type=Path, default=HERE / "results" / "validate", help="folder for data and results")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Measure, compare and print."""
    arguments = parse_arguments()
    if arguments.write:
        write_rows(arguments.write, arguments.rows[0])
        return 0
    work = arguments.data.resolve()
    work.mkdir(parents=True, exist_ok=True)
    (work / "schema.yaml").write_text(json.dumps(SCHEMA), encoding="utf-8")
    measured, wrong = {}, []
    for rows in sorted(arguments.rows):
        for suffix in FORMATS:
            file = make_data(work, rows, suffix)
            print(f"{file.name}, {file.stat().st_size / 1e6:,.0f} MB", file=sys.stderr)
            measured[suffix, rows] = run_all(commands(file, work, rows, arguments.workers), work, arguments.runs)
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; "
        f"median of {arguments.runs} runs\n"
    )
    print("| data | program | seconds (range) | rows/s | peak memory | sftdata takes |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for (suffix, rows), usages in measured.items():
        print_rows(f"{FORMATS[suffix]}, {rows:,}", rows, usages)
        wrong += find_wrong(f"{FORMATS[suffix]}, {rows:,} rows", rows, usages)
    print_goals(measured)
    print("\n" + ("\n".join(wrong) or "All programs found the same good rows."))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
