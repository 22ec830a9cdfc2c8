"""Activations, (z, alpha) -> (y, dy/dz), all of the shape of z: the twin of csrc/kernels/activations.inc.h."""

import math

import numpy as np

from fastmlp.reference.base import Array, Pair, by_name, in_float64

# NaN gives NaN in y, infinities give the limits, and at a kink the derivative is the one stated.

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def logistic(x: Array) -> Pair:
    """1 / (1 + exp(-x)) and its derivative; never the difference of two numbers close to 1."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e), e / (1.0 + e) ** 2


def _limited(z: Array) -> Pair:
    """z limited to where exp(-|z|) is 0 in float64: infinity times 0 would be NaN. First from below only."""
    return np.maximum(z, -1000.0), np.clip(z, -1000.0, 1000.0)


@in_float64
def identity(z: Array, alpha: float = 0.0) -> Pair:
    """y = z."""
    return z, np.ones_like(z)


@in_float64
def relu(z: Array, alpha: float = 0.0) -> Pair:
    """y = max(z, 0); the derivative at 0 is 0."""
    return np.maximum(z, 0.0), np.where(z > 0, 1.0, 0.0)


@in_float64
def leaky_relu(z: Array, alpha: float = 0.0) -> Pair:
    """y = z above 0, alpha z below; the derivative at 0 is alpha."""
    return np.where(z > 0, z, alpha * z), np.where(z > 0, 1.0, alpha)


@in_float64
def elu(z: Array, alpha: float = 0.0) -> Pair:
    """y = z above 0, alpha (e^z - 1) below; the derivative at 0 is alpha.  Clevert et al. 2016, eq. 13"""
    return np.where(z > 0, z, alpha * np.expm1(z)), np.where(z > 0, 1.0, alpha * np.exp(z))


@in_float64
def selu(z: Array, alpha: float = 0.0) -> Pair:
    """elu of SELU_ALPHA, times SELU_SCALE; the derivative at 0 is the left one.  Klambauer et al. 2017, eq. 2 and 14"""
    y = np.where(z > 0, z, SELU_ALPHA * np.expm1(z))
    return SELU_SCALE * y, SELU_SCALE * np.where(z > 0, 1.0, SELU_ALPHA * np.exp(z))


@in_float64
def gelu(z: Array, alpha: float = 0.0) -> Pair:
    """y = z Phi(z), Phi the cumulative normal distribution.  Hendrycks, Gimpel 2016"""
    above, x = _limited(z)
    phi = 0.5 * _erfc(-x / math.sqrt(2.0))
    return above * phi, phi + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


@in_float64
def gelu_tanh(z: Array, alpha: float = 0.0) -> Pair:
    """y = z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))), which is z sigmoid(2 sqrt(2/pi) (z + 0.044715 z^3))."""
    above, x = _limited(z)
    scale = 2.0 * math.sqrt(2.0 / math.pi)
    s, ds = logistic(scale * (x + 0.044715 * x**3))
    return above * s, s + x * scale * (1.0 + 3 * 0.044715 * x**2) * ds


@in_float64
def silu(z: Array, alpha: float = 0.0) -> Pair:
    """y = z sigmoid(z)."""
    above, x = _limited(z)
    s, ds = logistic(x)
    return above * s, s + x * ds


@in_float64
def mish(z: Array, alpha: float = 0.0) -> Pair:
    """y = z tanh(softplus(z)).  Misra 2019"""
    above, x = _limited(z)
    softplus_x = np.logaddexp(x, 0.0)
    t = np.tanh(softplus_x)
    return above * t, t + x * logistic(x)[0] / np.cosh(softplus_x) ** 2


@in_float64
def tanh(z: Array, alpha: float = 0.0) -> Pair:
    """y = tanh(z); the derivative is written as 1 / cosh^2."""
    e = np.exp(-2.0 * np.abs(z))
    return np.tanh(z), 4.0 * e / (1.0 + e) ** 2


@in_float64
def sigmoid(z: Array, alpha: float = 0.0) -> Pair:
    """y = 1 / (1 + exp(-z))."""
    return logistic(z)


@in_float64
def softplus(z: Array, alpha: float = 0.0) -> Pair:
    """y = log(1 + exp(z))."""
    return np.logaddexp(z, 0.0), logistic(z)[0]


@in_float64
def hard_sigmoid(z: Array, alpha: float = 0.0) -> Pair:
    """y = min(max(z + 3, 0), 6) / 6 as in Keras 3 and PyTorch; the derivative at the kinks is 0."""
    return np.clip(z + 3.0, 0.0, 6.0) / 6.0, np.where(np.abs(z) < 3, 1.0 / 6.0, 0.0)


@in_float64
def hard_tanh(z: Array, alpha: float = 0.0) -> Pair:
    """y = min(max(z, -1), 1); the derivative at the kinks is 0."""
    return np.clip(z, -1.0, 1.0), np.where(np.abs(z) < 1, 1.0, 0.0)


ACTIVATIONS = by_name(
    *(identity, relu, leaky_relu, elu, selu, gelu, gelu_tanh, silu, mish),
    *(tanh, sigmoid, softplus, hard_sigmoid, hard_tanh),
)
