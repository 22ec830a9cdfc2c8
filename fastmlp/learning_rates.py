"""A search for a learning rate: a short training with rates that rise from step to step, on a copy of the model."""

import copy
import dataclasses
import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp._validation import Array, bounded_integer, finite_number
from fastmlp.core import core_of
from fastmlp.history import DivergedError
from fastmlp.model import Model
from fastmlp.optimizers import LBFGS
from fastmlp.training.single import train_on_batch

# The sweep ends where the smoothed loss is so many times its least value.
_TOO_MUCH = 4.0
# Steps on each side that a loss is averaged with: a share of all, so that a step of the mean is a fixed share of a
# decade of rates.
_SHARE_SMOOTHED = 0.04


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RateSweep:
    """What `find_learning_rate` found.

    Attributes
    ----------
    rates : ndarray of shape (n,), float64
        Of the steps, rising.
    losses : ndarray of shape (n,), float64
        Of the batches of these steps, before each step.
    smoothed : ndarray of shape (n,), float64
        Means over some steps on both sides.
    suggestion : float or None
        The rate at which the smoothed loss falls fastest; None where it never falls.
    """

    rates: Array
    losses: Array
    smoothed: Array
    suggestion: float | None

    def __repr__(self) -> str:
        found = "none" if self.suggestion is None else f"{self.suggestion:.3g}"
        ends = f"{self.rates[0]:.3g} to {self.rates[-1]:.3g}"
        return f"<fastmlp.RateSweep: {len(self.rates)} rates from {ends}, suggestion {found}>"

    def plot(self, ax: Any = None, to_file: str | os.PathLike[str] | None = None) -> Any:
        """Draw the losses over the rates, and the suggestion (needs matplotlib: the extra "plot").

        Parameters
        ----------
        ax : matplotlib Axes or None, default None
            None makes a new figure.
        to_file : str or path-like or None, default None
            Where to save the figure; the ending says the format. A figure that was made for it is closed then.

        Returns
        -------
        matplotlib Axes
        """
        from fastmlp import _curves, _figures

        return _figures.drawn(lambda axes: _curves.of_rate_sweep(self, axes), ax, to_file)


def find_learning_rate(
    model: Model,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    batch_size: int = 32,
    *,
    least: float = 1e-6,
    most: float = 10.0,
    steps: int = 200,
) -> RateSweep:
    """Train a copy of a model for some steps, each with a higher learning rate, and suggest one.

    Rates rise by the same factor from step to step, and the sweep ends where the loss, smoothed, is four times as high
    as it was at best, or no finite number [1]_. Suggested is the rate at which the smoothed loss falls most steeply
    over the logarithm of the rate, before it is least: an order of magnitude to try from, no optimum.

    Parameters
    ----------
    model : Model
        Built or not; it stays as it is.
    X : array_like of shape (n_samples, ...)
    y : array_like
        Targets, as for `Model.fit`.
    batch_size : int, default 32
        As for the `fit` that is to follow, as rates depend on it.
    least, most : float, default 1e-6, 10.0
        First and last rate, above 0.
    steps : int, default 200
        At least 10. After all samples they come again in a new order.

    Returns
    -------
    RateSweep
        With ``rates``, ``losses``, ``suggestion`` and ``plot()``.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of its range, or the optimizer is `LBFGS`, which has no rate.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017, arXiv:1506.01186, section
       3.3: the range test. The rule of the steepest descent is the one that has become usual since.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_digits()
    >>> model = fm.Model([fm.Dense(64, "relu"), fm.Dense(10)], "softmax_cross_entropy", "adam")
    >>> found = fm.find_learning_rate(model, X / 16, y)
    >>> 1e-4 < found.suggestion < 1e-1
    True
    """
    core = core_of(model)
    batch_size, steps = bounded_integer("batch_size", batch_size), bounded_integer("steps", steps, at_least=10)
    least = finite_number("least", least, above=0)
    most = finite_number("most", most, above=0)
    if least >= most:
        raise ValueError(f"least={least:g} must be below most={most:g}")
    if isinstance(core.optimizer, LBFGS):
        raise TypeError("LBFGS has no learning rate to find; choose another optimizer")
    core = copy.deepcopy(core)
    X, targets = core.data(X, y)
    learned = core.unlearned(X, targets, None, None)
    core.build(X.shape[1])
    core.adapt(*learned)
    rates = least * (most / least) ** (np.arange(steps) / (steps - 1))
    order = np.random.default_rng(core.seed)
    losses: list[float] = []
    rows = np.empty(0, np.intp)
    lowest = math.inf
    for rate in rates:
        if len(rows) == 0:
            rows = order.permutation(len(X))
        batch, rows = rows[:batch_size], rows[batch_size:]
        core.set_optimizer(dataclasses.replace(core.optimizer, learning_rate=float(rate)))
        try:
            losses.append(train_on_batch(core, X[batch], targets[batch]))
        except DivergedError:
            break
        recent = float(np.mean(losses[-_width(steps) :]))
        lowest = min(lowest, recent) if len(losses) >= _width(steps) else lowest
        if recent > _TOO_MUCH * abs(lowest) and len(losses) > _width(steps):
            break
    if not losses:
        raise ValueError("the loss of the first batch is no finite number; scale the inputs, or give a smaller least")
    rates, measured = rates[: len(losses)], np.array(losses)
    reach = _width(steps) // 2
    smoothed = _smoothed(measured, reach)
    return RateSweep(rates, measured, smoothed, _steepest(rates, smoothed, reach))


def _width(steps: int) -> int:
    return 2 * max(1, round(_SHARE_SMOOTHED * steps)) + 1


def _smoothed(losses: Array, reach: int) -> Array:
    """Means over `reach` losses on each side, fewer at the ends: the same number on both sides, so that it lags behind
    nothing."""
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    at = np.arange(len(losses))
    own = np.minimum(reach, np.minimum(at, len(losses) - 1 - at))
    found: Array = (sums[at + own + 1] - sums[at - own]) / (2 * own + 1)
    return found


def _steepest(rates: Array, smoothed: Array, reach: int) -> float | None:
    """The rate of the steepest descent before the least loss: between means that have no loss in common, as the losses
    of batches differ at any rate, and none at the end, where they are of few."""
    least = int(smoothed.argmin())
    place = np.log(rates)
    at = np.arange(2 * reach, least + 1)
    if len(at) == 0:
        return None
    left, right = at - reach, np.minimum(at + reach, max(least, 2 * reach + 1))
    right = np.minimum(right, len(rates) - 1)
    slopes = (smoothed[right] - smoothed[left]) / (place[right] - place[left])
    steepest = int(slopes.argmin())
    return float(rates[at[steepest]]) if slopes[steepest] < 0 else None
