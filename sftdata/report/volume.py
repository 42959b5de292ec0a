"""How much a person wants to be told, and what their terminal can show. The command line sets it, whatever prints asks.

Nothing heavy is imported here: shell completion passes through.
"""

import os
import sys
from dataclasses import dataclass


@dataclass
class Volume:
    """What `--quiet` and `--verbose` say.

    Attributes:
        quiet: errors alone, and what was asked for: rows, scores, a document.
        verbose: also what was decided, and what it took.
    """

    quiet: bool = False
    verbose: bool = False


volume = Volume()
"""Of this process; from Python it is as nobody said anything."""


def can_redraw() -> bool:
    """Tell whether stderr is a terminal that can write over a line; `FORCE_COLOR` alone, as in a log, makes it none."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}
