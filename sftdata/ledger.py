"""Row accounting: every row that was read is written, rejected or a duplicate, and nothing else is written."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sftdata.errors import LedgerError, TooManyRejected

if TYPE_CHECKING:
    from sftdata.manifest import RowCounts

UNDERSAMPLED = "undersampled"
"""The reason of rows that a recipe leaves out to balance the labels."""


class Ledger:
    """Counts rows as they pass; `close` proves that none was lost."""

    def __init__(self) -> None:
        self.read = 0
        self.duplicates = 0
        self.augmented = 0
        self.written = 0
        self._rejections: Counter[tuple[str, str]] = Counter()

    @property
    def rejected(self) -> int:
        """Rows rejected so far."""
        return self._rejections.total()

    def add_rejected(self, rows: Iterable[tuple[str, str]]) -> None:
        """Count rejected rows: of each the stage that rejected it, and one reason."""
        self._rejections.update(rows)

    def check_limit(self, limit: float, kept_in: str | None = None) -> None:
        """Stop a run that rejects more than `limit`: a share when it is a float, a number of rows when an int.

        Rows that the recipe wants left out do not count.

        Raises:
            TooManyRejected: with the most frequent reasons.
        """
        reasons = {reason: count for reason, count in self.by_reason().items() if reason != UNDERSAMPLED}
        check_limit(self.read, sum(reasons.values()), limit, reasons, kept_in)

    def by_reason(self) -> dict[str, int]:
        """Return the number of rejected rows by reason, sorted by reason."""
        return self._sum_by(1)

    def by_stage(self) -> dict[str, int]:
        """Return the number of rejected rows by the stage that rejected them, sorted by stage."""
        return self._sum_by(0)

    def _sum_by(self, place: int) -> dict[str, int]:
        sums: Counter[str] = Counter()
        for key, count in self._rejections.items():
            sums[key[place]] += count
        return dict(sorted(sums.items()))

    def close(self) -> "RowCounts":
        """Return the counts.

        Raises:
            LedgerError: when `read + augmented != written + rejected + duplicates`.
        """
        from sftdata.manifest import RowCounts

        counts = RowCounts(
            read=self.read,
            rejected=self.rejected,
            duplicates=self.duplicates,
            augmented=self.augmented,
            written=self.written,
        )
        if counts.read + counts.augmented != counts.written + counts.rejected + counts.duplicates:
            raise LedgerError(f"the row counts do not close, a defect of sftdata: {counts.model_dump()}")
        return counts


def check_limit(read: int, rejected: int, limit: float, reasons: dict[str, int], kept_in: str | None) -> None:
    """Refuse data of which more than `limit` is rejected: a share when it is a float, a number of rows when an int.

    Raises:
        TooManyRejected: with the most frequent reasons.
    """
    # divided, not multiplied: 0.29 * 100 is below 29
    if rejected > limit if isinstance(limit, int) else rejected and rejected / read > limit:
        raise TooManyRejected(read, rejected, limit, reasons, kept_in)
