"""Metrics: numbers that say how good predictions are. Each is a function of targets and predictions, usable alone, and
``Model(..., metrics=["f1"])`` reports it: `Model.evaluate`, and `Model.fit` for its validation data, as "val_f1".

Conventions. Classes are integers from 0. Targets of a classification are labels of shape (n,) or (n, 1), or one-hot (or
probability) rows of shape (n, n_classes). Predictions are what `Model.predict` returns: probabilities (or any scores,
of which the largest counts) of shape (n, n_classes), or the probability of class 1, of shape (n,) or (n, 1), above one
half or not; labels do as well. Every sample counts the same, whatever its weight in the loss. Definitions are those of
scikit-learn, but a division of 0 by 0 is 0, without a warning.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp._names import resolved
from fastmlp._quiet import quiet
from fastmlp._repr import Shown
from fastmlp._validation import (
    Array,
    bounded_integer,
    choice,
    counted,
    keep,
    numeric_array,
    plain_array,
    refuse_masked,
    scalar,
)

AVERAGES = ("binary", "macro", "micro", "weighted")

# How far a row of targets may be from 1 in sum, as losses.py has it.
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
    true, found, _ = _classes(y_true, y_pred)
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
    true, found, n_classes = _classes(y_true, y_pred)
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


# ---- what they share ----


def _array(name: str, values: Any) -> Array:
    array = numeric_array(name, values)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{name} of shape {array.shape} holds no samples")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity; drop or mend such samples first")
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _labels(name: str, array: Array) -> Array:
    if (array != np.floor(array)).any() or array.min() < 0 or array.max() >= 2**31:
        wrong = array[(array != np.floor(array)) | (array < 0) | (array >= 2**31)][0]
        raise ValueError(f"{name} holds {wrong}, which is no class label; classes are counted 0, 1, 2, ...")
    return array.astype(np.int64)


def _true_labels(y_true: Any, n: int, n_classes: int | None = None) -> Array:
    """Labels of the targets of so many samples."""
    array = _array("y_true", y_true)
    if len(array) != n:
        raise ValueError(f"y_true has shape {np.shape(y_true)}, but y_pred holds {n} samples")
    if array.ndim == 1:
        labels = _labels("y_true", array)
        if n_classes is not None and labels.max() >= n_classes:
            raise ValueError(f"y_true holds the label {labels.max()}, but y_pred scores {n_classes} classes")
        return labels
    if array.ndim != 2 or (np.abs(array.sum(axis=1, dtype=np.float64) - 1) > _SUM_TOLERANCE).any():
        raise ValueError(
            f"y_true of shape {np.shape(y_true)} must hold labels or one-hot rows; of several labels a sample, take "
            "one column at a time"
        )
    if n_classes is not None and array.shape[1] != n_classes:
        raise ValueError(f"y_true has shape {np.shape(y_true)}, but y_pred scores {n_classes} classes")
    found: Array = array.argmax(axis=1)
    return found


def _scores(y_pred: Any) -> Array:
    array = _array("y_pred", y_pred)
    if array.ndim > 2:
        raise ValueError(f"y_pred has shape {array.shape}; predictions have shape (n,) or (n, n_classes)")
    return array


def _classes(y_true: Any, y_pred: Any) -> tuple[Array, Array, int]:
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
    true, found, n_classes = _classes(y_true, y_pred)
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


def _values(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    true, found = _array("y_true", y_true), _array("y_pred", y_pred)
    if true.shape != found.shape:
        raise ValueError(f"y_true has shape {np.shape(y_true)}, but y_pred {np.shape(y_pred)}")
    n = len(true)
    return true.reshape(n, -1).astype(np.float64), found.reshape(n, -1).astype(np.float64)


# ---- in a model ----

OF_CLASSES: dict[str, Callable[..., float]] = {
    function.__name__: function
    for function in (accuracy, top_k_accuracy, balanced_accuracy, precision, recall, f1, roc_auc)
}
OF_VALUES: dict[str, Callable[..., float]] = {function.__name__: function for function in (r2, mse, rmse, mae, mape)}
BY_NAME = OF_CLASSES | OF_VALUES


def _named(name: str, average: Any, k: Any) -> dict[str, Any]:
    """The arguments of a metric that a name stands for: "f1_macro" and "top_3_accuracy" hold an option."""
    found = re.fullmatch(r"(precision|recall|f1)_(binary|macro|micro|weighted)", name)
    if found and average in (None, found[2]):
        return {"function": found[1], "average": found[2]}
    found = re.fullmatch(r"top_([1-9]\d{0,8})_accuracy", name)
    if found and k in (None, int(found[1])):
        return {"function": "top_k_accuracy", "k": int(found[1])}
    return {"function": resolved("metric", name, BY_NAME)}


def _text(value: Any) -> Any:
    """A string as Python's own, anything else as it is."""
    value = scalar("a metric", value)
    return str(value) if isinstance(value, str) else value


@dataclasses.dataclass(frozen=True, repr=False)
class Metric(Shown):
    """A metric with options, for ``Model(..., metrics=[...])``.

    Parameters
    ----------
    function : str or callable
        {"accuracy", "top_k_accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "r2", "mse", "rmse",
        "mae", "mape"}, also "f1_macro" or "top_3_accuracy", which hold an option, or what Keras and scikit-learn call
        them; or a function of targets and predictions that returns a number. Targets come as the model's loss has them,
        labels of shape (n,) or values of shape (n, n_outputs); predictions as `Model.predict` returns them.
    average : {"binary", "macro", "micro", "weighted"} or None, default None
        For "precision", "recall" and "f1".
    k : int or None, default None
        For "top_k_accuracy", whose default is 5.
    name : str or None, default None
        In logs; None: the function's, "f1_macro" or "top_3_accuracy" with an option.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of its range or of the wrong type.

    Examples
    --------
    >>> import fastmlp as fm
    >>> model = fm.Model([fm.Dense(10)], "softmax_cross_entropy", metrics=[fm.metrics.Metric("f1", average="macro")])
    >>> model.metrics[0].name
    'f1_macro'
    """

    function: str | Callable[[Array, Array], float]
    average: str | None = None
    k: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        keep(self, function=_text(self.function), name=_text(self.name))
        if not isinstance(self.function, str) and self.function in BY_NAME.values():
            object.__setattr__(self, "function", self.function.__name__)
        if isinstance(self.function, str):
            keep(self, **_named(self.function, self.average, self.k))
        known = self.function if isinstance(self.function, str) else None
        if known is None and not callable(self.function):
            raise TypeError(f"a metric must be a name or a function of targets and predictions, not {self.function!r}")
        if self.average is not None:
            if known not in ("precision", "recall", "f1"):
                raise ValueError(f"average={self.average!r} has no meaning for the metric {self.function!r}")
            keep(self, average=choice("average", self.average, AVERAGES))
        if self.k is not None:
            if known != "top_k_accuracy":
                raise ValueError(f"k={self.k!r} has no meaning for the metric {self.function!r}")
            keep(self, k=bounded_integer("k", self.k))
        if self.name is None:
            object.__setattr__(self, "name", self._usual_name())
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(
                f"{self.name!r} is no name for a metric; give one: fastmlp.metrics.Metric(function, name='mine')"
            )

    def _is_default(self, name: str, value: Any, default: Any) -> bool:
        """Whether an argument may be left out."""
        return bool(value == (self._usual_name() if name == "name" else default))

    def _usual_name(self) -> str:
        if not isinstance(self.function, str):
            return getattr(self.function, "__name__", type(self.function).__name__)
        if self.k is not None:
            return f"top_{self.k}_accuracy"
        return self.function if self.average is None else f"{self.function}_{self.average}"

    def __call__(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
        if isinstance(self.function, str):
            options = {name: getattr(self, name) for name in ("average", "k") if getattr(self, name) is not None}
            return BY_NAME[self.function](y_true, y_pred, **options)
        value = self.function(plain_array("y_true", y_true), plain_array("y_pred", y_pred))
        refuse_masked(f"what the metric {self.name!r} returns", value)
        if np.ndim(value) != 0:
            raise TypeError(f"the metric {self.name!r} must return a number, not an array of shape {np.shape(value)}")
        if not np.isreal(value):
            raise TypeError(f"the metric {self.name!r} must return a number, not {value!r}")
        return float(value)


def get(metric: "str | Metric | Callable[[Array, Array], float]") -> Metric:
    """A metric from its name, from a function or from itself.

    Parameters
    ----------
    metric : str, callable or Metric

    Returns
    -------
    Metric
    """
    return metric if isinstance(metric, Metric) else Metric(metric)


def suited(metrics: Any, loss: Any, n_outputs: int) -> tuple[Metric, ...]:
    """The metrics of a model, checked against its loss; without the accuracy that the loss reports itself.

    Parameters
    ----------
    metrics : sequence of str, callable or Metric
    loss : Loss
    n_outputs : int

    Returns
    -------
    tuple of Metric
    """
    if isinstance(metrics, str | Metric) or not isinstance(metrics, Sequence):
        raise TypeError(f"metrics must be a list such as ['f1'], not {metrics!r}")
    found = [get(metric) for metric in metrics]
    kind = type(loss).__name__
    for metric in found:
        if metric.function in OF_CLASSES and not loss.has_accuracy and kind != "Custom":
            raise ValueError(f"the metric {metric.name!r} is of classes, but {kind} predicts values")
        if metric.function in OF_VALUES and loss.has_accuracy:
            raise ValueError(f"the metric {metric.name!r} is of values, but {kind} predicts classes")
        several = loss.has_accuracy and loss.link != "softmax" and n_outputs > 1
        if several and metric.function in OF_CLASSES and metric.function != "accuracy":
            raise ValueError(
                f"the metric {metric.name!r} wants one class a sample, but {kind} with "
                f"{counted(n_outputs, 'output')} predicts several labels; give a function"
            )
        if metric.function == "top_k_accuracy" and n_outputs == 1:
            raise ValueError(f"the metric {metric.name!r} wants an output for every class, but the model has one")
    if loss.has_accuracy:
        found = [metric for metric in found if metric.function != "accuracy"]
    names = ["loss", *(["accuracy"] if loss.has_accuracy else []), *(metric.name for metric in found)]
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(
            f"two metrics are called {twice[0]!r}; give one another name: fastmlp.metrics.Metric(..., name=)"
        )
    return tuple(found)


def evaluated(metrics: Sequence[Metric], loss: Any, targets: Array, predictions: Array) -> dict[str, float]:
    """The metrics of a model's predictions, by name.

    Those of this module take the sign of raw scores for a class (`Hinge`), and of more outputs than targets the first
    ones (the means of `GaussianNLL`); a function of the user's takes targets and predictions as they are.

    Parameters
    ----------
    metrics : sequence of Metric
    loss : Loss
    targets, predictions : ndarray

    Returns
    -------
    dict of str to float
    """
    found = {}
    for metric in metrics:
        true, predicted = targets, predictions
        if metric.function in OF_CLASSES and loss.has_accuracy and loss.link == "identity":
            true = true > 0
            predicted = predicted if metric.function == "roc_auc" else predicted > 0
        elif metric.function in OF_VALUES and true.ndim == 2:
            predicted = predicted[:, : true.shape[1]]
        found[str(metric.name)] = metric(true, predicted)
    return found
