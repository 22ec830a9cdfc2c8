"""The twin in plain NumPy of every kernel in csrc/kernels/, and of the whole training: read this first.

Each function has the name of its kernel and computes the same numbers, as shortly as the mathematics allows; the tests
hold the two together. Matrices are row-major here: x of shape (rows, n_in), w (n_in, n_out), b (n_out,), and a gradient
d... has the shape of what it belongs to. Nothing else of the package is imported.

The order of the file is that of a training step: gather a batch, forward, loss, gradients, update. `Network` at the end
puts it together, step for step as fastmlp/_engine.pyx does.
"""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array: TypeAlias = NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def _in_float64(function: Function) -> Function:
    """Evaluate a function in float64, and round its results once to the dtype of its first argument."""

    @functools.wraps(function)
    def evaluate(first: Array, *arguments: Any, **options: Any) -> Any:
        with np.errstate(all="ignore"):
            found = function(np.asarray(first, np.float64), *arguments, **options)
            rounded = tuple(a.astype(first.dtype) if isinstance(a, np.ndarray) else a for a in found)
        return rounded

    return cast(Function, evaluate)


# ---- rows of a batch ----


def shuffle(n: int, seed: int, stream: int) -> Array:
    """Order in which epoch number `stream` visits n samples: a Fisher-Yates shuffle by Philox4x64-10, int64 (n,)."""
    index = np.arange(n)
    random = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(max(n - 1, 0))
    for i, bits in zip(range(n - 1, 0, -1), random.tolist(), strict=True):
        j = bits * (i + 1) >> 64  # uniform in 0 ... i
        index[[i, j]] = index[[j, i]]
    return index


def gather(
    source: Array, dtype: DTypeLike, index: Array | None = None, mean: Array | None = None, scale: Array | None = None
) -> Array:
    """Rows `index` of source (samples, n) as dtype; where given, less mean (n,) and times scale (n,) in float64 and
    rounded once: (rows, n)."""
    x = source if index is None else source[index]
    return (x if mean is None or scale is None else (x.astype(np.float64) - mean) * scale).astype(dtype)


def moments(x: Array, index: Array | None = None, weights: Array | None = None) -> tuple[Array, Array]:
    """Means and variances of the columns of the rows `index` of x (samples, n), weighted where there are weights of
    these rows, in float64: (n,) and (n,). Rows are added one by one within blocks of 256, and then the blocks along a
    tree."""

    def tree(sums: list[Array]) -> Array:
        if len(sums) == 1:
            return sums[0]
        half = 1 << ((len(sums) - 1).bit_length() - 1)
        return tree(sums[:half]) + tree(sums[half:])

    def total(rows: Array) -> Array:
        return tree([np.add.accumulate(rows[first : first + 256])[-1] for first in range(0, len(rows), 256)])

    rows = gather(x, np.float64, index)
    n: Any = len(rows)
    w = np.ones((n, 1)) if weights is None else weights[:, None]
    n = n if weights is None else total(w)
    centre = total(rows * w) / n
    return centre, total((rows - centre) * (rows - centre) * w) / n


def scatter(x: Array) -> Array:
    """Rows of a batch in the caller's row-major order, which they have here already: (rows, n)."""
    return x.copy()


def multiply(a: Array, b: Array) -> Array:
    """a b, element by element: (n,)."""
    return a * b


def add(a: Array, b: Array) -> Array:
    """a + b, element by element: (n,)."""
    return a + b


SHARD_ROWS = 256


def by_tree(sums: Callable[..., Any], *arrays: Array) -> Any:
    """sums(*arrays) over the rows of a batch in the order of csrc/kernels/tree.inc.h: of each shard of rows by itself,
    and the shards along a binary tree."""
    firsts = range(0, max(len(arrays[0]), 1), SHARD_ROWS)
    parts = [sums(*(a[first : first + SHARD_ROWS] for a in arrays)) for first in firsts]
    while len(parts) > 1:
        parts = [np.add.reduce(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0]


def sum(x: Array) -> float:
    """Sum of x (n,), a number for each row, in float64."""
    return float(by_tree(lambda rows: np.sum(rows, dtype=np.float64), x))


def within(x: Array, low: float, high: float) -> bool:
    """Whether low <= x <= high for all of x (n,); not so with a NaN."""
    return bool(np.all((low <= x) & (x <= high)))


# ---- the dense layer ----


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
    return cast(Array, by_tree(_column_sums, dz))


def _column_sums(rows: Array) -> Array:
    return cast(Array, rows.sum(axis=0))


def transpose(w: Array) -> Array:
    """w^T: (n_in, n_out) -> (n_out, n_in)."""
    return w.T.copy()


# ---- layers without a product: x and dz (rows, n), vectors of columns (n,) ----


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
    return by_tree(_column_sums, dz * (x - mean[:, None]) * scale[:, None]), by_tree(_column_sums, dz)


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Mean and variance of each column; the variance is that of the batch, divided by its rows."""
    mean = by_tree(_column_sums, x) / len(x)
    return mean, by_tree(_column_sums, (x - mean) ** 2) / len(x)


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
    return by_tree(_column_sums, dz * (x - mean) / np.sqrt(variance + epsilon)), by_tree(_column_sums, dz)


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
    return cast(Array, by_tree(_column_sums, dz * np.minimum(x, 0)))


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


# ---- activations: (z, alpha) -> (y, dy/dz), all of the shape of z ----
# NaN gives NaN in y, infinities give the limits, and at a kink the derivative is the one stated.

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717
Pair: TypeAlias = tuple[Array, Array]
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(x: Array) -> Pair:
    """1 / (1 + exp(-x)) and its derivative; never the difference of two numbers close to 1."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e), e / (1.0 + e) ** 2


def _limited(z: Array) -> Pair:
    """z limited to where exp(-|z|) is 0 in float64: infinity times 0 would be NaN. First from below only."""
    return np.maximum(z, -1000.0), np.clip(z, -1000.0, 1000.0)


@_in_float64
def identity(z: Array, alpha: float = 0.0) -> Pair:
    """y = z."""
    return z, np.ones_like(z)


@_in_float64
def relu(z: Array, alpha: float = 0.0) -> Pair:
    """y = max(z, 0); the derivative at 0 is 0."""
    return np.maximum(z, 0.0), np.where(z > 0, 1.0, 0.0)


@_in_float64
def leaky_relu(z: Array, alpha: float = 0.0) -> Pair:
    """y = z above 0, alpha z below; the derivative at 0 is alpha."""
    return np.where(z > 0, z, alpha * z), np.where(z > 0, 1.0, alpha)


@_in_float64
def elu(z: Array, alpha: float = 0.0) -> Pair:
    """y = z above 0, alpha (e^z - 1) below; the derivative at 0 is alpha.  Clevert et al. 2016, eq. 13"""
    return np.where(z > 0, z, alpha * np.expm1(z)), np.where(z > 0, 1.0, alpha * np.exp(z))


@_in_float64
def selu(z: Array, alpha: float = 0.0) -> Pair:
    """elu of SELU_ALPHA, times SELU_SCALE; the derivative at 0 is the left one.  Klambauer et al. 2017, eq. 2 and 14"""
    y = np.where(z > 0, z, SELU_ALPHA * np.expm1(z))
    return SELU_SCALE * y, SELU_SCALE * np.where(z > 0, 1.0, SELU_ALPHA * np.exp(z))


@_in_float64
def gelu(z: Array, alpha: float = 0.0) -> Pair:
    """y = z Phi(z), Phi the cumulative normal distribution.  Hendrycks, Gimpel 2016"""
    above, x = _limited(z)
    phi = 0.5 * _erfc(-x / math.sqrt(2.0))
    return above * phi, phi + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


@_in_float64
def gelu_tanh(z: Array, alpha: float = 0.0) -> Pair:
    """y = z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))), which is z sigmoid(2 sqrt(2/pi) (z + 0.044715 z^3))."""
    above, x = _limited(z)
    scale = 2.0 * math.sqrt(2.0 / math.pi)
    s, ds = _sigmoid(scale * (x + 0.044715 * x**3))
    return above * s, s + x * scale * (1.0 + 3 * 0.044715 * x**2) * ds


@_in_float64
def silu(z: Array, alpha: float = 0.0) -> Pair:
    """y = z sigmoid(z)."""
    above, x = _limited(z)
    s, ds = _sigmoid(x)
    return above * s, s + x * ds


@_in_float64
def mish(z: Array, alpha: float = 0.0) -> Pair:
    """y = z tanh(softplus(z)).  Misra 2019"""
    above, x = _limited(z)
    softplus_x = np.logaddexp(x, 0.0)
    t = np.tanh(softplus_x)
    return above * t, t + x * _sigmoid(x)[0] / np.cosh(softplus_x) ** 2


@_in_float64
def tanh(z: Array, alpha: float = 0.0) -> Pair:
    """y = tanh(z); the derivative is written as 1 / cosh^2."""
    e = np.exp(-2.0 * np.abs(z))
    return np.tanh(z), 4.0 * e / (1.0 + e) ** 2


@_in_float64
def sigmoid(z: Array, alpha: float = 0.0) -> Pair:
    """y = 1 / (1 + exp(-z))."""
    return _sigmoid(z)


@_in_float64
def softplus(z: Array, alpha: float = 0.0) -> Pair:
    """y = log(1 + exp(z))."""
    return np.logaddexp(z, 0.0), _sigmoid(z)[0]


@_in_float64
def hard_sigmoid(z: Array, alpha: float = 0.0) -> Pair:
    """y = min(max(z + 3, 0), 6) / 6 as in Keras 3 and PyTorch; the derivative at the kinks is 0."""
    return np.clip(z + 3.0, 0.0, 6.0) / 6.0, np.where(np.abs(z) < 3, 1.0 / 6.0, 0.0)


@_in_float64
def hard_tanh(z: Array, alpha: float = 0.0) -> Pair:
    """y = min(max(z, -1), 1); the derivative at the kinks is 0."""
    return np.clip(z, -1.0, 1.0), np.where(np.abs(z) < 1, 1.0, 0.0)


def _by_name(*functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {f.__name__: f for f in functions}


ACTIVATIONS = _by_name(
    *(identity, relu, leaky_relu, elu, selu, gelu, gelu_tanh, silu, mish),
    *(tanh, sigmoid, softplus, hard_sigmoid, hard_tanh),
)

# ---- losses: (scores, targets, row_scale, gradient_scale, options) -> (losses, right, dscores) ----
# scores (rows, n) are raw, before the link. losses (rows,) is row_scale times each row's loss, right how many
# predictions are right, dscores (rows, n) gradient_scale times the derivative of the row's loss. The options are those
# of fm_loss_options in csrc/fastmlp.h, as far as a loss knows them.

Loss: TypeAlias = tuple[Array, int, Array]


def softmax(scores: Array) -> Array:
    """exp(z_j) / sum_k exp(z_k) over each row: (rows, n) -> (rows, n)."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return cast(Array, e / e.sum(axis=1, keepdims=True))


@_in_float64
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


@_in_float64
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
    dscores = no * _sigmoid(scores)[0] - yes * _sigmoid(-scores)[0]
    return row_scale * losses.sum(axis=1), right, gradient_scale * dscores


@_in_float64
def squared_error(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """(z - t)^2, summed over the outputs."""
    error = scores - targets
    return row_scale * (error**2).sum(axis=1), 0, gradient_scale * 2.0 * error


@_in_float64
def absolute_error(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """|z - t|, summed over the outputs; the derivative at 0 is 0."""
    error = scores - targets
    return row_scale * np.abs(error).sum(axis=1), 0, gradient_scale * np.sign(error)


@_in_float64
def huber(
    scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0, delta: float = 1.0
) -> Loss:
    """(z - t)^2 / 2 up to |z - t| = delta, then delta (|z - t| - delta / 2), summed over the outputs.  Huber 1964"""
    error = scores - targets
    near = np.minimum(np.abs(error), delta)
    losses = (near * (np.abs(error) - near / 2)).sum(axis=1)
    return row_scale * losses, 0, gradient_scale * np.clip(error, -delta, delta)


@_in_float64
def log_cosh(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """log cosh(z - t), summed over the outputs; below 1 as log(1 + (cosh(z - t) - 1)), which does not cancel."""
    error = scores - targets
    near = np.log1p(2 * np.sinh(np.minimum(np.abs(error), 1.0) / 2) ** 2)
    losses = np.where(np.abs(error) < 1, near, np.logaddexp(error, -error) - math.log(2))
    return row_scale * losses.sum(axis=1), 0, gradient_scale * np.tanh(error)


@_in_float64
def quantile(
    scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0, levels: Any = 0.5
) -> Loss:
    """max(q (t - z), (q - 1) (t - z)), summed over the outputs, with one level q or (n,); the derivative at 0 is 0.

    Koenker, Bassett 1978, eq. 2.1
    """
    error, q = scores - targets, np.asarray(levels)
    losses = np.maximum(-q * error, (1 - q) * error).sum(axis=1)
    return row_scale * losses, 0, gradient_scale * np.where(error < 0, -q, np.where(error > 0, 1 - q, error))


@_in_float64
def poisson(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """exp(z) - t z, summed over the outputs: -log of the Poisson probability of t at the rate exp(z), less log t!."""
    losses = (np.exp(scores) - targets * scores).sum(axis=1)
    return row_scale * losses, 0, gradient_scale * (np.exp(scores) - targets)


@_in_float64
def hinge(scores: Array, targets: Array, row_scale: float = 1.0, gradient_scale: float = 1.0) -> Loss:
    """max(0, 1 - t z), summed over the outputs, targets -1 or 1; the derivative at the kink is 0."""
    margin = 1 - targets * scores
    right = int(np.count_nonzero((scores > 0) == (targets > 0.5)))
    dscores = np.where(margin > 0, -targets, 0 * margin)
    return row_scale * np.maximum(margin, 0).sum(axis=1), right, gradient_scale * dscores


@_in_float64
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


@_in_float64
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
    s, not_s, up, down = _sigmoid(scores)[0], _sigmoid(-scores)[0], np.logaddexp(0, scores), np.logaddexp(0, -scores)
    losses = yes * not_s**gamma * down + no * s**gamma * up
    dscores = no * s**gamma * (gamma * not_s * up + s) - yes * not_s**gamma * (gamma * s * down + not_s)
    return row_scale * losses.sum(axis=1), right, gradient_scale * dscores


@_in_float64
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


LOSSES = _by_name(
    *(softmax_cross_entropy, softmax_cross_entropy_labels, binary_cross_entropy, focal, focal_labels, binary_focal),
    *(hinge, squared_error, absolute_error, huber, log_cosh, quantile, poisson, gaussian_nll),
)


def scale_rows(weights: Array, losses: Array, dscores: Array | None = None) -> tuple[Array, Array | None]:
    """Losses (rows,) and their gradient (rows, n), each row times its weight; 0 where that is 0, whatever they were."""
    counts = weights > 0
    losses = np.multiply(weights, losses, out=np.zeros_like(losses), where=counts)
    if dscores is not None:
        dscores = np.multiply(weights[:, None], dscores, out=np.zeros_like(dscores), where=counts[:, None])
    return losses, dscores


# ---- optimizers: (g, w, states, hyper) -> (w, states), all arrays of one shape ----
# hyper has the fields of fm_hyper in csrc/fastmlp.h. States, m and v, start at zero.

Hyper: TypeAlias = dict[str, float]
States: TypeAlias = tuple[Array, ...]
Update: TypeAlias = tuple[Array, States]
_Step: TypeAlias = Callable[[Array, Array, Any, Hyper], Update]


def _scaled_and_decayed(step: _Step) -> _Step:
    """Before the optimizer's own step: g = gradient_scale g, w = (1 - rate weight_decay) w.  Loshchilov, Hutter 2019"""

    @functools.wraps(step)
    def update(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
        return step(hyper["gradient_scale"] * g, w * (1 - hyper["rate"] * hyper["weight_decay"]), states, hyper)

    return update


@_scaled_and_decayed
def sgd(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """Gradient descent: w - rate g."""
    return w - hyper["rate"] * g, states


@_scaled_and_decayed
def momentum(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """m = momentum m + rate g;  w - m.  Polyak 1964, with the rate inside the velocity as in Keras"""
    m = hyper["momentum"] * states[0] + hyper["rate"] * g
    return w - m, (m,)


@_scaled_and_decayed
def nesterov(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """The same m;  w - (momentum m + rate g): the weights kept are those looked ahead.  Sutskever et al. 2013, eq. 3"""
    m = hyper["momentum"] * states[0] + hyper["rate"] * g
    return w - (hyper["momentum"] * m + hyper["rate"] * g), (m,)


@_scaled_and_decayed
def rmsprop(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """v = rho v + (1 - rho) g^2;  w - rate g / (sqrt(v) + epsilon).  rho is called beta_2.  Tieleman, Hinton 2012"""
    v = hyper["beta_2"] * states[0] + (1 - hyper["beta_2"]) * g * g
    return w - hyper["rate"] * g / (np.sqrt(v + hyper["epsilon_in_root"]) + hyper["epsilon"]), (v,)


@_scaled_and_decayed
def rmsprop_centered(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """rmsprop with v - m^2, m = rho m + (1 - rho) g, in the place of v.  Graves 2013, eq. 38 to 41"""
    m = hyper["beta_2"] * states[0] + (1 - hyper["beta_2"]) * g
    v = hyper["beta_2"] * states[1] + (1 - hyper["beta_2"]) * g * g
    root = np.sqrt(np.maximum(v - m * m, 0) + hyper["epsilon_in_root"])
    return w - hyper["rate"] * g / (root + hyper["epsilon"]), (m, v)


@_scaled_and_decayed
def adagrad(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """v = v + g^2;  w - rate g / (sqrt(v + epsilon_in_root) + epsilon).  Duchi, Hazan, Singer 2011"""
    v = states[0] + g * g
    return w - hyper["rate"] * g / (np.sqrt(v + hyper["epsilon_in_root"]) + hyper["epsilon"]), (v,)


def _moments(g: Array, states: States, hyper: Hyper) -> Pair:
    m = hyper["momentum"] * states[0] + (1 - hyper["momentum"]) * g
    return m, hyper["beta_2"] * states[1] + (1 - hyper["beta_2"]) * g * g


@_scaled_and_decayed
def adam(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """Kingma and Ba 2015, algorithm 1; correction_1 = 1 / (1 - beta_1^t), correction_2 = 1 / sqrt(1 - beta_2^t)."""
    m, v = _moments(g, states, hyper)
    step = hyper["rate"] * hyper["correction_1"] * m / (np.sqrt(v) * hyper["correction_2"] + hyper["epsilon"])
    return w - step, (m, v)


@_scaled_and_decayed
def amsgrad(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """adam with the largest v so far in the place of v.  Reddi, Kale, Kumar 2018, algorithm 2"""
    m, v = _moments(g, states, hyper)
    v_max = np.maximum(states[2], v)
    step = hyper["rate"] * hyper["correction_1"] * m / (np.sqrt(v_max) * hyper["correction_2"] + hyper["epsilon"])
    return w - step, (m, v, v_max)


@_scaled_and_decayed
def nadam(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """adam with correction_1 m + correction_g g in the place of correction_1 m.  Dozat 2016"""
    m, v = _moments(g, states, hyper)
    ahead = hyper["rate"] * (hyper["correction_1"] * m + hyper["correction_g"] * g)
    return w - ahead / (np.sqrt(v) * hyper["correction_2"] + hyper["epsilon"]), (m, v)


@_scaled_and_decayed
def lion(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """w - rate sign(beta_1 m + (1 - beta_1) g);  m = beta_2 m + (1 - beta_2) g.  Chen et al. 2023, algorithm 2"""
    direction = np.sign(hyper["momentum"] * states[0] + (1 - hyper["momentum"]) * g)
    return w - hyper["rate"] * direction, (hyper["beta_2"] * states[0] + (1 - hyper["beta_2"]) * g,)


OPTIMIZERS = _by_name(
    sgd, momentum, nesterov, rmsprop, rmsprop_centered, adagrad, adam, amsgrad, nadam, lion
)  # fmt: skip
N_STATES = {
    "sgd": 0, "momentum": 1, "nesterov": 1, "rmsprop": 1, "rmsprop_centered": 2, "adagrad": 1, "adam": 2, "amsgrad": 3,
    "nadam": 2, "lion": 1,
}  # fmt: skip


def prepare_gradient(g: Array, w: Array, hyper: Hyper) -> Array:
    """share g + l2 w + l1 sign(w), clipped to [-clip_value, clip_value] unless that is 0."""
    found = hyper["share"] * g + hyper["l2"] * w + hyper["l1"] * np.sign(w)
    limit = hyper["clip_value"] or np.inf
    return np.clip(found, -limit, limit)


def penalty(x: Array, l1: float, l2: float) -> float:
    """l1 sum |x| + l2 / 2 sum x^2, in float64."""
    e = x.astype(np.float64)
    return float(l1 * np.abs(e).sum() + l2 / 2 * (e * e).sum())


def max_norm(w: Array, limit: float) -> Array:
    """w (n_in, n_out) with every column whose norm exceeds the limit scaled to it.  Srivastava et al. 2014, 5.1"""
    norms = np.sqrt((w * w).sum(axis=0))
    over = norms > limit
    return w * np.where(over, limit / np.where(over, norms, 1), 1)


Powers: TypeAlias = tuple[float, float, float, float]
NO_OPTIONS = {
    "weight_decay": 0.0, "l2": 0.0, "clip_norm": 0.0, "clip_value": 0.0, "accumulation": 1, "decay_biases": True,
    "average_momentum": 0.0,
}  # fmt: skip
NEUTRAL = {
    "momentum": 0.0, "beta_2": 0.0, "epsilon": 0.0, "epsilon_in_root": 0.0, "correction_1": 1.0, "correction_2": 1.0,
    "correction_g": 0.0, "weight_decay": 0.0, "gradient_scale": 1.0, "share": 1.0, "l1": 0.0, "l2": 0.0,
    "clip_value": 0.0,
}  # fmt: skip


def hyper_of_step(hyper: dict[str, Any], rate: float, powers: Powers) -> tuple[Hyper, Powers]:
    """Constants of the next update, and from those of the update before, by multiplication, the powers
    (beta_1^t, beta_2^t, 0.96^t, product of u_1 ... u_t).

    Nadam's momentum grows by a schedule, u_t = beta_1 (1 - 0.96^t / 2).
    """
    constants: Hyper = NEUTRAL | {name: value for name, value in hyper.items() if name in NEUTRAL} | {"rate": rate}
    beta_1, beta_2 = constants["momentum"], constants["beta_2"]
    if hyper.get("bias_correction", False):
        powers = powers[0] * beta_1, powers[1] * beta_2, *powers[2:]
        constants.update(correction_1=1 / (1 - powers[0]), correction_2=1 / math.sqrt(1 - powers[1]))
    if hyper.get("momentum_schedule", False):
        decay = powers[2] * 0.96
        now, ahead = beta_1 * (1 - 0.5 * decay), beta_1 * (1 - 0.5 * decay * 0.96)
        powers = powers[0], powers[1] * beta_2, decay, powers[3] * now
        constants.update(
            correction_1=ahead / (1 - powers[3] * ahead), correction_2=1 / math.sqrt(1 - powers[1]),
            correction_g=(1 - now) / (1 - powers[3]),
        )  # fmt: skip
    return constants, powers


# ---- the probes of the machine's peak: no part of a network ----


def probe_fma(x: Array, n: int) -> Array:
    """n rounds of a = s a + t in every column of x: x[0] holds s, x[1] t, and the rows below values a."""
    x = x.copy()
    for _ in range(n):
        x[2:] = x[0] * x[2:] + x[1]
    return x


def probe_triad(a: Array, b: Array) -> Array:
    """a + 3 b, the triad of STREAM: (n,)."""
    return cast(Array, a + 3 * b)


# ---- the whole training ----


class Layer(NamedTuple):
    """One layer: a dense one has w (n_in, n_out), b (n_out,), its activation and the alpha of that; is b trained?

    Of the other kinds "layer_norm" and "batch_norm" have gamma (n,) in the place of w and beta in that of b, "prelu"
    the slopes in the place of w, "activation" and "add" neither. "add" adds the outputs of layer `source`, or with -1
    the inputs. Any layer may have an activation, and behind it a dropout of some rate. rate is a factor of the learning
    rate; l1 sum |w| + l2 sum w^2 is added to the loss, max_norm (0: none) limits the columns of w; frozen: not trained,
    "batch_norm" then always takes its running statistics.
    """

    w: Array
    b: Array
    activation: str = "identity"
    alpha: float = 0.0
    use_bias: bool = True
    kind: str = "dense"
    dropout: float = 0.0
    epsilon: float = 0.0
    momentum: float = 0.0
    source: int = -1
    rate: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float = 0.0
    frozen: bool = False
    mean: Array | None = None
    variance: Array | None = None


class Network:
    """A stack of dense layers in training: the twin of the engine's Network and Run.

    Parameters
    ----------
    layers : iterable of Layer, or of tuples (w, b, activation, alpha, use_bias)
        All arrays of one dtype, in which everything is computed.
    loss : str
        One of LOSSES.
    row_scale : float, default 1.0
        Factor of each row's loss: 1 / n_outputs makes a mean of a sum.
    seed : int, default 0
        Of the masks of dropout.
    options : dict, optional
        Those of the loss.
    """

    def __init__(
        self,
        layers: Iterable[Any],
        loss: str = "squared_error",
        row_scale: float = 1.0,
        seed: int = 0,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.layers = [Layer(*layer) for layer in layers]
        self.seed, self.step = seed, 0
        self.loss, self.row_scale, self.options = loss, row_scale, options or {}
        self.epoch = self.batch = 0
        self.set_optimizer("sgd")

    def set_optimizer(self, name: str) -> None:
        """Start afresh with one of OPTIMIZERS: states zero, step 0. The shuffles go on."""
        self.optimizer, self.step = name, 0
        self.powers: Powers = (1.0, 1.0, 1.0, 1.0)
        self.states = [[(np.zeros_like(a),) * N_STATES[name] for a in layer[:2]] for layer in self.layers]
        self.pending: list[tuple[list[Pair], int]] = []  # gradients that wait for an update, and of how many rows
        self.average = [layer[:2] for layer in self.layers]
        self.updates = 0

    def forward(self, x: Array, training: bool = False) -> tuple[Array, list[Array], list[Array]]:
        """Scores (rows, n_outputs), each layer's input, and the derivative of each layer's activation and dropout.

        In training batches are normalised by their own statistics, and dropout draws the masks of this step.
        """
        inputs, derivatives = [x], []
        for i, layer in enumerate(self.layers):
            z = self.apply_layer(layer, inputs, training)
            y, derivative = ACTIVATIONS[layer.activation](z, layer.alpha)
            if layer.dropout and training:
                y, derivative = dropout(y, derivative, self.seed, i, self.step, layer.dropout)
            inputs.append(y)
            derivatives.append(derivative)
        return inputs[-1], inputs[:-1], derivatives

    def apply_layer(self, layer: Layer, inputs: list[Array], training: bool) -> Array:
        """What goes into a layer's activation, from the inputs of all layers up to it."""
        x = inputs[-1]
        if layer.kind == "dense":
            return dense_forward(x, layer.w, layer.b)
        if layer.kind == "layer_norm":
            return layer_norm(x, layer.w, layer.b, layer.epsilon)[0]
        if layer.kind == "batch_norm":
            return batch_norm(x, *self.statistics(layer, x, training), layer.epsilon, layer.w, layer.b)
        if layer.kind == "prelu":
            return prelu(x, layer.w)
        return add(x, inputs[layer.source + 1]) if layer.kind == "add" else x

    def statistics(self, layer: Layer, x: Array, training: bool = True) -> Pair:
        """Mean and variance that a batch normalisation takes: of the batch in training, unless it is frozen."""
        if training and not layer.frozen:
            return batch_statistics(x)
        return cast(Array, layer.mean), cast(Array, layer.variance)

    def predict(self, x: Array, link: str = "identity") -> Array:
        """Link of the scores (rows, n_outputs); link: "softmax", "exp" or one of ACTIVATIONS."""
        scores = self.forward(x)[0]
        if link in ("softmax", "exp"):
            return softmax(scores) if link == "softmax" else exp(scores)
        return cast(Array, ACTIVATIONS[link](scores)[0])

    def evaluate(self, x: Array, targets: Array, weights: Array | None = None) -> tuple[float, int]:
        """Mean loss of the rows, times their weights where there are some, with the layers' penalties, and how many
        predictions are right."""
        losses, right, _ = LOSSES[self.loss](self.forward(x)[0], targets, self.row_scale, **self.options)
        if weights is not None:
            losses, _ = scale_rows(weights, losses)
        return sum(losses) / len(x) + self.penalties(), right

    def penalties(self) -> float:
        """Of all layers together."""
        return math.fsum(penalty(layer.w, layer.l1, 2 * layer.l2) for layer in self.layers if not layer.frozen)

    def loss_and_gradients(
        self, x: Array, targets: Array, weights: Array | None = None
    ) -> tuple[float, int, list[Pair]]:
        """Mean loss of one batch with penalties, right predictions, and the gradients [(dw, db), ...] of that loss."""
        scores, inputs, derivatives = self.forward(x, training=True)
        losses, right, dscores = LOSSES[self.loss](
            scores, targets, self.row_scale, self.row_scale / len(x), **self.options
        )
        if weights is not None:
            losses, dscores = cast(Pair, scale_rows(weights, losses, dscores))
        gradients, dy = [], {len(self.layers) - 1: dscores}  # of the outputs of each layer, -1: of the inputs
        for i in range(len(self.layers) - 1, -1, -1):
            dz = dy[i] * derivatives[i]
            gradients.append(self.weight_gradients(self.layers[i], inputs[i], dz))
            if self.layers[i].kind == "add":
                dy[self.layers[i].source] = dz + dy.get(self.layers[i].source, 0)
            if i > 0:
                dy[i - 1] = self.input_gradient(self.layers[i], inputs[i], dz, gradients[-1]) + dy.get(i - 1, 0)
        for i, (layer, (dw, db)) in enumerate(zip(self.layers, gradients[::-1], strict=True)):
            if not layer.frozen:
                factors = NEUTRAL | {"l1": layer.l1, "l2": 2 * layer.l2}
                gradients[len(gradients) - 1 - i] = prepare_gradient(dw, layer.w, factors), db
        return sum(losses) / len(x) + self.penalties(), right, gradients[::-1]

    def weight_gradients(self, layer: Layer, x: Array, dz: Array) -> Pair:
        """(dw, db) of a layer with input x, from the gradient of what goes into its activation."""
        if layer.kind == "dense":
            db = dense_bias_gradient(dz) if layer.use_bias else np.zeros_like(layer.b)
            return dense_weight_gradient(x, dz), db
        if layer.kind == "layer_norm":
            return layer_norm_weight_gradient(dz, x, *layer_norm(x, layer.w, layer.b, layer.epsilon)[1:])
        if layer.kind == "batch_norm":
            return batch_norm_weight_gradient(dz, x, *self.statistics(layer, x), layer.epsilon)
        dw = prelu_weight_gradient(dz, x) if layer.kind == "prelu" else np.zeros_like(layer.w)
        return dw, np.zeros_like(layer.b)

    def input_gradient(self, layer: Layer, x: Array, dz: Array, pair: Pair) -> Array:
        """The gradient of a layer's input x, from that of what goes into its activation and its weight gradients."""
        if layer.kind == "dense":
            return dense_input_gradient(dz, layer.w)
        if layer.kind == "layer_norm":
            return layer_norm_input_gradient(dz, x, layer.w, *layer_norm(x, layer.w, layer.b, layer.epsilon)[1:])
        if layer.kind == "batch_norm":
            sums = (np.zeros_like(layer.w),) * 2 if layer.frozen else pair  # mean and variance are then constants
            return batch_norm_input_gradient(dz, x, *self.statistics(layer, x), layer.epsilon, layer.w, *sums)
        return prelu_input_gradient(dz, x, layer.w) if layer.kind == "prelu" else dz

    def follow_statistics(self, x: Array) -> None:
        """The running statistics of batch normalisation after a step on the batch x, which of one row has no
        variance."""
        if len(x) == 1:
            return
        inputs = self.forward(x, training=True)[1]
        for i, layer in enumerate(self.layers):
            if layer.kind == "batch_norm" and not layer.frozen:
                mean, variance = batch_statistics(inputs[i])
                self.layers[i] = layer._replace(
                    mean=running_average(mean, cast(Array, layer.mean), layer.momentum),
                    variance=running_average(variance, cast(Array, layer.variance), layer.momentum),
                )

    def apply_gradients(self, gradients: list[Pair], hyper: dict[str, Any], rate: float, rows: int = 1) -> None:
        """One step of the optimizer; hyper as from fastmlp.optimizers, its "options" included. The gradients of several
        steps that make one update are averaged over their rows."""
        options = NO_OPTIONS | hyper.get("options", {})
        self.step += 1
        self.pending.append((gradients, rows))
        if len(self.pending) < options["accumulation"]:
            return
        constants, self.powers = hyper_of_step(hyper, rate, self.powers)
        weights = [rows / self.pending[0][1] for _, rows in self.pending]
        constants["share"] = 1 / math.fsum(weights)
        ready = {}  # by layer and array
        for i, layer in enumerate(self.layers):
            for j in (0, 1) if not layer.frozen else ():
                decays = options["decay_biases"] or (layer.kind == "dense" and j == 0)
                own = constants | {"rate": rate * layer.rate, "clip_value": options["clip_value"]}
                own |= {name: options[name] if decays else 0.0 for name in ("l2", "weight_decay")}
                total = np.sum(
                    [weight * each[i][j] for (each, _), weight in zip(self.pending, weights, strict=True)], axis=0
                )
                ready[i, j] = prepare_gradient(total, layer[:2][j], own), own
        norm = math.sqrt(math.fsum(penalty(g, 0, 2) for g, _ in ready.values()))
        scale = options["clip_norm"] / norm if norm > options["clip_norm"] > 0 else 1.0
        for (i, j), (g, own) in ready.items():
            update = OPTIMIZERS[self.optimizer]
            w, self.states[i][j] = update(g, self.layers[i][j], self.states[i][j], own | {"gradient_scale": scale})
            if j == 0 and self.layers[i].max_norm > 0:
                w = max_norm(w, self.layers[i].max_norm)
            self.layers[i] = self.layers[i]._replace(**{"wb"[j]: w})
        self.follow_average(options["average_momentum"] if self.updates else 0.0)
        self.pending, self.updates = [], self.updates + 1

    def follow_average(self, momentum: float) -> None:
        """The moving average of the weights after an update."""
        self.average = [
            (running_average(layer.w, w, momentum), running_average(layer.b, b, momentum))
            for layer, (w, b) in zip(self.layers, self.average, strict=True)
        ]

    def train_step(
        self, x: Array, targets: Array, hyper: dict[str, Any], rate: float, weights: Array | None = None
    ) -> tuple[float, int]:
        """One update on one batch, unless its loss is not finite; mean loss and right predictions before the update."""
        loss, right, gradients = self.loss_and_gradients(x, targets, weights)
        if math.isfinite(loss):
            self.follow_statistics(x)
            self.apply_gradients(gradients, hyper, rate, len(x))
        return loss, right

    def fit(
        self, x: Array, targets: Array, batch_rows: int, rates: Iterable[float], hyper: dict[str, Any] | None = None,
        shuffled: bool = False, seed: int = 0, weights: Array | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        """One training step for each rate, up to the first whose loss is not finite: that one changes nothing.

        An epoch over x (n_samples, n_inputs) and targets (n_samples, n_outputs), or labels (n_samples,), and the
        weights of the samples (n_samples,), has
        ceil(n_samples / batch_rows) steps, the last with what is left. hyper holds the constants of the optimizer;
        shuffled epochs take the order shuffle(n_samples, seed, number of the epoch). Calls go on where the last ended.
        Returns (losses, right), one entry for each step that was begun.
        """
        steps = []
        for rate in rates:
            order = shuffle(len(x), seed, self.epoch) if shuffled else np.arange(len(x))
            rows = order[self.batch * batch_rows : (self.batch + 1) * batch_rows]
            batch_weights = None if weights is None else weights[rows]
            batch = gather(x, self.layers[0].w.dtype, rows)
            steps.append(self.train_step(batch, targets[rows], hyper or {}, rate, batch_weights))
            if not math.isfinite(steps[-1][0]):
                break
            self.batch += 1
            if self.batch * batch_rows >= len(x):
                self.batch, self.epoch = 0, self.epoch + 1
        return np.array([loss for loss, _ in steps]), np.array([right for _, right in steps])
