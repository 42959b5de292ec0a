"""Find the strata of a split: what every part is to have in the same shares."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Indexes = NDArray[np.int64]

NO_LABEL = "(none)"
"""What the stratum of rows without a label, score or length is called."""


@dataclass(frozen=True)
class Strata:
    """Which strata each row is in, as pairs of a row and a stratum; each row stands in at least one pair.

    Attributes:
        rows: row of each pair, ascending, shape `[pairs]`, dtype int64.
        codes: stratum of each pair, a position in `names`; the same shape and dtype.
        names: what the strata are called.
    """

    rows: Indexes
    codes: Indexes
    names: tuple[str, ...]

    @property
    def pairs(self) -> Indexes:
        """Number each possible pair of row and stratum."""
        return self.rows * len(self.names) + self.codes


def find_strata(slim: pl.DataFrame, stratify: str | None, bins: int) -> Strata:
    """Return the strata of rows by the column `stratify` of `slim`: `label`, `labels`, `score` or `length`.

    Without one, all rows are in one stratum.

    Args:
        slim: rows with the column that `stratify` names; nulls and empty lists are a stratum of their own.
        stratify: which column counts.
        bins: the number of quantiles of `score` and `length`.
    """
    if stratify is None:
        return Strata(np.arange(len(slim)), np.zeros(len(slim), dtype=np.int64), ("all",))
    column = slim[stratify].rename("stratum")
    if stratify in ("score", "length"):
        return _strata_by_name(cut_quantiles(column, bins))
    return _strata_of_lists(column) if column.dtype == pl.List else _strata_by_name(column.cast(pl.String))


def _strata_by_name(names: pl.Series) -> Strata:
    codes, known = _encode(names)
    return Strata(np.arange(len(names)), codes, known)


def _strata_of_lists(labels: pl.Series) -> Strata:
    exploded = labels.to_frame().with_row_index("row").explode("stratum", empty_as_null=True)
    several = pl.len().over("row") > 1
    exploded = exploded.unique(maintain_order=True).filter(
        ~(pl.col("stratum").is_null() & several)
    )  # a null among labels says nothing
    codes, known = _encode(exploded["stratum"].cast(pl.String))
    return Strata(exploded["row"].to_numpy().astype(np.int64), codes, known)


def _encode(names: pl.Series) -> tuple[Indexes, tuple[str, ...]]:
    """Number the names in their sorted order, so that the order of the rows does not matter."""
    known = names.unique().drop_nulls().sort().to_list()
    codes = names.cast(pl.Enum(known)).to_physical().cast(pl.Int64).fill_null(len(known)).to_numpy()
    return codes, (*known, NO_LABEL) if names.null_count() else tuple(known)


def cut_quantiles(values: pl.Series, bins: int) -> pl.Series:
    """Name the quantile of each number by its smallest and largest value; equal numbers share a quantile.

    Args:
        values: numbers, shape `[rows]`; null and NaN are in no quantile.
        bins: the number of quantiles; ties may leave fewer.

    Returns:
        Names such as `1 to 12`, shape `[rows]`, dtype String.
    """
    value = pl.col("value").cast(pl.Float64).fill_nan(None)
    quantile = ((value.rank("min") - 1) * bins).cast(pl.Int64) // pl.max_horizontal(value.count(), 1)
    low, high = (edge.over("quantile").cast(pl.String) for edge in (pl.col("value").min(), pl.col("value").max()))
    cut = values.rename("value").to_frame().with_columns(value, quantile.alias("quantile"))
    name = pl.when(pl.col("value").is_not_null()).then(pl.concat_str(low, pl.lit(" to "), high))
    return cut.select(name.alias("stratum")).to_series()
