"""Functions for worker processes: they import this module alone."""

import os
import time

from sftdata.errors import RecipeError, TooManyRejected


def square(number: int) -> int:
    """Take longer for small numbers, so that results come in the wrong order."""
    time.sleep(0.002 * (number % 3 == 0))
    return number * number


def fail(number: int) -> int:
    """Fail in different ways."""
    if number == 3:
        raise RecipeError("recipe.yaml", ["line 3: a fault"])
    if number == 5:
        raise TooManyRejected(10, 5, 0.02, {"a:b": 5}, None)
    if number == 7:
        raise ValueError("seven")
    return number


def die(number: int) -> int:
    """End the process as the kernel does when memory runs out."""
    if number == 2:
        os._exit(9)
    return number


def process(number: int) -> int:
    """Return the process that runs this."""
    time.sleep(0.05)
    return os.getpid() + 0 * number
