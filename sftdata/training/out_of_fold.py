"""Write down what models said of rows that they have not seen."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.manifest import replacing
from sftdata.records import Task
from sftdata.training.metrics import choose_labels
from sftdata.training.run import RunRecord


def write_predictions(
    path: Path,
    record: RunRecord,
    row_ids: pa.ChunkedArray,
    folds: NDArray[np.int32],
    targets: NDArray[Any],
    found: NDArray[Any],
) -> None:
    """Write a Parquet file with a line a row; at any moment it is whole, or not there.

    Columns: `row_id`, `fold` (int32), and by task: `label` and `predicted`; `labels` and `predicted` (lists);
    or `score` and `predicted` (float32). Those with labels have `probabilities`, too: a list of float32 in the order of
    the label names, but not for more classes than are kept.

    Args:
        path: of the file.
        record: of the run.
        row_ids: of the rows.
        folds: in which each was held out, shape `[rows]`.
        targets: as `scoring.Outputs` has them, shape `[rows]` or `[rows, labels]`.
        found: the same as the model has it.
    """
    names = np.array(record.label_names or (), dtype=object)
    frame = pl.DataFrame({"row_id": pl.Series(row_ids, dtype=pl.String), "fold": pl.Series(folds, dtype=pl.Int32)})
    match record.task:
        case Task.REGRESSION:
            told = {"score": pl.Series(targets), "predicted": pl.Series(found)}
        case Task.MULTILABEL:
            told = {"labels": _list(names, targets > 0), "predicted": _list(names, choose_labels(found))}
        case _:
            best = found.argmax(axis=1) if found.ndim == 2 else found
            told = {"label": pl.Series(names[targets].tolist()), "predicted": pl.Series(names[best].tolist())}
    frame = frame.with_columns(**told)
    if found.ndim == 2:
        frame = frame.with_columns(probabilities=pl.Series(found.astype(np.float32)).arr.to_list())
    with replacing(path) as aside:
        frame.write_parquet(aside)


def _list(names: NDArray[Any], chosen: NDArray[np.bool_]) -> pl.Series:
    return pl.Series([names[row].tolist() for row in chosen], dtype=pl.List(pl.String))
