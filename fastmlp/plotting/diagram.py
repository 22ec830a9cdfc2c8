"""A model as a diagram: nodes and edges where it is small, blocks where it is large. `plotting.network` draws it."""

import dataclasses
import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastmlp import layers
from fastmlp._figures import colour_bar
from fastmlp._validation import Array
from fastmlp.core import Core

# Widest layer that is drawn node by node.
MOST_NODES = 16

_LABELS = {"BatchNorm": "batch norm", "LayerNorm": "layer norm", "Flatten": ""}


@dataclasses.dataclass
class Column:
    """The features behind a dense layer: how many, what happens to them, the weights that made them."""

    width: int
    labels: list[str]
    W: Array | None = None
    b: Array | None = None


@dataclasses.dataclass
class Diagram:
    """Columns from the inputs to the outputs, and from which to which of them a residual skips."""

    columns: list[Column]
    skips: list[tuple[int, int]]

    @property
    def small(self) -> bool:
        """Whether it is drawn by nodes and edges."""
        return max(column.width for column in self.columns) <= MOST_NODES


def of(core: Core) -> Diagram:
    """The diagram of a model that is built."""
    n = core.built_network().n_inputs
    found = Diagram([Column(n, ["inputs" if n > 1 else "input"])], [])
    if core.preprocessing is not None:
        found.columns[0].labels.append(type(core.preprocessing).__name__.lower())
    _append(found, core.layers, iter(core.network.get_weights()))
    found.columns[-1].labels.append("outputs" if core.n_outputs > 1 else "output")
    return found


def _append(found: Diagram, stack: Iterable[layers.Layer], weights: Any) -> None:
    for layer in stack:
        arrays: tuple[Any, ...] = next(weights) if layer.weight_shapes(1) else ()
        if isinstance(layer, layers.Dense):
            labels = [] if layer.activation in (None, "identity") else [str(layer.activation)]
            found.columns.append(Column(layer.units, labels, arrays[0], arrays[1] if layer.use_bias else None))
        elif isinstance(layer, layers.Residual):
            start = len(found.columns) - 1
            _append(found, layer.layers, weights)
            found.skips.append((start, len(found.columns) - 1))
            found.columns[-1].labels.append("add")  # what follows is of the sum
        else:
            name = type(layer).__name__
            label = getattr(layer, "activation", None) or _LABELS.get(name, name.lower())
            found.columns[-1].labels += [f"{label} {layer.rate:g}" if isinstance(layer, layers.Dropout) else label]


def draw(diagram: Diagram, ax: Any) -> Any:
    """Draw into a matplotlib Axes, and return it."""
    columns = diagram.columns
    half = (_nodes if diagram.small else _blocks)(columns, ax)
    for i, (start, end) in enumerate(diagram.skips):
        arc = {"arrowstyle": "-|>", "connectionstyle": "arc3,rad=-0.25", "color": "0.3", "shrinkA": 8, "shrinkB": 8}
        ax.annotate("", (end, half[end]), (start, half[start]), arrowprops=arc, zorder=3)
        if i == 0:
            ax.set_ylim(top=1.45 * max(half))
    labels = ["\n".join([f"{column.width}", *filter(None, column.labels)]) for column in columns]
    ax.set_xticks(range(len(columns)), labels, fontsize="small")
    ax.tick_params(length=0)
    ax.set_yticks([])
    ax.set_xlim(-0.4, len(columns) - 0.6)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def _nodes(columns: list[Column], ax: Any) -> list[float]:
    """Nodes and edges; returned are the heights to which the columns reach."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    arrays = [array for column in columns for array in (column.W, column.b) if array is not None]
    largest = max(float(np.abs(array).max()) for array in arrays) or 1.0
    norm = Normalize(-largest, largest)
    for x, (left, right) in enumerate(itertools.pairwise(columns)):
        assert right.W is not None
        ends = [[(x, y), (x + 1, z)] for y in _places(left.width) for z in _places(right.width)]
        values = right.W.ravel()
        order = np.argsort(np.abs(values), kind="stable")  # large weights above small ones
        widths = 0.4 + 2.6 * np.abs(values[order]) / largest
        edges = LineCollection([ends[i] for i in order], cmap="RdBu_r", norm=norm, linewidths=widths, zorder=1)
        edges.set_array(values[order])
        ax.add_collection(edges)
    for x, column in enumerate(columns):
        colours = np.zeros(column.width) if column.b is None else column.b
        look = {"s": 140, "cmap": "RdBu_r", "norm": norm, "edgecolors": "black", "linewidths": 0.8, "zorder": 2}
        nodes = ax.scatter([x] * column.width, _places(column.width), c=colours, **look)
    colour_bar(ax, nodes, "weight (edges), bias (nodes)")
    half = [column.width / 2 for column in columns]
    ax.set_ylim(-max(half) - 0.2, max(half) + 0.2)
    return half


def _places(n: int) -> Array:
    """Heights of n nodes, the first above, around 0."""
    return (n - 1) / 2 - np.arange(n)


def _blocks(columns: list[Column], ax: Any) -> list[float]:
    """Bars, and between them the weights as one block; returned are the heights to which the columns reach."""
    from matplotlib.collections import PolyCollection

    thick = 0.05
    half = [0.5 * math.log2(column.width + 1) for column in columns]
    corners = [
        [(x + thick, -a), (x + thick, a), (x + 1 - thick, b), (x + 1 - thick, -b)]
        for x, (a, b) in enumerate(itertools.pairwise(half))
    ]
    sizes = np.array([_root_mean_square(column.W) for column in columns if column.W is not None])
    largest = float(sizes.max()) or 1.0
    weights = PolyCollection(corners, cmap="cividis", clim=(0, largest), array=sizes)
    ax.add_collection(weights)
    for x, column in enumerate(columns):
        ax.fill_between([x - thick, x + thick], -half[x], half[x], color="0.25", linewidth=0)
        if column.W is not None:
            colour = "black" if sizes[x - 1] > 0.6 * largest else "white"
            text = "{} x {}".format(*column.W.shape)
            ax.text(x - 0.5, 0, text, ha="center", va="center", color=colour, fontsize="small", rotation=90)
    colour_bar(ax, weights, "root mean square of the weights")
    ax.set_ylim(-1.05 * max(half), 1.05 * max(half))
    return half


def _root_mean_square(W: Array) -> float:
    return float(np.sqrt(np.mean(np.square(W, dtype=np.float64))))
