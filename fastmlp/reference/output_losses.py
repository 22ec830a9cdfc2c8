"""Losses of each output by itself: the twin of csrc/kernels/output_losses.inc.h."""

import math
from typing import Any

import numpy as np

from fastmlp.reference.activations import logistic
from fastmlp.reference.base import Array, Loss, in_float64


@in_float64
def binary_cross_entropy(
    scores: Array,
    targets: Array,
    row_scale: float = 1.0,
    gradient_scale: float = 1.0,
    label_smoothing: float = 0.0,
    positive_weight: Any = 1.0,
) -> Loss:
    """-p t log s - (1 - t) log(1 - s) for s = sigmoid(z), summed over the outputs; p = positive_weight is 1, or (n,).

    With label smoothing q, (1 - q) t + q / 2 in place of t.
    """
    right = int(np.count_nonzero((scores > 0) == (targets > 0.5)))
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    yes, no = targets * np.asarray(positive_weight), 1.0 - targets
    losses = yes * np.logaddexp(0.0, -scores) + no * np.logaddexp(0.0, scores)
    dscores = no * logistic(scores)[0] - yes * logistic(-scores)[0]
    return row_scale * losses.sum(axis=1), right, gradient_scale * dscores


@in_float64
def squared_error(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """(z - t)^2, summed over the outputs."""
    error = scores - targets
    return row_scale * (error**2).sum(axis=1), 0, gradient_scale * 2.0 * error


@in_float64
def absolute_error(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """|z - t|, summed over the outputs; the derivative at 0 is 0."""
    error = scores - targets
    return row_scale * np.abs(error).sum(axis=1), 0, gradient_scale * np.sign(error)


@in_float64
def huber(
    scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0, delta: float = 1.0
) -> Loss:
    """(z - t)^2 / 2 up to |z - t| = delta, then delta (|z - t| - delta / 2), summed over the outputs.  Huber 1964"""
    error = scores - targets
    near = np.minimum(np.abs(error), delta)
    losses = (near * (np.abs(error) - near / 2)).sum(axis=1)
    return row_scale * losses, 0, gradient_scale * np.clip(error, -delta, delta)


@in_float64
def log_cosh(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """log cosh(z - t), summed over the outputs; below 1 as log(1 + (cosh(z - t) - 1)), which does not cancel."""
    error = scores - targets
    near = np.log1p(2 * np.sinh(np.minimum(np.abs(error), 1.0) / 2) ** 2)
    losses = np.where(np.abs(error) < 1, near, np.logaddexp(error, -error) - math.log(2))
    return row_scale * losses.sum(axis=1), 0, gradient_scale * np.tanh(error)


@in_float64
def quantile(
    scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0, levels: Any = 0.5
) -> Loss:
    """max(q (t - z), (q - 1) (t - z)), summed over the outputs, with one level q or (n,); the derivative at 0 is 0.

    Koenker, Bassett 1978, eq. 2.1
    """
    error, q = scores - targets, np.asarray(levels)
    losses = np.maximum(-q * error, (1 - q) * error).sum(axis=1)
    return row_scale * losses, 0, gradient_scale * np.where(error < 0, -q, np.where(error > 0, 1 - q, error))


@in_float64
def poisson(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """exp(z) - t z, summed over the outputs: -log of the Poisson probability of t at the rate exp(z), less log t!."""
    losses = (np.exp(scores) - targets * scores).sum(axis=1)
    return row_scale * losses, 0, gradient_scale * (np.exp(scores) - targets)


@in_float64
def hinge(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """max(0, 1 - t z), summed over the outputs, targets -1 or 1; the derivative at the kink is 0."""
    margin = 1 - targets * scores
    right = int(np.count_nonzero((scores > 0) == (targets > 0.5)))
    dscores = np.where(margin > 0, -targets, 0 * margin)
    return row_scale * np.maximum(margin, 0).sum(axis=1), right, gradient_scale * dscores


@in_float64
def binary_focal(
    scores: Array,
    targets: Array,
    row_scale: float = 1.0,
    gradient_scale: float = 1.0,
    gamma: float = 2.0,
    alpha: Any = None,
) -> Loss:
    """-a t (1 - s)^gamma log s - b (1 - t) s^gamma log(1 - s), s = sigmoid(z), summed over the outputs.

    a = b = 1, or a = alpha and b = 1 - alpha, a number or (n,).  Lin et al. 2017, eq. 5
    """
    right = int(np.count_nonzero((scores > 0) == (targets > 0.5)))
    yes, no = (
        (targets, 1 - targets)
        if alpha is None
        else (np.asarray(alpha) * targets, (1 - np.asarray(alpha)) * (1 - targets))
    )
    s, not_s, up, down = logistic(scores)[0], logistic(-scores)[0], np.logaddexp(0, scores), np.logaddexp(0, -scores)
    losses = yes * not_s**gamma * down + no * s**gamma * up
    dscores = no * s**gamma * (gamma * not_s * up + s) - yes * not_s**gamma * (gamma * s * down + not_s)
    return row_scale * losses.sum(axis=1), right, gradient_scale * dscores


@in_float64
def gaussian_nll(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """(s + (z - t)^2 exp(-s)) / 2, summed over m targets; scores (rows, 2m) are the means z, then the log-variances s.

    An odd last column takes no part.  Nix, Weigend 1994
    """
    m = scores.shape[1] // 2
    error, s = scores[:, :m] - targets[:, :m], scores[:, m : 2 * m]
    standard = np.where(error == 0, 0.0, error * np.exp(-s / 2))
    dscores = np.zeros_like(scores)
    dscores[:, :m], dscores[:, m : 2 * m] = np.where(error == 0, 0.0, standard * np.exp(-s / 2)), (1 - standard**2) / 2
    return row_scale * ((s + standard**2) / 2).sum(axis=1), 0, gradient_scale * dscores


def exp(z: Array) -> Array:
    """e^z, the link of a logarithm: (n,)."""
    with np.errstate(over="ignore"):
        return np.exp(z)
