"""fastmlp/engine/arrays.pxi: the quick checks accept only what the long ones accept."""

import numpy as np
import pytest

from fastmlp import _engine

LIMIT = _engine.LARGEST["float32"]


def matrix(dtype="float32", shape=(5, 3)):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_plain_matrices(dtype):
    for columns in (3, None):
        assert _engine.is_plain_matrix(matrix(dtype), columns, -LIMIT, LIMIT)
    assert not _engine.is_plain_matrix(matrix(dtype), 4, -LIMIT, LIMIT)


def test_a_large_matrix_is_checked_to_its_last_element():
    large = np.zeros((1 << 11, 1 << 6), np.float32)
    assert _engine.is_plain_matrix(large, 1 << 6, -LIMIT, LIMIT)
    large[-1, -1] = np.nan
    assert not _engine.is_plain_matrix(large, 1 << 6, -LIMIT, LIMIT)


OTHERS = {
    "list": [[1.0, 2.0, 3.0]],
    "none": None,
    "a subclass": np.ma.masked_array(matrix()),
    "integers": matrix("int64"),
    "half": matrix("float16"),
    "bytes swapped": matrix(">f4"),
    "strided": matrix()[::2],
    "fortran": np.asfortranarray(matrix()),
    "not aligned": np.frombuffer(b"x" + matrix().tobytes(), np.float32, offset=1).reshape(5, 3),
    "no rows": matrix()[:0],
    "no columns": np.zeros((3, 0), np.float32),
    "a vector": matrix()[0],
    "rank 3": matrix(shape=(2, 3, 3)),
    "objects": matrix().astype(object),
}


@pytest.mark.parametrize("value", OTHERS.values(), ids=OTHERS)
def test_anything_else_takes_the_long_way(value):
    assert not _engine.is_plain_matrix(value, None, -LIMIT, LIMIT)
    assert _engine.plain_labels(value, 5, 100) is None


@pytest.mark.parametrize("of_model", ["float32", "float64"])
@pytest.mark.parametrize("of_array", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_what_is_not_finite_in_the_models_dtype(bad, of_array, of_model):
    limit = _engine.LARGEST[of_model]
    X = matrix(of_array)
    with np.errstate(over="ignore"):
        X[2, 1] = bad
        fine = np.isfinite(X[2, 1]) and np.isfinite(X[2, 1].astype(of_model))
    assert _engine.is_plain_matrix(X, 3, -limit, limit) == fine


def test_bounds():
    for dtype, high, expected in (("float32", 14, True), ("float32", 13, False), ("uint8", 14, False)):
        assert _engine.is_plain_matrix(matrix(dtype), 3, 0, high) == expected  # the bytes of uint8 are not looked at


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_plain_labels(dtype):
    labels = np.array([0, 2, 1, 2], dtype)
    found = _engine.plain_labels(labels, 4, 3)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, labels)
    assert not np.shares_memory(found, labels)
    for wrong in (labels[:3], labels[::-1], labels + np.array(1, dtype), labels.astype("float32"), labels.astype(bool)):
        assert _engine.plain_labels(wrong, 4, 3) is None
    for wrong in (-1, 2**31, 2**32, -(2**40)):  # that would fit after they are cut to 32 bits
        if dtype == "int64":
            assert _engine.plain_labels(np.array([0, 1, wrong, 1]), 4, 3) is None
