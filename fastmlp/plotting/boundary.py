"""The predictions of a model of two inputs over the plane. `plotting.decision_boundary` draws them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp._figures import COLOURS, MARKERS, colour_bar
from fastmlp._validation import Array, bounded_integer, numeric_array
from fastmlp.core import Core

# Places at which a model predicts, along each axis.
RESOLUTION = 200


@dataclasses.dataclass
class Plane:
    """Samples (n, 2) with their targets (n,), and predictions (RESOLUTION, RESOLUTION, outputs) around them."""

    points: Array
    y: Array | None
    sides: list[Array]
    found: Array
    classes: bool
    limits: tuple[float, float] | None  # of the colours; None: of the values
    level: float | None  # between two classes; None: there are none, or more


def of(
    core: Core, predict: Callable[[npt.ArrayLike], Array], X: npt.ArrayLike, y: npt.ArrayLike | None, output: int
) -> Plane:
    """Predictions around some samples, by `Model.predict` or what a class of the user's own has in its place; a
    ValueError where they cannot be drawn."""
    n_inputs, loss = core.built_network().n_inputs, core.loss
    if n_inputs != 2:
        raise ValueError(f"a decision boundary is drawn of two inputs, but this model has {n_inputs}")
    classes = loss.link == "softmax"
    if classes and output:
        raise ValueError(f"output={output} has no meaning for classes, of which all are drawn; leave it out")
    output = bounded_integer("output", output, at_least=0, below=core.n_outputs)
    predict(X)  # checks them
    if y is not None:
        core.data(X, y)
    points = numeric_array("X", X).astype(np.float64).reshape(-1, 2)
    if y is not None:
        array = numeric_array("y", y).reshape(len(points), -1)
        y = array.argmax(1) if classes and array.shape[1] > 1 else array[:, output if array.shape[1] > 1 else 0]
        y = y.astype(np.float64)
    low, high = points.min(0), points.max(0)
    margin = np.where(high > low, 0.08 * (high - low), 1.0)
    sides = [np.linspace(*ends, RESOLUTION) for ends in zip(low - margin, high + margin, strict=True)]
    grid = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)
    found = predict(grid).astype(np.float64).reshape(RESOLUTION, RESOLUTION, -1)
    if classes:
        return Plane(points, y, sides, found, True, None, None)
    found = found[..., output]
    if loss.link == "sigmoid":
        return Plane(points, y, sides, found, False, (0.0, 1.0), 0.5)
    if loss.has_accuracy:  # scores on both sides of zero
        largest = float(np.abs(found).max()) or 1.0
        return Plane(points, y, sides, found, False, (-largest, largest), 0.0)
    every = found if y is None else np.concatenate([found.ravel(), y])
    return Plane(points, y, sides, found, False, (float(every.min()), float(every.max())), None)


def draw(plane: Plane, ax: Any, labels: Sequence[Any] | None = None) -> Any:
    """Draw into a matplotlib Axes, and return it."""
    (_classes if plane.classes else _values)(plane, ax, labels)
    ax.set_xlim(plane.sides[0][0], plane.sides[0][-1])
    ax.set_ylim(plane.sides[1][0], plane.sides[1][-1])
    ax.set_xlabel("first input")
    ax.set_ylabel("second input")
    return ax


def n_classes(plane: Plane) -> int:
    """How many classes it tells apart; 0 where there are none."""
    return plane.found.shape[-1] if plane.classes else 2 * (plane.level is not None)


def _classes(plane: Plane, ax: Any, labels: Sequence[Any] | None) -> None:
    """Regions in the colours of the most probable classes, white where all are as probable."""
    import matplotlib
    from matplotlib.colors import to_rgb

    points, y, sides, found = plane.points, plane.y, plane.sides, plane.found
    n = found.shape[-1]
    names = COLOURS if n <= len(COLOURS) else [matplotlib.colormaps["turbo"](k / (n - 1)) for k in range(n)]
    colours = np.array([to_rgb(name) for name in names])
    best = found.argmax(-1)
    depth = 0.1 + 0.5 * (found.max(-1) - 1 / n) / (1 - 1 / n)
    image = 1 - depth[..., None] * (1 - colours[best])
    ax.imshow(image, extent=_extent(sides), origin="lower", aspect="auto", interpolation="nearest")
    for k in range(n):
        ahead = found[..., k] - np.delete(found, k, -1).max(-1)
        if ahead.min() < 0 < ahead.max():
            ax.contour(*sides, ahead, [0.0], colors="0.2", linewidths=0.8)
    if y is None:
        return
    for k in np.unique(y).astype(int):
        own = points[y == k]
        look = {"color": colours[k], "marker": MARKERS[k % len(MARKERS)]}
        ax.scatter(own[:, 0], own[:, 1], label=_label(k, labels), **look, **_look())
    _legend_of_classes(ax)


def _values(plane: Plane, ax: Any, labels: Sequence[Any] | None) -> None:
    """Values of one output in colours; of two classes, the line between them."""
    from matplotlib.colors import LinearSegmentedColormap

    points, y, sides, found, level = plane.points, plane.y, plane.sides, plane.found, plane.level
    assert plane.limits is not None
    low, high = plane.limits
    two = LinearSegmentedColormap.from_list("two classes", [COLOURS[0], "white", COLOURS[1]])
    colours = {"cmap": "cividis" if level is None else two, "vmin": low, "vmax": high}
    paler = 1.0 if level is None else 0.6  # than the samples, whose colours say what they are
    place = {"alpha": paler, "extent": _extent(sides), "origin": "lower", "aspect": "auto", "interpolation": "bilinear"}
    image = ax.imshow(found, **place, **colours)
    colour_bar(ax, image, "probability" if level == 0.5 else "prediction")
    if level is not None and found.min() < level < found.max():
        ax.contour(*sides, found, [level], colors="0.2", linewidths=0.8)
    if y is None:
        return
    if level is None:
        ax.scatter(points[:, 0], points[:, 1], c=y, **_look(), **colours)
        return
    for k, own in enumerate((y <= level, y > level)):
        x, look = points[own], {"color": COLOURS[k], "marker": MARKERS[k]}
        ax.scatter(x[:, 0], x[:, 1], label=_label(k, labels), **look, **_look())
    _legend_of_classes(ax)


def _look() -> dict[str, Any]:
    """How samples look on any ground: a dark edge within a white one."""
    from matplotlib.patheffects import Normal, withStroke

    edges = [withStroke(linewidth=2.2, foreground="white"), Normal()]
    return {"s": 28, "edgecolors": "black", "linewidths": 0.6, "path_effects": edges}


def _label(k: int, labels: Sequence[Any] | None) -> str:
    return f"{k if labels is None else labels[k]}"


def _legend_of_classes(ax: Any) -> None:
    n = len(ax.get_legend_handles_labels()[1])
    across = n if n <= 8 else min(8, -(-n // 2))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=across, frameon=False, handletextpad=0.1)


def _extent(sides: list[Array]) -> tuple[float, float, float, float]:
    """The edges of an image whose outer pixels have their centres at the ends of the sides."""
    low, high = ([side[0] - (side[1] - side[0]) / 2, side[-1] + (side[1] - side[0]) / 2] for side in sides)
    return (*low, *high)
