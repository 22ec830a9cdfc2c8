"""Pictures of predictions: which classes were taken for which, and what a model of two inputs says of the plane."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp import metrics
from fastmlp._figures import axes, colour_bar
from fastmlp._quiet import quiet
from fastmlp._validation import counted, plain_array, refuse_masked
from fastmlp.core import core_of
from fastmlp.plotting import boundary

# Largest number of classes of a confusion matrix.
_MOST_CLASSES = 2000

# Largest number of classes whose counts are written into a confusion matrix.
_MOST_COUNTS = 25


@quiet
def confusion_matrix(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, ax: Any = None, labels: Sequence[Any] | None = None
) -> Any:
    """How many samples of each class were taken for which.

    Colours are shares of the true class, so that rare classes are seen as well as frequent ones; the counts are written
    in where there are at most 25 classes.

    Parameters
    ----------
    y_true, y_pred : array_like
        Targets and predictions, as `fastmlp.metrics` takes them: labels, or what `Model.predict` returns. Or names of
        classes, both.
    ax : matplotlib Axes or None, default None
        None makes a new figure.
    labels : sequence or None, default None
        Names of the classes, by their numbers. Of targets and predictions that are names themselves: which there are,
        in their order; None: those that occur, sorted.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError, TypeError
        Where the two do not fit each other or hold no labels, names are missing or masked, or labels has one twice.

    Examples
    --------
    >>> import fastmlp as fm
    >>> ax = fm.plotting.confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2], labels=["cat", "dog", "horse"])
    """
    labels = None if labels is None else _names_of(labels)
    given = plain_array("y_true", y_true)
    if given.dtype.kind in "USO" and given.size:
        y_true, y_pred, labels = _numbered(given, plain_array("y_pred", y_pred), labels)
    true, predicted, n = metrics.classes_of(y_true, y_pred)
    if n > _MOST_CLASSES:
        raise ValueError(f"there are {n} classes by the largest label; at most {_MOST_CLASSES} are drawn")
    if labels is not None and len(labels) < n:
        raise ValueError(f"labels names {counted(len(labels), 'class')}, but there are {n}")
    n = n if labels is None else len(labels)
    counts = np.bincount(true * n + predicted, minlength=n * n).reshape(n, n)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 0.4 * n if n <= _MOST_COUNTS else 0.0  # room for the counts
    ax = axes(ax, (max(5.6, 1.6 + side), max(4.8, 0.8 + side)), fixed_aspect=True)
    image = ax.imshow(shares, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
    colour_bar(ax, image, "share of the true class")
    if n <= _MOST_COUNTS:
        ticks = range(n)
        points = 72 / ax.figure.dpi * min(ax.bbox.size) / n  # of a cell, about
        size = min(10.0, 0.8 * points / max(1.2, 0.62 * len(str(counts.max()))))
        for i, j in zip(*np.nonzero(counts), strict=True):
            colour = "black" if shares[i, j] > 0.55 else "white"
            ax.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour, fontsize=size)
    else:
        ticks = range(0, n, -(-n // 10))
    names = [str(label) for label in (range(n) if labels is None else labels)]
    turned = max(map(len, names)) * len(ticks) > 40
    ax.set_xticks(ticks, [names[i] for i in ticks], rotation=90 if turned else 0)
    ax.set_yticks(ticks, [names[i] for i in ticks])
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.set_title(f"{np.trace(counts) / len(true):.2%} of {len(true)} right", fontsize="medium")
    return ax


def _names_of(labels: Sequence[Any]) -> list[Any]:
    """Names of classes, none of them twice."""
    refuse_masked("labels", labels)
    names = list(labels)
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(f"labels holds {twice[0]!r} twice; give each class a name of its own")
    return names


def _numbered(
    true: npt.NDArray[Any], predicted: npt.NDArray[Any], labels: Sequence[Any] | None
) -> tuple[Any, Any, Any]:
    """The numbers of classes that are given by name, and all names."""
    if predicted.dtype.kind not in "USO":
        name = true.reshape(-1).tolist()[0]
        raise TypeError(f"y_true holds names such as {name!r}, but y_pred {predicted.dtype}; give names or numbers")
    for name, array in (("y_true", true), ("y_pred", predicted)):
        for value in array.ravel().tolist():
            if not isinstance(value, str | bytes | numbers.Real) or value != value:
                raise TypeError(f"{name} holds {value!r} among names of classes; fill or drop what is missing first")
    try:
        names = sorted({*true.ravel().tolist(), *predicted.ravel().tolist()}) if labels is None else list(labels)
    except TypeError as error:
        raise TypeError(f"y_true and y_pred hold names that have no order: {error}; give strings") from None
    number = {name: i for i, name in enumerate(names)}
    found = []
    for name, array in (("y_true", true), ("y_pred", predicted)):
        unknown = [value for value in array.ravel().tolist() if value not in number]
        if unknown:
            raise ValueError(f"{name} holds {unknown[0]!r}, which labels does not name: {', '.join(map(repr, names))}")
        found.append(np.array([number[value] for value in array.ravel().tolist()]))
    return found[0], found[1], names


@quiet
def decision_boundary(
    model: Any,
    X: npt.ArrayLike,
    y: npt.ArrayLike | None = None,
    ax: Any = None,
    output: int = 0,
    labels: Sequence[Any] | None = None,
) -> Any:
    """Predictions of a model of two inputs around some samples.

    For a softmax each class has its colour, deeper where it is more probable. For an output that is a probability, the
    probability and the line of 1/2, for the score of a hinge the line of 0; for any other output its value, and the
    samples in the same colours.

    Parameters
    ----------
    model : Model
        Of two inputs, trained.
    X : array_like of shape (n_samples, 2)
    y : array_like or None, default None
        Targets as for `Model.fit`; None: the samples are not drawn.
    ax : matplotlib Axes or None, default None
        None makes a new figure.
    output : int, default 0
        Which output of several that are not classes.
    labels : sequence or None, default None
        Names of the classes, by their numbers.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError, TypeError
        Where the model has not two inputs or not this output, or X or y do not fit it.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> model = fm.Model([fm.Dense(16, "tanh"), fm.Dense(2)], loss="softmax_cross_entropy", optimizer="adam")
    >>> history = model.fit(X, y, epochs=20, verbose=0)
    >>> ax = fm.plotting.decision_boundary(model, X, y)
    """
    picture = boundary.of(core_of(model), model.predict, X, y, output)
    n = boundary.n_classes(picture)
    if labels is not None and len(labels) < n:
        raise ValueError(f"labels names {counted(len(labels), 'class')}, but there are {n}")
    if labels is not None and n == 0:
        raise ValueError("labels are names of classes, but the model predicts values; leave them out")
    return boundary.draw(picture, axes(ax, (5.6, 4.6)), labels)
