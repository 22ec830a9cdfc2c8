"""Metrics of a classification."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp._quiet import quiet
from fastmlp._validation import (
    Array,
    bounded_integer,
    choice,
    counted,
)
from fastmlp.metrics.base import checked_array

AVERAGES = ("binary", "macro", "micro", "weighted")
# How far a row of targets may be from 1 in sum, as fastmlp/losses/classes.py has it.
_SUM_TOLERANCE = 1e-3


@quiet
def accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Share of right predictions.

    Parameters
    ----------
    y_true, y_pred : array_like
        Targets and predictions, see the module's conventions.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> accuracy([0, 1, 1, 2], [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    0.75
    """
    true, found, _ = classes_of(y_true, y_pred)
    return float(np.mean(true == found))


@quiet
def top_k_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, k: int = 5) -> float:
    """Share of samples whose class is among the k with the highest scores, as scikit-learn's top_k_accuracy_score.

    Of classes with equal scores the one with the larger label comes first, whichever is the right one: constant
    predictions have the accuracy of always naming the k last classes.

    Parameters
    ----------
    y_true : array_like
        Targets.
    y_pred : array_like of shape (n, n_classes)
        Probabilities or scores.
    k : int, default 5
        At least 1.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> top_k_accuracy([0, 1, 2], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], k=2)
    0.6666666666666666
    """
    k = bounded_integer("k", k)
    scores = _scores(y_pred)
    if scores.ndim != 2:
        raise ValueError(f"y_pred has shape {np.shape(y_pred)}, but the top k are found among columns, one a class")
    true = _true_labels(y_true, len(scores), scores.shape[1])
    own = np.take_along_axis(scores, true[:, None], axis=1)
    tied_before = (scores == own) & (np.arange(scores.shape[1]) > true[:, None])
    return float(np.mean(((scores > own) | tied_before).sum(axis=1) < k))


@quiet
def balanced_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Mean over the classes in y_true of the share of their samples that are predicted right.

    Parameters
    ----------
    y_true, y_pred : array_like
        Targets and predictions.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 1, 1])
    0.8333333333333333
    """
    right, _, true, _ = _counts_by_class(y_true, y_pred)
    there = true > 0
    return float(np.mean(right[there] / true[there]))


@quiet
def confusion_matrix(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """How often class i was predicted to be class j.

    Parameters
    ----------
    y_true, y_pred : array_like
        Targets and predictions.

    Returns
    -------
    ndarray of shape (n_classes, n_classes), int64
        Entry (i, j); n_classes are the columns of either, or else the largest label and one.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1])
    array([[1, 1],
           [0, 2]])
    """
    true, found, n_classes = classes_of(y_true, y_pred)
    counts = np.bincount(true * n_classes + found, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


@quiet
def precision(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, average: str | None = None) -> float:
    """Share of right ones among those predicted to be of a class.

    Parameters
    ----------
    y_true, y_pred : array_like
        Targets and predictions.
    average : {"binary", "macro", "micro", "weighted"} or None, default None
        That of class 1; the mean over the classes in either; over all samples, which is the accuracy; the mean weighted
        by the samples of each class in y_true. None: "binary" for two classes, "macro" for more.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> precision([0, 0, 1, 1], [0, 1, 1, 1])
    0.6666666666666666
    """
    right, predicted, true = _counts(y_true, y_pred, average)
    return _averaged(right, predicted, true, average)


@quiet
def recall(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, average: str | None = None) -> float:
    """Share of those predicted right among the samples of a class.

    Parameters
    ----------
    y_true, y_pred : array_like
        Targets and predictions.
    average : {"binary", "macro", "micro", "weighted"} or None, default None
        As for `precision`.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> recall([0, 0, 1, 1], [0, 1, 1, 1], average="macro")
    0.75
    """
    right, _, true = _counts(y_true, y_pred, average)
    return _averaged(right, true, true, average)


@quiet
def f1(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, average: str | None = None) -> float:
    """Harmonic mean of precision and recall of a class: ``2 right / (predicted + true)``.

    Parameters
    ----------
    y_true, y_pred : array_like
        Targets and predictions.
    average : {"binary", "macro", "micro", "weighted"} or None, default None
        As for `precision`.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> f1([0, 0, 1, 1], [0, 1, 1, 1])
    0.8
    """
    right, predicted, true = _counts(y_true, y_pred, average)
    return _averaged(2 * right, predicted + true, true, average)


@quiet
def roc_auc(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Area under the ROC curve: the probability that a sample of the class scores higher than one that is not [1]_.

    Of three and more classes, the mean over those in y_true of each one against the rest.

    Parameters
    ----------
    y_true : array_like
        Targets.
    y_pred : array_like of shape (n,), (n, 1) or (n, n_classes)
        Probabilities or scores, of class 1 or of every class.

    Returns
    -------
    float
        In [0, 1]; NaN where y_true holds a single class.

    References
    ----------
    .. [1] Hanley, McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
       Radiology 143 (1982): the rank statistic of Mann and Whitney, a tie counting one half.

    Examples
    --------
    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    scores = _scores(y_pred)
    if scores.ndim == 1 or scores.shape[1] == 2:
        one = scores if scores.ndim == 1 else scores[:, 1]
        return _area(_true_labels(y_true, len(one), 2) == 1, one)
    true = _true_labels(y_true, len(scores), scores.shape[1])
    areas = [_area(true == label, scores[:, label]) for label in np.unique(true)]
    return float(np.mean(areas))


def _labels(name: str, array: Array) -> Array:
    if (array != np.floor(array)).any() or array.min() < 0 or array.max() >= 2**31:
        wrong = array[(array != np.floor(array)) | (array < 0) | (array >= 2**31)][0]
        raise ValueError(f"{name} holds {wrong}, which is no class label; classes are counted 0, 1, 2, ...")
    return array.astype(np.int64)


def _true_labels(y_true: Any, n: int, n_classes: int | None = None) -> Array:
    """Labels of the targets of so many samples."""
    array = checked_array("y_true", y_true)
    if len(array) != n:
        raise ValueError(f"y_true has shape {np.shape(y_true)}, but y_pred holds {counted(n, 'sample')}")
    if array.ndim == 1:
        labels = _labels("y_true", array)
        if n_classes is not None and labels.max() >= n_classes:
            raise ValueError(f"y_true holds the label {labels.max()}, but y_pred scores {counted(n_classes, 'class')}")
        return labels
    if array.ndim != 2 or (np.abs(array.sum(axis=1, dtype=np.float64) - 1) > _SUM_TOLERANCE).any():
        raise ValueError(
            f"y_true of shape {np.shape(y_true)} must hold labels or one-hot rows; of several labels a sample, take "
            "one column at a time"
        )
    if n_classes is not None and array.shape[1] != n_classes:
        raise ValueError(f"y_true has shape {np.shape(y_true)}, but y_pred scores {counted(n_classes, 'class')}")
    found: Array = array.argmax(axis=1)
    return found


def _scores(y_pred: Any) -> Array:
    array = checked_array("y_pred", y_pred)
    if array.ndim > 2:
        raise ValueError(f"y_pred has shape {array.shape}; predictions have shape (n,) or (n, n_classes)")
    return array


def classes_of(y_true: Any, y_pred: Any) -> tuple[Array, Array, int]:
    """Labels of targets and predictions, and the number of classes."""
    scores = _scores(y_pred)
    if scores.ndim == 2:
        n_classes = scores.shape[1]
        return _true_labels(y_true, len(scores), n_classes), scores.argmax(axis=1), n_classes
    if scores.dtype.kind == "f" and (scores != np.floor(scores)).any():
        if scores.min() < 0 or scores.max() > 1:
            wrong = scores.min() if scores.min() < 0 else scores.max()
            raise ValueError(f"y_pred holds {wrong}, which is neither a label nor a probability of class 1")
        found = (scores > 0.5).astype(np.int64)
    else:
        found = _labels("y_pred", scores)
    true = _true_labels(y_true, len(found))
    columns = np.shape(y_true)[1] if np.ndim(y_true) == 2 else 1
    return true, found, max(2, columns, int(true.max()) + 1, int(found.max()) + 1)


def _counts_by_class(y_true: Any, y_pred: Any) -> tuple[Array, Array, Array, int]:
    """Right, predicted and true samples of each class, and the number of classes: without the matrix of confusions,
    which has an entry for each pair of them. Of many more classes than samples, of those that are there alone."""
    true, found, n_classes = classes_of(y_true, y_pred)
    n = n_classes
    if n > max(2, 2 * len(true)):
        there, position = np.unique(np.concatenate([true, found]), return_inverse=True)
        true, found, n = position[: len(true)], position[len(true) :], len(there)
    right, predicted, wanted = (np.bincount(each, minlength=n) for each in (true[true == found], found, true))
    return right, predicted, wanted, n_classes


def _counts(y_true: Any, y_pred: Any, average: str | None) -> tuple[Array, Array, Array]:
    """Right, predicted and true samples: of the classes to be averaged over."""
    if average is not None:
        choice("average", average, AVERAGES)
    right, predicted, true, n_classes = _counts_by_class(y_true, y_pred)
    if average == "binary" and n_classes > 2:
        raise ValueError(f"average='binary' is for two classes, not {n_classes}; choose 'macro', 'micro' or 'weighted'")
    if average == "binary" or (average is None and n_classes == 2):
        return right[1:], predicted[1:], true[1:]
    there = predicted + true > 0
    return right[there], predicted[there], true[there]


def _averaged(above: Array, below: Array, true: Array, average: str | None) -> float:
    if average == "micro":
        above, below, true = (np.array([each.sum()]) for each in (above, below, true))
    ratios = np.where(below > 0, above / np.maximum(below, 1), 0.0)
    return float(np.average(ratios, weights=true) if average == "weighted" else ratios.mean())


def _area(positive: Array, scores: Array) -> float:
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    _, position, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2  # from 1, equal scores share the mean of theirs
    above = rank[position.reshape(-1)][positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))
