"""csrc/kernels/dense.inc.h against its twins: every tail of every tile, and the size of the rounding errors."""

import itertools

import numpy as np
import pytest

from fastmlp import _kernels, reference


def integers(rng, shape, dtype):
    """Small whole numbers: their sums and products are exact, so one wrong element shows whatever the tolerance."""
    return rng.integers(-8, 9, shape).astype(dtype)


def forward(isa, x, w, b, dz, derivative, block_rows):
    return _kernels.dense_forward(x, w, b, isa=isa), reference.dense_forward(x, w, b)


def input_gradient(isa, x, w, b, dz, derivative, block_rows):
    return _kernels.dense_input_gradient(dz, w, isa=isa), reference.dense_input_gradient(dz, w)


def input_gradient_times_derivative(isa, x, w, b, dz, derivative, block_rows):
    found = _kernels.dense_input_gradient(dz, w, isa=isa, derivative=derivative)
    return found, reference.dense_input_gradient(dz, w, derivative)


def weight_gradient(isa, x, w, b, dz, derivative, block_rows):
    return _kernels.dense_weight_gradient(x, dz, block_rows, isa=isa), reference.dense_weight_gradient(x, dz)


def bias_gradient(isa, x, w, b, dz, derivative, block_rows):
    return _kernels.dense_bias_gradient(dz, block_rows, isa=isa), reference.dense_bias_gradient(dz)


def transpose(isa, x, w, b, dz, derivative, block_rows):
    return _kernels.transpose(w, isa=isa), reference.transpose(w)


PRODUCTS = [forward, input_gradient, input_gradient_times_derivative, weight_gradient, bias_gradient, transpose]


def operands(rng, make, rows, n_in, n_out, dtype):
    """x, w, b, dz and a derivative of x."""
    shapes = (rows, n_in), (n_in, n_out), (n_out,), (rows, n_out), (rows, n_in)
    return [make(rng, shape, dtype) for shape in shapes]


@pytest.mark.parametrize("product", PRODUCTS)
def test_dense_is_exact_on_whole_numbers_at_every_tile_edge(product, isa, dtype):
    rng = np.random.default_rng(1)
    line = _kernels.table(isa, dtype)["line"]
    rows = [*range(1, 32), 37, 42, 43]  # tiles have at most 14 rows
    panels = range(1, 10)  # and at most 4 panels
    for n_rows, n_panels in itertools.product(rows, panels):
        n_in = int(rng.integers(1, 3 * line))
        n_out = n_panels * line - int(rng.integers(0, line))
        block_rows = int(rng.integers(1, n_rows + 3))
        found, expected = product(isa, *operands(rng, integers, n_rows, n_in, n_out, dtype), block_rows)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected, f"{n_rows=} {n_in=} {n_out=} {block_rows=}")


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_dense_is_exact_on_whole_numbers_at_every_size(product, axis, isa, dtype, sizes):
    rng = np.random.default_rng(2)
    for size in sizes:
        shape = [5, 19, 23]
        shape[axis] = size
        found, expected = product(isa, *operands(rng, integers, *shape, dtype), 3)
        np.testing.assert_array_equal(found, expected, f"rows, n_in, n_out = {shape}")


@pytest.mark.parametrize("block_rows", [1, 2, 3, 12, 13, 14, 128])
def test_gradients_do_not_depend_on_the_blocks(block_rows, isa, dtype):
    rng = np.random.default_rng(3)
    x, _, _, dz, _ = operands(rng, lambda g, s, t: g.standard_normal(s).astype(t), 13, 21, 39, dtype)
    for product, arguments in (("dense_weight_gradient", (x, dz)), ("dense_bias_gradient", (dz,))):
        kernel = getattr(_kernels, product)
        assert kernel(*arguments, block_rows, isa=isa).tobytes() == kernel(*arguments, isa=isa).tobytes(), product


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("product", PRODUCTS)
def test_dense_rounds_like_a_chain_of_sums(product, seed, isa, dtype, tolerance):
    rng = np.random.default_rng(seed)
    shape = 67, 301, 129
    terms = {forward: 301, weight_gradient: 67, bias_gradient: 67, transpose: 0}.get(product, 129)
    arrays = operands(rng, lambda g, s, t: g.standard_normal(s).astype(t), *shape, dtype)
    found, _ = product(isa, *arrays, 32)
    _, exact = product(isa, *[a.astype(np.float64) for a in arrays], 32)
    _, size = product(isa, *[np.abs(a).astype(np.float64) for a in arrays], 32)
    assert np.all(np.abs(found - exact) <= tolerance("product") * np.sqrt(terms) * size)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_dense_spreads_a_bad_number_only_where_it_belongs(value, isa, dtype):
    rng = np.random.default_rng(4)
    x, w, b, dz, _ = operands(rng, integers, 9, 20, 37, dtype)
    w += 9  # no zeros: 0 times infinity is NaN
    x += 9
    bad = x.copy()
    bad[4, 17] = value
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(_kernels.dense_forward(bad, w, b, isa=isa), bad @ w + b)
        np.testing.assert_array_equal(_kernels.dense_weight_gradient(bad, dz, 4, isa=isa), bad.T @ dz)
        dz[2, 33] = value
        np.testing.assert_array_equal(_kernels.dense_input_gradient(dz, w, isa=isa), dz @ w.T)
        np.testing.assert_array_equal(_kernels.dense_bias_gradient(dz, 4, isa=isa), dz.sum(axis=0))


def test_dense_keeps_subnormals(isa, dtype):
    """The engine flushes them in its threads; a kernel by itself does not."""
    tiny = np.full((1, 1), np.finfo(dtype).tiny / 4, dtype)
    one = np.ones((1, 1), dtype)
    assert _kernels.dense_forward(tiny, one, np.zeros(1, dtype), isa=isa)[0, 0] == tiny[0, 0]


def test_dense_takes_read_only_and_strided_arrays(isa, dtype):
    rng = np.random.default_rng(5)
    x, w, b, dz, derivative = operands(rng, integers, 9, 20, 37, dtype)
    strided = [np.repeat(np.asfortranarray(a), 2, axis=0)[::2][::-1] for a in (x, w, b, dz, derivative)]
    for a in strided:
        a.flags.writeable = False
    for product in PRODUCTS:
        found, expected = product(isa, *strided, 4)
        np.testing.assert_array_equal(found, expected)


def test_the_padding_of_a_transpose_is_zero(isa, dtype, sizes):
    for n_in in sizes:
        for n_out in (1, 5, 16, 33):
            found = _kernels.transpose(np.ones((n_in, n_out), dtype), isa=isa, padding=True)
            assert found.shape[1] % _kernels.line_of(dtype) == 0
            assert found[:, :n_in].all()
            assert not found[:, n_in:].any()
