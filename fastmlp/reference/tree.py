"""How sums over rows are added: the twin of csrc/kernels/tree.inc.h."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from fastmlp.reference.base import Array

SHARD_ROWS = 256


def by_tree(sums: Callable[..., Any], *arrays: Array) -> Any:
    """sums(*arrays) over the rows of a batch in the order of csrc/kernels/tree.inc.h: of each shard of rows by itself,
    and the shards along a binary tree."""
    firsts = range(0, max(len(arrays[0]), 1), SHARD_ROWS)
    parts = [sums(*(a[first : first + SHARD_ROWS] for a in arrays)) for first in firsts]
    while len(parts) > 1:
        parts = [np.add.reduce(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0]


def column_sums(rows: Array) -> Array:
    """The sums of the columns of one shard."""
    return cast(Array, rows.sum(axis=0))
