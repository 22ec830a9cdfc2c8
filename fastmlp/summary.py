"""A model as a table of text."""

from typing import TYPE_CHECKING

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
    n_in = model.n_inputs
    total = 0
    operations = 0
    for i, layer in enumerate(model.layers):
        parameters = "-"
        if n_in is not None:
            many = n_in * layer.units + layer.units * layer.use_bias
            total, operations = total + many, operations + 2 * n_in * layer.units
            parameters = f"{many:,}"
        inputs = "?" if n_in is None else f"{n_in}"
        rows.append((f"Dense {i}", inputs, f"{layer.units}", layer.activation or "", parameters))
        n_in = layer.units if n_in is not None else None
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, "<>><>", widths, strict=True)).rstrip()
             for row in rows]  # fmt: skip
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
