"""What all pictures share: matplotlib (extra "plot"), imported when the first one is drawn, Axes, files and colours."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp import _writing
from fastmlp._validation import file_path

# Okabe and Ito, "Color universal design", 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")

# Of the samples of each class, so that colours are not all that tells them apart.
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")


def colour_bar(ax: Any, image: Any, label: str, **options: Any) -> None:
    """The scale of an image beside it."""
    bar = ax.figure.colorbar(image, ax=ax, label=label, fraction=0.045, pad=0.02, **options)
    bar.outline.set_visible(False)


def axes(ax: Any, size: tuple[float, float] = (6.4, 4), fixed_aspect: bool = False) -> Any:
    """The Axes to draw into: that of the user, checked, or one of a new figure."""
    plt = pyplot()
    if ax is not None and not isinstance(ax, plt.Axes):
        given = f"an array of shape {ax.shape}" if isinstance(ax, np.ndarray) else repr(ax)
        raise TypeError(f"ax must be one matplotlib Axes, not {given}")
    layout = "compressed" if fixed_aspect else "constrained"  # the latter cuts the labels of square axes
    return plt.subplots(figsize=size, layout=layout)[1] if ax is None else ax


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
    with _writing.replacing(path) as temporary:
        save_new(plot, temporary, size)


def save_new(plot: Callable[[Any], Any], path: Path, size: tuple[float, float] = (6.4, 4)) -> None:
    """Write a picture as `save` does, but straight to a new file, which is on the disk in the end."""
    pyplot()
    from matplotlib.figure import Figure  # not by way of pyplot: no window, whatever the backend

    figure = Figure(figsize=size, layout="constrained")
    plot(figure.subplots())
    with open(path, "xb") as file:
        figure.savefig(file, format="png", dpi=150)
        file.flush()
        os.fsync(file.fileno())


def to_file(ax: Any, path: str, close: bool) -> None:
    """Write the figure of some Axes, whole or not at all, in the format that the ending says.

    Parameters
    ----------
    ax : matplotlib Axes
    path : str
    close : bool
        Whether pyplot is to forget the figure.
    """
    figure = ax.figure
    try:
        target = Path(os.path.realpath(path))
        if not target.suffix:  # as matplotlib does
            target = target.with_name(f"{target.name}.{figure.canvas.get_default_filetype()}")
        with _writing.replacing(target) as temporary, open(temporary, "xb") as file:
            figure.savefig(file, format=target.suffix[1:].lower(), dpi=150)
    finally:
        if close:
            pyplot().close(figure)


def drawn(draw: Callable[[Any], Any], ax: Any, path: str | os.PathLike[str] | None) -> Any:
    """What draw(ax) draws; where a path is given also written there, and closed if it has a figure of its own.

    Parameters
    ----------
    draw : callable
        ``draw(ax)`` gives Axes.
    ax : matplotlib Axes or None
    path : str or path-like or None

    Returns
    -------
    matplotlib Axes
    """
    if path is None:
        return draw(ax)
    name = file_path("to_file", path)
    found = draw(ax)
    to_file(found, name, close=ax is None)
    return found
