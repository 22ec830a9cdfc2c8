"""csrc/kernels/layers.inc.h against its twins: every tail of a panel, blocks of rows, masks bit by bit."""

import numpy as np
import pytest

from fastmlp import _engine, _kernels, reference

ROWS = (1, 2, 7, 16, 33)
EPSILON = 1e-3


def numbers(rng, dtype, *shapes):
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def close(found, expected, tolerance, size=None):
    """Within a few roundings of sums of numbers of order 1, or of the given size."""
    limit = tolerance("normalisation") * max(1.0, float(np.abs(expected).max(initial=0)), size or 0)
    assert found.dtype == expected.dtype or expected.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit)


def twin(function, *arrays, **options):
    """A twin in float64."""
    return function(*(np.asarray(a, np.float64) if isinstance(a, np.ndarray) else a for a in arrays), **options)


@pytest.mark.parametrize("rows", ROWS)
def test_layer_norm(rows, isa, dtype, sizes, tolerance):
    rng = np.random.default_rng(1)
    for n in sizes:
        x, dz, d, gamma, beta = numbers(rng, dtype, (rows, n), (rows, n), (rows, n), n, n)
        x = x + dtype_of(dtype, 3)
        expected = twin(reference.layer_norm, x, gamma, beta, EPSILON)
        found = _kernels.layer_norm(x, gamma, beta, EPSILON, isa=isa)
        # with n = 1 the variance is 0 and the scale 1 / sqrt(epsilon)
        for a, b in zip(found, expected, strict=True):
            close(a, b, tolerance, float(expected[2].max()))
        mean, scale = (a.astype(dtype) for a in expected[1:])
        for derivative in (None, d):
            wanted = twin(reference.layer_norm_input_gradient, dz, x, gamma, mean, scale,
                          None if derivative is None else derivative.astype(float))  # fmt: skip
            got = _kernels.layer_norm_input_gradient(dz, x, gamma, mean, scale, derivative, isa=isa)
            close(got, wanted, tolerance, 4 * float(scale.max()) ** 2)
        block_rows = int(rng.integers(1, rows + 2))
        for a, b in zip(
            _kernels.layer_norm_weight_gradient(dz, x, mean, scale, block_rows, isa=isa),
            twin(reference.layer_norm_weight_gradient, dz, x, mean, scale),
            strict=True,
        ):
            close(a, b, tolerance, rows * float(scale.max()))


def dtype_of(dtype, value):
    return np.dtype(dtype).type(value)


@pytest.mark.parametrize("rows", ROWS)
def test_batch_norm(rows, isa, dtype, sizes, tolerance):
    rng = np.random.default_rng(2)
    for n in sizes:
        x, dz, d, gamma, beta = numbers(rng, dtype, (rows, n), (rows, n), (rows, n), n, n)
        block_rows = int(rng.integers(1, rows + 2))
        mean, variance = twin(reference.batch_statistics, x)
        for a, b in zip(_kernels.batch_statistics(x, block_rows, isa=isa), (mean, variance), strict=True):
            close(a, b, tolerance)
        mean, variance = mean.astype(dtype), variance.astype(dtype)
        scale = 1 / np.sqrt(variance.min() + EPSILON)
        y = _kernels.batch_norm(x, mean, variance, EPSILON, gamma, beta, isa=isa)
        close(y, twin(reference.batch_norm, x, mean, variance, EPSILON, gamma, beta), tolerance, 4 * scale)
        sums = twin(reference.batch_norm_weight_gradient, dz, x, mean, variance, EPSILON)
        found = _kernels.batch_norm_weight_gradient(dz, x, mean, variance, EPSILON, block_rows, isa=isa)
        for a, b in zip(found, sums, strict=True):
            close(a, b, tolerance, rows * scale)
        sums = [a.astype(dtype) for a in sums]
        for derivative in (None, d):
            wanted = twin(reference.batch_norm_input_gradient, dz, x, mean, variance, EPSILON, gamma, *sums,
                          None if derivative is None else derivative.astype(float))  # fmt: skip
            got = _kernels.batch_norm_input_gradient(dz, x, mean, variance, EPSILON, gamma, *sums, derivative, isa=isa)
            close(got, wanted, tolerance, 4 * scale**2)


@pytest.mark.parametrize("rows", ROWS)
def test_prelu(rows, isa, dtype, sizes, tolerance):
    rng = np.random.default_rng(3)
    for n in sizes:
        x, dz, d, slope = numbers(rng, dtype, (rows, n), (rows, n), (rows, n), n)
        np.testing.assert_array_equal(_kernels.prelu(x, slope, isa=isa), reference.prelu(x, slope))
        for derivative in (None, d):
            np.testing.assert_array_equal(
                _kernels.prelu_input_gradient(dz, x, slope, derivative, isa=isa),
                reference.prelu_input_gradient(dz, x, slope, derivative),
            )
        found = _kernels.prelu_weight_gradient(dz, x, int(rng.integers(1, rows + 2)), isa=isa)
        close(found, twin(reference.prelu_weight_gradient, dz, x), tolerance, rows)


def test_add_and_running_average(isa, dtype, sizes, tolerance):
    rng = np.random.default_rng(4)
    for n in sizes:
        a, b = numbers(rng, dtype, n, n)
        np.testing.assert_array_equal(_kernels.add(a, b, isa=isa), reference.add(a, b))
        close(_kernels.running_average(a, b, 0.9, isa=isa), twin(reference.running_average, a, b, 0.9), tolerance)


# ---- dropout ----


def test_philox_gives_the_published_words():
    # Random123's known answers for philox4x32-10: counter and key of zeros, of ones, of the digits of pi
    known = [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ]  # fmt: skip
    for counter, key, words in known:
        assert " ".join(f"{int(w):08x}" for w in reference.philox_4x32(np.array(counter), key)) == words


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.97])
def test_masks_are_the_twins(rate, isa, dtype):
    rng = np.random.default_rng(5)
    for rows, n, first_row, column in ((1, 1, 0, 0), (13, 37, 5, 0), (34, 64, 1000, 16), (5, 9, 2, 2**20)):
        y, d = numbers(rng, dtype, (rows, n), (rows, n))
        for seed, layer, step in ((0, 0, 0), (2**64 - 1, 3, 2**33 + 1), (12345678901, 1, 7)):
            for derivative in (d, None):
                found = _kernels.dropout(y, derivative, seed, layer, step, rate, first_row, column, isa=isa)
                expected = reference.dropout(y, derivative, seed, layer, step, rate, first_row, column)
                for a, b in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(a, b)


def test_masks_drop_the_rate_and_are_independent():
    def mask(layer, step):
        y = np.ones((1000, 64), np.float32)
        return _kernels.dropout(y, None, 7, layer, step, 0.3, isa=_engine.isa)[0] == 0

    first = mask(0, 0)
    for a in (first, mask(1, 0), mask(0, 1)):
        assert abs(a.mean() - 0.3) < 4 * np.sqrt(0.21 / a.size)  # four deviations
        assert np.abs(a.mean(axis=0) - 0.3).max() < 6 * np.sqrt(0.21 / 1000)
    for other in (mask(1, 0), mask(0, 1), np.roll(first, 1, axis=0), np.roll(first, 1, axis=1)):
        assert abs((first & other).mean() - 0.09) < 5 * np.sqrt(0.09 * 0.91 / first.size)


@pytest.mark.parametrize("size", [1e4, -3e4])
def test_variances_are_those_about_the_mean(size, isa, dtype):
    """Of numbers far from zero: a sum of squares less the square of the mean would be rounding alone in float32."""
    x = (size + np.random.default_rng(3).standard_normal((60, 19))).astype(dtype)
    exact = x.astype(np.float64)
    mean, variance = _kernels.batch_statistics(x, 16, isa=isa)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(variance, exact.var(axis=0), rtol=1e-3)
    ones, zeros = np.ones(19, dtype), np.zeros(19, dtype)
    _, mean, scale = _kernels.layer_norm(x, ones, zeros, EPSILON, isa=isa)
    np.testing.assert_allclose(mean, exact.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(1 / scale.astype(np.float64) ** 2 - EPSILON, exact.var(axis=1), rtol=1e-3)
    if dtype == "float32":  # the numbers would show it
        careless = (x * x).mean(axis=0) - x.mean(axis=0) ** 2
        assert np.abs(careless / exact.var(axis=0) - 1).max() > 0.1
