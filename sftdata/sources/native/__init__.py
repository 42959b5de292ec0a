"""Compiled scanning of CSV and JSON: `scan`, or None where the package was installed without a compiler.

What it does is done in Python as well, several times slower, and tests hold one against the other.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from sftdata.sources.native.digest import digest_sources

try:
    from sftdata.sources.native import _scan
except ImportError:
    _scan = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Exported:
    """A column that `scan` made, to be given once to polars, pyarrow or whatever else takes Arrow data.

    Attributes:
        capsules: its schema and its values.
    """

    capsules: tuple[object, object]

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Hand them over; the schema that is asked for is not looked at, which the protocol allows."""
        return self.capsules


def _is_current(module: ModuleType) -> bool:
    """Tell whether the module was compiled from the sources beside it; where it was installed, there are none."""
    return digest_sources(Path(__file__).parent) in ("", module.SOURCES)


scan = _scan if _scan is not None and _is_current(_scan) else None
