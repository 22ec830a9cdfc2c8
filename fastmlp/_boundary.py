"""The predictions of a model of two inputs over the plane. `plotting.decision_boundary` draws them."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastmlp._figures import COLOURS, MARKERS, colour_bar
from fastmlp._validation import Array, numeric_array

if TYPE_CHECKING:
    from fastmlp.model import Model

# Places at which a model predicts, along each axis.
RESOLUTION = 200


@dataclasses.dataclass
class Plane:
    """Samples (n, 2) with their targets (n,), and predictions (RESOLUTION, RESOLUTION, outputs) around them."""

    points: Array
    y: Array | None
    sides: list[Array]
    found: Array
    link: str


def of(model: "Model", X: npt.ArrayLike, y: npt.ArrayLike | None) -> Plane:
    """Predictions around some samples; a ValueError where they cannot be drawn."""
    n_inputs, link = model._built().n_inputs, model.loss.link
    if n_inputs != 2 or (model.n_outputs > 1 and link != "softmax"):
        raise ValueError(
            f"a decision boundary is drawn of two inputs and one output, or classes of a softmax; this model has "
            f"{n_inputs} inputs and {model.n_outputs} outputs, and its loss is {model.loss}"
        )
    model.predict(X) if y is None else model.evaluate(X, y)  # checks them
    points = numeric_array("X", X).astype(np.float64).reshape(-1, 2)
    if y is not None:
        array = numeric_array("y", y)
        y = (array.argmax(1) if link == "softmax" and array.ndim == 2 else array.reshape(-1)).astype(np.float64)
    low, high = points.min(0), points.max(0)
    margin = np.where(high > low, 0.08 * (high - low), 1.0)
    sides = [np.linspace(*ends, RESOLUTION) for ends in zip(low - margin, high + margin, strict=True)]
    grid = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)
    found = model.predict(grid).astype(np.float64).reshape(RESOLUTION, RESOLUTION, -1)
    return Plane(points, y, sides, found, link)


def draw(plane: Plane, ax: Any) -> Any:
    """Draw into a matplotlib Axes, and return it."""
    (_classes if plane.link == "softmax" else _values)(plane, ax)
    ax.set_xlim(plane.sides[0][0], plane.sides[0][-1])
    ax.set_ylim(plane.sides[1][0], plane.sides[1][-1])
    ax.set_xlabel("first input")
    ax.set_ylabel("second input")
    return ax


def _classes(plane: Plane, ax: Any) -> None:
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
        look = {"color": colours[k], "marker": MARKERS[k % len(MARKERS)], "edgecolors": "black", "linewidths": 0.5}
        ax.scatter(own[:, 0], own[:, 1], s=28, label=f"{k}", **look)
    _legend_of_classes(ax)


def _values(plane: Plane, ax: Any) -> None:
    """Values of one output in colours; of a probability the line of 1/2."""
    points, y, sides, found = plane.points, plane.y, plane.sides, plane.found[..., 0]
    probability = plane.link == "sigmoid"
    every = found if y is None else np.concatenate([found.ravel(), y])
    low, high = (0.0, 1.0) if probability else (float(every.min()), float(every.max()))
    colours = {"cmap": "RdBu_r" if probability else "cividis", "vmin": low, "vmax": high}
    place = {"extent": _extent(sides), "origin": "lower", "aspect": "auto", "interpolation": "bilinear"}
    image = ax.imshow(found, **place, **colours)
    colour_bar(ax, image, "probability" if probability else "prediction")
    if probability and found.min() < 0.5 < found.max():
        ax.contour(*sides, found, [0.5], colors="0.2", linewidths=0.8)
    if y is not None:
        parts = [("0", y <= 0.5), ("1", y > 0.5)] if probability else [("", np.isfinite(y))]
        for (label, own), marker in zip(parts, MARKERS, strict=False):
            look = {"marker": marker, "edgecolors": "black", "linewidths": 0.5, "label": label}
            ax.scatter(points[own, 0], points[own, 1], c=y[own], s=28, **look, **colours)
        if probability:
            _legend_of_classes(ax)


def _legend_of_classes(ax: Any) -> None:
    n = len(ax.get_legend_handles_labels()[1])
    across = n if n <= 8 else min(8, -(-n // 2))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=across, frameon=False, handletextpad=0.1)


def _extent(sides: list[Array]) -> tuple[float, float, float, float]:
    """The edges of an image whose outer pixels have their centres at the ends of the sides."""
    low, high = ([side[0] - (side[1] - side[0]) / 2, side[-1] + (side[1] - side[0]) / 2] for side in sides)
    return (*low, *high)
