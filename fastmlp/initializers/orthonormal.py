"""Orthonormal rows with the same bits on every machine."""

from __future__ import annotations  # numpy.random costs 4 ms: not before a weight is drawn

import math

import numpy as np

from fastmlp._validation import Array

# Rows that are made orthonormal one by one; between such blocks the work is matrix products.
_BLOCK = 32
# Parts of a number in a product: each has 53 bits less log2 of the length, halved, so 63 together at 1024.
_PARTS = 3


def orthonormal(rows: Array) -> Array:
    """Rows (n, length), n <= length, of float64 made orthonormal, in place, in the order of Gram and Schmidt.

    Each block of rows loses its components along the blocks before it, then its own rows are made orthonormal one by
    one; and again, which repairs what cancellation left ("twice is enough": Giraud, Langou, Rozloznik 2005).
    """
    bits = (53 - (rows.shape[1] - 1).bit_length()) // 2
    parts = np.empty((_PARTS, *rows.shape))  # of the rows that are finished
    for first in range(0, len(rows), _BLOCK):
        block, done = rows[first : first + _BLOCK], parts[:, :first]
        for _ in range(2):
            if first:
                along = _product(_split(block, bits), done.transpose(0, 2, 1))
                block -= _product(_split(along, bits), done)
            for i, row in enumerate(block):
                row /= np.sqrt(_sums(row[None] * row[None]))
                block[i + 1 :] -= _sums(block[i + 1 :] * row)[:, None] * row
        parts[:, first : first + _BLOCK] = _split(block, bits, 1.0)
    return rows


def _sums(x: Array) -> Array:
    """Sum of each row of x (rows, n): the second half onto the first, again and again. NumPy's order is its own."""
    while x.shape[1] > 1:
        half = (x.shape[1] + 1) // 2
        rest, x = x[:, half:], x[:, :half].copy()
        x[:, : rest.shape[1]] += rest
    return x[:, 0]


def _split(x: Array, bits: int, largest: float | None = None) -> Array:
    """Parts (_PARTS, ...) that add up to x: integers of at most so many bits times a power of 2, one for each part.

    `largest` is a power of 2 that no |x| exceeds, by default the next one.
    """
    unit = math.ldexp(1.0, math.frexp(np.abs(x).max())[1] - bits) if largest is None else math.ldexp(largest, -bits)
    parts = np.empty((_PARTS, *x.shape))
    for part in parts:
        np.multiply(np.rint(x / unit), unit, out=part)
        x, unit = x - part, math.ldexp(unit, -bits)
    return parts


def _product(a: Array, b: Array) -> Array:
    """Matrix product of what `_split` made of two matrices, the same bits on every machine.

    Of n terms of 2 * bits + log2(n) <= 53 bits every partial sum is exact, so that no order of them, nor fused
    multiply-add, changes a product of two parts [1]_. The products of small parts that would not matter are left out.

    .. [1] Ozaki, Ogita, Oishi, Rump, "Error-free transformations of matrix multiplication by using fast routines of
       matrix multiplication and its applications", Numerical Algorithms 59 (2012).
    """
    found: Array = np.zeros((a.shape[1], b.shape[2]))
    for order in range(_PARTS - 1, -1, -1):
        for i in range(order + 1):
            found += a[i] @ b[order - i]
    return found
