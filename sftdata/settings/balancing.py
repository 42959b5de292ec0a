"""How the labels of the training part are brought into balance."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from sftdata.documents import Settings


class BalanceSettings(Settings):
    """What is done about labels that have many more rows than others; the training part only."""

    oversample: Literal["largest", "median"] | Annotated[float, Field(gt=0, le=1)] | None = None
    """Copy rows of small labels until each has as many as the largest or the median label, or this share of the
    largest."""
    undersample: Literal["smallest", "median"] | Annotated[float, Field(ge=1)] | None = None
    """Leave out rows of large labels until each has as many as the smallest or the median label, or this many times the
    smallest."""
    weights: Literal["balanced", "effective"] | None = None
    """Weigh the loss by label: `balanced` is n / (k * count) as scikit-learn has it; `effective` goes by the effective
    number of samples (Cui et al. 2019)."""
    beta: float = Field(default=0.999, ge=0, lt=1)
    """`effective`: how much a further row of a label adds; 0 weighs all labels alike, near 1 it is like `balanced`."""

    @field_validator("undersample")
    @classmethod
    def _check_both(cls, undersample: str | float | None, info: ValidationInfo) -> str | float | None:
        oversample = info.data.get("oversample")
        if undersample is not None and oversample is not None and (oversample, undersample) != ("median", "median"):
            raise ValueError(
                f"found {undersample} beside oversample: {oversample}, expected one of them, or median for both"
            )
        return undersample
