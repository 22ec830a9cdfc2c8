"""Targets in their own units: `Model(targets="standardize")`.

The engine takes off the mean and scales while it copies a batch, as it does with inputs; what a model predicts is
scaled back here. So losses, their gradients and what the optimizer sees are in deviations of the targets; predictions,
their derivatives and the metrics are in the targets' units.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastmlp import losses
from fastmlp._names import synonym
from fastmlp._quiet import quiet
from fastmlp._validation import Array, scalar, shown
from fastmlp.preprocessing import Preprocessing, Statistics, standardised

# Losses of values, and how large a typical error is where a sample's loss is `value` on the average.
ERRORS: dict[type[losses.Loss], Callable[[Any, float, int], float]] = {
    losses.MeanSquaredError: lambda loss, value, n_outputs: math.sqrt(value),
    losses.HalfSquaredError: lambda loss, value, n_outputs: math.sqrt(2 * value / n_outputs),
    losses.MeanAbsoluteError: lambda loss, value, n_outputs: value,
    losses.Huber: lambda loss, value, n_outputs: (
        math.sqrt(2 * value) if value <= loss.delta**2 / 2 else value / loss.delta + loss.delta / 2
    ),
    losses.LogCosh: lambda loss, value, n_outputs: value + math.log1p(math.sqrt(-math.expm1(-2 * value))),
    losses.Quantile: lambda loss, value, n_outputs: 2 * value,
}
# Of a deviation, what predictions may lose where they are rounded to the model's dtype.
LOST = 1e-3


def check(targets: Any, loss: losses.Loss) -> str | None:
    """The option of Model, None or "standardize".

    Raises
    ------
    ValueError, TypeError
        Another one, or a loss whose targets are no values.
    """
    targets = scalar("targets", targets)
    if targets is None:
        return None
    if not isinstance(targets, str):
        remedy = "; give the name" if isinstance(targets, Preprocessing) else ""
        raise TypeError(f"targets must be None or 'standardize', not {shown(targets)}{remedy}")
    if synonym("preprocessing", targets, ["standardize"]) is None:
        raise ValueError(f"targets must be None or 'standardize', not {targets!r}")
    if type(loss) not in ERRORS:
        names = ", ".join(repr(name) for name, kind in losses.BY_NAME.items() if kind in ERRORS)
        raise ValueError(
            f"targets='standardize' is for losses of values ({names}), not {type(loss).__name__}, whose targets and "
            "outputs have a meaning as they are; leave it out, or choose another loss"
        )
    return "standardize"


def fitted(targets: Array, subset: Array | None, dtype: str, weights: Array | None) -> Statistics:
    """Mean and scale of each output's targets; ValueError where dtype can hold no predictions in their units."""
    found = standardised(targets, subset, "float64", weights, "y")
    small = np.flatnonzero(found["scale"] < np.finfo(dtype).tiny)
    if len(small):
        raise ValueError(
            f"column {small[0]} of y has the deviation {found['scale'][small[0]]:.3g}, too small for {dtype}: make the "
            "model with dtype='float64', or scale y"
        )
    return found


def shapes(n_outputs: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the statistics, by name."""
    return {"mean": (n_outputs,), "scale": (n_outputs,)}


@quiet
def in_units(out: Array, learned: Statistics) -> Array:
    """Outputs of the network (n_samples, n_outputs) in the targets' units, in float64: what metrics are of. As they
    are where nothing was learned of targets."""
    return np.asarray(out * learned["scale"] + learned["mean"]) if learned else out


def dtype_of_predictions(dtype: str, learned: Statistics) -> str:
    """The model's dtype; float64 where that cannot hold the units: where rounding a mean to it loses more than a
    thousandth of a deviation."""
    if not learned:
        return dtype
    half_a_step = float(np.finfo(dtype).eps) / 2
    return "float64" if (half_a_step * np.abs(learned["mean"]) > LOST * learned["scale"]).any() else dtype


def restored(out: Array, learned: Statistics) -> Array:
    """Outputs of the network (n_samples, n_outputs) in the targets' units: in float64, rounded once, or not at all
    where digits would be lost. As they are, and at no cost, where nothing was learned of targets."""
    return _rounded(in_units(out, learned), dtype_of_predictions(out.dtype.name, learned)) if learned else out


@quiet
def _rounded(predictions: Array, dtype: str) -> Array:
    return predictions.astype(dtype, copy=False)


@quiet
def moved(dscores: Array, learned: Statistics, dtype: str) -> Array:
    """How predictions, on the last axis, move where outputs of the network move by dscores; or the other way round,
    the gradient by the outputs of one by the predictions."""
    return np.asarray((dscores * learned["scale"]).astype(dtype)) if learned else dscores
