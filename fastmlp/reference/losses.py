"""Losses over classes, (scores, targets, row_scale, gradient_scale, options) -> (losses, right, dscores), and weights
of rows: the twin of csrc/kernels/losses.inc.h."""

from typing import Any, cast

import numpy as np

from fastmlp.reference.base import Array, Loss, in_float64


def softmax(scores: Array) -> Array:
    """exp(z_j) / sum_k exp(z_k) over each row: (rows, n) -> (rows, n)."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return cast(Array, e / e.sum(axis=1, keepdims=True))


@in_float64
def softmax_cross_entropy(
    scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0, label_smoothing: float = 0.0
) -> Loss:
    """-sum_j t_j log softmax_j(z) = log sum_j exp(z_j) - sum_j t_j z_j for targets (rows, n) that sum to 1.

    With label smoothing s, (1 - s) t + s / n in place of t.  Szegedy et al. 2016, section 7
    """
    right = int(np.count_nonzero(scores.argmax(axis=1) == targets.argmax(axis=1)))
    targets = (1 - label_smoothing) * targets + label_smoothing / scores.shape[1]
    shifted = scores - scores.max(axis=1, keepdims=True)  # changes no softmax, and exp cannot overflow
    losses = np.log(np.exp(shifted).sum(axis=1)) - np.where(targets == 0, 0.0, targets * shifted).sum(axis=1)
    return row_scale * losses, right, gradient_scale * (softmax(scores) - targets)


def softmax_cross_entropy_labels(
    scores: Array, labels: Array, row_scale: float = 1.0, gradient_scale: float = 1.0, label_smoothing: float = 0.0
) -> Loss:
    """softmax_cross_entropy of integer labels (rows,) in 0 ... n-1: the target is 1 at the label, 0 elsewhere."""
    one_hot = np.eye(scores.shape[1])[labels]
    return softmax_cross_entropy(scores, one_hot, row_scale, gradient_scale, label_smoothing)


@in_float64
def focal(
    scores: Array,
    targets: Array,
    row_scale: float = 1.0,
    gradient_scale: float = 1.0,
    gamma: float = 2.0,
    alpha: Any = 1.0,
) -> Loss:
    """-sum_j alpha_j t_j (1 - p_j)^gamma log p_j, p the softmax of z and t (rows, n).  Lin et al. 2017, eq. 5

    With g_j its derivative by log p_j, that by z_k is g_k - p_k sum_j g_j.
    """
    right = int(np.count_nonzero(scores.argmax(axis=1) == targets.argmax(axis=1)))
    shifted = scores - scores.max(axis=1, keepdims=True)
    largest = np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]
    rest = np.where(largest, 0.0, np.exp(shifted)).sum(axis=1, keepdims=True)  # of the sum that is 1 + rest
    log_p, p = shifted - np.log1p(rest), np.exp(shifted) / (1 + rest)
    missing = np.where(largest, rest / (1 + rest), 1 - p)  # 1 - p without cancellation
    power = np.where(targets == 0, 0.0, np.asarray(alpha) * targets) * missing**gamma
    g = -power * (1 - gamma * p * np.where(p == 0, 0.0, log_p) / np.where(missing == 0, 1.0, missing))
    losses = -np.where(power == 0, 0.0, power * log_p).sum(axis=1)
    return row_scale * losses, right, gradient_scale * (g - p * g.sum(axis=1, keepdims=True))


def focal_labels(
    scores: Array,
    labels: Array,
    row_scale: float = 1.0,
    gradient_scale: float = 1.0,
    gamma: float = 2.0,
    alpha: Any = 1.0,
) -> Loss:
    """focal of integer labels (rows,) in 0 ... n-1."""
    return focal(scores, np.eye(scores.shape[1])[labels], row_scale, gradient_scale, gamma, alpha)


def scale_rows(weights: Array, losses: Array, dscores: Array | None = None) -> tuple[Array, Array | None]:
    """Losses (rows,) and their gradient (rows, n), each row times its weight; 0 where that is 0, whatever they were."""
    counts = weights > 0
    losses = np.multiply(weights, losses, out=np.zeros_like(losses), where=counts)
    if dscores is not None:
        dscores = np.multiply(weights[:, None], dscores, out=np.zeros_like(dscores), where=counts[:, None])
    return losses, dscores
