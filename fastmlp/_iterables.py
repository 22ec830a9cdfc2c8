"""What users give in the place of arrays: iterables of batches (X, y) or (X, y, sample_weight)."""

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastmlp._validation import is_by_number


def is_iterable(batches: Any) -> bool:
    """Whether batches can be taken from something one after the other; not from an array."""
    return (isinstance(batches, Iterable) and not hasattr(batches, "__array__")) or is_by_number(batches)


def check_iterable(call: str, X: Any, sample_weight: Any) -> None:
    """Whether what a call got in the place of X, without y, is an iterable of batches; TypeError or ValueError."""
    if not is_iterable(X):
        raise TypeError(
            f"y is None; {call} takes arrays X and y, or an iterable of (X, y), not only {type(X).__name__}"
        )
    if isinstance(X, tuple | list) and len(X) in (2, 3) and hasattr(X[0], "__array__"):
        raise TypeError(f"X is a {type(X).__name__} of {len(X)} arrays and y is None; did you mean {call}(X, y)?")
    if sample_weight is not None:
        raise ValueError("sample_weight is for arrays; an iterable gives batches (X, y, sample_weight)")


def check_pair(name: str, given: Any) -> None:
    """Whether something is a batch: two or three arrays."""
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        many = f" of {len(given)}" if isinstance(given, tuple | list) else ""
        raise TypeError(f"{name} must be a pair (X, y) or (X, y, sample_weight), not {type(given).__name__}{many}")
    if isinstance(given[1], numbers.Number) or getattr(given[1], "shape", None) == ():
        raise ValueError(
            f"{name} is a single sample, of y={given[1]!r}; give arrays X and y of all samples, or batches of several"
        )


def is_batches(data: Any, n_inputs: int) -> bool:
    """Whether validation_data are batches, not arrays: a tuple, or a list of two or three, is (X, y) or (X, y, weight)
    unless each of its items is a batch in a tuple, whose X has rows."""
    if isinstance(data, tuple) or (isinstance(data, list) and len(data) in (2, 3)):
        return len(data) > 0 and all(_is_batch(item, n_inputs) for item in data)
    return is_iterable(data) and not isinstance(data, str | bytes | dict)


def _is_batch(item: Any, n_inputs: int) -> bool:
    if not isinstance(item, tuple) or len(item) not in (2, 3):
        return False
    X = item[0]
    if hasattr(X, "__array__"):  # of one input rows may be numbers
        return np.ndim(X) >= (2 if n_inputs > 1 else 1)
    return isinstance(X, list | tuple) and len(X) > 0 and (isinstance(X[0], list | tuple) or np.ndim(X[0]) > 0)
