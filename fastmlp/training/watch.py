"""The warning of targets that are far from the scale of the outputs, where ``targets="standardize"`` is missing."""

import math
import sys
import warnings
from collections.abc import Callable

import numpy as np

from fastmlp._quiet import quiet
from fastmlp._targets import ERRORS
from fastmlp._validation import Array
from fastmlp.core import Core

# Targets and errors that are far from the outputs' scale, above or below; an error that is large beside a deviation.
LARGE, SMALL, LARGE_RATIO = 30.0, 1 / 30, 100.0
# What the mean alone would explain of the targets leaves an error of one deviation.
LEARNED = 0.9
# Layers' penalties move within an epoch, so that what they were on the average is known roughly.
PENALTY_SHARE = 0.01
# So many samples tell the deviation well enough.
_N_LOOKED_AT = 1000


def watch(core: Core, targets: Array, subset: Array | None, weights: Array | None) -> Callable[[float], str]:
    """A function that warns where the loss of a first epoch, which it is given, shows targets far from the scale of
    the outputs: targets far above 1 with an error no smaller than a constant would make, or a deviation far below 1
    with an error a hundred times that. Outputs are of about 1 in the beginning, and optimizers move them by small
    steps. Of an infinite loss, that of an epoch that diverged, it returns what to say of large targets."""
    started = core.network is not None and core.network.step > 0
    if core.targets is not None or type(core.loss) not in ERRORS or started:
        return lambda loss: ""
    error_of = ERRORS[type(core.loss)]

    @quiet
    def look(loss: float) -> str:
        penalty = core.network.penalty()
        value = loss - penalty
        rows = np.arange(len(targets)) if subset is None else subset
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _N_LOOKED_AT)).astype(np.intp)]
        of_rows = np.ones(len(rows)) if weights is None else weights[rows, 0].astype(np.float64)
        y = targets[rows][of_rows > 0].astype(np.float64)
        if len(y) < 2 or not value > 0 or penalty > PENALTY_SHARE * loss:  # the loss tells too little then
            return ""
        error = error_of(core.loss, value / of_rows.mean(), core.n_outputs)
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
