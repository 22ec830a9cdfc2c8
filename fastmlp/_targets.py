"""Targets in their own units: `Model(targets="standardize")`, and the warning where it is missing.

The engine takes off the mean and scales while it copies a batch, as it does with inputs; what a model predicts is
scaled back here. So losses, their gradients and what the optimizer sees are in deviations of the targets; predictions,
their derivatives and the metrics are in the targets' units.
"""

import math
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import losses
from fastmlp._names import synonym
from fastmlp._quiet import quiet
from fastmlp._validation import Array, scalar, shown
from fastmlp.preprocessing import Preprocessing, Statistics, standardised

if TYPE_CHECKING:
    from fastmlp.model import Model

# Losses of values, and how large a typical error is where a sample's loss is `value` on the average.
_ERRORS: dict[type[losses.Loss], Callable[[Any, float, int], float]] = {
    losses.MeanSquaredError: lambda loss, value, n_outputs: math.sqrt(value),
    losses.HalfSquaredError: lambda loss, value, n_outputs: math.sqrt(2 * value / n_outputs),
    losses.MeanAbsoluteError: lambda loss, value, n_outputs: value,
    losses.Huber: lambda loss, value, n_outputs: (
        math.sqrt(2 * value) if value <= loss.delta**2 / 2 else value / loss.delta + loss.delta / 2
    ),
    losses.LogCosh: lambda loss, value, n_outputs: value + math.log1p(math.sqrt(-math.expm1(-2 * value))),
    losses.Quantile: lambda loss, value, n_outputs: 2 * value,
}
# Targets and errors that are far from the outputs' scale, above or below; an error that is large beside a deviation.
LARGE, SMALL, LARGE_RATIO = 30.0, 1 / 30, 100.0
# What the mean alone would explain of the targets leaves an error of one deviation.
LEARNED = 0.9
# Layers' penalties move within an epoch, so that what they were on the average is known roughly.
PENALTY_SHARE = 0.01
# Of a deviation, what predictions may lose where they are rounded to the model's dtype.
LOST = 1e-3
# So many samples tell the deviation well enough.
_N_LOOKED_AT = 1000


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
    if type(loss) not in _ERRORS:
        names = ", ".join(repr(name) for name, kind in losses.BY_NAME.items() if kind in _ERRORS)
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
def in_units(model: "Model", out: Array) -> Array:
    """Outputs of the network (n_samples, n_outputs) in the targets' units, in float64: what metrics are of."""
    if model._targets is None:
        return out
    found = model._target_statistics
    return np.asarray(out * found["scale"] + found["mean"])


def dtype_of_predictions(model: "Model") -> str:
    """The model's dtype; float64 where that cannot hold the units: where rounding a mean to it loses more than a
    thousandth of a deviation."""
    if model._targets is None:
        return str(model.dtype)
    found = model._target_statistics
    half_a_step = float(np.finfo(model.dtype).eps) / 2
    return "float64" if (half_a_step * np.abs(found["mean"]) > LOST * found["scale"]).any() else str(model.dtype)


@quiet
def restored(model: "Model", out: Array) -> Array:
    """Outputs of the network (n_samples, n_outputs) in the targets' units: in float64, rounded once, or not at all
    where digits would be lost."""
    if model._targets is None:
        return out
    return np.asarray(in_units(model, out).astype(dtype_of_predictions(model), copy=False))


@quiet
def moved(model: "Model", dscores: Array) -> Array:
    """How predictions, on the last axis, move where outputs of the network move by dscores; or the other way round,
    the gradient by the outputs of one by the predictions."""
    if model._targets is None:
        return dscores
    return np.asarray((dscores * model._target_statistics["scale"]).astype(model.dtype))


def watch(model: "Model", targets: Array, subset: Array | None, weights: Array | None) -> Callable[[float], str]:
    """A function that warns where the loss of a first epoch, which it is given, shows targets far from the scale of
    the outputs: targets far above 1 with an error no smaller than a constant would make, or a deviation far below 1
    with an error a hundred times that. Outputs are of about 1 in the beginning, and optimizers move them by small
    steps. Of an infinite loss, that of an epoch that diverged, it returns what to say of large targets."""
    if model._targets is not None or type(model.loss) not in _ERRORS or (model.built and model._network.step > 0):
        return lambda loss: ""
    error_of = _ERRORS[type(model.loss)]

    @quiet
    def look(loss: float) -> str:
        penalty = model._network.penalty()
        value = loss - penalty
        rows = np.arange(len(targets)) if subset is None else subset
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _N_LOOKED_AT)).astype(np.intp)]
        of_rows = np.ones(len(rows)) if weights is None else weights[rows, 0].astype(np.float64)
        y = targets[rows][of_rows > 0].astype(np.float64)
        if len(y) < 2 or not value > 0 or penalty > PENALTY_SHARE * loss:  # the loss tells too little then
            return ""
        error = error_of(model.loss, value / of_rows.mean(), model.n_outputs)
        deviation = math.sqrt(y.var(axis=0).mean())
        above = math.sqrt((y * y).mean()) > LARGE and error > max(LARGE, LEARNED * deviation)
        if loss == math.inf:
            if not above:
                return ""
            return (
                f"The targets have the mean {y.mean():.3g} and the deviation {deviation:.3g}, far from the scale of "
                "the outputs, about 1: make the model with targets='standardize'; a smaller learning rate or scaled "
                "inputs may help, too"
            )
        if above or (0 < deviation < SMALL and error > LARGE_RATIO * deviation):
            warnings.warn(
                f"after the first epoch the typical error is {error:.3g}, where the targets have the mean "
                f"{y.mean():.3g} and the deviation {deviation:.3g}: they are far from the scale of the outputs, which "
                "begin at about 1, so that this may not train; make the model with targets='standardize'",
                UserWarning,
                stacklevel=_outside(),
            )
        return ""

    return look


def _outside() -> int:
    """The level of the first caller that is not in this package, as `warnings.warn` in the function above counts."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "fastmlp":
        level, frame = level + 1, frame.f_back
    return level
