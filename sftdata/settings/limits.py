"""How many rejected rows a run may have."""

from contextlib import suppress
from typing import Annotated, Any

from pydantic import BeforeValidator


def parse_limit(value: Any) -> Any:
    """Read `--max-rejected`: text without a point is a number of rows, with a point a share."""
    if not isinstance(value, str):
        return value
    return float(value) if any(sign in value for sign in ".eE") else int(value)


def check_limit(value: Any) -> float:
    """Refuse a share above 1 and anything negative; a whole number is a number of rows."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_limit(value):
        raise ValueError(f"found {value!r}, expected a share from 0.0 to 1.0, or a whole number of rows")
    return value


def _is_limit(value: float) -> bool:
    return 0 <= value <= (1 if isinstance(value, float) else value)


def _read_limit(value: Any) -> Any:
    with suppress(ValueError):
        value = parse_limit(value)
    return check_limit(value)


Limit = Annotated[int | float, BeforeValidator(_read_limit)]
