"""The dense layer: the twin of csrc/kernels/dense.inc.h."""

from typing import cast

from fastmlp.reference.base import Array
from fastmlp.reference.tree import by_tree, column_sums


def dense_forward(x: Array, w: Array, b: Array) -> Array:
    """z = x w + b: (rows, n_in), (n_in, n_out), (n_out,) -> (rows, n_out)."""
    return x @ w + b


def dense_input_gradient(dz: Array, w: Array, derivative: Array | None = None) -> Array:
    """dx = dz w^T, times the derivative (rows, n_in) of the activation that made x: (rows, n_out) -> (rows, n_in)."""
    dx = dz @ w.T
    return dx if derivative is None else dx * derivative


def dense_weight_gradient(x: Array, dz: Array) -> Array:
    """dw = x^T dz: (rows, n_in), (rows, n_out) -> (n_in, n_out)."""
    return cast(Array, by_tree(lambda x, dz: x.T @ dz, x, dz))


def dense_bias_gradient(dz: Array) -> Array:
    """db = sum of dz over its rows: (rows, n_out) -> (n_out,)."""
    return cast(Array, by_tree(column_sums, dz))


def transpose(w: Array) -> Array:
    """w^T: (n_in, n_out) -> (n_out, n_in)."""
    return w.T.copy()
