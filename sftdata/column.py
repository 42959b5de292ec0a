"""One column of a source: what its values are, and what must hold for them."""

from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field, ValidationInfo, field_validator, model_validator

from sftdata.documents import Settings
from sftdata.functions import find_named
from sftdata.records import MESSAGES, PAIRS, STRINGS
from sftdata.rules import Rule, fault_of, folder_of, make_rule, presence_rule, try_rule

DTYPES: dict[str, pl.DataType] = {
    "str": pl.String(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
    "messages": MESSAGES,
    "list[str]": STRINGS,
    "pairs": PAIRS,
    "json": pl.String(),
}


class TurnKeys(Settings):
    """What a turn calls its parts."""

    role: str = "role"
    """Who speaks; `from` in ShareGPT."""
    content: str = "content"
    """What is said; `value` in ShareGPT."""


class Column(Settings):
    """One column of the source."""

    dtype: Literal["str", "int", "float", "bool", "messages", "list[str]", "pairs", "json"] = "str"
    """`str`, `int`, `float` and `bool` are what they say, `list[str]` a list of texts, `messages` a list of turns,
    `pairs` a list of [instruction, response], `json` any value, kept as written."""
    nullable: bool = False
    """Whether the value may be missing."""
    required: bool = True
    """Whether the column must be there at all."""
    coerce: bool = False
    """Take a JSON number or boolean for the text it is written as."""
    separator: Annotated[str, Field(min_length=1)] | None = None
    """`list[str]` only: what stands between the entries where the source has them in one text."""
    keys: TurnKeys = TurnKeys()
    """`messages` only: what a turn calls its role and its content."""
    roles: dict[str, str] = Field(default_factory=dict)
    """`messages` only: the source's name of a role to ours (`human: user`); names that are not here stay as they are.
    `tool_calls` as ours means an assistant's turn whose content is the JSON of its tool calls."""
    unique: bool = False
    """Whether a value may stand in one row only, in the whole data; every row that shares one is rejected."""
    checks: dict[str, Any] = Field(default_factory=dict)
    """pandera's checks and sftdata's by name: `isin: [a, b]`, `str_length: {max_value: 500}`, `not_blank: true`; or a
    name of one's own with `{function: module:name}`, which pandera calls with its data, or with each value where
    `element_wise: true` is added."""

    @property
    def polars_dtype(self) -> pl.DataType:
        """The dtype of the parsed column."""
        return DTYPES[self.dtype]

    def rules(self, name: str) -> list[Rule]:
        """Return what is asked of this column, compiled, where it is called `name`."""
        present = [] if self.nullable else [presence_rule(name, self.polars_dtype)]
        return present + [make_rule(name, check, arguments) for check, arguments in self.checks.items()]

    @model_validator(mode="before")
    @classmethod
    def _take_unique(cls, data: Any) -> Any:
        """Let `unique` stand among the checks as well, where people who know pandera look for it."""
        checks = data.get("checks") if isinstance(data, dict) else None
        if isinstance(checks, dict) and checks.get("unique") is True:
            rest = {name: given for name, given in checks.items() if name != "unique"}
            return {**data, "unique": True, "checks": rest}
        return data

    # Checks of fields, not of the whole model: pydantic runs the latter only where no field has a fault.

    @field_validator("required")
    @classmethod
    def _check_required(cls, required: bool, info: ValidationInfo) -> bool:
        if not required and info.data.get("nullable") is False:
            raise ValueError("a column that may be left out must be nullable too: write nullable: true")
        return required

    @field_validator("separator", "keys", "roles", mode="after")
    @classmethod
    def _check_dtype_has_it(cls, given: Any, info: ValidationInfo) -> Any:
        dtype, needed = info.data.get("dtype"), "list[str]" if info.field_name == "separator" else "messages"
        if given and dtype not in (None, needed):
            raise ValueError(f"only a {needed} column has this; this one is {dtype}")
        return given

    @field_validator("unique")
    @classmethod
    def _check_unique(cls, unique: bool, info: ValidationInfo) -> bool:
        if unique and info.data.get("dtype") in {"messages", "list[str]", "pairs"}:
            raise ValueError(
                f"a {info.data['dtype']} column cannot be compared as a whole; name one of text or numbers"
            )
        return unique

    @field_validator("checks")
    @classmethod
    def _check_checks(cls, checks: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        dtype, base = info.data.get("dtype"), folder_of(info.context)
        raise_faults([fault for name, given in checks.items() if (fault := _check_fault(name, given, dtype, base))])
        return checks


def _check_fault(name: str, arguments: Any, dtype: str | None, base: Path) -> str | None:
    """Make a check and try it on one value, so that what does not fit is found before the first row."""

    def make() -> None:
        if isinstance(arguments, dict) and isinstance(arguments.get("function"), str):
            find_named(arguments["function"], base)
        rule = make_rule("column", name, arguments)
        if dtype:
            try_rule(
                rule,
                DTYPES[dtype],
                SPECIMENS[dtype],
                f"{name}: found {arguments!r}, which does not fit a {dtype} column",
            )

    if name == "unique":
        return f"unique: found {arguments!r}, expected true; leave it out to turn it off"
    return fault_of(make, name)


SPECIMENS: dict[str, Any] = {
    "str": "",
    "int": 0,
    "float": 0.0,
    "bool": False,
    "messages": [{"role": "user", "content": "", "weight": None, "details": None}],
    "list[str]": [""],
    "pairs": [["", ""]],
    "json": "null",
}
"""A value of each dtype."""


def names_one(name: str) -> bool:
    """Tell whether polars takes a name for that of one column; `*` and `^...$` mean several, and none is no name."""
    return bool(name) and name != "*" and not (name[0] == "^" and name[-1] == "$")


def raise_faults(faults: list[str]) -> None:
    """Refuse a value of a document for all that is wrong with it, where something is."""
    if faults:
        raise ValueError("; ".join(faults))
