"""Metrics of a regression."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp._quiet import quiet
from fastmlp._validation import Array
from fastmlp.metrics.base import checked_array


@quiet
def r2(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Coefficient of determination: ``1 - sum (y_true - y_pred)**2 / sum (y_true - mean)**2``, mean over the outputs.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (n,) or (n, n_outputs)
        Targets and predictions.

    Returns
    -------
    float
        At most 1. An output whose targets are all equal counts 1 where it is predicted exactly, else 0.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    true, found = _values(y_true, y_pred)
    left = ((true - found) ** 2).sum(axis=0)
    whole = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    constant = whole == 0
    return float(np.mean(np.where(constant, left == 0, 1 - left / np.where(constant, 1, whole))))


@quiet
def rmse(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Root of the mean squared error of each output, mean over the outputs.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (n,) or (n, n_outputs)
        Targets and predictions.

    Returns
    -------
    float
        In the targets' unit.

    Examples
    --------
    >>> rmse([1.0, 2.0], [1.0, 4.0])
    1.4142135623730951
    """
    true, found = _values(y_true, y_pred)
    return float(np.sqrt(((true - found) ** 2).mean(axis=0)).mean())


@quiet
def mae(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Mean absolute error, over samples and outputs.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (n,) or (n, n_outputs)
        Targets and predictions.

    Returns
    -------
    float
        In the targets' unit.

    Examples
    --------
    >>> mae([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    true, found = _values(y_true, y_pred)
    return float(np.abs(true - found).mean())


@quiet
def mse(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Mean squared error, over samples and outputs.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (n,) or (n, n_outputs)
        Targets and predictions.

    Returns
    -------
    float
        In the square of the targets' unit.

    Examples
    --------
    >>> mse([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    true, found = _values(y_true, y_pred)
    return float(((true - found) ** 2).mean())


@quiet
def mape(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Mean absolute percentage error, over samples and outputs: of ``abs(y_true - y_pred) / abs(y_true)``.

    As scikit-learn's it is a share, 0.1 for 10 %, where Keras's is 100 times as much, and a target of 0 counts as
    2.2e-16, so that an error there is huge.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (n,) or (n, n_outputs)
        Targets and predictions.

    Returns
    -------
    float

    Examples
    --------
    >>> mape([1.0, 2.0], [1.0, 4.0])
    0.5
    """
    true, found = _values(y_true, y_pred)
    return float((np.abs(true - found) / np.maximum(np.abs(true), np.finfo(np.float64).eps)).mean())


def _values(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    true, found = checked_array("y_true", y_true), checked_array("y_pred", y_pred)
    if true.shape != found.shape:
        raise ValueError(f"y_true has shape {np.shape(y_true)}, but y_pred {np.shape(y_pred)}")
    n = len(true)
    return true.reshape(n, -1).astype(np.float64), found.reshape(n, -1).astype(np.float64)
