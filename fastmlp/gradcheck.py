"""Check gradients against finite differences: ``fm.gradcheck.check(model, X, y)``.

The slope of the loss along one weight w is measured by central differences D(h) = (L(w + h) - L(w - h)) / 2h, of which
two make an estimate N(h) = (4 D(h/2) - D(h)) / 3 with an error of order h^4 (Richardson extrapolation). Where relu and
its like have a kink between w - h and w + h such an estimate is worthless, and it shows: N(h) and N(h/2) differ, or the
bend of the loss (L(w + h) - 2 L(w) + L(w - h)) / h does not halve with h. The step is then made smaller; a weight on a
kink itself is left out and counted.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp._quiet import quiet
from fastmlp._validation import bounded_integer, finite_number
from fastmlp.core import core_of
from fastmlp.model import Model

# The first step, relative to the weight: its h^4 is far below the tolerance and the rounding of L / h too.
_FIRST_STEP = 2.0**-10
# Four steps, each an eighth of the one before, escape all kinks but those within 1e-6 of the weight.
_N_STEPS = 4
# An entry smaller than this part of the model's largest gradient is compared with that part instead of with itself.
_SMALL = 1e-3
# Roundings in a loss, in units of epsilon.
_LOSS_ROUNDINGS = 8


class GradientError(ValueError):
    """A gradient is not the slope of the loss.

    Attributes
    ----------
    result : Result
        What was found.
    """

    def __init__(self, message: str, result: "Result") -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.result)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One entry of a gradient beside its finite difference.

    Attributes
    ----------
    layer : int
        From 0, of those that have weights.
    parameter : {"W", "b", "gamma", "beta", "alpha"}
    index : tuple of int
        Position in that array.
    gradient : float
        As the model computes it.
    difference : float
        As finite differences give it.
    relative_error : float
    """

    layer: int
    parameter: str
    index: tuple[int, ...]
    gradient: float
    difference: float
    relative_error: float

    def __str__(self) -> str:
        index = ", ".join(map(str, self.index))
        return (
            f"layer {self.layer}, d{self.parameter}[{index}] = {self.gradient:.10g}, where finite differences give "
            f"{self.difference:.10g} (relative error {self.relative_error:.2g})"
        )


@dataclasses.dataclass(frozen=True)
class Result:
    """What `check` found.

    Attributes
    ----------
    max_relative_error : float
        Of all entries compared.
    worst : Entry
        Where that is.
    by_parameter : dict of (int, str) to float
        The largest relative error of each layer's "W", "b", ...; NaN where all entries lay on kinks.
    n_checked : int
        Entries compared.
    n_kinks : int
        Entries left out: the loss has a kink there, and no slope.
    """

    max_relative_error: float
    worst: Entry
    by_parameter: dict[tuple[int, str], float]
    n_checked: int
    n_kinks: int


@quiet
def check(
    model: Model,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    tolerance: float = 1e-6,
    max_entries: int | None = 100,
    seed: int = 0,
    sample_weight: npt.ArrayLike | None = None,
) -> Result:
    """Compare ``model.loss_and_gradients(X, y)`` with finite differences of its loss, in float64.

    The model is left as it is: everything happens on a copy, of dtype float64 also where the model is of float32.

    Parameters
    ----------
    model : Model
        Built or not.
    X : array_like of shape (n_samples, ...)
        A few samples are enough, and faster.
    y : array_like
        Targets, as for `Model.fit`.
    tolerance : float, default 1e-6
        Largest relative error that passes: of ``|gradient - difference|`` to the larger of the two, or to a thousandth
        of the model's largest gradient where both are smaller than that.
    max_entries : int or None, default 100
        Of each W and each b, so many entries are compared, drawn at random; None compares all.
    seed : int, default 0
        Of that draw.
    sample_weight : array_like of shape (n_samples,) or None, default None
        As for `Model.fit`.

    Returns
    -------
    Result

    Raises
    ------
    GradientError
        A ValueError: where the tolerance is exceeded. It names the layer and the entry.
    ValueError, TypeError
        Where the data do not suit the model, or all entries lie on kinks.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_digits()
    >>> model = fm.Model([fm.Dense(8, "tanh"), fm.Dense(10)], loss="softmax_cross_entropy")
    >>> result = fm.gradcheck.check(model, X[:20] / 16, y[:20])
    >>> bool(result.max_relative_error < 1e-6), result.n_checked, result.n_kinks
    (True, 198, 0)
    """
    tolerance = finite_number("tolerance", tolerance, above=0)
    if max_entries is not None:
        max_entries = bounded_integer("max_entries", max_entries)
    seed = bounded_integer("seed", seed, at_least=0)
    core_of(model)  # a TypeError of anything else
    twin = _in_float64(model)
    data = (X, y) if sample_weight is None else (X, y, sample_weight)
    loss, gradients = twin.loss_and_gradients(*data)
    if not math.isfinite(loss):
        raise ValueError(f"the loss is {loss}: there is nothing to differentiate; look at the weights and the data")
    weights = [tuple(array.copy() for array in pair) for pair in twin.weights]

    def loss_of_weights() -> float:
        twin.weights = weights
        return twin.loss_and_gradients(*data)[0]

    everything = np.concatenate([array.ravel() for pair in gradients for array in pair])
    small = _SMALL * float(np.abs(everything[np.isfinite(everything)]).max(initial=0))
    rng = np.random.default_rng(seed)
    entries: list[Entry] = []
    by_parameter: dict[tuple[int, str], float] = {}
    n_kinks = 0
    for layer, parameter, array, gradient in _parameters(twin, weights, gradients):
        first = len(entries)
        for index in _chosen(array.shape, max_entries, rng):
            found = float(gradient[index])
            size = max(abs(found), small) if math.isfinite(found) else small
            difference, scale = _slope(loss_of_weights, array, index, loss, size, tolerance)
            if difference is None:
                n_kinks += 1
                continue
            error = 0.0 if found == difference else abs(found - difference) / max(scale, abs(difference))
            error = math.inf if math.isnan(error) else error
            entries.append(Entry(layer, parameter, index, found, difference, error))
        errors = [entry.relative_error for entry in entries[first:]]
        by_parameter[layer, parameter] = max(errors, default=math.nan)
    if not entries:
        raise ValueError(f"all {n_kinks} entries lie on kinks of the loss; shift the weights or the data a little")
    worst = max(entries, key=lambda entry: entry.relative_error)
    result = Result(worst.relative_error, worst, by_parameter, len(entries), n_kinks)
    if worst.relative_error > tolerance:
        wrong = sum(entry.relative_error > tolerance for entry in entries)
        message = f"{wrong} of {len(entries)} gradients are wrong by more than {tolerance:g}: {worst}"
        raise GradientError(message, result)
    return result


def _in_float64(model: Model) -> Model:
    """A copy of the model, of its class and with all that it holds, that computes in float64."""
    made = copy.copy(model)
    made._core = core_of(model).in_dtype("float64")
    return made


def _parameters(model: Model, weights: Any, gradients: Any) -> Iterator[tuple[int, str, Any, Any]]:
    """(layer, "W" or "b", weights, gradients) of all that has a gradient, frozen or not."""
    for i, layer in enumerate(core_of(model).weighted):
        named = zip(layer.weight_shapes(1), layer.has_gradient, weights[i], gradients[i], strict=False)
        yield from ((i, name, array, gradient) for name, wanted, array, gradient in named if wanted)


def _chosen(shape: tuple[int, ...], max_entries: int | None, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """Positions in an array: all, or so many at random."""
    size = math.prod(shape)
    few = max_entries is not None and max_entries < size
    flat = np.sort(rng.choice(size, max_entries, replace=False)) if few else np.arange(size)
    for position in flat:
        yield tuple(int(i) for i in np.unravel_index(position, shape))


def _slope(
    loss_of_weights: Callable[[], float],
    array: Any,
    index: tuple[int, ...],
    loss: float,
    scale: float,
    tolerance: float,
) -> tuple[float | None, float]:
    """Slope of the loss along one weight, None on a kink; and the size below which it is hidden by roundings."""
    weight = float(array[index])
    h = _FIRST_STEP * 2.0 ** max(0, math.frexp(weight)[1])  # a power of two: w + h and w - h are hardly rounded
    try:
        for _ in range(_N_STEPS):
            slopes, bends = [], []
            for step in (h, h / 2, h / 4):
                array[index] = weight + step
                above = loss_of_weights()
                array[index] = weight - step
                below = loss_of_weights()
                slopes.append((above - below) / (2 * step))
                bends.append((above - 2 * loss + below) / step)
            noise = _LOSS_ROUNDINGS * float(np.finfo(float).eps) * abs(loss) / (h / 4)
            resolved = max(scale, noise / tolerance)
            coarse, fine = (4 * slopes[1] - slopes[0]) / 3, (4 * slopes[2] - slopes[1]) / 3
            allowed = tolerance / 4 * max(resolved, abs(fine))
            if abs(coarse - fine) <= allowed and abs(bends[1] - 2 * bends[2]) <= 4 * allowed + noise:
                return fine, resolved
            h /= 8
    finally:
        array[index] = weight
    return None, scale
