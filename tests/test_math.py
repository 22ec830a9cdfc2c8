"""How accurate csrc/kernels/math.inc.h is, seen through the kernels that use it, against exact values in 50 digits.

Errors are relative to the exact value and in units of the dtype's epsilon: half a unit is the best possible.
"""

import decimal
import functools
import math
from decimal import Decimal

import numpy as np
import pytest

from fastmlp import _engine, _kernels, reference

CONTEXT = decimal.Context(prec=50, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
ONE, HALF, PI = Decimal(1), Decimal("0.5"), Decimal("3.14159265358979323846264338327950288419716939937510582097494")
ALPHA = {"leaky_relu": 0.25, "elu": 1.5}  # exact in both dtypes


# ---- exact values and derivatives of one number ----


def sigmoid(x):
    s = ONE / (ONE + (-x).exp())
    return s, s * (ONE / (ONE + x.exp()))


def tanh(x):
    e = (-2 * abs(x)).exp()
    # 1 - e has lost its digits where x is tiny: x - x^3 / 3 there
    y = (ONE - e) / (ONE + e) if abs(x) > Decimal("1e-9") else abs(x) - abs(x) ** 3 / 3
    return y.copy_sign(x), 4 * e / (ONE + e) ** 2


def softplus(x):
    e = (-abs(x)).exp()
    log = (ONE + e).ln() if e > Decimal("1e-20") else e - e * e / 2
    return max(x, Decimal(0)) + log, sigmoid(x)[0]


def normal(x):
    """The cumulative normal distribution and its density."""
    density, a = (-x * x / 2).exp() / (2 * PI).sqrt(), abs(x)
    if a < 5:  # Phi(a) - 1/2 = phi(a) (a + a^3/3 + a^5/15 + ...)
        term, total, k = a, a, 1
        while term > total * Decimal("1e-45"):
            k += 2
            term *= a * a / k
            total += term
        tail = HALF - density * total
    else:  # Phi(-a) = phi(a) / (a + 1/(a + 2/(a + 3/(a + ...))))
        fraction = a
        for k in range(150, 0, -1):
            fraction = a + k / fraction
        tail = density / fraction
    return (tail if x < 0 else ONE - tail), density


def gelu(x):
    phi, density = normal(x)
    return x * phi, phi + x * density


def gelu_tanh(x):
    scale, cubic = 2 * (2 / PI).sqrt(), Decimal("0.044715")
    s, ds = sigmoid(scale * (x + cubic * x**3))
    return x * s, s + x * scale * (1 + 3 * cubic * x * x) * ds


def silu(x):
    s, ds = sigmoid(x)
    return x * s, s + x * ds


def mish(x):
    t, dt = tanh(softplus(x)[0])
    return x * t, t + x * dt * sigmoid(x)[0]


def elu(x, scale=ONE, alpha=None):
    slope = scale * (Decimal(ALPHA["elu"]) if alpha is None else alpha)
    if x > 0:
        return scale * x, scale
    e = x.exp()
    return slope * (e - ONE if x < Decimal("-1e-20") else x), slope * e


def selu(x):
    return elu(x, Decimal("1.0507009873554804934193349852946"), Decimal("1.6732632423543772848170429916717"))


EXACT = {f.__name__: f for f in (sigmoid, tanh, softplus, gelu, gelu_tanh, silu, mish, elu, selu)}
CHANGES_ITS_SIGN = ("gelu", "gelu_tanh", "silu", "mish")  # the derivative does, and its error there is absolute


@functools.cache
def samples(dtype):
    """Numbers whose results are far from subnormal."""
    rng = np.random.default_rng(1)
    reach = 80 if dtype == "float32" else 700
    found = [rng.standard_normal(200) * 3, rng.uniform(-10, 10, 100), rng.uniform(-reach, reach, 60)]
    found += [rng.choice([-1, 1], 60) * 10.0 ** rng.uniform(-20, 0, 60)]
    return np.concatenate(found).astype(dtype)


@functools.cache
def exact(name, dtype):
    with decimal.localcontext(CONTEXT):
        return [EXACT[name](Decimal(z)) for z in samples(dtype).tolist()]


def errors(found, exact_values, dtype, floor=Decimal("1e-400")):
    """Errors in units of epsilon, relative to the exact values or to the floor."""
    eps = Decimal(float(np.finfo(dtype).eps))
    with decimal.localcontext(CONTEXT):
        return np.array(
            [float(abs(Decimal(f) - e) / max(abs(e), floor) / eps) for f, e in zip(found, exact_values, strict=True)]
        )


def test_every_activation_that_is_not_plain_arithmetic_has_an_exact_value():
    plain = {"identity", "relu", "leaky_relu", "hard_sigmoid", "hard_tanh"}
    assert set(EXACT) == set(_engine.activations) - plain


def far_from_subnormal(values, dtype):
    limit = float(np.finfo(dtype).tiny) * 1e4
    return np.array([abs(v) > limit for v in values])


def allowed(name, isa, z, tolerance):
    """Relative error that a value may have at each z: the bounds stated in csrc/kernels/activations.inc.h."""
    z = np.abs(z.astype(np.float64))
    if name == "gelu" and isa == "baseline":  # no fused multiply-add to carry what z^2 loses
        return np.maximum(tolerance("accuracy of gelu, unfused"), tolerance("accuracy of far gelu, unfused") * z**2)
    if name == "gelu_tanh":  # the relative error of exp(v) is the absolute one of v
        v = 1.6 * (z + 0.044715 * z**3)
        return np.maximum(tolerance("accuracy of gelu_tanh"), tolerance("accuracy of far gelu_tanh") * v)
    return tolerance({"gelu": "accuracy of gelu", "mish": "accuracy of mish"}.get(name, "accuracy"))


@pytest.mark.parametrize("name", EXACT)
def test_value_is_accurate(name, isa, dtype, tolerance):
    z, expected = samples(dtype), [pair[0] for pair in exact(name, dtype)]
    y, _ = _kernels.activation(name, z, ALPHA.get(name, 0), isa=isa)
    good = errors(y.tolist(), expected, dtype) <= allowed(name, isa, z, tolerance) / np.finfo(dtype).eps
    assert np.all(good[far_from_subnormal(expected, dtype)])


@pytest.mark.parametrize("name", EXACT)
def test_derivative_is_accurate(name, isa, dtype, tolerance):
    _, d = _kernels.activation(name, samples(dtype), ALPHA.get(name, 0), isa=isa)
    expected = [pair[1] for pair in exact(name, dtype)]
    floor = ONE if name in CHANGES_ITS_SIGN else Decimal("1e-400")
    limit = tolerance("accuracy of derivatives") / np.finfo(dtype).eps
    assert errors(d.tolist(), expected, dtype, floor)[far_from_subnormal(expected, dtype)].max() <= limit


@pytest.mark.parametrize("dtype", ["float32"])
@pytest.mark.parametrize("name", EXACT)
def test_value_is_accurate_on_many_float32(name, isa, dtype, tolerance):
    """A dense sweep, for which the twin's float64 is exact enough."""
    rng = np.random.default_rng(2)
    z = np.concatenate([np.linspace(-20, 20, 60_001), rng.choice([-1, 1], 30_000) * 2.0 ** rng.uniform(-40, 6, 30_000)])
    z = z.astype(np.float32)
    y, _ = _kernels.activation(name, z, 1.5, isa=isa)
    expected, _ = reference.ACTIVATIONS[name](z.astype(np.float64), 1.5)
    good = np.abs(y - expected) <= allowed(name, isa, z, tolerance) * np.abs(expected)
    assert np.all(good[far_from_subnormal(expected, dtype)])


def test_exponential_is_accurate(isa, dtype, tolerance):
    """Softmax of two scores has the ratio exp(-x): an exponential, a product each, and this division."""
    x = np.concatenate([np.linspace(0, 1, 300), np.linspace(1, 80, 300)]).astype(dtype)
    found = _kernels.softmax(np.stack([np.zeros_like(x), -x], axis=1), isa=isa)
    with decimal.localcontext(CONTEXT):
        expected = [(-Decimal(a)).exp() for a in x.tolist()]
        ratios = [Decimal(b) / Decimal(a) for a, b in found.tolist()]
    assert errors(ratios, expected, dtype).max() <= tolerance("exponential") / np.finfo(dtype).eps


def test_logarithm_is_accurate(isa, dtype, tolerance):
    """The cross-entropy of n equal scores is log n."""
    for n in [*range(2, 70), 1000, 4096, 65536]:
        losses, _, _ = _kernels.loss("softmax_cross_entropy_labels", np.ones((1, n), dtype), [0], isa=isa)
        assert abs(losses[0] - math.log(n)) <= tolerance("accuracy") * math.log(n), n
