"""fastmlp/initializers.py: what is drawn, how it is distributed, and that every machine draws the same bits."""

import hashlib
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import fastmlp as fm
from fastmlp import initializers
from fastmlp.initializers import Constant, Normal, Orthogonal, TruncatedNormal, Uniform, VarianceScaling, orthonormal

# Of 37 x 70 float64 numbers, seed 7, layer 2: the first digits of their SHA-256 on the machine where each was added.
BITS = {
    "glorot_uniform": "a1f8626a449cfdaa",
    "glorot_normal": "1049974edec1b45c",
    "he_uniform": "af5f4d7d448bfe0a",
    "he_normal": "1f630d9cb0c37e0e",
    "lecun_uniform": "cada90cf019fdf4c",
    "lecun_normal": "140853e7d0e472d8",
    "orthogonal": "c607a3e8f3444639",
    "normal": "302371e72bf7430e",
    "truncated_normal": "975a4427a39fe9bb",
    "uniform": "8977bb48811d70f3",
    "zeros": "d172eb32c44fcd3a",
    "ones": "c78c267f73f653bc",
}


def digest(initializer):
    found = initializers.initialize(initializer, 37, 70, "float64", seed=7, layer=2)
    return hashlib.sha256(found.astype("<f8").tobytes()).hexdigest()[:16]


def draw(initializer, n_in=200, n_out=300, dtype="float64", bias=False):
    return initializers.initialize(initializer, n_in, n_out, dtype, seed=3, layer=1, bias=bias)


# ---- the same bits ----


def test_every_machine_draws_the_same_bits():
    assert {name: digest(name) for name in initializers.BY_NAME} == BITS


def test_orthogonal_is_the_same_for_other_blas_kernels():
    """OpenBLAS and NumPy with the kernels of an old processor, without fused multiply-add. Where NumPy has another BLAS
    or was built for newer processors alone the variables do nothing, and this test passes for nothing."""
    code = (
        "import hashlib; from fastmlp import initializers;"
        "W = initializers.initialize('orthogonal', 300, 200, 'float64', 7, 2);"
        "print(hashlib.sha256(W.tobytes()).hexdigest())"
    )
    features = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR FMA3 AVX2 AVX512F AVX512CD AVX512_SKX"  # as each NumPy calls them
    old = {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "1", "NPY_DISABLE_CPU_FEATURES": features}
    found = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={**os.environ, **extra},
            capture_output=True,
            check=True,
            cwd=Path(fm.__file__).parents[1],
            timeout=200,
        ).stdout
        for extra in ({}, old)
    ]
    assert len(found[0]) == 65
    assert found[0] == found[1]


@pytest.mark.parametrize("name", initializers.BY_NAME)
def test_seed_layer_and_kind_give_different_values(name):
    draws = [
        initializers.initialize(name, 5, 5, "float32", seed, layer).tobytes()
        for seed, layer in ((0, 0), (1, 0), (0, 1))
    ]
    if name != "orthogonal":
        draws.append(initializers.initialize(name, 25, 25, "float32", 0, 0, bias=True).tobytes())
    assert len(set(draws)) == (1 if name in ("zeros", "ones") else len(draws))


@pytest.mark.parametrize("name", initializers.BY_NAME)
def test_float32_is_float64_rounded(name):
    np.testing.assert_array_equal(draw(name, 9, 7, "float32"), draw(name, 9, 7).astype("float32"))


# ---- distributions ----

VARIANCE = {
    "glorot_uniform": 2 / 500, "glorot_normal": 2 / 500, "he_uniform": 2 / 200, "he_normal": 2 / 200,
    "lecun_uniform": 1 / 200, "lecun_normal": 1 / 200, "normal": 0.05**2, "uniform": 0.05**2 / 3,
    "orthogonal": 1 / 300, "truncated_normal": 0.05**2 * scipy.stats.truncnorm(-2, 2).var(),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANCE)
def test_variance(name):
    W = draw(name)
    assert abs(W.mean()) < 4 * math.sqrt(VARIANCE[name] / W.size)
    assert W.var() == pytest.approx(VARIANCE[name], rel=0.02)


@pytest.mark.parametrize(("initializer", "law"), [
    (Normal(0.3), scipy.stats.norm(0, 0.3)),
    (TruncatedNormal(0.3), scipy.stats.truncnorm(-2, 2, 0, 0.3)),
    (Uniform(0.3), scipy.stats.uniform(-0.3, 0.6)),
    (VarianceScaling(3.0, "fan_out", "normal"), scipy.stats.norm(0, 0.1)),
    (VarianceScaling(2.5, "fan_avg", "uniform"), scipy.stats.uniform(-math.sqrt(0.03), 2 * math.sqrt(0.03))),
    (VarianceScaling(2.0, "fan_in", "truncated_normal"),
     scipy.stats.truncnorm(-2, 2, 0, 0.1 / scipy.stats.truncnorm(-2, 2).std())),
    (Orthogonal(math.sqrt(300)), scipy.stats.norm(0, 1)),
])  # fmt: skip
def test_distribution(initializer, law):
    """Kolmogorov and Smirnov; the seed is fixed, so this passes always or never."""
    assert scipy.stats.kstest(draw(initializer).ravel(), law.cdf).pvalue > 0.01


def test_the_truncated_normal_stays_within_two_deviations():
    W = draw(TruncatedNormal(1.0), 1000, 300)
    assert 1.99 < np.abs(W).max() <= 2


# ---- orthogonal ----


@pytest.mark.parametrize(
    ("n_in", "n_out"), [(1, 1), (1, 7), (7, 1), (31, 32), (33, 33), (64, 65), (150, 97), (97, 200)]
)
@pytest.mark.parametrize("gain", [1.0, 1.5])
def test_columns_or_rows_are_orthonormal(n_in, n_out, gain):
    W = draw(Orthogonal(gain), n_in, n_out) / gain
    assert W.shape == (n_in, n_out)
    assert W.flags.c_contiguous
    product = W.T @ W if n_in >= n_out else W @ W.T
    np.testing.assert_allclose(product, np.eye(len(product)), rtol=0, atol=3e-15)


def test_it_is_the_q_of_lapacks_decomposition():
    """Of the same normal variables, R with a positive diagonal."""
    W, A = draw("orthogonal", 150, 97), draw(Normal(1.0), 97, 150).T
    Q, R = np.linalg.qr(A)
    np.testing.assert_allclose(W, Q * np.sign(np.diag(R)), rtol=0, atol=1e-12)
    wide = draw("orthogonal", 97, 150)
    np.testing.assert_array_equal(wide, W.T)


def test_nearly_dependent_rows_end_orthonormal():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1, 80)) + 1e-9 * rng.standard_normal((70, 80))
    found = orthonormal.orthonormal(rows)
    np.testing.assert_allclose(found @ found.T, np.eye(70), rtol=0, atol=1e-14)


def test_every_rotation_is_as_likely():
    angles = [math.atan2(*initializers.initialize("orthogonal", 2, 2, "float64", seed, 0)[0]) for seed in range(500)]
    assert scipy.stats.kstest(angles, scipy.stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 0.01


@pytest.mark.parametrize("n", [1, 2, 100, 1025])
def test_products_do_not_depend_on_the_order(n):
    rng = np.random.default_rng(n)
    a, b = rng.standard_normal((5, n)) * 10.0 ** rng.integers(-9, 9, (5, 1)), rng.standard_normal((n, 4))
    bits = (53 - (n - 1).bit_length()) // 2

    def product(order):
        return orthonormal._product(orthonormal._split(a[:, order], bits), orthonormal._split(b[order], bits))

    found = product(np.arange(n))
    for _ in range(5):
        np.testing.assert_array_equal(product(rng.permutation(n)), found)
    exact = [[math.fsum(p * q for p, q in zip(row, column, strict=True)) for column in b.T] for row in a.tolist()]
    # The parts of a matrix share one unit: the error is relative to its largest element.
    np.testing.assert_allclose(found, exact, rtol=1e-14, atol=1e-17 * n * np.abs(a).max() * np.abs(b).max())


@pytest.mark.parametrize("shape", [(3, 1), (2, 2), (4, 7), (1, 100)])
def test_sums_of_rows(shape):
    x = np.random.default_rng(1).integers(-99, 99, shape).astype(float)
    before = x.copy()
    np.testing.assert_array_equal(orthonormal._sums(x), x.sum(1))
    np.testing.assert_array_equal(x, before)


# ---- in a model ----


def test_names_objects_and_arrays_become_weights():
    W, b = np.arange(6.0).reshape(3, 2), [0.5, -0.5]
    layers = [
        fm.Dense(3, "relu", initializer="orthogonal", bias_initializer="ones"),
        fm.Dense(2, initializer=W, bias_initializer=b),
        fm.Dense(1, initializer=Normal(0.2), bias_initializer=Uniform(0.1)),
    ]
    weights = fm.Model(layers, n_inputs=4, dtype="float64", seed=3).weights
    np.testing.assert_array_equal(weights[0][0], initializers.initialize("orthogonal", 4, 3, "float64", 3, 0))
    np.testing.assert_array_equal(weights[0][1], np.ones(3))
    np.testing.assert_array_equal(weights[1][0], W)
    np.testing.assert_array_equal(weights[1][1], b)
    np.testing.assert_array_equal(weights[2][0], initializers.initialize(Normal(0.2), 2, 1, "float64", 3, 2))
    np.testing.assert_array_equal(
        weights[2][1], initializers.initialize(Uniform(0.1), 2, 1, "float64", 3, 2, bias=True)
    )


def test_the_default_follows_the_activation():
    model = fm.Model([fm.Dense(5, "selu"), fm.Dense(6, "gelu"), fm.Dense(2)], n_inputs=4)
    for i, name in enumerate(("lecun_uniform", "he_uniform", "glorot_uniform")):
        W, b = model.weights[i]
        np.testing.assert_array_equal(W, initializers.initialize(name, *W.shape, "float32", 0, i))
        assert not b.any()


def test_a_given_array_is_copied_and_compared_by_value():
    W = np.ones((3, 2))
    layer = fm.Dense(2, initializer=W)
    W[0, 0] = 9
    assert layer.initializer.array[0, 0] == 1
    assert not layer.initializer.array.flags.writeable
    assert layer == fm.Dense(2, initializer=np.ones((3, 2), np.float32))
    assert hash(layer) == hash(fm.Dense(2, initializer=np.ones((3, 2), np.float32)))
    assert layer != fm.Dense(2, initializer=W)
    assert pickle.loads(pickle.dumps(layer)) == layer
    assert "(3, 2)" in repr(layer)


def test_a_saved_model_keeps_its_initializers_but_not_arrays(tmp_path):
    layers = [
        fm.Dense(5, "relu", initializer=Orthogonal(1.5), bias_initializer=Constant(0.1)),
        fm.Dense(4, "relu", initializer=VarianceScaling(1.0, "fan_avg", "truncated_normal"), bias_initializer="normal"),
        fm.Dense(2, initializer=np.ones((4, 2)), bias_initializer=[1.0, 2.0]),
    ]
    model = fm.Model(layers, n_inputs=3)
    model.save(tmp_path / "net.safetensors")
    loaded = fm.load(tmp_path / "net.safetensors")
    assert loaded.layers[:2] == model.layers[:2]
    assert loaded.layers[2] == fm.Dense(2)
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    assert pickle.loads(pickle.dumps(model)).layers == model.layers


class Diagonal(initializers.Initializer):
    """One of a user's own."""

    def draw(self, shape, n_in, n_out, dtype, key):
        return np.eye(*shape, dtype=dtype)


def test_an_initializer_of_ones_own(tmp_path):
    model = fm.Model([fm.Dense(3, initializer=Diagonal())], n_inputs=2)
    np.testing.assert_array_equal(model.weights[0][0], np.eye(2, 3))
    with pytest.raises(ValueError, match=r"Diagonal.*cannot be saved"):
        model.save(tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("drawn", [np.zeros((3, 2), np.float32), np.zeros((2, 3)), [[0.0] * 3] * 2])
def test_an_initializer_that_draws_something_else_is_refused(drawn):
    class Wrong(initializers.Initializer):
        def draw(self, shape, n_in, n_out, dtype, key):
            return drawn

    model = fm.Model([fm.Dense(3, initializer=Wrong())])
    with pytest.raises(ValueError, match=r"Wrong.*must be an array of float32 \(2, 3\)"):
        model.build(2)
    assert not model.built


BAD = {
    "an unknown name": (lambda: fm.Dense(3, initializer="he"), ValueError, ["initializer", "'he'", "'he_uniform'"]),
    "an unknown name of a bias": (lambda: fm.Dense(3, bias_initializer="x"), ValueError, ["bias_initializer", "'x'"]),
    "a number": (lambda: fm.Dense(3, initializer=0.1), TypeError, ["Constant(0.1)"]),
    "a class": (lambda: fm.Dense(3, initializer=Normal), TypeError, ["Normal"]),
    "the base class": (lambda: fm.Dense(3, initializer=initializers.Initializer()), TypeError, ["Initializer()"]),
    "a negative deviation": (lambda: Normal(-1), ValueError, ["stddev", "-1"]),
    "a deviation as text": (lambda: TruncatedNormal("1"), TypeError, ["stddev", "'1'"]),
    "a negative limit": (lambda: Uniform(-0.5), ValueError, ["limit", "-0.5"]),
    "a NaN": (lambda: Constant(math.nan), ValueError, ["value", "nan"]),
    "no gain": (lambda: Orthogonal(0), ValueError, ["gain", "0"]),
    "no scale": (lambda: VarianceScaling(0.0), ValueError, ["scale", "0.0"]),
    "an unknown mode": (lambda: VarianceScaling(1, "fan"), ValueError, ["mode", "'fan'", "'fan_in'"]),
    "an unknown distribution": (
        lambda: VarianceScaling(1, "fan_in", "cauchy"), ValueError, ["distribution", "'cauchy'", "'normal'"]),
    "NaN in an array": (lambda: fm.Dense(1, initializer=[[0.0], [math.nan]]), ValueError, ["nan", "(1, 0)"]),
    "complex numbers": (lambda: fm.Dense(1, initializer=np.ones((2, 1)) * 1j), TypeError, ["complex"]),
    "a bias that is not used": (
        lambda: fm.Dense(3, use_bias=False, bias_initializer="ones"), ValueError, ["bias_initializer", "use_bias"]),
    "an array of another width": (lambda: fm.Dense(3, initializer=np.ones((4, 2))), ValueError, ["(4, 2)", "3"]),
    "a vector for W": (lambda: fm.Dense(3, initializer=np.ones(3)), ValueError, ["(3,)", "(n_in, 3)"]),
    "a bias of another width": (lambda: fm.Dense(3, bias_initializer=[1.0, 2.0]), ValueError, ["(2,)", "(3,)"]),
    "an orthogonal bias": (lambda: fm.Dense(3, bias_initializer="orthogonal"), ValueError, ["Orthogonal", "'zeros'"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", BAD)
def test_mistakes_are_refused(mistake):
    make, error, shown = BAD[mistake]
    with pytest.raises(error) as caught:
        make()
    for text in shown:
        assert text in str(caught.value), f"{text!r} is not in: {caught.value}"


@pytest.mark.parametrize(("layer", "shown"), [
    (fm.Dense(3, initializer=np.ones((4, 3))), ["(4, 3)", "(5, 3)"]),
    (fm.Dense(3, initializer=Normal(3e38)), ["Normal", "float32"]),
    (fm.Dense(3, initializer=np.full((5, 3), -1e300)), ["Given", "float32"]),
])  # fmt: skip
def test_what_does_not_suit_the_model_is_refused_when_it_is_built(layer, shown):
    model = fm.Model([layer])
    with pytest.raises(ValueError, match=r"float32|shape") as caught:
        model.build(5)
    for text in shown:
        assert text in str(caught.value)
    assert not model.built


@pytest.mark.parametrize(
    "layer", [fm.Dense(3, initializer=Constant(1e300)), fm.Dense(3, bias_initializer=Normal(1e300))]
)
def test_constants_that_the_dtype_cannot_hold_are_refused_when_the_model_is_made(layer):
    with pytest.raises(ValueError, match=r"=1e\+300 of Dense is too large for float32"):
        fm.Model([layer])


@pytest.mark.parametrize(("behind", "name"), [
    ([fm.Activation("relu")], "he_uniform"),
    ([fm.BatchNorm(), fm.Dropout(0.1), fm.Activation("selu")], "lecun_uniform"),
    ([fm.LayerNorm(), fm.PReLU()], "he_uniform"), ([fm.BatchNorm()], "glorot_uniform"),
    ([fm.Activation("tanh"), fm.Activation("relu")], "glorot_uniform"), ([], "glorot_uniform"),
])  # fmt: skip
def test_the_default_follows_an_activation_behind_the_layer(behind, name):
    for wrapped in (False, True):
        stack = [fm.Dense(9), *behind]
        given = [fm.Dense(9, initializer=name), *behind]
        one, other = (
            fm.Model([*([fm.Residual(s)] if wrapped else s), fm.Dense(2)], n_inputs=9) for s in (stack, given)
        )
        np.testing.assert_array_equal(one.weights[0][0], other.weights[0][0])
    ends = fm.Model([fm.Residual([fm.Dense(9)]), fm.Activation("relu"), fm.Dense(2)], n_inputs=9)  # a sum is between
    glorot = fm.Model([fm.Dense(9, initializer="glorot_uniform"), fm.Dense(2)], n_inputs=9)
    np.testing.assert_array_equal(ends.weights[0][0], glorot.weights[0][0])
