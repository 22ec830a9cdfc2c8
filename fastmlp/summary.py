"""A model as a table of text."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastmlp import layers

if TYPE_CHECKING:
    from fastmlp.model import Model

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

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        shape = ("?" if n is None else f"{n}" for n in (self.n_in, self.n_out))
        costs = ("?",) * 3 if self.n_in is None else _costs(self.parameters, self.operations, self.weight_bytes)
        return (self.name, *shape, self.activation, *costs)


def _costs(parameters: int, operations: int, weight_bytes: int) -> tuple[str, ...]:
    return (f"{parameters:,}" if parameters else "-", f"{operations:,}" if operations else "-",
            in_bytes(weight_bytes) if weight_bytes else "-")  # fmt: skip


def text(model: "Model", batch_size: int = 32) -> str:
    """Layers with shapes, activations, parameters, operations and memory; then totals, and the memory of training.

    Operations are the multiplications and additions of the matrix products for one sample; what else there is is small
    beside them. In training they are three times as many, less the gradient of the model's inputs.

    Parameters include running statistics. Memory is what the engine takes, where rows are padded to cache lines of 64
    bytes: weights; as much for each state of the optimizer; and for a batch its inputs and targets, and the outputs of
    each layer with their gradients.

    Parameters
    ----------
    model : Model
        Built or not.
    batch_size : int, default 32

    Returns
    -------
    str
    """
    rows = list(_rows(model.layers, model.n_inputs, model.dtype))
    parameters, operations, weight_bytes = (
        sum(column)
        for column in zip(*((row.parameters, row.operations, row.weight_bytes) for row in rows), strict=True)
    )
    header = ("layer", "inputs", "outputs", "activation", "parameters", "operations", "weights")
    table = [header, *(row.cells() for row in rows)]
    if model.n_inputs is not None:
        table.append(("total", "", "", "", *_costs(parameters, operations, weight_bytes)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, "<>><>>>", widths, strict=True)).rstrip()
        for row in table
    ]
    rule = "-" * max(map(len, lines))
    lines[1:1] = [rule]
    lines.insert(len(rows) + 2, rule)
    lines += [f"{model.loss}, {model.dtype}", f"{model.optimizer}"]
    if model.preprocessing is not None:
        lines.append(f"{model.preprocessing}")
    if model.n_inputs is None:
        lines.append("not built: the first fit, or build(n_inputs), gives the layers their weights")
    else:
        first = next(row for row in rows if not row.name.startswith("Flatten"))
        training = 3 * operations - (first.operations if first.name.startswith("Dense") else 0)
        states = _n_states(model) * model._built().n_bytes
        lines += [
            f"{parameters:,} parameters, {operations:,} operations per sample, {training:,} in training",
            f"memory: {in_bytes(weight_bytes)} of weights, {in_bytes(states)} of optimizer states, "
            f"{in_bytes(batch_bytes(model, batch_size))} for a batch of {batch_size}",
        ]
    return "\n".join(lines)


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
                row.parameters = n_in * n_out + n_out * layer.use_bias
            else:
                row.parameters = len(shapes) * n_out
            vectors = sum(shape[0] if len(shape) == 2 else 1 for shape in shapes.values())
            row.weight_bytes = vectors * _padded(n_out, dtype)
        n_in = n_out
    return rows


def _padded(n: int, dtype: str) -> int:
    """Bytes of a row of n numbers."""
    return -(-n * (4 if dtype == "float32" else 8) // _LINE_BYTES) * _LINE_BYTES


def _n_states(model: "Model") -> int:
    return len(model.optimizer.kernel_states)


def batch_bytes(model: "Model", batch_size: int) -> int:
    """What the engine takes for a training step of so many samples, but for some kilobytes.

    Parameters
    ----------
    model : Model
        Built.
    batch_size : int

    Returns
    -------
    int
    """
    network = model._built()
    widths = [network.n_inputs, network.n_outputs, *(2 * [layer.units for layer in network.layers])]
    return batch_size * sum(_padded(width, model.dtype) for width in widths)


def in_bytes(n: int) -> str:
    """A number of bytes for readers."""
    return f"{n} B" if n < 1000 else f"{n / 1e3:.1f} kB" if n < 1e6 else f"{n / 1e6:.1f} MB"
