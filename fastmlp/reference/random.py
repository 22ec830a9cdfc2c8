"""The order of an epoch: the twin of csrc/random.c."""

import numpy as np

from fastmlp.reference.base import Array


def shuffle(n: int, seed: int, stream: int) -> Array:
    """Order in which epoch number `stream` visits n samples: a Fisher-Yates shuffle by Philox4x64-10, int64 (n,)."""
    index = np.arange(n)
    random = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(max(n - 1, 0))
    for i, bits in zip(range(n - 1, 0, -1), random.tolist(), strict=True):
        j = bits * (i + 1) >> 64  # uniform in 0 ... i
        index[[i, j]] = index[[j, i]]
    return index
