"""Rows that lie more than 2 GiB from the first: every array that the engine reads, in order and in that of an epoch."""

import sys

import numpy as np
import pytest

import fastmlp as fm

ROWS, COLUMNS = 80, 8
# Bytes from one row to the next: the last rows are beyond 2 GiB. Only the pages in use take memory.
ROW_BYTES = 1 << 25

pytestmark = pytest.mark.skipif(sys.maxsize < 2**32, reason="no such addresses")


def far(near):
    """A view with the same numbers whose rows lie far from each other."""
    found = np.zeros((len(near), ROW_BYTES // near.itemsize), near.dtype)[:, : near.shape[1]]
    found[...] = near
    assert found.strides[0] * (len(near) - 1) > 2**31
    return found


def matrix(dtype, columns, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == "uint8":
        return rng.integers(0, 256, (ROWS, columns)).astype(np.uint8)
    return rng.random((ROWS, columns)).astype(dtype)


def trained(X, Y, shuffle, weights=None, loss="mean_squared_error", **options):
    """The bytes of the weights after an epoch whose batches begin on both sides of the border."""
    model = fm.Model([fm.Dense(5, "tanh"), fm.Dense(3)], loss, fm.SGD(0.01), **options)
    model.fit(X, Y, batch_size=8, shuffle=shuffle, sample_weight=weights, verbose=0)
    arrays = [array for arrays in model.weights for array in arrays]
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("what", ["inputs", "targets", "weights"])
@pytest.mark.parametrize("kind", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_training_reads_far_rows(shuffle, kind, what):
    X = matrix(kind if what == "inputs" else "float32", COLUMNS)
    Y = matrix(kind if what == "targets" else "float32", 3, 1)
    weights = matrix(kind if what == "weights" else "float32", 1, 2)
    Y = Y % 4 if Y.dtype == np.uint8 else Y  # not far from what the model begins with
    if kind == "uint8" and what == "weights":
        weights = weights // 100
    views = [far(array) if name == what else array for name, array in
             (("inputs", X), ("targets", Y), ("weights", weights))]  # fmt: skip
    expected = trained(X, Y, shuffle, weights[:, 0])
    assert trained(views[0], views[1], shuffle, views[2][:, 0]) == expected


@pytest.mark.parametrize("kind", ["int32", "int64", "uint8"])
def test_training_reads_far_labels(kind):
    X, labels = matrix("float32", COLUMNS), np.arange(ROWS, dtype=kind)[:, None] % 3
    expected = trained(X, labels[:, 0], False, loss="softmax_cross_entropy")
    assert trained(X, far(labels)[:, 0], False, loss="softmax_cross_entropy") == expected


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_else_reads_far_rows(dtype, kind):
    """Predictions, evaluations, derivatives, the moments of a preprocessing, and a subset of the rows."""
    X, Y = matrix(kind, COLUMNS), matrix("float32", 3, 1)
    found = []
    for x, y in ((X, Y), (far(X), far(Y))):
        model = fm.Model([fm.Dense(5, "tanh"), fm.Dense(3)], dtype=dtype, preprocessing="whiten")
        model.fit(x, y, batch_size=8, validation_split=0.5, verbose=0)
        model.adapt(x)
        scores, pullback = model.vjp(x)
        found.append([
            *model.statistics.values(), model.predict(x), scores, model.jacobian(x), model.input_gradients(x, y),
            pullback(y)[0], model.jvp(x, x)[1], np.array(model.evaluate(x, y)["loss"]), model.history["val_loss"],
        ])  # fmt: skip
    for near, distant in zip(*found, strict=True):
        np.testing.assert_array_equal(near, distant)
