"""Make changed copies of training rows: EDA (Wei and Zou 2019), AEDA (Karimi, Rossi and Prati 2021), noise, nlpaug.

Every random choice depends on the seed, the id of the new row, and where a word stands, so that order, chunks and
workers do not matter, and a row that is added changes no other copy.
"""

from sftdata.stages.augmentation.copying import (
    Augmented,
    Augmenter,
    Step,
    augment_rows,
    find_repeated,
    text_keys,
)

__all__ = ["Augmented", "Augmenter", "Step", "augment_rows", "find_repeated", "text_keys"]
