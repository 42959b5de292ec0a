"""How rows are divided into training, validation and test parts, or into folds."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from sftdata.documents import Settings, Text


def _check_part(value: Any) -> Any:
    """Refuse 1, which could mean one row or the weight 1.0; other faults are found by the type."""
    if isinstance(value, bool) or (isinstance(value, int) and value == 1):
        raise ValueError(f"found {value}, expected a share such as 0.05 or 1.0, a number of rows from 2 on, or 0")
    return value


def _check_train(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, int) and value > 1):
        raise ValueError(f"found {value}, expected a share such as 0.9; training takes what counted parts leave")
    return value


Part = Annotated[Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0)], BeforeValidator(_check_part)]
"""A weight, written with a point, or a number of rows, written without one."""


class SplitSettings(Settings):
    """How rows are divided.

    A number with a point is a share: a weight, which need not add up to one with the others. A whole number from 2 on
    is a number of rows; the other parts then share what is left.
    """

    folds: int | None = Field(default=None, ge=2, le=1000)
    """Divide the training part into so many folds of equal size; there is no validation part then, and a test part only
    where `test` is given."""
    train: Annotated[float, Field(gt=0), BeforeValidator(_check_train)] = 0.9
    """Share of the training part; when it is not given, what the shares of the others leave of 1."""
    validation: Part = 0.05
    """Share of the validation part, or its number of rows; 0 leaves it out. Beside `folds` there is none."""
    test: Part = 0.05
    """Share of the test part, or its number of rows; 0 leaves it out. Beside `folds` 0 when it is not given."""
    stratify: Literal["label", "labels", "score", "length"] | None = None
    """What all parts have alike: the shares of each `label`, of each of several `labels`, of the quantiles of the
    `score`, or of the quantiles of the `length` in characters."""
    bins: int = Field(default=10, ge=2, le=1000)
    """Number of quantiles for `score` and `length`."""
    group: Text | None = None
    """A column of the source, such as an author: rows that share its value stay on one side."""
    method: Literal["exact", "stable"] = "exact"
    """`exact` meets the sizes; `stable` decides by the row (or its group) alone, so that new rows move no old one,
    and meets the shares on average."""
    seed: int = 0
    """Decides, together with each row's id, on which side the row falls."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        held_out = {name: 0.0 if given.get("folds") is not None else 0.05 for name in ("validation", "test")} | given
        shares = [held_out[name] for name in ("validation", "test") if isinstance(held_out[name], float)]
        if "train" in given or not 0 < sum(shares) < 1:
            return held_out
        return {"train": round(1 - sum(shares), 12)} | held_out

    @field_validator("validation")
    @classmethod
    def _check_folds(cls, validation: float, info: ValidationInfo) -> float:
        if validation and info.data.get("folds"):
            raise ValueError(
                f"found {validation} beside folds, expected none: each fold in turn is the validation part"
            )
        return validation

    @field_validator("method")
    @classmethod
    def _check_stable(cls, method: str, info: ValidationInfo) -> str:
        counted = [name for name in ("validation", "test") if _is_count(info.data.get(name, 0.0))]
        if method == "stable" and counted:
            raise ValueError(f"found stable beside a number of rows for {' and '.join(counted)}, expected shares")
        if method == "stable" and info.data.get("stratify"):
            raise ValueError(
                "found stable beside stratify, expected one of them: strata would make rows depend on others"
            )
        return method

    def part_names(self) -> tuple[str, ...]:
        """Return the parts that are wanted, the training part first."""
        return ("train", *(name for name in ("validation", "test") if getattr(self, name)))


def _is_count(value: float) -> bool:
    return isinstance(value, int) and value > 1


def plan_sizes(settings: SplitSettings, rows: int) -> list[int]:
    """Return how many rows each of `settings.part_names()` is to have; they add up to `rows`.

    Shares are rounded by largest remainder, and training has a row where there is one.

    Raises:
        ValueError: when the numbers of rows leave no row for training.
    """
    wishes = [getattr(settings, name) for name in settings.part_names()]
    counted = sum(wish for wish in wishes if _is_count(wish))
    if counted and counted >= rows:
        raise ValueError(
            f"found {rows:,} rows, expected more than the {counted:,} that `validation` and `test` ask for; "
            "lower them, or give shares such as 0.05"
        )
    weight = sum(wish for wish in wishes if not _is_count(wish))
    quotas = [wish if _is_count(wish) else (rows - counted) * wish / weight for wish in wishes]
    sizes = [int(quota) for quota in quotas]
    behind = sorted(range(len(sizes)), key=lambda part: sizes[part] - quotas[part])
    for part in behind[: rows - sum(sizes)]:
        sizes[part] += 1
    if rows and not sizes[0]:
        sizes[max(range(len(sizes)), key=lambda part: sizes[part])] -= 1
        sizes[0] = 1
    return sizes
