"""Metrics of a model: which ones suit it, and what they are of its predictions."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp._names import resolved, with_option
from fastmlp._repr import Shown
from fastmlp._validation import (
    Array,
    bounded_integer,
    choice,
    counted,
    keep,
    plain_array,
    refuse_masked,
    scalar,
    shown,
)
from fastmlp.metrics.classes import (
    AVERAGES,
    accuracy,
    balanced_accuracy,
    f1,
    precision,
    recall,
    roc_auc,
    top_k_accuracy,
)
from fastmlp.metrics.values import mae, mape, mse, r2, rmse

OF_CLASSES: dict[str, Callable[..., float]] = {
    function.__name__: function
    for function in (accuracy, top_k_accuracy, balanced_accuracy, precision, recall, f1, roc_auc)
}
OF_VALUES: dict[str, Callable[..., float]] = {function.__name__: function for function in (r2, mse, rmse, mae, mape)}
BY_NAME = OF_CLASSES | OF_VALUES


def _named(name: str, average: Any, k: Any) -> dict[str, Any]:
    """The arguments of a metric that a name stands for: "f1_macro" and "top_3_accuracy" hold an option."""
    usual = with_option(name) or name
    found = re.fullmatch(r"(precision|recall|f1)_(binary|macro|micro|weighted)", usual)
    if found and average in (None, found[2]):
        return {"function": found[1], "average": found[2]}
    found = re.fullmatch(r"top_([1-9]\d{0,8})_accuracy", usual)
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
        if known is None and (not callable(self.function) or isinstance(self.function, type)):
            raise TypeError(
                f"a metric must be a name or a function of targets and predictions, not {shown(self.function)}"
            )
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
    metrics : sequence of str, callable or Metric; or None, as Keras has it, for none
    loss : Loss
    n_outputs : int

    Returns
    -------
    tuple of Metric
    """
    if metrics is None:
        return ()
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
