"""A model as a table, of text or of HTML."""

import dataclasses
import math
from collections.abc import Iterable
from html import escape

import numpy as np

from fastmlp import _html, layers
from fastmlp.core import Core

_LINE_BYTES = 64  # the engine keeps every row of numbers in whole cache lines


@dataclasses.dataclass
class Row:
    """A layer with what it costs; n_in and n_out are None before the model is built."""

    name: str
    n_in: int | None
    n_out: int | None
    activation: str
    parameters: int
    operations: int
    weight_bytes: int
    frozen: int = 0
    running: int = 0

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        shape = ("?" if n is None else f"{n}" for n in (self.n_in, self.n_out))
        costs = ("?",) * 3 if self.n_in is None else _costs(self.parameters, self.operations, self.weight_bytes)
        return (self.name, *shape, self.activation, *costs)


def _costs(parameters: int, operations: int, weight_bytes: int) -> tuple[str, ...]:
    return (f"{parameters:,}" if parameters else "-", f"{operations:,}" if operations else "-",
            in_bytes(weight_bytes) if weight_bytes else "-")  # fmt: skip


HEADER = ("layer", "inputs", "outputs", "activation", "parameters", "operations", "weights")
_SIDES = "<>><>>>"


@dataclasses.dataclass
class Described:
    """Cells of a row for each layer, of the total, if it is known, and the lines below."""

    rows: list[tuple[str, ...]]
    total: tuple[str, ...] | None
    lines: list[str]


def text(core: Core, batch_size: int = 32) -> str:
    """Layers with shapes, activations, parameters, operations and memory; then totals, and the memory of training.

    Operations are the multiplications and additions of the matrix products for one sample; what else there is is small
    beside them. In training they are three times as many, less the gradient of the model's inputs.

    Parameters include running statistics, which are neither trainable nor frozen. Weights take what the parameters
    need; the memory in the last line is what the engine takes, where rows are padded to cache lines of 64 bytes:
    weights; as much for each state of the optimizer; and for a batch its inputs and targets, and the outputs of each
    layer with their gradients.

    Parameters
    ----------
    core : Core
        Built or not.
    batch_size : int, default 32

    Returns
    -------
    str
    """
    found = described(core, batch_size)
    table = [HEADER, *found.rows, *([found.total] if found.total else [])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, _SIDES, widths, strict=True)).rstrip()
        for row in table
    ]
    rule = "-" * max(map(len, lines))
    lines[1:1] = [rule]
    lines.insert(len(found.rows) + 2, rule)
    return "\n".join(lines + found.lines)


def html(core: Core, batch_size: int = 32) -> str:
    """The same as a table of HTML, for notebooks.

    Parameters
    ----------
    core : Core
        Built or not.
    batch_size : int, default 32

    Returns
    -------
    str
    """
    found = described(core, batch_size)
    below = "<br>".join(map(escape, found.lines))
    return f"{_html.table(HEADER, found.rows, found.total, _SIDES)}<div>{below}</div>"


def described(core: Core, batch_size: int) -> Described:
    """What both show."""
    rows = list(_rows(core.layers, core.n_inputs, core.dtype))
    lines = [f"{core.loss}, {core.dtype}", f"{core.optimizer}"]
    if core.preprocessing is not None:
        lines.append(f"{core.preprocessing}")
    if core.targets is not None:
        lines.append(f"targets={core.targets!r}")
    cells = [row.cells() for row in rows]
    if core.n_inputs is None:
        lines.append("not built: the first fit, or build(n_inputs), gives the layers their weights")
        return Described(cells, None, lines)
    parameters, operations, weight_bytes, frozen, running = (
        sum(getattr(row, name) for row in rows)
        for name in ("parameters", "operations", "weight_bytes", "frozen", "running")
    )
    first = next(row for row in rows if not row.name.startswith("Flatten"))
    training = 3 * operations - (first.operations if first.name.startswith("Dense") else 0)
    network, n_states = core.built_network(), len(core.optimizer.kernel_states)
    weights = network.n_bytes + running_bytes(core)
    statistics = f", {running:,} running statistics" if running else ""
    lines += [
        f"{parameters:,} parameter{'s' if parameters != 1 else ''} ({in_bytes(weight_bytes)}): "
        f"{parameters - frozen - running:,} trainable, {frozen:,} frozen{statistics}",
        f"{operations:,} operations per sample, {training:,} in training",
        f"memory, padded: {in_bytes(weights)} of weights, {in_bytes(n_states * network.n_bytes)} of optimizer states, "
        f"{in_bytes(batch_bytes(core, batch_size))} for a batch of {batch_size}",
    ]
    return Described(cells, ("total", "", "", "", *_costs(parameters, operations, weight_bytes)), lines)


def _rows(stack: Iterable[layers.Layer], n_in: int | None, dtype: str, place: str = "", depth: int = 0) -> list[Row]:
    rows: list[Row] = []
    for i, layer in enumerate(stack):
        name = f"{'  ' * depth}{type(layer).__name__} {place}{i}"
        n_out = layer.units if isinstance(layer, layers.Dense) else n_in
        activation = getattr(layer, "activation", None) or ""
        row = Row(name, n_in, n_out, activation, 0, 0, 0)
        rows.append(row)
        if isinstance(layer, layers.Residual):
            rows += _rows(layer.layers, n_in, dtype, f"{place}{i}.", depth + 1)
        elif n_in is not None and n_out is not None:
            shapes = layer.weight_shapes(n_in)
            if isinstance(layer, layers.Dense):
                row.operations = 2 * n_in * n_out
            row.running = sum(n_out for array in shapes if array in layers.RUNNING)
            learned = sum(
                math.prod(shape) for shape, own in zip(shapes.values(), layer.has_gradient, strict=True) if own
            )
            row.frozen = 0 if getattr(layer, "trainable", True) else learned
            row.parameters = learned + row.running
            row.weight_bytes = row.parameters * np.dtype(dtype).itemsize
        n_in = n_out
    return rows


def _padded(n: int, dtype: str) -> int:
    """Bytes of a row of n numbers."""
    return -(-n * (4 if dtype == "float32" else 8) // _LINE_BYTES) * _LINE_BYTES


def running_bytes(core: Core) -> int:
    """What the engine takes for running statistics.

    Parameters
    ----------
    core : Core
        Built.

    Returns
    -------
    int
    """
    return sum(
        _padded(n_in or 0, core.dtype) * sum(array in layers.RUNNING for array in layer.weight_shapes(1))
        for layer, n_in in layers.widths(core.layers, core.n_inputs)
    )


def batch_bytes(core: Core, batch_size: int) -> int:
    """What the engine takes for a training step of so many samples, but for some kilobytes.

    Parameters
    ----------
    core : Core
        Built.
    batch_size : int

    Returns
    -------
    int
    """
    network = core.built_network()
    widths = [network.n_inputs, network.n_outputs, *(2 * [layer.units for layer in network.specs])]
    return batch_size * sum(_padded(width, core.dtype) for width in widths)


def in_bytes(n: int) -> str:
    """A number of bytes for readers."""
    return f"{n} B" if n < 1000 else f"{n / 1e3:.1f} kB" if n < 1e6 else f"{n / 1e6:.1f} MB"
