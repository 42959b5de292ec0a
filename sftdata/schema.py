"""Schemas: what the columns of a source format are, what must hold for them, and which part each plays.

A schema is a YAML file. pandera is the judge: `Schema.to_pandera()` gives the real `DataFrameSchema`.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, field_validator

from sftdata.column import Column, names_one, raise_faults
from sftdata.documents import Settings, describe_faults, hint, read_document
from sftdata.errors import SchemaError
from sftdata.functions import find_named
from sftdata.records import RAW_PROVENANCE, Task, shorten
from sftdata.rules import Rule, fault_of, folder_of, make_row_rule, make_rule, weight_rule
from sftdata.shipped import list_schemas
from sftdata.shipped import schema_directory as schema_directory

if TYPE_CHECKING:
    import pandera.polars as pa

PARTS: dict[Task, tuple[tuple[frozenset[str], frozenset[str]], ...]] = {
    Task.TEXT_CLASSIFICATION: ((frozenset({"text", "label"}), frozenset({"text_pair", "weight"})),),
    Task.MULTILABEL: ((frozenset({"text", "labels"}), frozenset({"text_pair", "weight"})),),
    Task.REGRESSION: ((frozenset({"text", "score"}), frozenset({"text_pair", "weight"})),),
    Task.TOKEN_CLASSIFICATION: ((frozenset({"tokens", "tags"}), frozenset({"weight"})),),
    Task.SEQ2SEQ: ((frozenset({"source", "target"}), frozenset({"weight"})),),
    Task.CAUSAL_LM: (
        (frozenset({"messages"}), frozenset({"system", "tools", "weight"})),
        (frozenset({"instruction", "response"}), frozenset({"input", "system", "history", "weight"})),
        (frozenset({"prompt", "completion"}), frozenset({"system", "weight"})),
        (frozenset({"text"}), frozenset({"weight"})),
    ),
}
"""The parts that columns can play in each task: alternatives of (required, optional)."""


class Schema(Settings):
    """One source format: its columns, what must hold, and which column plays which part in the task."""

    name: str
    """The name by which messages call the schema."""
    description: str = ""
    """One sentence for people."""
    task: Task | None = None
    """What rows of this format teach; a schema without a task can validate, and nothing more."""
    pandera: str | None = None
    """Instead of `columns`: a schema or model of pandera.polars, as `module:name`; its file may lie beside this one."""
    columns: dict[str, Column] = Field(default_factory=dict, validate_default=True)
    """The columns by name; others in the source are left alone."""
    unique: tuple[str, ...] = ()
    """Columns that together may stand in one row only, in the whole data."""
    checks: dict[str, Any] = Field(default_factory=dict)
    """Checks across columns by a name of one's own: an expression in polars' SQL (`closed >= opened`), true where a row
    is good, or `{function: module:name}`, which pandera calls with the whole frame."""
    parts: dict[str, str] = Field(default_factory=dict, validate_default=True)
    """Part to column: `text` and `label`; both with a second text, `text_pair`; `messages`; or `instruction`,
    `response`, `input`, `system`; and so on. In any task `weight`: what multiplies the loss of a row."""

    _judge: Any = PrivateAttr(default=None)
    _judge_name: str | None = PrivateAttr(default=None)

    @property
    def has_pairs(self) -> bool:
        """Whether each row has two texts."""
        return "text_pair" in self.parts

    @property
    def has_weights(self) -> bool:
        """Whether rows have weights."""
        return "weight" in self.parts

    @property
    def judge(self) -> "pa.DataFrameSchema | None":
        """The pandera schema that a person wrote, where it and not `rules` judges."""
        name = self.pandera or self._judge_name
        if self._judge is None and name:
            from sftdata.pandera_schemas import as_schema

            self._judge = as_schema(find_named(name))
        return self._judge  # type: ignore[no-any-return]  # untyped, for pandera is loaded only where it is needed

    def __getstate__(self) -> dict[Any, Any]:
        """Leave out pandera's object, which holds functions that cannot go to another process; its name can."""
        if self._judge is not None and not (self.pandera or self._judge_name):
            fault = "to use several workers, give it as module:name, for its functions cannot be sent to them"
            raise SchemaError(self.name, [fault])
        state = super().__getstate__()
        private = {**(state["__pydantic_private__"] or {}), "_judge": None}
        return {**state, "__pydantic_private__": private}

    @cached_property
    def rules(self) -> list[Rule]:
        """What must hold for a row, compiled; columns in their order, then the row as a whole."""
        of_columns = [rule for name, column in self.columns.items() for rule in column.rules(name)]
        dtypes = {name: column.polars_dtype for name, column in self.columns.items()}
        of_rows = [make_row_rule(name, content, dtypes) for name, content in self.checks.items()]
        return of_columns + self.part_rules + of_rows

    @property
    def part_rules(self) -> list[Rule]:
        """What a part asks of its column, whatever else is asked of it."""
        return [weight_rule(self.parts["weight"])] if self.has_weights else []

    @cached_property
    def uniques(self) -> dict[str, tuple[str, ...]]:
        """The columns whose values together may stand in one row only, by the reason of rows that share them."""
        alone = {f"{name}:unique": (name,) for name, column in self.columns.items() if column.unique}
        together = self.unique or tuple((self.judge.unique if self.judge else None) or ())
        return alone | ({"row:unique": together} if together else {})

    def to_pandera(self) -> "pa.DataFrameSchema":
        """Return the pandera schema that judges rows of this format."""
        import pandera.polars as pa

        if self.judge is not None:
            return self.judge
        columns = {
            name: pa.Column(
                column.polars_dtype,
                nullable=column.nullable,
                required=column.required,
                unique=column.unique,
                checks=[
                    *(make_rule(name, check, given).to_pandera() for check, given in column.checks.items()),
                    *(rule.to_pandera() for rule in self.part_rules if rule.column == name),
                ],
            )
            for name, column in self.columns.items()
        }
        dtypes = {name: column.polars_dtype for name, column in self.columns.items()}
        checks = [make_row_rule(name, content, dtypes).to_pandera() for name, content in self.checks.items()]
        return pa.DataFrameSchema(columns, checks=checks, unique=list(self.unique) or None, name=self.name)

    @field_validator("pandera")
    @classmethod
    def _check_pandera(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name:
            from sftdata.pandera_schemas import as_schema

            as_schema(find_named(name, folder_of(info.context)))
        return name

    @field_validator("columns")
    @classmethod
    def _check_columns(cls, columns: dict[str, Column], info: ValidationInfo) -> dict[str, Column]:
        if name := info.data.get("pandera"):
            from sftdata.pandera_schemas import as_schema, columns_of

            raise_faults(["leave it out where `pandera` names a schema"] * bool(columns))
            columns = {found: Column(**given) for found, given in columns_of(as_schema(find_named(name))).items()}
        faults = [f"'{name}' is a column that sftdata adds; rename yours" for name in columns if name in RAW_PROVENANCE]
        odd = [name for name in columns if not names_one(name)]
        faults += [f"'{name}' means several columns, or none, to polars; rename yours" for name in odd]
        raise_faults(faults + ["found no column, expected at least one"] * (not columns and "pandera" in info.data))
        raise_faults([fault for name, column in columns.items() for fault in _unknown_columns(name, column, columns)])
        return columns

    @field_validator("unique")
    @classmethod
    def _check_unique(cls, unique: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        raise_faults(
            ["leave it out; the schema that `pandera` names says what is unique"]
            * bool(unique and info.data.get("pandera"))
        )
        columns = info.data.get("columns") or dict.fromkeys(unique)
        raise_faults([f"there is no column '{name}'; {hint(name, columns)}" for name in unique if name not in columns])
        return unique

    @field_validator("checks")
    @classmethod
    def _check_checks(cls, checks: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        columns = info.data.get("columns")
        raise_faults(
            ["leave them out; the schema that `pandera` names has its own"] * bool(checks and info.data.get("pandera"))
        )
        if columns is not None:
            dtypes = {name: column.polars_dtype for name, column in columns.items()}
            raise_faults(
                [fault for name, given in checks.items() if (fault := _row_fault(name, given, dtypes, info.context))]
            )
        return checks

    @field_validator("parts")
    @classmethod
    def _check_parts(cls, parts: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        task, columns = info.data.get("task"), info.data.get("columns")
        faults = ["a schema without a task has no parts; name the task"] * (
            bool(parts) and "task" in info.data and not task
        )
        if columns is not None:  # faulty columns are reported on their own
            faults += [fault for part, name in parts.items() for fault in _part_faults(part, name, columns)]
        if task and not any(needed <= set(parts) <= needed | extra for needed, extra in PARTS[task]):
            choices = " or ".join("{" + ", ".join(sorted(needed)) + "}" for needed, _ in PARTS[task])
            faults.append(f"found {{{', '.join(sorted(parts))}}}, but a {task} task needs {choices}")
        raise_faults(faults)
        return parts


def _row_fault(name: str, content: Any, dtypes: Mapping[str, pl.DataType], context: Any) -> str | None:
    def make() -> None:
        if isinstance(content, dict) and isinstance(content.get("function"), str):
            find_named(content["function"], folder_of(context))
        make_row_rule(name, content, dtypes)

    return fault_of(make, name)


def _unknown_columns(name: str, column: Column, columns: Mapping[str, Column]) -> Iterator[str]:
    """Find columns that a check of `name` looks at beside its own, and that are not there."""
    if (other := column.checks.get("as_long_as")) is not None:
        other = other["other"] if isinstance(other, dict) else other
        if other not in columns or columns[other].dtype != column.dtype:
            yield f"{name}.checks: as_long_as: there is no {column.dtype} column '{other}'; {hint(str(other), columns)}"


_DTYPES_OF_PARTS = {
    "messages": ("messages",),
    "labels": ("list[str]",),
    "tokens": ("list[str]",),
    "tags": ("list[str]",),
    "history": ("pairs",),
    "tools": ("json",),
    "score": ("float", "int"),
    "weight": ("float", "int"),
}
"""The dtypes that a part may have; `str` where nothing is said."""


def _part_faults(part: str, name: str, columns: dict[str, Column]) -> Iterator[str]:
    column = columns.get(name)
    expected = _DTYPES_OF_PARTS.get(part, ("str",))
    if column is None:
        yield f"{part}: there is no column '{name}'; {hint(name, columns)}"
    elif column.dtype not in expected:
        yield f"{part}: column '{name}' is {column.dtype}, but this part needs {' or '.join(expected)}"
    elif (column.nullable or not column.required) and not any(part in extra for _, extra in PARTS[Task.CAUSAL_LM]):
        yield f"{part}: every row needs one, so column '{name}' must be required and not nullable"


def read_schema(given: Any, base: Path = Path()) -> Schema:
    """Return a schema: one that is one already, or from a pandera object, a file, or the name of one that ships.

    Raises:
        SchemaError: with all faults of the schema at once.
    """
    if isinstance(given, Schema):
        return given
    if isinstance(given, str | Path):
        return load_schema(given, base)
    return from_pandera(given, _name_of(given))


def _name_of(given: Any) -> str | None:
    """Return the name by which another process finds a model again."""
    name = f"{getattr(given, '__module__', '')}:{getattr(given, '__qualname__', '')}"
    try:
        return name if find_named(name) is given else None
    except ValueError:
        return None


def from_pandera(given: Any, name: str | None = None) -> Schema:
    """Make a schema, for validation alone, of a schema or model of `pandera.polars`.

    Args:
        given: the object.
        name: `module:name` of it, by which worker processes find it.

    Raises:
        SchemaError: when it is neither, or asks for what cannot be judged row by row.
    """
    from sftdata.pandera_schemas import as_schema, columns_of

    try:
        judge = as_schema(given)
        columns = {name: Column(**found) for name, found in columns_of(judge).items()}
        schema = Schema(name=str(judge.name or "pandera"), columns=columns, unique=tuple(judge.unique or ()))
    except ValidationError as cause:
        raise SchemaError(_title(given), describe_faults(cause, Schema, None)) from None
    except ValueError as cause:
        raise SchemaError(_title(given), [str(cause)]) from None
    schema._judge, schema._judge_name = judge, name
    return schema


def load_schema(name: str | Path, base: Path = Path()) -> Schema:
    """Read a schema file, or one that ships, by its bare name.

    Args:
        name: a path as seen from `base`, or a name such as `text_label`.
        base: the directory that a relative path starts from.

    Raises:
        SchemaError: with all faults of the schema at once.
    """
    if ":" in str(name) and not (base / name).exists():
        return _load_named(str(name), base)
    path = base / name
    if path.is_file() or path.suffix in {".yaml", ".yml"}:
        return read_document(path, Schema, SchemaError)
    shipped = schema_directory() / f"{name}.yaml"
    if shipped.is_file() and shipped.parent == schema_directory():
        return read_document(shipped, Schema, SchemaError)
    why = f"no such file, and no schema of that name ships; {hint(str(name), list_schemas())}"
    raise SchemaError(str(name), [why])


def _title(given: Any) -> str:
    return shorten(str(getattr(given, "__name__", None) or getattr(given, "name", None) or given), 80)


def _load_named(name: str, base: Path) -> Schema:
    try:
        return from_pandera(find_named(name, base), name)
    except ValueError as cause:
        raise SchemaError(name, [str(cause)]) from None
