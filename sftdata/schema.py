"""Schemas: what the columns of a source format are, what must hold for them, and which part each plays.

A schema is a YAML file. pandera is the judge: `Schema.to_pandera()` gives the real `DataFrameSchema`.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import Field, ValidationInfo, field_validator, model_validator

from sftdata.checks import TASK_CHECKS
from sftdata.documents import Settings, read_document
from sftdata.errors import SchemaError
from sftdata.records import MESSAGES, Task

if TYPE_CHECKING:
    import pandera.polars as pa

DTYPES: dict[str, pl.DataType] = {
    "str": pl.String(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
    "messages": MESSAGES,
}

PARTS: dict[Task, tuple[tuple[frozenset[str], frozenset[str]], ...]] = {
    Task.TEXT_CLASSIFICATION: ((frozenset({"text", "label"}), frozenset()),),
    Task.CAUSAL_LM: (
        (frozenset({"messages"}), frozenset()),
        (frozenset({"instruction", "response"}), frozenset({"input", "system"})),
    ),
}
"""The parts that columns can play in each task: alternatives of (required, optional)."""


class Column(Settings):
    """One column of the source."""

    dtype: Literal["str", "int", "float", "bool", "messages"] = "str"
    """`messages` is a list of turns, each with `role` and `content`."""
    nullable: bool = False
    """Whether the value may be missing."""
    required: bool = True
    """Whether the column must be there at all."""
    coerce: bool = False
    """Take a JSON number or boolean for the text it is written as."""
    checks: dict[str, Any] = Field(default_factory=dict)
    """pandera's checks and sftdata's by name: `isin: [a, b]`, `str_length: {max_value: 500}`, `not_blank: true`."""

    @property
    def polars_dtype(self) -> pl.DataType:
        """The dtype of the parsed column."""
        return DTYPES[self.dtype]

    @field_validator("checks")
    @classmethod
    def _check_checks(cls, checks: dict[str, Any]) -> dict[str, Any]:
        faults = [fault for name, arguments in checks.items() if (fault := _check_fault(name, arguments))]
        if faults:
            raise ValueError("; ".join(faults))
        return checks


class Schema(Settings):
    """One source format: its columns, what must hold, and which column plays which part in the task."""

    name: str
    """The name by which messages call the schema."""
    description: str = ""
    """One sentence for people."""
    task: Task
    """What rows of this format teach."""
    columns: dict[str, Column] = Field(min_length=1)
    """The columns by name; others in the source are left alone."""
    parts: dict[str, str] = Field(min_length=1)
    """Part to column: `text` and `label`; `messages`; or `instruction`, `response`, `input`, `system`."""

    @field_validator("parts")
    @classmethod
    def _check_parts(cls, parts: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        task, columns = info.data.get("task"), info.data.get("columns", {})
        faults = [f"{part}: there is no column '{name}'" for part, name in parts.items() if name not in columns]
        if task and not any(needed <= set(parts) <= needed | extra for needed, extra in PARTS[task]):
            choices = " or ".join("{" + ", ".join(sorted(needed)) + "}" for needed, _ in PARTS[task])
            faults.append(f"found {{{', '.join(sorted(parts))}}}, but a {task} task needs {choices}")
        if faults:
            raise ValueError("; ".join(faults))
        return parts

    @model_validator(mode="after")
    def _check_dtypes(self) -> "Schema":
        faults = []
        for part, name in self.parts.items():
            expected = "messages" if part == "messages" else "str"
            if self.columns[name].dtype != expected:
                found = self.columns[name].dtype
                faults.append(f"columns.{name}.dtype: found {found}, but the part '{part}' needs {expected}")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def to_pandera(self) -> "pa.DataFrameSchema":
        """Return the pandera schema that judges rows of this format."""
        import pandera.polars as pa

        columns = {
            name: pa.Column(
                column.polars_dtype,
                nullable=column.nullable,
                required=column.required,
                checks=[build_check(check, arguments) for check, arguments in column.checks.items()],
            )
            for name, column in self.columns.items()
        }
        return pa.DataFrameSchema(columns, name=self.name)


def build_check(name: str, arguments: Any) -> "pa.Check":
    """Make the pandera check that a schema names, with its arguments: a mapping, one value, or `true` for none.

    Raises:
        ValueError: when there is no such check or its arguments do not fit.
    """
    import pandera.polars as pa

    positional, named = ([], arguments) if isinstance(arguments, dict) else ([arguments], {})
    if arguments is True:
        positional = []
    try:
        if name in TASK_CHECKS:
            rule = partial(TASK_CHECKS[name], **named) if named else _bind(TASK_CHECKS[name], positional)
            rule("column")  # a wrong argument must be found now, not on the first chunk
            return pa.Check(lambda data: data.lazyframe.select(rule(data.key)), name=name)
        if name not in _ROW_CHECKS:
            raise ValueError(f"unknown check '{name}'; known: {', '.join(sorted({*TASK_CHECKS, *_ROW_CHECKS}))}")
        check: pa.Check = getattr(pa.Check, name)(*positional, **named)
    except TypeError as cause:
        raise ValueError(f"{name}: {cause}") from None
    return check


def _bind(rule: Any, positional: list[Any]) -> Any:
    return lambda column: rule(column, *positional)


_ROW_CHECKS = frozenset(
    ("eq", "equal_to", "ge", "greater_than", "greater_than_or_equal_to", "gt", "in_range", "isin", "le", "less_than")
    + ("less_than_or_equal_to", "lt", "ne", "not_equal_to", "notin", "str_contains", "str_endswith", "str_length")
    + ("str_matches", "str_startswith")
)
"""pandera's checks that judge one row at a time; the others need the whole column and cannot run on a chunk."""


def _check_fault(name: str, arguments: Any) -> str | None:
    try:
        build_check(name, arguments)
    except (ValueError, TypeError, pl.exceptions.PolarsError) as cause:
        return str(cause) if name in str(cause) else f"{name}: {cause}"
    return None


def schema_directory() -> Path:
    """Return the directory of the schemas that ship: beside the package in a checkout, inside it once installed."""
    installed = Path(__file__).parent / "schemas"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "schemas"


def load_schema(name: str | Path, base: Path = Path()) -> Schema:
    """Read a schema file, or one that ships, by its bare name.

    Args:
        name: a path as seen from `base`, or a name such as `text_label`.
        base: the directory that a relative path starts from.

    Raises:
        SchemaError: with all faults of the schema at once.
    """
    path = base / name
    if path.is_file() or path.suffix in {".yaml", ".yml"}:
        return read_document(path, Schema, SchemaError)
    shipped = schema_directory() / f"{name}.yaml"
    if shipped.is_file() and shipped.parent == schema_directory():
        return read_document(shipped, Schema, SchemaError)
    known = ", ".join(sorted(found.stem for found in schema_directory().glob("*.yaml")))
    raise SchemaError(str(name), [f"no such file, and no schema of that name ships; those that do: {known}"])
