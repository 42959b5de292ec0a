"""The usual way with pandas: read a CSV file, validate it with pandera, count the rows that no check refuses.

usage: python benchmarks/pandas_validate.py FILE
"""

import json
import sys

import pandas as pd
import pandera.pandas as pa

SCHEMA = pa.DataFrameSchema(
    {
        "id": pa.Column(str, pa.Check.str_matches(r"^r\d{9}$")),
        "text": pa.Column(str, [pa.Check.str_length(1, 500), pa.Check.str_contains(r"\S")]),
        "label": pa.Column(str, pa.Check.isin(["neg", "neutral", "pos"])),
        "score": pa.Column(float, pa.Check.in_range(0, 5)),
    }
)


def main() -> None:
    """Print how many rows there are and how many of them are good."""
    rows = pd.read_csv(sys.argv[1], dtype={"id": str, "text": str, "label": str, "score": float})
    try:
        SCHEMA.validate(rows, lazy=True)
        refused = 0
    except pa.errors.SchemaErrors as found:
        refused = found.failure_cases["index"].nunique()
    print(json.dumps({"rows": len(rows), "accepted": len(rows) - refused}))


if __name__ == "__main__":
    main()
