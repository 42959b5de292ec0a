"""pandera's own verdict, for tests to hold ours against."""

from unittest import mock

import pandera.polars as pa
import polars as pl
from pandera.backends.polars.base import PolarsSchemaBackend
from pandera.errors import FailureCaseMetadata

NAMES = {"field_uniqueness": "unique", "multiple_fields_uniqueness": "unique"}


def pandera_alone(rows: pl.DataFrame, schema: pa.DataFrameSchema) -> list[set[str]]:
    """Return for each row what pandera itself rejects it for: the failures of its `validate` on all rows together."""
    found: list[set[str]] = [set() for _ in range(len(rows))]
    # pandera's report is left out: to build it ends in a panic of polars where a frame with lists fails a check
    nothing = FailureCaseMetadata(failure_cases=None, message={}, error_counts={})
    with mock.patch.object(PolarsSchemaBackend, "failure_cases_metadata", return_value=nothing):
        try:
            schema.validate(rows, lazy=True)
        except pa.errors.SchemaErrors as errors:
            for error in errors.schema_errors:
                check = error.check if isinstance(error.check, str) else error.check.name
                place = "row" if isinstance(error.schema, pa.DataFrameSchema) else error.schema.name
                assert error.check_output is not None, f"{check} gave no verdict for each row: {error}"
                good = error.check_output["check_output"]
                assert len(good) == len(rows), f"{check} gave no verdict for each row"
                for row in (~good).arg_true():
                    found[row].add(f"{place}:{NAMES.get(check, check)}")
    return found
