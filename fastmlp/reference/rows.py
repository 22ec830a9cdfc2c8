"""Rows of a batch, and their sums: the twin of csrc/kernels/rows.inc.h."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastmlp.reference.base import Array
from fastmlp.reference.tree import by_tree


def gather(
    source: Array, dtype: DTypeLike, index: Array | None = None, mean: Array | None = None, scale: Array | None = None
) -> Array:
    """Rows `index` of source (samples, n) as dtype; where given, less mean (n,) and times scale (n,) in float64 and
    rounded once: (rows, n)."""
    x = source if index is None else source[index]
    return (x if mean is None or scale is None else (x.astype(np.float64) - mean) * scale).astype(dtype)


def moments(x: Array, index: Array | None = None, weights: Array | None = None) -> tuple[Array, Array]:
    """Means and variances of the columns of the rows `index` of x (samples, n), weighted where there are weights of
    these rows, in float64: (n,) and (n,). Rows are added one by one within blocks of 256, and then the blocks along a
    tree."""

    def tree(sums: list[Array]) -> Array:
        if len(sums) == 1:
            return sums[0]
        half = 1 << ((len(sums) - 1).bit_length() - 1)
        return tree(sums[:half]) + tree(sums[half:])

    def total(rows: Array) -> Array:
        return tree([np.add.accumulate(rows[first : first + 256])[-1] for first in range(0, len(rows), 256)])

    rows = gather(x, np.float64, index)
    n: Any = len(rows)
    w = np.ones((n, 1)) if weights is None else weights[:, None]
    n = n if weights is None else total(w)
    centre = total(rows * w) / n
    return centre, total((rows - centre) * (rows - centre) * w) / n


def scatter(x: Array) -> Array:
    """Rows of a batch in the caller's row-major order, which they have here already: (rows, n)."""
    return x.copy()


def multiply(a: Array, b: Array) -> Array:
    """a b, element by element: (n,)."""
    return a * b


def add(a: Array, b: Array) -> Array:
    """a + b, element by element: (n,)."""
    return a + b


def sum(x: Array) -> float:
    """Sum of x (n,), a number for each row, in float64."""
    return float(by_tree(lambda rows: np.sum(rows, dtype=np.float64), x))


def within(x: Array, low: float, high: float) -> bool:
    """Whether low <= x <= high for all of x (n,); not so with a NaN."""
    return bool(np.all((low <= x) & (x <= high)))
