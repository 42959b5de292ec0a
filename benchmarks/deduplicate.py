"""Measure the search for near-duplicates against datasketch's MinHashLSH, and what a million rows take.

usage: python benchmarks/deduplicate.py [--rows N] [--million N] [--runs N] [--assets DIR]

The rows are real Chinese reviews and WordNet glosses, half and half, each followed by a copy of which up to a quarter
of the words or characters are others. Both programs get the same texts, make the same shingles of them (three words,
or three characters of Chinese), search at the same threshold, 0.8, and run in processes of their own, in turn; imports
do not count. datasketch has 128 permutations, is fed by `update_batch`, and its candidates are not verified in its
time; a line of its own tells its time without the making of shingles. Then all pairs that either found are compared
exactly. This exits 1 if ours has a pair below the threshold, or fewer true pairs.

The million rows are glosses, alone or two joined, chosen by a seed: every gloss stands in some fifteen rows, so many
rows are half alike. `python tests/real/fetch.py` fetches the texts.
"""

import argparse
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEED, THRESHOLD, PERMUTATIONS = 7, 0.8, 128
CHUNK = 50_000
GOAL = 20


def read_texts(assets: Path) -> tuple[list[str], list[str]]:
    """Return the distinct reviews and glosses of the assets."""
    reviews = [
        line.strip()
        for name in ("pos", "neg")
        for line in (assets / f"zh_sent_{name}.txt").read_text(encoding="utf-8").splitlines()
    ]
    files = [assets / "wordnet" / f"data.{part}" for part in ("noun", "verb", "adj", "adv")]
    lines = [line for file in files for line in file.read_text(encoding="latin-1").splitlines()]
    glosses = [line.split("| ", 1)[1].strip() for line in lines if not line.startswith("  ")]
    return list(dict.fromkeys(filter(None, reviews))), list(dict.fromkeys(glosses))


def plant(texts: list[str], count: int, separator: str) -> list[str]:
    """Return `count` rows: texts, each followed by a copy with up to a quarter of its words changed."""
    draw = random.Random(SEED)  # noqa: S311 - a sample, no secret
    rows = []
    for text in draw.sample(texts, count // 2):
        words = text.split(separator) if separator else list(text)
        copy = list(words)
        for place in draw.sample(range(len(words)), round(draw.uniform(0, 0.25) * len(words))):
            copy[place] = draw.choice(words) + "x"
        rows += [text, separator.join(copy)]
    return rows


def write_texts(assets: Path, file: Path, count: int) -> None:
    """Write the rows of the comparison as a JSON array."""
    reviews, glosses = read_texts(assets)
    rows = plant(reviews, count // 2, "") + plant(glosses, count // 2, " ")
    file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def write_million(assets: Path, folder: Path, count: int) -> None:
    """Write chunks of many short rows as Arrow files."""
    import numpy as np
    import polars as pl

    glosses = pl.Series(read_texts(assets)[1])
    draw = np.random.default_rng(SEED)
    for start in range(0, count, CHUNK):
        rows = np.arange(start, min(start + CHUNK, count))
        first, second = glosses.gather(rows % len(glosses)), glosses.gather(draw.integers(0, len(glosses), len(rows)))
        joined = pl.select(pl.concat_str(first, second, separator="; ")).to_series()
        frame = pl.DataFrame({"record": rows, "text": first.zip_with(pl.Series(draw.random(len(rows)) < 0.3), joined)})
        ids = pl.concat_str(pl.lit("m:"), "record").alias("row_id")
        frame = frame.with_columns(ids, source=pl.lit("m"), label=pl.lit("x"))
        frame.write_ipc(folder / f"{start:012d}.arrow")


WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")


def shingle(text: str) -> set[str]:
    """Return the shingles of a text, cut as sftdata cuts texts of these two languages."""
    words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return {" ".join(words[place : place + 3]) for place in range(len(words) - 2)}


def run_datasketch(file: Path) -> dict[str, Any]:
    """Cut, sign, query and insert every row."""
    from datasketch import MinHash, MinHashLSH

    texts = json.loads(file.read_text(encoding="utf-8"))
    start, cpu = time.perf_counter(), time.process_time()
    sets = [[part.encode() for part in shingle(text)] for text in texts]
    cut = time.perf_counter()
    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    pairs = []
    for row, parts in enumerate(sets):
        if parts:
            signature = MinHash(num_perm=PERMUTATIONS)
            signature.update_batch(parts)
            pairs += [(other, row) for other in index.query(signature)]
            index.insert(row, signature)
    end = time.perf_counter()
    return {"seconds": end - start, "cpu": time.process_time() - cpu, "search": end - cut, "pairs": pairs}


def run_sftdata(file: Path) -> dict[str, Any]:
    """Normalise, cut, sign, search and verify every row; all of it counts."""
    import numpy as np
    import polars as pl
    import pyarrow  # noqa: F401 - polars imports it at the first use

    from sftdata.duplicates.near import find_pairs
    from sftdata.duplicates.spill import Chunk, ShingleStore, spill_signed
    from sftdata.records import Task
    from sftdata.settings.deduplication import DeduplicateSettings
    from sftdata.stages.deduplication import make_comparison, sign_rows

    texts = pl.Series(json.loads(file.read_text(encoding="utf-8")))
    comparison = make_comparison(Task.TEXT_CLASSIFICATION, DeduplicateSettings(near={"threshold": THRESHOLD}))
    start, cpu = time.perf_counter(), time.process_time()
    rows = pl.DataFrame({"text": texts}).with_row_index("row_id").with_columns(label=pl.lit("x"))
    chunk = Chunk(lambda: sign_rows(rows, comparison), lambda: rows)
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        spill = spill_signed([chunk.signed()], Path(folder))
        store = ShingleStore(spill, [chunk], comparison)
        signed = np.flatnonzero(spill.read("shingled", np.bool_))
        for left, right, _ in find_pairs(spill, signed, comparison.bands, THRESHOLD, store, lambda one, _: one >= 0):
            pairs += list(zip(left.tolist(), right.tolist(), strict=True))
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "pairs": pairs}


def run_million(folder: Path) -> dict[str, Any]:
    """Sign every chunk and find all duplicates, as `prepare` does in one process."""
    import polars as pl

    from sftdata.duplicates.finding import find_duplicates
    from sftdata.duplicates.spill import Chunk
    from sftdata.records import Task
    from sftdata.settings.deduplication import DeduplicateSettings
    from sftdata.stages.deduplication import make_comparison, sign_rows

    settings = DeduplicateSettings(exact=True, near={"threshold": THRESHOLD, "action": "drop"})
    comparison = make_comparison(Task.TEXT_CLASSIFICATION, settings)
    start, cpu, files = time.perf_counter(), time.process_time(), sorted(folder.glob("*.arrow"))
    for file in files:
        sign_rows(pl.read_ipc(file), comparison).write_ipc(file.with_suffix(".signed"))
    signed = time.perf_counter()
    chunks = [
        Chunk(lambda file=file: pl.read_ipc(file.with_suffix(".signed")), lambda file=file: pl.read_ipc(file))
        for file in files
    ]
    with tempfile.TemporaryDirectory() as work:
        found = find_duplicates(chunks, comparison, settings, Path(work))
    end = time.perf_counter()
    cpu = time.process_time() - cpu
    kinds = dict(found.duplicates["kind"].value_counts().iter_rows())
    return {"cpu": cpu, "sign": signed - start, "find": end - signed, "rows": len(found.kept), "kinds": kinds}


CHILDREN: dict[str, Callable[[Path], dict[str, Any]]] = {
    "datasketch": run_datasketch,
    "sftdata": run_sftdata,
    "million": run_million,
}


def run_child(name: str, path: Path) -> dict[str, Any]:
    """Run one program in a process of its own and add its CPU time and peak memory."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, __file__, "--child", name, str(path)], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{name} failed with {process.returncode}")
        output.seek(0)
        result: dict[str, Any] = json.load(output)
    return {**result, "peak": usage.ru_maxrss * 1024}


def run_aside(function: Callable[..., None], *arguments: Any) -> None:
    """Run a function in a forked process: a child's peak memory is said to be at least its parent's."""
    pid = os.fork()
    if pid == 0:
        function(*arguments)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit(f"{function.__name__} failed")


def compare_pairs(file: Path, results: dict[str, list[dict[str, Any]]]) -> int:
    """Print the table of the comparison; return 1 if ours is not at least as right as datasketch."""
    texts = json.loads(file.read_text(encoding="utf-8"))
    found = {name: {tuple(pair) for pair in runs[0]["pairs"]} for name, runs in results.items()}
    sets = {row: shingle(texts[row]) for row in {row for pair in set().union(*found.values()) for row in pair}}
    true = {
        (one, other)
        for one, other in set().union(*found.values())
        if len(sets[one] & sets[other]) >= THRESHOLD * len(sets[one] | sets[other])
    }
    print("| program | seconds | CPU seconds | rows/s | peak memory | pairs | of them true |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, runs in results.items():
        seconds, cpu = (statistics.median(run[clock] for run in runs) for clock in ("seconds", "cpu"))
        peak, pairs = max(run["peak"] for run in results[name]), found[name]
        speed, right = f"{len(texts) / seconds:,.0f} | {peak / 1e6:,.0f} MB", f"{len(pairs & true):,} of {len(true):,}"
        print(f"| {name} | {seconds:.2f} | {cpu:.2f} | {speed} | {len(pairs):,} | {right} |")
    search = statistics.median(run["search"] for run in results["datasketch"])
    print(f"| datasketch, shingles given | {search:.2f} | | {len(texts) / search:,.0f} | | | |\n")
    for clock, title in (("seconds", "time"), ("cpu", "CPU time")):
        ours, theirs = (statistics.median(run[clock] for run in results[name]) for name in ("sftdata", "datasketch"))
        ratio = theirs / ours
        print(f"- {title}: datasketch takes {ratio:.1f} times ours, at least {GOAL}: {verdict(ratio >= GOAL)}")
    return int(not found["sftdata"] <= true or len(found["sftdata"]) < len(found["datasketch"] & true))


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def print_million(result: dict[str, Any]) -> None:
    seconds = result["sign"] + result["find"]
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(result["kinds"].items()))
    print(
        f"- {result['rows']:,} rows: {seconds:.1f} s ({result['sign']:.1f} s to sign, {result['find']:.1f} s to find; "
        f"CPU {result['cpu']:.1f} s), "
        f"{result['rows'] / seconds:,.0f} rows/s, peak memory {result['peak'] / 1e6:,.0f} MB; dropped: {kinds}"
    )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=40_000, help="rows that both programs get")
    parser.add_argument("--million", type=int, default=1_000_000, help="rows of the large run; 0 leaves it out")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--assets", type=Path, default=HERE.parent / ".assets")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Measure, compare and print."""
    arguments = parse_arguments()
    if arguments.child:
        json.dump(CHILDREN[arguments.child[0]](Path(arguments.child[1])), sys.stdout)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run_aside(write_texts, arguments.assets, work / "texts.json", arguments.rows)
        results: dict[str, list[dict[str, Any]]] = {"datasketch": [], "sftdata": []}
        for _ in range(arguments.runs):
            for name, of_name in results.items():
                of_name.append(run_child(name, work / "texts.json"))
        million = None
        if arguments.million:
            (work / "million").mkdir()
            run_aside(write_million, arguments.assets, work / "million", arguments.million)
            million = run_child("million", work / "million")
        print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; ", end="")
        print(f"median of {arguments.runs} runs, {arguments.rows:,} rows, threshold {THRESHOLD}\n")
        if million:
            print_million(million)
            print()
        return compare_pairs(work / "texts.json", results)


if __name__ == "__main__":
    sys.exit(main())
