"""What a good polars user writes by hand: read a file, apply the checks, count the good rows. No reasons are kept.

usage: python benchmarks/polars_validate.py FILE {streaming,eager}
"""

import json
import sys

import polars as pl

COLUMNS = {"id": pl.String, "text": pl.String, "label": pl.String, "score": pl.Float64}

RULES = [
    pl.col("id").str.contains(r"^r\d{9}$"),
    pl.col("text").str.len_chars().is_between(1, 500),
    pl.col("text").str.contains(r"\S"),
    pl.col("label").is_in(["neg", "neutral", "pos"]),
    pl.col("score").is_between(0, 5),
]


def main() -> None:
    """Print how many rows there are and how many of them are good."""
    file, engine = sys.argv[1:]
    read = {
        ("csv", "streaming"): pl.scan_csv,
        ("csv", "eager"): pl.read_csv,
        ("jsonl", "streaming"): pl.scan_ndjson,
        ("jsonl", "eager"): pl.read_ndjson,
    }[file.rpartition(".")[2], engine]
    rows = read(file, schema=COLUMNS)
    counts = rows.select(pl.len().alias("rows"), pl.all_horizontal(RULES).sum().alias("accepted"))
    if engine == "streaming":
        counts = counts.collect(engine="streaming")
    print(json.dumps(counts.row(0, named=True)))


if __name__ == "__main__":
    main()
