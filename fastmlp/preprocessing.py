"""Preprocessing: how a model reads its inputs, fitted to the training data and saved with the weights.

``Model(..., preprocessing=fm.Standardize())`` learns its statistics from the training samples in the first `fit`, or
from given ones in `Model.adapt`, and keeps them; `Model.statistics` shows them. All that takes X applies them while it
copies a batch into the engine's buffers: the data themselves are neither changed nor copied.
"""

import dataclasses
from typing import Any

import numpy as np

from fastmlp import _engine
from fastmlp._validation import Array

Statistics = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Base of all preprocessing."""

    def fitted(self, X: Array, subset: Array | None, dtype: str) -> Statistics:
        """Statistics of the rows `subset` of X (n_samples, n_inputs), or of all: float64 arrays by name."""
        raise NotImplementedError

    def shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the statistics, by name."""
        raise NotImplementedError

    def scaling(self, statistics: Statistics) -> tuple[Array, Array, Array | None]:
        """(scale, shift, matrix): the network gets ``(x * scale + shift) @ matrix``; None is the identity."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Standardize(Preprocessing):
    """Every column with mean 0 and variance 1: ``(x - mean) / scale``, scale the root of the column's variance.

    As scikit-learn's StandardScaler: the variance is divided by the number of samples, and a constant column gets the
    scale 1. Costs nothing, as it happens while a batch is copied.

    Notes
    -----
    Means and variances are summed in float64 in a fixed order: the same bits on every machine, for any number of
    threads. An input is rounded to the model's dtype first: of a column whose mean is more than 10**6 times its spread,
    float32 leaves a digit or none.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_breast_cancer()
    >>> model = fm.Model([fm.Dense(1)], "binary_cross_entropy", "adam", preprocessing=fm.Standardize())
    >>> history = model.fit(X, y, epochs=20, verbose=0)
    >>> model.statistics["mean"].shape
    (30,)
    """

    def fitted(self, X: Array, subset: Array | None, dtype: str) -> Statistics:
        """Mean and scale of each column."""
        mean, variance = _moments(X, subset)
        scale = np.sqrt(variance)
        # A variance that is rounding alone: below the error of the mean, or of the sum of squares.
        n = len(X) if subset is None else len(subset)
        constant = (variance <= n * _EPSILON * variance + (n * _EPSILON * mean) ** 2) | (scale < np.finfo(dtype).tiny)
        return {"mean": mean, "scale": np.where(constant, 1.0, scale)}

    def shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """A mean and a scale for each column."""
        return {"mean": (n_inputs,), "scale": (n_inputs,)}

    def scaling(self, statistics: Statistics) -> tuple[Array, Array, Array | None]:
        """``x / scale - mean / scale``."""
        return 1 / statistics["scale"], -statistics["mean"] / statistics["scale"], None


_EPSILON = float(np.finfo(np.float64).eps)


def _moments(X: Array, subset: Array | None) -> tuple[Array, Array]:
    mean, variance = _engine.moments(X, subset)
    bad = np.flatnonzero(~np.isfinite(variance))
    if len(bad):
        raise ValueError(f"column {bad[0]} of X has values so large that its variance is no finite number; scale it")
    return mean, variance


BY_NAME: dict[str, type[Preprocessing]] = {"standardize": Standardize}


def get(preprocessing: "str | Preprocessing | None") -> Preprocessing | None:
    """Preprocessing from its name or from itself.

    Parameters
    ----------
    preprocessing : {"standardize"} or Preprocessing or None

    Returns
    -------
    Preprocessing or None
    """
    if preprocessing is None or (isinstance(preprocessing, Preprocessing) and type(preprocessing) is not Preprocessing):
        return preprocessing
    if isinstance(preprocessing, str) and preprocessing in BY_NAME:
        return BY_NAME[preprocessing]()
    names = ", ".join(map(repr, BY_NAME))
    if isinstance(preprocessing, str):
        raise ValueError(f"preprocessing {preprocessing!r} is unknown; choose {names}")
    raise TypeError(
        f"preprocessing must be one of {names} or an object such as fastmlp.Standardize(), not {preprocessing!r}"
    )
