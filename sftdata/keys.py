"""Random keys of rows, which depend on nothing but a seed and the id of a row."""

import numpy as np
import polars as pl
from numpy.typing import NDArray


def random_keys(row_ids: pl.Series, seed: int) -> NDArray[np.uint64]:
    """Give each row a random 64-bit key that depends on `(seed, row id)` alone.

    Never on order, chunking, time or hash randomisation. FNV-1a over the bytes of the id, finished with the
    splitmix64 mix (Steele, Lea and Flood 2014); vectorised over rows, one pass a byte position.

    Args:
        row_ids: strings without nulls, shape `[rows]`.
        seed: any integer; its low 64 bits count.

    Returns:
        Keys of shape `[rows]`, dtype uint64.
    """
    arrow = row_ids.cast(pl.Binary).to_arrow().cast("large_binary")
    _, offset_buffer, data_buffer = arrow.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64, count=len(arrow) + 1 + arrow.offset)[arrow.offset :]
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer else np.zeros(0, dtype=np.uint8)
    starts, lengths = offsets[:-1], np.diff(offsets)
    keys = np.full(len(row_ids), 0xCBF29CE484222325, dtype=np.uint64)
    for position in range(int(lengths.max(initial=0))):
        live = np.flatnonzero(lengths > position)
        keys[live] = (keys[live] ^ data[starts[live] + position]) * np.uint64(0x100000001B3)
    return mix(keys + mix(np.full(1, seed & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64)))


def mix(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread 64-bit keys evenly: the finishing step of splitmix64, shape and dtype kept."""
    mixed = keys + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result
