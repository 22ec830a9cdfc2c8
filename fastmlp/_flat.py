"""The arrays of a model, or some of them, as one vector and back."""

from collections.abc import Sequence

import numpy as np

from fastmlp._validation import Array

Pairs = Sequence[tuple[Array, ...]]


def vector(pairs: Pairs, kept: Sequence[Sequence[bool]]) -> Array:
    """The arrays that are kept, raveled, one after the other: (n,), of their dtype.

    `kept` says it for the first arrays of each layer; what is beyond them, running statistics, is left out.
    """
    chosen = zip(pairs, kept, strict=True)
    return np.concatenate(
        [a.ravel() for arrays, flags in chosen for a, flag in zip(arrays, flags, strict=False) if flag]
    )


def replaced(pairs: Pairs, kept: Sequence[Sequence[bool]], theta: Array) -> list[tuple[Array, ...]]:
    """The same arrays with those that are kept taken from a vector."""
    found, first = [], 0
    for arrays, flags in zip(pairs, kept, strict=True):
        row = list(arrays)
        for i, flag in enumerate(flags):
            if flag:
                row[i] = theta[first : first + arrays[i].size].reshape(arrays[i].shape)
                first += arrays[i].size
        found.append(tuple(row))
    return found


def same(one: Pairs, other: Pairs) -> bool:
    """Whether all arrays are equal."""
    return all(
        np.array_equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )
