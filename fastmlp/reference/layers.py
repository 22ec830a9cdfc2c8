"""Layers without a product, x and dz (rows, n), vectors of columns (n,): the twin of csrc/kernels/layers.inc.h."""

from typing import cast

import numpy as np

from fastmlp.reference.base import Array
from fastmlp.reference.tree import by_tree, column_sums


def layer_norm(x: Array, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """y = gamma (x - mean) scale + beta, mean and scale = 1 / deviation of each row (rows,).  Ba et al. 2016, eq. 4"""
    mean = x.mean(axis=1)
    scale = 1 / np.sqrt(x.var(axis=1) + epsilon)
    y: Array = gamma * (x - mean[:, None]) * scale[:, None] + beta
    return y, mean, scale


def layer_norm_input_gradient(
    dz: Array, x: Array, gamma: Array, mean: Array, scale: Array, derivative: Array | None = None
) -> Array:
    """dx = scale (g - mean of g - hat times the mean of g hat), g = dz gamma, hat = (x - mean) scale."""
    g, hat = dz * gamma, (x - mean[:, None]) * scale[:, None]
    dx: Array = scale[:, None] * (g - g.mean(axis=1)[:, None] - hat * (g * hat).mean(axis=1)[:, None])
    return dx if derivative is None else dx * derivative


def layer_norm_weight_gradient(dz: Array, x: Array, mean: Array, scale: Array) -> tuple[Array, Array]:
    """dgamma = sum of dz hat over the rows, dbeta = sum of dz."""
    return by_tree(column_sums, dz * (x - mean[:, None]) * scale[:, None]), by_tree(column_sums, dz)


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Mean and variance of each column; the variance is that of the batch, divided by its rows."""
    mean = by_tree(column_sums, x) / len(x)
    return mean, by_tree(column_sums, (x - mean) ** 2) / len(x)


def batch_norm(x: Array, mean: Array, variance: Array, epsilon: float, gamma: Array, beta: Array) -> Array:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta.  Ioffe, Szegedy 2015, algorithm 1"""
    return cast(Array, gamma * (x - mean) / np.sqrt(variance + epsilon) + beta)


def batch_norm_input_gradient(
    dz: Array, x: Array, mean: Array, variance: Array, epsilon: float, gamma: Array, dgamma: Array, dbeta: Array,
    derivative: Array | None = None,
) -> Array:  # fmt: skip
    """dx = gamma / deviation (dz - dbeta / rows - hat dgamma / rows): mean and variance follow x."""
    deviation = np.sqrt(variance + epsilon)
    dx = gamma / deviation * (dz - dbeta / len(x) - (x - mean) / deviation * dgamma / len(x))
    return dx if derivative is None else dx * derivative


def batch_norm_weight_gradient(
    dz: Array, x: Array, mean: Array, variance: Array, epsilon: float
) -> tuple[Array, Array]:
    """dgamma = sum of dz hat over the rows, dbeta = sum of dz."""
    return by_tree(column_sums, dz * (x - mean) / np.sqrt(variance + epsilon)), by_tree(column_sums, dz)


def running_average(now: Array, average: Array, momentum: float) -> Array:
    """momentum average + (1 - momentum) now."""
    return momentum * average + (1 - momentum) * now


def prelu(x: Array, slope: Array) -> Array:
    """y = x above 0, slope x elsewhere.  He et al. 2015, eq. 1"""
    return np.where(x > 0, x, slope * x)


def prelu_input_gradient(dz: Array, x: Array, slope: Array, derivative: Array | None = None) -> Array:
    """dx = dz above 0, slope dz elsewhere."""
    dx = np.where(x > 0, dz, slope * dz)
    return dx if derivative is None else dx * derivative


def prelu_weight_gradient(dz: Array, x: Array) -> Array:
    """Sum of dz x over the rows where x is not above 0."""
    return cast(Array, by_tree(column_sums, dz * np.minimum(x, 0)))


def philox_4x32(counter: Array, key: tuple[int, int], rounds: int = 10) -> Array:
    """Philox4x32 of counters (4, ...) of 32-bit words: (4, ...).  Salmon et al. 2011, section 4.3"""
    c, low = [np.asarray(word, np.uint64) for word in counter], np.uint64(0xFFFFFFFF)
    k = [np.uint64(word) for word in key]
    for _ in range(rounds):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        shift = np.uint64(32)
        c = [(b >> shift) ^ c[1] ^ k[0], b & low, (a >> shift) ^ c[3] ^ k[1], a & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return np.array(c)


def dropout(
    y: Array, d: Array | None, seed: int, layer: int, step: int, rate: float, first_row: int = 0, column: int = 0
) -> tuple[Array, Array]:
    """y and d (ones where None) times 0 with probability rate, else 1 / (share that is kept).  Srivastava et al. 2014

    An element's 16 random bits are those of its row in the batch and its column, whatever else is computed with it; so
    the probability is a multiple of 2^-16.
    """
    row, column_of = first_row + np.arange(y.shape[0])[:, None], column + np.arange(y.shape[1])[None, :]
    counter = np.array(np.broadcast_arrays(row // 8, column_of, step & 0xFFFFFFFF, layer << 16 | step >> 32))
    words = philox_4x32(counter, (seed & 0xFFFFFFFF, seed >> 32), rounds=7)
    word = np.take_along_axis(words, np.broadcast_to(row % 8 // 2, y.shape)[None], axis=0)[0]
    bits = word >> (16 * (row % 2)).astype(np.uint64) & np.uint64(0xFFFF)
    dropped = min(int(rate * 2**16 + 0.5), 2**16 - 1)
    factor = np.where(bits < dropped, 0, 2**16 / (2**16 - dropped)).astype(y.dtype)
    return y * factor, factor if d is None else d * factor
