"""Duplicates over all rows: found, judged, and looked for once more after the split."""
