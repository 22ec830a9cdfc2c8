"""Pictures, by matplotlib (extra "plot"), which is imported when the first one is drawn.

Each function draws into ``ax``, or into a new figure, and returns the Axes: ``ax.figure.savefig("name.png")`` keeps it.
Colours are those that all readers tell apart: of Okabe and Ito for curves and classes, cividis or red to blue for
values.
"""

import itertools
import math
import numbers
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp import _boundary, _diagram, _engine, _kernels, _writing, metrics
from fastmlp._figures import COLOURS, colour_bar
from fastmlp._quiet import quiet
from fastmlp._validation import bounded_integer, counted, file_path, plain_array, refuse_masked
from fastmlp.core import core_of
from fastmlp.history import History
from fastmlp.layers import DEFAULT_ALPHA, checked_activation

# Largest number of classes of a confusion matrix.
_MOST_CLASSES = 2000

# Largest number of classes whose counts are written into a confusion matrix.
_MOST_COUNTS = 25


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


# Of the learning rate and its scale; and where that begins, a share of the width, where a third one is needed.
GREY, SCALE_AT = "0.35", 0.84


def _axes(ax: Any, size: tuple[float, float] = (6.4, 4), fixed_aspect: bool = False) -> Any:
    """The Axes to draw into: that of the user, checked, or one of a new figure."""
    plt = pyplot()
    if ax is not None and not isinstance(ax, plt.Axes):
        given = f"an array of shape {ax.shape}" if isinstance(ax, np.ndarray) else repr(ax)
        raise TypeError(f"ax must be one matplotlib Axes, not {given}")
    layout = "compressed" if fixed_aspect else "constrained"  # the latter cuts the labels of square axes
    return plt.subplots(figsize=size, layout=layout)[1] if ax is None else ax


# ---- training ----


@quiet
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
    if not history.epoch:
        raise ValueError("this history holds no epoch to draw")
    recorded = dict.fromkeys(name.removeprefix("val_") for name in history.history)
    if names is None:
        names = list(recorded)
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, Sequence):
        raise TypeError(f"names must be a list such as ['loss'], not {names!r}")
    for name in names:
        if name not in recorded:
            raise ValueError(f"{name!r} was not recorded; there are {', '.join(map(repr, recorded))}")
    groups = {
        "loss": [name for name in names if name == "loss"],
        "metric": [name for name in names if name not in ("loss", "learning_rate")],
        "learning rate": [name for name in names if name == "learning_rate"],
    }
    ax = _axes(ax)
    ax.set_xlabel("epoch")
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    curves: list[Any] = []
    axes: list[Any] = []
    colours = iter(itertools.cycle(COLOURS))
    for kind, group in groups.items():
        if not group:
            continue
        own = ax if not axes else ax.twinx()
        axes.append(own)
        own.set_ylabel(group[0].replace("_", " ") if len(group) == 1 else kind)
        for name in group:
            is_rate = name == "learning_rate"
            colour = GREY if is_rate else next(colours)
            for prefix, style, label in (("", "-", "training"), ("val_", "--", "validation")):
                values = history.history.get(prefix + name, [])
                if values:
                    label = name.replace("_", " ") + ("" if is_rate else f", {label}")
                    style = ":" if is_rate else style
                    marker = None if len(history.epoch) > 1 else "D" if prefix else "o"
                    epochs = [epoch + 1 for epoch in history.epoch]
                    curves += own.plot(epochs, values, style, color=colour, label=label, marker=marker)
    if groups["learning rate"]:
        rates = [rate for rate in history["learning_rate"] if rate == rate]
        if min(rates, default=0) > 0:
            axes[-1].set_yscale("log")
    if len(history.epoch) == 1:  # beside each other, as the scale of each axis puts its points at the same heights
        for i, curve in enumerate(curves):
            curve.set_xdata([history.epoch[0] + 1 + 0.1 * (i - (len(curves) - 1) / 2)])
        ax.set_xlim(history.epoch[0] + 0.25, history.epoch[0] + 1.75)
    if len(axes) > 2:
        _scale_within(ax, axes[-1])
    _legend_within(ax, axes, curves, SCALE_AT if len(axes) > 2 else 1.0)
    return ax


def _scale_within(ax: Any, own: Any) -> None:
    """Put the scale of a third axis within the frame, right of all curves: outside there is no place for it."""
    low, high = ax.get_xlim()
    ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
    ax.set_xlim(low, low + (high - low) / SCALE_AT)
    ax.set_xticks(ticks)
    own.spines["right"].set(position=("axes", SCALE_AT), color=GREY)
    own.tick_params(axis="y", which="both", colors=GREY, labelsize="small")
    own.yaxis.label.set(color=GREY, fontsize="small")


def _legend_within(ax: Any, axes: Sequence[Any], curves: Sequence[Any], width: float = 1.0) -> None:
    """A legend above all curves of some axes in one place, there where it hides least of them; in this share of the
    width, from the left."""
    if len(axes) > 1:  # `ax`, which has the legend, goes before the others, and the first of those has the ground
        ax.set_zorder(max(own.get_zorder() for own in axes) + 1)
        ax.patch.set_visible(False)
        axes[1].patch.set_visible(True)
    points = []
    for curve in curves:
        xy = curve.axes.transData.transform(np.column_stack(curve.get_data()).astype(float))
        steps = np.linspace(0, 1, 20)[:, None, None]
        points.append(((1 - steps) * xy[:-1] + steps * xy[1:]).reshape(-1, 2) if len(xy) > 1 else xy)
    within = ax.transAxes.inverted().transform(np.concatenate(points))
    look = {"handles": curves, "fontsize": "small", "framealpha": 0.8, "borderaxespad": 0}
    box = ax.legend(loc="center", **look).get_window_extent()
    size, margin = np.array([box.width, box.height]) / ax.bbox.size, 0.02
    free = np.array([width, 1.0]) - size - 2 * margin
    corners = [(margin + x * free[0], margin + y * free[1]) for y in np.linspace(1, 0, 9) for x in np.linspace(1, 0, 7)]

    def hidden(corner: tuple[float, float]) -> int:
        return int(((within >= np.array(corner) - margin) & (within <= corner + size + margin)).all(1).sum())

    ax.legend(loc=min(corners, key=hidden), **look)


@quiet
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
    ax = _axes(ax)
    ax.plot(sweep.rates, sweep.losses, ".", color="0.7", markersize=4, label="batches")
    ax.plot(sweep.rates, sweep.smoothed, color=COLOURS[0], label="means")
    if sweep.suggestion is not None:
        label = f"suggestion: {sweep.suggestion:.2g}"
        ax.axvline(sweep.suggestion, color=COLOURS[1], linestyle="--", label=label)
    low, first, high = float(sweep.smoothed.min()), float(sweep.smoothed[0]), float(sweep.smoothed.max())
    above = 0.3 * (first - low) or 1.0
    ax.set_ylim(low - above / 3, min(high, first + above) + above / 3)  # what diverges would hide the descent
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    ax.legend(fontsize="small", framealpha=0.8)
    return ax


# ---- the model ----


@quiet
def network(model: Any, ax: Any = None) -> Any:
    """The layers from left to right.

    Where no layer is wider than 16, nodes coloured by their biases and edges by their weights, red above zero and blue
    below. Otherwise bars, as high as the logarithm of a layer's width, and between them the weights, coloured by the
    root of their mean square.

    Parameters
    ----------
    model : Model
        Built.
    ax : matplotlib Axes or None, default None
        None makes a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import fastmlp as fm
    >>> ax = fm.Model([fm.Dense(8, "tanh"), fm.Dense(3)], n_inputs=4).plot()
    """
    diagram = _diagram.of(core_of(model))
    return _diagram.draw(diagram, _axes(ax, (max(6.4, 1.2 * len(diagram.columns)), 4)))


@quiet
def first_layer(model: Any, shape: tuple[int, ...] | None = None, n: int | None = None, ax: Any = None) -> Any:
    """The weights of each unit of the first layer as an image, in a grid.

    All images share one scale, red above zero and blue below, which ends at the 99.5th percentile.

    Parameters
    ----------
    model : Model
        Built.
    shape : tuple of int or None, default None
        Height and width of a sample whose flattened form is the input, or height, width and 3 for colours, which are
        drawn around grey. None: a square.
    n : int or None, default None
        How many units, from the first; None: up to 100.
    ax : matplotlib Axes or None, default None
        None makes a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        Where the shape does not hold as many numbers as the model has inputs, or there are fewer units than n.

    Examples
    --------
    >>> import fastmlp as fm
    >>> ax = fm.plotting.first_layer(fm.Model([fm.Dense(16, "relu"), fm.Dense(10)], n_inputs=64))
    """
    W = _diagram.of(core_of(model)).columns[1].W
    assert W is not None
    n_in, units = W.shape
    if shape is None:
        side = math.isqrt(n_in)
        if side * side != n_in:
            raise ValueError(f"{counted(n_in, 'input')} make no square image; give shape=(height, width)")
        shape = (side, side)
    shape = tuple(bounded_integer("shape", size) for size in shape)
    if math.prod(shape) != n_in or len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
        inputs = counted(n_in, "input")
        raise ValueError(f"shape must be (height, width) or (height, width, 3) of {inputs}, not {shape}")
    n = min(units, 100) if n is None else bounded_integer("n", n)
    if n > units:
        raise ValueError(f"n={n}, but the first layer has {units} units")
    largest = float(np.quantile(np.abs(W[:, :n]), 0.995)) or 1.0
    # So many columns that the grid is about 1.5 times as wide as high; a line of NaN between images stays white.
    across = min(n, max(1, round(math.sqrt(1.5 * n * shape[0] / shape[1]))))
    down = -(-n // across)
    height, width = shape[0] + 1, shape[1] + 1
    grid = np.full((down * height - 1, across * width - 1, *shape[2:]), np.nan)
    for i in range(n):
        top, left = height * (i // across), width * (i % across)
        grid[top : top + shape[0], left : left + shape[1]] = W[:, i].reshape(shape)
    ax = _axes(ax, fixed_aspect=True)
    if len(shape) == 3:
        ax.imshow(np.nan_to_num(np.clip(0.5 + 0.5 * grid / largest, 0, 1), nan=1.0))
    else:
        image = ax.imshow(grid, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
        colour_bar(ax, image, "weight", extend="both")
    ax.set_axis_off()
    ax.set_title(
        f"first layer: {n} of {units} units" if n < units else f"first layer: {units} units", fontsize="medium"
    )
    return ax


@quiet
def activations(
    names: str | Sequence[str] | None = None,
    ax: Any = None,
    limits: tuple[float, float] = (-4.0, 4.0),
    alpha: float | None = None,
) -> Any:
    """Activations and their derivatives, as the compiled kernels compute them.

    Parameters
    ----------
    names : str, sequence of str or None, default None
        Of activations as `Dense` takes them; None: all.
    ax : matplotlib Axes or None, default None
        Of a single activation, where to draw it; of several, whose place to divide among them. None makes a new figure.
    limits : tuple of float, default (-4.0, 4.0)
        First and last argument.
    alpha : float or None, default None
        The parameter of "leaky_relu" and "elu"; None is the default of `Dense`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError, TypeError
        Where a name is unknown or a limit is not below the other.

    Examples
    --------
    >>> import fastmlp as fm
    >>> ax = fm.plotting.activations(["relu", "gelu", "tanh"])
    """
    names = tuple(_engine.activations) if names is None else (names,) if isinstance(names, str) else tuple(names)
    names = tuple(checked_activation(name) for name in names)
    if not names:
        raise ValueError("names is empty; name an activation, or None for all")
    low, high = (float(limit) for limit in limits)
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"limits must be two finite numbers, the smaller first, not {limits!r}")
    across = math.ceil(math.sqrt(len(names)))
    down = -(-len(names) // across)
    ax = _axes(ax, (6.4, 4) if len(names) == 1 else (1 + 2.1 * across, 1 + 1.7 * down))
    # float64, and apart by no step that hits a kink: a derivative then jumps between two points as it should.
    z = np.linspace(low, high, 1000)
    places = [ax]
    if len(names) > 1:
        ax.set_axis_off()
        w, h = 1 / (across - 0.25), 1 / (down - 0.3)
        places = [
            ax.inset_axes((w * (i % across), 1 - h * (i // across) - 0.7 * h, 0.75 * w, 0.7 * h))
            for i in range(len(names))
        ]
    for name, place in zip(names, places, strict=True):
        slope = DEFAULT_ALPHA.get(name, 0.0) if alpha is None else alpha
        y, dy = _kernels.activation(name, z, slope)
        place.axhline(0, color="0.85", linewidth=0.8, zorder=0)
        place.axvline(0, color="0.85", linewidth=0.8, zorder=0)
        place.plot(z, y, color=COLOURS[0], label="value")
        place.plot(z, dy, "--", color=COLOURS[1], label="derivative")
        place.set_title(name, fontsize="medium")
        place.set_xlim(low, high)
        if len(names) > 1:
            place.tick_params(labelsize="small")
            place.locator_params(axis="x", nbins=2, steps=[1, 2, 4, 10])
            place.locator_params(axis="y", nbins=4)
    handles, labels = places[0].get_legend_handles_labels()
    if len(names) == 1:
        ax.legend(frameon=False)
        ax.set_xlabel("argument")
    else:
        ax.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, 1.06), ncols=2, frameon=False)
    return ax


# ---- predictions ----


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
    ax = _axes(ax, (max(5.6, 1.6 + side), max(4.8, 0.8 + side)), fixed_aspect=True)
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
    picture = _boundary.of(core_of(model), X, y, output)
    n = _boundary.n_classes(picture)
    if labels is not None and len(labels) < n:
        raise ValueError(f"labels names {counted(len(labels), 'class')}, but there are {n}")
    if labels is not None and n == 0:
        raise ValueError("labels are names of classes, but the model predicts values; leave them out")
    return _boundary.draw(picture, _axes(ax, (5.6, 4.6)), labels)
