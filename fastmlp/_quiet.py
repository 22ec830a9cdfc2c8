"""Arithmetic of our own, whatever `numpy.seterr` says in the caller.

A schedule that underflows, a metric of huge values: what comes out is zero, infinity or NaN, and is looked at. That
the caller wants an exception of such things is for the caller's own computations, the functions of a user's that are
called here among them.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")


def quiet(function: Callable[P, T]) -> Callable[P, T]:
    """The function, whose arithmetic neither warns nor raises."""

    @functools.wraps(function)
    def undisturbed(*arguments: P.args, **options: P.kwargs) -> T:
        with np.errstate(all="ignore"):
            return function(*arguments, **options)

    return undisturbed
