"""Pictures, by matplotlib (extra "plot"), which is imported when the first one is drawn.

Each function draws into ``ax``, or into a new figure, and returns the Axes: ``ax.figure.savefig("name.png")`` keeps it.
Colours are those that all readers tell apart: of Okabe and Ito for curves and classes, cividis or red to blue for
values.
"""

from collections.abc import Sequence
from typing import Any

from fastmlp import _curves
from fastmlp.history import History
from fastmlp.plotting.networks import activations, first_layer, network
from fastmlp.plotting.predictions import confusion_matrix, decision_boundary

__all__ = [
    "activations",
    "confusion_matrix",
    "decision_boundary",
    "first_layer",
    "history",
    "network",
    "rate_sweep",
]


def history(history: History, ax: Any = None, names: Sequence[str] | None = None) -> Any:
    """Losses over the epochs on the left axis, metrics on the right one, and the learning rate, dotted.

    Curves of training are solid, those of validation dashed. Beside both losses and metrics the learning rate has its
    scale within the frame, right of the last epoch. There are numbers on both sides: give a figure with other Axes
    ``layout="constrained"``.

    Parameters
    ----------
    history : History
    ax : matplotlib Axes or None, default None
        Where to draw the losses; None makes a new figure.
    names : sequence of str or None, default None
        What to draw, "loss" or "accuracy" for example, each with its ``"val_"`` where that was recorded; None:
        everything.

    Returns
    -------
    matplotlib Axes
        Of the losses.

    Raises
    ------
    ValueError
        Where nothing was recorded, or not what is asked for.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_digits()
    >>> model = fm.Model([fm.Dense(32, "relu"), fm.Dense(10)], loss="softmax_cross_entropy", optimizer="adam")
    >>> history = model.fit(X / 16, y, epochs=5, validation_data=(X / 16, y), verbose=0)
    >>> history.plot().get_ylabel()
    'loss'
    """
    if not isinstance(history, History):
        raise TypeError(f"history must be a fastmlp.History, not {type(history).__name__}")
    return _curves.of_history(history, ax, names)


def rate_sweep(sweep: Any, ax: Any = None) -> Any:
    """The losses of `fastmlp.find_learning_rate` over the rates, their means, and the rate that is suggested.

    Parameters
    ----------
    sweep : RateSweep
    ax : matplotlib Axes or None, default None
        None makes a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_digits()
    >>> model = fm.Model([fm.Dense(10)], loss="softmax_cross_entropy", optimizer="adam")
    >>> ax = fm.find_learning_rate(model, X / 16, y).plot()
    """
    return _curves.of_rate_sweep(sweep, ax)
