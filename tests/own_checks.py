"""Checks, models and schemas as people write them, which tests name as `own_checks:name`."""

# ruff: noqa: N805  # pandera makes class methods of what it decorates

from collections.abc import Callable
from typing import Any, ClassVar

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData


def starts_low(data: PolarsData) -> pl.LazyFrame:
    """Judge a column of texts, its nulls as well."""
    return data.lazyframe.select(pl.col(data.key).str.contains("^[a-m]").fill_null(value=True))


def short(value: Any) -> bool:
    """Judge one value; a list of polars comes as a Series."""
    return len(value) < 3


def positive(value: float) -> bool | None:
    """Do not judge zero."""
    return None if value == 0 else value > 0


def ordered(data: PolarsData) -> pl.LazyFrame:
    """Judge a frame by two of its columns."""
    return data.lazyframe.select(pl.col("low") <= pl.col("high"))


def both(data: PolarsData) -> pl.LazyFrame:
    """Judge a frame by two verdicts, of which neither may be false."""
    return data.lazyframe.select(pl.col("low") > 0, pl.col("high") < 6)


def all_columns(data: PolarsData) -> pl.LazyFrame:
    """Judge every column that the frame has."""
    return data.lazyframe.select(pl.all().cast(pl.String) != "7")


def one_verdict(data: PolarsData) -> bool:
    """Judge all rows at once, as no check may."""
    return bool(data.lazyframe.select(pl.col(data.key).is_not_null().all()).collect().item())


def one_row(data: PolarsData) -> pl.LazyFrame:
    """Judge all rows at once in a frame of one row."""
    return data.lazyframe.select(pl.col(data.key).is_not_null().all())


def fewer(data: PolarsData) -> pl.LazyFrame:
    """Lose rows."""
    return data.lazyframe.filter(pl.col(data.key).is_not_null()).select(pl.col(data.key).is_not_null())


def numbers(data: PolarsData) -> pl.LazyFrame:
    """Give numbers where booleans are wanted."""
    return data.lazyframe.select(pl.col(data.key).is_not_null().cast(pl.Int64))


def strict_number(data: PolarsData) -> pl.LazyFrame:
    """Raise on a text that is no number, only once polars computes it."""
    return data.lazyframe.select(pl.col(data.key).cast(pl.Int64) > 1)


def eager_number(data: PolarsData) -> pl.LazyFrame:
    """Raise on a text that is no number, in Python."""
    texts = data.lazyframe.collect()[data.key].to_list()
    return pl.LazyFrame({"good": [text is None or int(text) > 1 for text in texts]})


def number(value: str) -> bool:
    """Raise on a text that is no number, a value at a time."""
    return int(value) > 1


CALLS: list[str] = []


def counted(value: str) -> bool:
    """Raise on a text that is no number, and remember that."""
    CALLS.append(value)
    return int(value) > 1


def always_raises(data: PolarsData) -> pl.LazyFrame:
    """Raise, whatever the rows."""
    raise KeyError("no such thing")


not_a_function = 5


def closure(limit: int) -> Callable[[PolarsData], pl.LazyFrame]:
    """Return a check that does not pickle."""
    return lambda data: data.lazyframe.select(pl.col(data.key) < limit)


class Ticket(pa.DataFrameModel):
    """A model with what a model can have."""

    text: str = pa.Field(str_length={"min_value": 1, "max_value": 5}, str_matches="^[^x]")
    stars: pl.Int32 = pa.Field(ge=1, le=5, nullable=True)
    score: float = pa.Field(lt=1.0, nullable=True)
    sure: pl.Float32
    day: pl.Date = pa.Field(nullable=True, coerce=True)
    kind: pl.Categorical = pa.Field(isin=["a", "b"])
    level: pl.Enum(["low", "high"]) = pa.Field(nullable=True)  # type: ignore[valid-type]
    seen: bool | None = pa.Field(eq=True, nullable=True)
    tags: pl.List(pl.String) = pa.Field(nullable=True)  # type: ignore[valid-type]

    @pa.check("text")
    def no_y(cls, data: PolarsData) -> pl.LazyFrame:
        """Judge a column."""
        return data.lazyframe.select(~pl.col(data.key).str.contains("y"))

    @pa.check("stars", element_wise=True)
    def odd(cls, value: int) -> bool:
        """Judge a value."""
        return value % 2 == 1

    @pa.check("tags", ignore_na=False)
    def tagged(cls, data: PolarsData) -> pl.LazyFrame:
        """Judge a null as well."""
        return data.lazyframe.select(pl.col(data.key).list.len() > 0)

    @pa.dataframe_check
    def score_of_the_seen(cls, data: PolarsData) -> pl.LazyFrame:
        """Judge a row."""
        return data.lazyframe.select((pl.col("score") > 0) | ~pl.col("seen"))


class Unique(pa.DataFrameModel):
    """A model with constraints over all rows."""

    id: int = pa.Field(unique=True, ge=0)
    part: str
    number: float = pa.Field(nullable=True)

    class Config:
        """Settings of pandera."""

        unique: ClassVar = ["part", "number"]


class Raising(pa.DataFrameModel):
    """A model of which checks raise on some rows."""

    text: str = pa.Field(str_length={"max_value": 3})
    other: str = pa.Field(nullable=True)

    @pa.check("text")
    def strict(cls, data: PolarsData) -> pl.LazyFrame:
        """Raise in polars."""
        return strict_number(data)

    @pa.check("other", element_wise=True)
    def each(cls, value: str) -> bool:
        """Raise in Python."""
        return number(value)

    @pa.dataframe_check
    def row(cls, data: PolarsData) -> pl.LazyFrame:
        """Raise on a row."""
        return data.lazyframe.select(pl.col("other").str.to_integer() < 90)


SCHEMA = pa.DataFrameSchema(
    {
        "text": pa.Column(str, pa.Check.isin(["a", "b"])),
        "number": pa.Column(
            pl.Int8, [pa.Check.in_range(0, 3), pa.Check(closure(3), name="below", ignore_na=False)], nullable=True
        ),
    },
    checks=pa.Check(lambda data: data.lazyframe.select(pl.col("number") != 2), name="not_two", error="not two"),
    name="tickets",
)
"""A schema with checks that do not pickle."""
