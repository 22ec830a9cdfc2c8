"""csrc/kernels/activations.inc.h against its twins; how accurate they are is test_math.py's matter."""

import numpy as np
import pytest

from fastmlp import _engine, _kernels, reference

ALPHA = {"leaky_relu": 0.01, "elu": 1.5}
KINKS = {"relu": [0], "leaky_relu": [0], "elu": [0], "selu": [0], "hard_sigmoid": [-3, 3], "hard_tanh": [-1, 1]}
SLOPE_AT_KINK = {
    "relu": 0.0, "leaky_relu": 0.01, "elu": 1.5, "selu": 1.7580993408473766, "hard_sigmoid": 0.0, "hard_tanh": 0.0,
}  # fmt: skip
LIMITS = {  # y at -infinity and at infinity
    "relu": (0, np.inf), "leaky_relu": (-np.inf, np.inf), "elu": (-1.5, np.inf), "selu": (-1.7580993408473766, np.inf),
    "gelu": (0, np.inf), "gelu_tanh": (0, np.inf), "silu": (0, np.inf), "mish": (0, np.inf), "tanh": (-1, 1),
    "sigmoid": (0, 1), "softplus": (0, np.inf), "hard_sigmoid": (0, 1), "hard_tanh": (-1, 1),
    "identity": (-np.inf, np.inf),
}  # fmt: skip

every_activation = pytest.mark.parametrize("name", _engine.activations)


def test_every_activation_has_a_twin_and_the_reverse():
    assert list(reference.ACTIVATIONS) == _engine.activations


def samples(dtype, n=4000):
    """Ordinary values, large ones, tiny ones, and both zeros."""
    rng = np.random.default_rng(1)
    found = np.concatenate([rng.standard_normal(n) * 4, rng.uniform(-100, 100, n), 10.0 ** rng.uniform(-30, 1.9, n)])
    return np.append(np.concatenate([found, -found]), [0.0, -0.0]).astype(dtype)


@every_activation
def test_value_and_derivative_are_the_twins(name, isa, dtype, tolerance):
    z = samples(dtype)
    y, d = _kernels.activation(name, z, ALPHA.get(name, 0), isa=isa)
    exact_y, exact_d = reference.ACTIVATIONS[name](z.astype(np.float64), ALPHA.get(name, 0))
    assert y.dtype == d.dtype == dtype
    flushed = np.finfo(dtype).tiny * (1 + np.abs(z))  # z times an exponential that may be subnormal, and then 0
    limit = tolerance("activation") * (np.abs(exact_y) + np.abs(z * exact_d))
    np.testing.assert_array_less(np.abs(y - exact_y), limit + flushed)
    limit = tolerance("activation derivative") * np.maximum(np.abs(exact_d), 0.1)
    np.testing.assert_array_less(np.abs(d - exact_d), limit + flushed)


@every_activation
def test_value_is_the_same_without_the_derivative(name, isa, dtype):
    z = samples(dtype)
    y, _ = _kernels.activation(name, z, ALPHA.get(name, 0), isa=isa)
    alone, nothing = _kernels.activation(name, z, ALPHA.get(name, 0), isa=isa, derivative=False)
    assert nothing is None
    assert alone.tobytes() == y.tobytes()


@every_activation
def test_an_element_does_not_depend_on_its_place(name, isa, dtype, sizes):
    z = samples(dtype)[1::23]
    whole_y, whole_d = _kernels.activation(name, z, ALPHA.get(name, 0), isa=isa)
    for n in sizes:
        y, d = _kernels.activation(name, z[5 : 5 + n], ALPHA.get(name, 0), isa=isa)
        assert y.tobytes() == whole_y[5 : 5 + n].tobytes(), n
        assert d.tobytes() == whole_d[5 : 5 + n].tobytes(), n


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "hard_tanh", "tanh"])
def test_minus_zero_stays_so(name, isa, dtype):
    y, _ = _kernels.activation(name, np.array([-0.0, 0.0], dtype), 0.3, isa=isa)  # clang 14 lost it, for aarch64
    assert list(np.signbit(y)) == [True, False]


@every_activation
def test_nan_gives_nan_and_infinities_the_limits(name, isa, dtype):
    largest = np.finfo(dtype).max
    z = np.array([np.nan, -np.inf, np.inf, -largest, largest, 1.0], dtype)
    y, d = _kernels.activation(name, z, ALPHA.get(name, 0), isa=isa)
    twin_y, twin_d = reference.ACTIVATIONS[name](z, ALPHA.get(name, 0))
    assert np.isnan(y[0])
    np.testing.assert_allclose(y[1:3], np.array(LIMITS[name], dtype), rtol=0, atol=np.finfo(dtype).tiny)
    np.testing.assert_allclose(y, twin_y, rtol=1e-6, atol=np.finfo(dtype).tiny)
    np.testing.assert_allclose(d[1:], twin_d[1:], rtol=1e-6, atol=np.finfo(dtype).tiny)
    assert np.isfinite(d[1:]).all()


@every_activation
def test_zeros(name, isa, dtype):
    z = np.array([0.0, -0.0], dtype)
    y, d = _kernels.activation(name, z, ALPHA.get(name, 0), isa=isa)
    twin_y, twin_d = reference.ACTIVATIONS[name](z, ALPHA.get(name, 0))
    np.testing.assert_array_equal(y, twin_y)
    np.testing.assert_allclose(d, twin_d, rtol=4 * np.finfo(dtype).eps)
    if name in ("identity", "tanh"):
        assert list(np.signbit(y)) == [False, True]


@pytest.mark.parametrize("name", KINKS)
def test_derivative_at_a_kink_is_the_documented_one(name, isa, dtype):
    z = np.array(KINKS[name], dtype)
    _, d = _kernels.activation(name, z, ALPHA.get(name, 0), isa=isa)
    np.testing.assert_array_equal(d, np.full(len(z), SLOPE_AT_KINK[name], dtype))


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0, 3.0])
@pytest.mark.parametrize("name", ["leaky_relu", "elu"])
def test_alpha_is_used(name, alpha, isa, dtype, tolerance):
    z = np.linspace(-3, 3, 61).astype(dtype)
    for found, expected in zip(
        _kernels.activation(name, z, alpha, isa=isa), reference.ACTIVATIONS[name](z, alpha), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=2 * tolerance("activation"))


@every_activation
def test_derivative_is_that_of_the_value(name, isa):
    """Central differences of fourth order in float64, off the kinks."""
    h = 2.0**-10
    for seed in range(3):
        z = np.random.default_rng(seed).uniform(-8, 8, 500)
        for kink in KINKS.get(name, []):
            z = z[np.abs(z - kink) > 4 * h]
        y = {k: _kernels.activation(name, z + k * h, ALPHA.get(name, 0), isa=isa)[0] for k in (-2, -1, 1, 2)}
        slope = (8 * (y[1] - y[-1]) - (y[2] - y[-2])) / (12 * h)
        d = _kernels.activation(name, z, ALPHA.get(name, 0), isa=isa)[1]
        np.testing.assert_allclose(d, slope, atol=1e-10, rtol=0)
