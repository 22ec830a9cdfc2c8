"""csrc/kernels/rows.inc.h against its twins: between the caller's arrays and panels, products and sums."""

import numpy as np
import pytest

from fastmlp import _engine, _kernels, reference

DTYPE_OF_GATHER = {short: long for long, short in _engine.GATHER_OF_DTYPE.items()}


def source_of(rng, source_dtype, shape):
    if source_dtype == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8)
    return rng.standard_normal(shape).astype(source_dtype)


def test_gathers_are_those_of_the_registry():
    assert list(DTYPE_OF_GATHER) == _engine.gathers


@pytest.mark.parametrize("source_dtype", DTYPE_OF_GATHER.values())
def test_gather_converts_every_size(source_dtype, isa, dtype, sizes):
    rng = np.random.default_rng(1)
    for n in sizes:
        source = source_of(rng, source_dtype, (7, n))
        for index in (None, rng.integers(0, 7, 11), np.array([3])):
            found = _kernels.gather(source, dtype, index, isa=isa)
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, reference.gather(source, dtype, index), f"{n=} {index=}")


LAYOUTS = {
    "rows": lambda a: a,
    "fortran": np.asfortranarray,
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "every second row": lambda a: a[::2],
    "every third column": lambda a: a[:, ::3],
    "rows reversed": lambda a: a[::-1],
    "both reversed": lambda a: a[::-1, ::-1],
    "one row repeated": lambda a: np.broadcast_to(a[1], a.shape),
    "one column repeated": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "not aligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("source_dtype", DTYPE_OF_GATHER.values())
def test_gather_follows_any_strides(source_dtype, layout, isa, dtype):
    rng = np.random.default_rng(2)
    for n in (5, 16, 50):
        source = LAYOUTS[layout](source_of(rng, source_dtype, (12, n)))
        index = rng.permutation(len(source))
        for chosen in (None, index):
            np.testing.assert_array_equal(
                _kernels.gather(source, dtype, chosen, isa=isa), reference.gather(source, dtype, chosen), f"{n=}"
            )


@pytest.mark.parametrize("source_dtype", DTYPE_OF_GATHER.values())
def test_gather_takes_off_the_mean_and_scales_in_double(source_dtype, isa, dtype, sizes):
    """Every bit is the twin's, also where the mean is most of the number, at any stride."""
    rng = np.random.default_rng(3)
    for n in sizes:
        source = source_of(rng, source_dtype, (6, n))
        mean, scale = rng.standard_normal((2, n))
        if source_dtype != "uint8":
            source, mean = source + source.dtype.type(1e6), mean + 1e6
        for layout in ("rows", "fortran", "both reversed", "not aligned"):
            data = LAYOUTS[layout](source)
            for index in (None, rng.integers(0, 6, 9)):
                found = _kernels.gather(data, dtype, index, mean, scale, isa=isa)
                np.testing.assert_array_equal(found, reference.gather(data, dtype, index, mean, scale), f"{n=}")
                exact = (data.astype(np.longdouble) - mean) * scale
                exact = exact if index is None else exact[index]
                limit = np.finfo(dtype).eps * np.abs(exact) + 1e-300
                assert np.all(np.abs(found - exact) <= limit), n


@pytest.mark.parametrize("source_dtype", ["float32", "float64"])
def test_gather_keeps_bad_numbers(source_dtype, isa, dtype):
    source = np.array([[np.nan, np.inf, -np.inf, -0.0, 0.0] * 5, [1.0] * 25], source_dtype)
    found = _kernels.gather(source, dtype, isa=isa)
    np.testing.assert_array_equal(found, source)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(source))


def test_gather_to_float32_rounds_to_nearest(isa):
    source = np.random.default_rng(4).standard_normal((5, 40)) * 10.0 ** np.arange(-40, 40)[:40]
    np.testing.assert_array_equal(_kernels.gather(source, "float32", isa=isa), source.astype(np.float32))


def test_scatter_brings_rows_back(isa, dtype, sizes):
    rng = np.random.default_rng(5)
    for n in sizes:
        for rows in (1, 3, 17):
            x = rng.standard_normal((rows, n)).astype(dtype)
            np.testing.assert_array_equal(_kernels.scatter(x, isa=isa), reference.scatter(x), f"{rows=} {n=}")


def test_multiply_is_exact(isa, dtype, sizes):
    rng = np.random.default_rng(6)
    for n in sizes:
        a, b = rng.standard_normal((2, n)).astype(dtype)
        a[0], b[n // 2] = np.nan, -np.inf
        np.testing.assert_array_equal(_kernels.multiply(a, b, isa=isa), reference.multiply(a, b), f"{n=}")


def test_sum_is_in_float64(isa, dtype, sizes):
    rng = np.random.default_rng(7)
    for n in sizes:
        x = rng.integers(-(2**20), 2**20, n).astype(dtype)
        assert _kernels.sum(x, isa=isa) == reference.sum(x) == int(x.astype(int).sum()), n


def test_sum_rounds_little(isa, dtype):
    x = np.random.default_rng(8).standard_normal(100_003).astype(dtype)
    limit = 4 * np.finfo(np.float64).eps * np.abs(x.astype(np.float64)).sum()
    assert abs(_kernels.sum(x, isa=isa) - reference.sum(x)) <= limit


def test_sum_has_one_order(isa, dtype):
    """Element i to partial sum i mod 8, then a tree: another order has other bits."""
    x = np.random.default_rng(3).standard_normal(999).astype(dtype) * 1e3
    part = [0.0] * 8
    for i, e in enumerate(x.tolist()):
        part[i % 8] += e
    tree = ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]))
    assert _kernels.sum(x, isa) == tree


def test_sum_of_bad_numbers(isa, dtype):
    x = np.ones(21, dtype)
    assert _kernels.sum(np.append(x, [np.inf]).astype(dtype), isa=isa) == np.inf
    assert np.isnan(_kernels.sum(np.append(x, [np.nan]).astype(dtype), isa=isa))


def test_within_finds_one_bad_element_anywhere(isa, dtype):
    limit = _engine.LARGEST[dtype]
    for n in (1, 7, 16, 33, 70):
        for offset in (0, 1):  # also where no cache line begins
            x = np.linspace(-3, 5, n + offset, dtype=dtype)[offset:]
            for low, high in ((-3, 5), (-limit, limit), (0, 5), (-3, 4.9)):
                found = _kernels.within(x, low, high, isa=isa)
                assert found == reference.within(x, low, high), f"{n=} {low=} {high=}"
            for i in range(n):
                for bad in (np.nan, np.inf, -np.inf):
                    y = x.copy()
                    y[i] = bad
                    assert not _kernels.within(y, -limit, limit, isa=isa), f"{n=} {i=} {bad}"
