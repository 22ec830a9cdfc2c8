"""Pictures, by matplotlib (extra "plot"), imported when the first one is drawn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastmlp import files
from fastmlp.history import History


def pyplot() -> Any:
    """matplotlib.pyplot, or an ImportError that names the extra."""
    try:
        import matplotlib.pyplot
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ImportError("pictures need matplotlib: pip install 'fastmlp[plot]'") from None
    return matplotlib.pyplot


def save(plot: Callable[[Any], Any], path: Path, size: tuple[float, float] = (6.4, 4)) -> None:
    """Write a picture as PNG, whole or not at all.

    Parameters
    ----------
    plot : callable
        Draws into the matplotlib Axes that it is given.
    path : Path
    size : tuple of float, default (6.4, 4)
        Width and height in inches.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    pyplot()
    from matplotlib.figure import Figure  # not by way of pyplot: no window, whatever the backend

    figure = Figure(figsize=size, layout="constrained")
    plot(figure.subplots())
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def plot_history(history: History, ax: Any = None) -> Any:
    """Losses over the epochs on the left axis, accuracies on the right one.

    Parameters
    ----------
    history : History
    ax : matplotlib Axes or None, default None
        Where to draw the losses; None makes a new figure.

    Returns
    -------
    matplotlib Axes
        Of the losses.
    """
    if not history.epoch:
        raise ValueError("this history holds no epoch to draw")
    plt = pyplot()
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
    epochs = [epoch + 1 for epoch in history.epoch]
    curves = []
    for name, style, label in (("loss", "-", "loss, training"), ("val_loss", "--", "loss, validation")):
        if name in history.history:
            curves += ax.plot(epochs, history[name], style, color="tab:blue", label=label)
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.xaxis.get_major_locator().set_params(integer=True)
    if "accuracy" in history.history:
        right = ax.twinx()
        right.set_ylabel("accuracy")
        for name, style, label in (
            ("accuracy", "-", "accuracy, training"),
            ("val_accuracy", "--", "accuracy, validation"),
        ):
            if name in history.history:
                curves += right.plot(epochs, history[name], style, color="tab:orange", label=label)
    # Above the axes: no corner inside is free of both losses, which fall, and accuracies, which rise.
    ax.legend(handles=curves, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize="small", frameon=False)
    return ax
