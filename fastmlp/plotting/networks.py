"""Pictures of a network: its layers, the weights of the first one, and activations."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastmlp import _engine, _evaluation, derivatives
from fastmlp._figures import COLOURS, axes, colour_bar
from fastmlp._quiet import quiet
from fastmlp._validation import Array, bounded_integer, counted
from fastmlp.core import Core, core_of
from fastmlp.layers import DEFAULT_ALPHA, Dense, checked_activation
from fastmlp.plotting import diagram


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
    drawing = diagram.of(core_of(model))
    return diagram.draw(drawing, axes(ax, (max(6.4, 1.2 * len(drawing.columns)), 4)))


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
    W = diagram.of(core_of(model)).columns[1].W
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
    ax = axes(ax, fixed_aspect=True)
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
        Where a name is unknown, a limit is not below the other, or alpha is below 0.

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
    ax = axes(ax, (6.4, 4) if len(names) == 1 else (1 + 2.1 * across, 1 + 1.7 * down))
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
        y, dy = _values(name, z, alpha)
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


def _values(name: str, z: Array, alpha: float | None) -> tuple[Array, Array]:
    """An activation and its derivative, as the engine computes them: of one unit that multiplies by 1 and adds 0."""
    slope = alpha if name in DEFAULT_ALPHA else None
    core = Core([Dense(1, name, alpha=slope)], "mean_squared_error", "sgd", 0, "float64", None, (), None)
    core.build(1, [(np.ones((1, 1)), np.zeros(1))])
    return _evaluation.forward(core, z, "identity")[:, 0], derivatives.jacobian(core, z)[:, 0]
