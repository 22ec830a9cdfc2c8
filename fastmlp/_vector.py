"""The arrays of a model's layers, or some of them, as one vector and back."""

from collections.abc import Sequence

import numpy as np

from fastmlp._validation import Array, LayerArrays


def joined(layer_arrays: LayerArrays, chosen: Sequence[Sequence[bool]]) -> Array:
    """The arrays that are chosen, raveled, one after the other: (n,), of their dtype.

    `chosen` says it for the first arrays of each layer; what is beyond them, running statistics, is left out.
    """
    by_layer = zip(layer_arrays, chosen, strict=True)
    return np.concatenate(
        [a.ravel() for arrays, flags in by_layer for a, flag in zip(arrays, flags, strict=False) if flag]
    )


def replaced(layer_arrays: LayerArrays, chosen: Sequence[Sequence[bool]], theta: Array) -> LayerArrays:
    """The same arrays with those that are chosen taken from a vector."""
    found, first = [], 0
    for arrays, flags in zip(layer_arrays, chosen, strict=True):
        row = list(arrays)
        for i, flag in enumerate(flags):
            if flag:
                row[i] = theta[first : first + arrays[i].size].reshape(arrays[i].shape)
                first += arrays[i].size
        found.append(tuple(row))
    return found


def same(one: LayerArrays, other: LayerArrays) -> bool:
    """Whether all arrays are equal."""
    return all(
        np.array_equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )
