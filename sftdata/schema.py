"""Schemas: what the columns of a source format are, what must hold for them, and which part each plays.

A schema is a YAML file. pandera is the judge: `Schema.to_pandera()` gives the real `DataFrameSchema`.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import Field, ValidationInfo, field_validator

from sftdata.checks import TASK_CHECKS
from sftdata.documents import Settings, read_document
from sftdata.errors import SchemaError
from sftdata.records import MESSAGES, PROVENANCE, Task

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
    def _check_checks(cls, checks: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        dtype = info.data.get("dtype")
        _raise([fault for name, arguments in checks.items() if (fault := _check_fault(name, arguments, dtype))])
        return checks

    @field_validator("required")
    @classmethod
    def _check_required(cls, required: bool, info: ValidationInfo) -> bool:
        if not required and info.data.get("nullable") is False:
            raise ValueError("a column that may be left out must be nullable too: write nullable: true")
        return required


class Schema(Settings):
    """One source format: its columns, what must hold, and which column plays which part in the task."""

    name: str
    """The name by which messages call the schema."""
    description: str = ""
    """One sentence for people."""
    task: Task
    """What rows of this format teach."""
    columns: dict[str, Column]
    """The columns by name; others in the source are left alone."""
    parts: dict[str, str]
    """Part to column: `text` and `label`; `messages`; or `instruction`, `response`, `input`, `system`."""

    # Checks of fields, not of the whole model: pydantic runs the latter only where no field has a fault.

    @field_validator("columns")
    @classmethod
    def _check_columns(cls, columns: dict[str, Column]) -> dict[str, Column]:
        faults = [f"'{name}' is a column that sftdata adds; rename yours" for name in columns if name in PROVENANCE]
        _raise(faults + ["found no column, expected at least one"] * (not columns))
        return columns

    @field_validator("parts")
    @classmethod
    def _check_parts(cls, parts: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        task, columns = info.data.get("task"), info.data.get("columns")
        faults = []
        if columns is not None:  # faulty columns are reported on their own
            faults += [fault for part, name in parts.items() for fault in _part_faults(part, name, columns)]
        if task and not any(needed <= set(parts) <= needed | extra for needed, extra in PARTS[task]):
            choices = " or ".join("{" + ", ".join(sorted(needed)) + "}" for needed, _ in PARTS[task])
            faults.append(f"found {{{', '.join(sorted(parts))}}}, but a {task} task needs {choices}")
        _raise(faults)
        return parts

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

    if name not in TASK_CHECKS and name not in _ROW_CHECKS:
        raise ValueError(f"unknown check '{name}'; {_hint(name, [*TASK_CHECKS, *_ROW_CHECKS])}")
    if name in TASK_CHECKS:
        rule = partial(TASK_CHECKS[name], **_by_name(name, arguments, TASK_CHECKS[name]))
        return pa.Check(lambda data: data.lazyframe.select(rule(data.key)), name=name)
    check: pa.Check = getattr(pa.Check, name)(**_by_name(name, arguments, getattr(pa.Check, name)))
    return check


def _by_name(check: str, arguments: Any, maker: Callable[..., Any]) -> dict[str, Any]:
    """Give the arguments of a check the names that they have in its signature."""
    parameters = inspect.signature(maker).parameters.values()
    known = [p.name for p in parameters if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD} and p.name != "column"]
    if not known and arguments is not True:
        raise ValueError(f"{check}: found {arguments!r}, expected true; leave the check out to turn it off")
    named = arguments if isinstance(arguments, dict) else {known[0]: arguments} if known else {}
    if unknown := [str(given) for given in named if given not in known]:
        raise ValueError(f"{check}: unknown argument {', '.join(unknown)}; known: {', '.join(known)}")
    for given in _LISTS & named.keys():
        if not isinstance(named[given], list | tuple):
            raise ValueError(f"{check}: found {named[given]!r}, expected a list")
    return named


_LISTS = {"allowed_values", "forbidden_values", "roles"}
"""Arguments that must be a list: a text would count as the list of its characters."""


_ROW_CHECKS = frozenset(
    {"eq", "equal_to", "ge", "greater_than", "greater_than_or_equal_to", "gt", "in_range", "isin", "le", "less_than"}
    | {"less_than_or_equal_to", "lt", "ne", "not_equal_to", "notin", "str_contains", "str_endswith", "str_length"}
    | {"str_matches", "str_startswith"}
)
"""pandera's checks that judge one row at a time; the others need the whole column and cannot run on a chunk."""


def _check_fault(name: str, arguments: Any, dtype: str | None) -> str | None:
    """Make a check and try it on one value, so that what does not fit is found before the first row."""
    try:
        check = build_check(name, arguments)
        if dtype:
            column = pl.LazyFrame({"column": [_SPECIMENS[dtype]]}, schema={"column": DTYPES[dtype]})
            check(column, "column").check_output.collect()
    except pl.exceptions.PolarsError as cause:
        problem = str(cause).strip().partition("\n\n")[0]
        return f"{name}: found {arguments!r}, which does not fit a {dtype} column: {problem}"
    except (ValueError, TypeError, re.error) as cause:
        return str(cause) if name in str(cause) else f"{name}: {cause}"
    return None


_SPECIMENS = {"str": "", "int": 0, "float": 0.0, "bool": False, "messages": [{"role": "user", "content": ""}]}
"""A value of each dtype."""


def _part_faults(part: str, name: str, columns: dict[str, Column]) -> Iterator[str]:
    column = columns.get(name)
    expected = "messages" if part == "messages" else "str"
    if column is None:
        yield f"{part}: there is no column '{name}'; {_hint(name, columns)}"
    elif column.dtype != expected:
        yield f"{part}: column '{name}' is {column.dtype}, but this part needs {expected}"
    elif (column.nullable or not column.required) and not any(part in extra for _, extra in PARTS[Task.CAUSAL_LM]):
        yield f"{part}: every row needs one, so column '{name}' must be required and not nullable"


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"


def _raise(faults: list[str]) -> None:
    if faults:
        raise ValueError("; ".join(faults))


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
