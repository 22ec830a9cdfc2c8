"""What the files of the twin share: types, and float64 within."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def in_float64(function: Function) -> Function:
    """Evaluate a function in float64, and round its results once to the dtype of its first argument."""

    @functools.wraps(function)
    def evaluate(first: Array, *arguments: Any, **options: Any) -> Any:
        with np.errstate(all="ignore"):
            found = function(np.asarray(first, np.float64), *arguments, **options)
            rounded = tuple(a.astype(first.dtype) if isinstance(a, np.ndarray) else a for a in found)
        return rounded

    return cast(Function, evaluate)


Pair: TypeAlias = tuple[Array, Array]


def by_name(*functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Functions by their names."""
    return {f.__name__: f for f in functions}


# scores (rows, n) are raw, before the link. losses (rows,) is row_scale times each row's loss, right how many
# predictions are right, dscores (rows, n) gradient_scale times the derivative of the row's loss. The options are those
# of fm_loss_options in csrc/fastmlp.h, as far as a loss knows them.

Loss: TypeAlias = tuple[Array, int, Array]
