"""A model as a table of text."""

import math
from typing import TYPE_CHECKING

from fastmlp import layers

if TYPE_CHECKING:
    from fastmlp.model import Model


def text(model: "Model") -> str:
    """Layers with shapes, activations and parameters; then totals, memory of the weights and operations of a sample.

    Parameters
    ----------
    model : Model
        Built or not.

    Returns
    -------
    str
    """
    rows = [("layer", "inputs", "outputs", "activation", "parameters")]
    total = 0
    operations = 0
    for i, (layer, n_in) in enumerate(layers.widths(model.layers, model.n_inputs)):
        dense = isinstance(layer, layers.Dense)
        n_out = layer.units if isinstance(layer, layers.Dense) else n_in
        parameters = "-"
        if n_in is not None:
            shapes = layer.weight_shapes(n_in)
            many = sum(math.prod(shape) for shape in shapes.values())
            many -= shapes["b"][0] if isinstance(layer, layers.Dense) and not layer.use_bias else 0
            total, operations = total + many, operations + (2 * n_in * (n_out or 0) if dense else 0)
            parameters = f"{many:,}"
        activation = getattr(layer, "activation", None)
        inputs, outputs = ("?" if n is None else f"{n}" for n in (n_in, n_out))
        rows.append((f"{type(layer).__name__} {i}", inputs, outputs, activation or "", parameters))
    columns = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, "<>><>", columns, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    lines.append(lines[1])
    lines.append(f"{model.loss}, {model.dtype}")
    lines.append(f"{model.optimizer}")
    if model.n_inputs is None:
        lines.append("not built: the first fit, or build(n_inputs), gives the layers their weights")
    else:
        size = total * (4 if model.dtype == "float32" else 8)
        lines.append(f"{total:,} parameters, {_bytes(size)} of weights, {operations:,} operations per sample")
    return "\n".join(lines)


def _bytes(n: int) -> str:
    return f"{n} B" if n < 1000 else f"{n / 1e3:.1f} kB" if n < 1e6 else f"{n / 1e6:.1f} MB"
