"""Permutations that are the same on every machine and for good."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""Positions of examples in their split, shape `[examples]`, dtype int64."""


def shuffle(count: int, seed: int, *key: int) -> Rows:
    """Return a permutation of `range(count)` that depends on `(seed, key)` alone, shape `[count]`, dtype int64.

    Sorts random numbers that have the position in their low bits, so that no two are equal and any sort gives the same
    order. The raw stream of a bit generator is fixed for good, unlike `Generator.permutation` (NumPy's NEP 19).

    Args:
        count: how many.
        seed: any integer; its low 64 bits count.
        key: numbers from 0 up that tell this permutation from the others of the seed.
    """
    stream = np.random.Philox(np.random.SeedSequence(seed & 0xFFFFFFFFFFFFFFFF, spawn_key=key))
    low = np.uint64((1 << count.bit_length()) - 1)
    keys: NDArray[np.uint64] = stream.random_raw(count)
    keys &= ~low
    keys |= np.arange(count, dtype=np.uint64)
    keys.sort()
    keys &= low
    return keys.view(np.int64)
