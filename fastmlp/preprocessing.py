"""Preprocessing: how a model reads its inputs, fitted to the training data and saved with the weights.

``Model(..., preprocessing=fm.Standardize())`` learns its statistics from the training samples in the first `fit`, or
from given ones in `Model.adapt`, and keeps them; `Model.statistics` shows them. Samples count by their weights, those
of classes included, and a sample of weight 0 is as if it were not there. All that takes X applies the statistics while
it copies a batch into the engine's buffers: the data themselves are neither changed nor copied.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from fastmlp import _engine
from fastmlp._engine import LARGEST
from fastmlp._names import resolved
from fastmlp._quiet import quiet
from fastmlp._repr import Shown
from fastmlp._validation import Array, choice, finite_number, keep, scalar, shown

Statistics = dict[str, Array]


# Of a class of one's own without the methods that learn and apply something.
_UNDEFINED = "{} must define fitted, shapes and scaling: derive from fastmlp.Standardize or fastmlp.Whiten"


@dataclasses.dataclass(frozen=True, repr=False)
class Preprocessing(Shown):
    """Base of all preprocessing."""

    @quiet
    def fitted(self, X: Array, subset: Array | None, dtype: str, weights: Array | None = None) -> Statistics:
        """Statistics of the rows `subset` of X (n_samples, n_inputs), or of all, by their weights (n_samples, 1) where
        there are any: float64 arrays by name."""
        raise NotImplementedError(_UNDEFINED.format(type(self).__name__))

    def shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the statistics, by name."""
        raise NotImplementedError(_UNDEFINED.format(type(self).__name__))

    @quiet
    def scaling(self, statistics: Statistics) -> tuple[Array, Array, Array | None]:
        """(mean, scale, matrix): the network gets ``((x - mean) * scale) @ matrix``; None is the identity."""
        raise NotImplementedError(_UNDEFINED.format(type(self).__name__))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, repr=False)
class Standardize(Preprocessing):
    """Every column with mean 0 and variance 1: ``(x - mean) / scale``, scale the root of the column's variance.

    As scikit-learn's StandardScaler: the variance is divided by the number of samples, and a constant column gets the
    scale 1. Where samples have weights, mean and variance are weighted, as those of numpy.average. Costs nothing, as it
    happens while a batch is copied.

    Notes
    -----
    Means and variances are summed in float64 along a fixed tree: the same bits on every machine, for any number of
    threads. The mean is taken off in float64, and the result rounded once to the model's dtype: a time in seconds,
    whose mean is a million times its spread, keeps the digits that X has.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_breast_cancer()
    >>> model = fm.Model([fm.Dense(1)], "binary_cross_entropy", "adam", preprocessing=fm.Standardize())
    >>> history = model.fit(X, y, epochs=20, verbose=0)
    >>> model.statistics["mean"].shape
    (30,)
    """

    @quiet
    def fitted(self, X: Array, subset: Array | None, dtype: str, weights: Array | None = None) -> Statistics:
        """Mean and scale of each column."""
        return standardised(X, subset, dtype, weights)

    def shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """A mean and a scale for each column."""
        return {"mean": (n_inputs,), "scale": (n_inputs,)}

    @quiet
    def scaling(self, statistics: Statistics) -> tuple[Array, Array, Array | None]:
        """``(x - mean) * (1 / scale)``."""
        return statistics["mean"], 1 / statistics["scale"], None


@dataclasses.dataclass(frozen=True, repr=False)
class Whiten(Preprocessing):
    """All columns with mean 0, variance 1, and no correlation: ``(x - mean) @ matrix``.

    With the covariance of the training samples ``V diag(v) V.T``, its eigenvalues v descending, the matrix is
    ``V diag(1 / sqrt(v + epsilon))`` for "pca", whose columns are the principal components, and that ``@ V.T`` for
    "zca", which stays as close to the inputs as whitening can: of an image an image remains [1]_.

    Parameters
    ----------
    method : {"pca", "zca"}, default "zca"
    epsilon : float, default 1e-6
        Added to the eigenvalues, in squared units of the data; above 0. Directions of much less variance fade out
        instead of being blown up.

    Notes
    -----
    A product of (n_inputs, n_inputs) for each sample, in training and prediction; the fit takes about
    ``n_samples * n_inputs**2 + 100 * n_inputs**3`` multiply-adds, once: seconds for 784 inputs. Sums and eigenvectors
    have a fixed order: the same bits for any number of threads and on every instruction set with fused multiply-add.

    References
    ----------
    .. [1] Bell, Sejnowski, "The independent components of natural scenes are edge filters", Vision Research 37, 1997.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_digits()
    >>> whiten = fm.Whiten("zca", epsilon=0.1)
    >>> model = fm.Model([fm.Dense(10)], "softmax_cross_entropy", "adam", preprocessing=whiten)
    >>> history = model.fit(X, y, epochs=5, verbose=0)
    >>> model.statistics["matrix"].shape
    (64, 64)
    """

    method: str = "zca"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        keep(self, method=choice("method", self.method, ("pca", "zca")))
        keep(self, epsilon=finite_number("epsilon", self.epsilon, above=0))

    @quiet
    def fitted(self, X: Array, subset: Array | None, dtype: str, weights: Array | None = None) -> Statistics:
        """Mean of each column, and the matrix."""
        subset, weights = _counted(subset, weights)
        mean, _ = _moments(X, subset, weights)
        values, vectors = _engine.eigh(_engine.covariance(X, mean, subset, weights))
        matrix = vectors.T / np.sqrt(np.maximum(values, 0) + self.epsilon)
        if self.method == "zca":
            matrix = product(matrix, vectors, "float64")
        with np.errstate(over="ignore"):
            if not np.isfinite(matrix.astype(dtype)).all():
                raise ValueError(f"epsilon={self.epsilon!r} makes a matrix that {dtype} cannot hold; use a larger one")
        return {"mean": mean, "matrix": matrix}

    def shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """A mean for each column, and a square matrix."""
        return {"mean": (n_inputs,), "matrix": (n_inputs, n_inputs)}

    @quiet
    def scaling(self, statistics: Statistics) -> tuple[Array, Array, Array | None]:
        """The mean is taken off in the gather; the product follows."""
        return statistics["mean"], np.ones_like(statistics["mean"]), statistics["matrix"]


_EPSILON = float(np.finfo(np.float64).eps)
# Rows of a block of the sums in engine/moments.pxi.
_BLOCK_ROWS = 256


@quiet
def standardised(
    X: Array, subset: Array | None, dtype: str, weights: Array | None = None, name: str = "X"
) -> Statistics:
    """Mean and scale of each column; of a constant one the scale is 1."""
    subset, weights = _counted(subset, weights)
    mean, variance = _moments(X, subset, weights, name)
    scale = np.sqrt(variance)
    # A variance that is rounding alone: below the square of the error of the mean, a chain within each block of the sum
    # and then a tree.
    n = len(X) if subset is None else len(subset)
    error = (min(n, _BLOCK_ROWS) + max(0.0, math.log2(n / _BLOCK_ROWS)) + 2) * _EPSILON * mean
    constant = (variance <= error**2) | (scale < np.finfo(dtype).tiny)
    return {"mean": mean, "scale": np.where(constant, 1.0, scale)}


def _counted(subset: Array | None, weights: Array | None) -> tuple[Array | None, Array | None]:
    """The rows that count and their weights, the largest 1: a row of weight 0 is as if it were not there."""
    if weights is None:
        return subset, None
    of_rows = weights[:, 0].astype(np.float64) if subset is None else weights[subset, 0].astype(np.float64)
    rows = np.flatnonzero(of_rows)
    if len(rows) == 0:
        raise ValueError(
            "all weights are 0, so there is no sample to learn statistics from; give some a weight above 0"
        )
    if len(rows) < len(of_rows):
        of_rows, subset = of_rows[rows], (rows if subset is None else subset[rows]).astype(np.int64)
    return subset, of_rows / of_rows.max()


def _moments(X: Array, subset: Array | None, weights: Array | None, name: str = "X") -> tuple[Array, Array]:
    mean, variance = _engine.moments(X, subset, weights)
    bad = np.flatnonzero(~np.isfinite(variance))
    if len(bad):
        raise ValueError(
            f"column {bad[0]} of {name} has values so large that its variance is no finite number; scale it"
        )
    return mean, variance


@quiet
def check_range(preprocessing: Preprocessing, statistics: Statistics, X: Array, dtype: str) -> None:
    """Raise where X holds what the scaling makes too large for dtype: to be called where a result is not finite."""
    mean, scale, _ = preprocessing.scaling(statistics)
    for ends in (X.min(axis=0), X.max(axis=0)):
        scaled = (ends - mean) * scale
        wrong = np.flatnonzero(~(np.abs(scaled) <= LARGEST[dtype]))
        if len(wrong):
            i = wrong[0]
            raise ValueError(
                f"column {i} of X holds {ends[i]}, which the preprocessing scales to {scaled[i]:.3g}, too large for "
                f"{dtype}: {1 / scale[i]:.3g} it has learned as the scale; adapt the model to such data"
            )


@quiet
def product(x: Array, w: Array, dtype: str) -> Array:
    """``x @ w`` by the engine's kernel, of x on the last axis; NumPy's bits differ between machines."""
    rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]), dtype)
    found = _engine.product(rows, np.ascontiguousarray(w, dtype))
    return found.reshape(*x.shape[:-1], w.shape[1])


BY_NAME: dict[str, type[Preprocessing]] = {"standardize": Standardize, "whiten": Whiten}


def get(preprocessing: "str | Preprocessing | None") -> Preprocessing | None:
    """Preprocessing from its name or from itself.

    Parameters
    ----------
    preprocessing : {"standardize", "whiten"} or Preprocessing or None

    Returns
    -------
    Preprocessing or None
    """
    preprocessing = scalar("preprocessing", preprocessing)
    if preprocessing is None or (isinstance(preprocessing, Preprocessing) and type(preprocessing) is not Preprocessing):
        return preprocessing
    if isinstance(preprocessing, str):
        return BY_NAME[resolved("preprocessing", preprocessing, BY_NAME)]()
    names = ", ".join(map(repr, BY_NAME))
    raise TypeError(
        f"preprocessing must be one of {names} or an object such as fastmlp.Standardize(), not {shown(preprocessing)}"
    )
