"""Sums over the rows of a batch: a chain within each shard, the shards along one tree (csrc/kernels/tree.inc.h)."""

import numpy as np
import pytest

from fastmlp import _engine, _kernels, reference

SHARD = reference.SHARD_ROWS
# Around the edges of a shard, several whole ones, the last of a few rows; 5 and 6 shards leave odd ones on two levels.
ROWS = [1, SHARD - 1, SHARD, SHARD + 1, 2 * SHARD, 3 * SHARD + 5, 5 * SHARD - 1, 6 * SHARD]


def tree(parts):
    """Their sum from the top down: on the left the largest power of two that leaves something for the right."""
    if len(parts) == 1:
        return parts[0]
    half = 1 << (len(parts) - 1).bit_length() - 1
    return tree(parts[:half]) + tree(parts[half:])


def shards(*arrays):
    return [[a[first : first + SHARD] for a in arrays] for first in range(0, len(arrays[0]), SHARD)]


def numbers(dtype, *shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def weight_gradient(isa, block_rows, x, dz, rows):
    return [_kernels.dense_weight_gradient(x, dz, block_rows, isa=isa)]


def bias_gradient(isa, block_rows, x, dz, rows):
    return [_kernels.dense_bias_gradient(dz, block_rows, isa=isa)]


def layer_norm(isa, block_rows, x, dz, rows):
    return _kernels.layer_norm_weight_gradient(dz[:, : x.shape[1]], x, *rows.T, block_rows, isa=isa)


def batch_norm(isa, block_rows, x, dz, rows):
    mean, variance = np.linspace(-1, 1, x.shape[1]), np.linspace(0.5, 2, x.shape[1])
    mean, variance = mean.astype(x.dtype), variance.astype(x.dtype)
    return _kernels.batch_norm_weight_gradient(dz[:, : x.shape[1]], x, mean, variance, 1e-3, block_rows, isa=isa)


def prelu(isa, block_rows, x, dz, rows):
    return [_kernels.prelu_weight_gradient(dz[:, : x.shape[1]], x, block_rows, isa=isa)]


def loss(isa, block_rows, x, dz, rows):
    return [np.array(_kernels.sum(rows[:, 0], isa=isa))]


@pytest.mark.parametrize("kernel", [weight_gradient, bias_gradient, layer_norm, batch_norm, prelu, loss])
def test_kernels_add_shards_along_the_tree(kernel, isa, dtype):
    for rows in ROWS:
        arrays = numbers(dtype, rows, 18), numbers(dtype, rows, 37, seed=2), numbers(dtype, rows, 2, seed=3)
        parts = [kernel(isa, None, *shard) for shard in shards(*arrays)]
        expected = [tree([part[i] for part in parts]) for i in range(len(parts[0]))]
        for block_rows in (None, 128, 100, SHARD + 44):
            for a, b in zip(kernel(isa, block_rows, *arrays), expected, strict=True):
                assert a.tobytes() == b.tobytes(), f"{rows=} {block_rows=}"


@pytest.mark.parametrize("rows", ROWS[:4])
def test_a_shard_is_a_chain(rows, isa, dtype):
    """Row after row from zero, as before there were shards. Products of few bits are exact, fused or not."""
    rng = np.random.default_rng(4)
    x, dz = rng.integers(-8, 9, (rows, 18)).astype(dtype), numbers("float16", rows, 5).astype(dtype)
    by_weight = [np.add.accumulate(a[:, :, None] * b[:, None, :])[-1] for a, b in shards(x, dz)]
    by_bias = [np.add.accumulate(b)[-1] for _, b in shards(x, dz)]
    np.testing.assert_array_equal(_kernels.dense_weight_gradient(x, dz, 128, isa=isa), tree(by_weight))
    np.testing.assert_array_equal(_kernels.dense_bias_gradient(dz, 128, isa=isa), tree(by_bias))


@pytest.mark.parametrize("rows", ROWS)
def test_the_statistics_of_a_batch_are_sums_by_the_tree(rows, isa, dtype):
    x = numbers(dtype, rows, 18) + np.dtype(dtype).type(3)
    sums = [_kernels.dense_bias_gradient(part, isa=isa) for (part,) in shards(x)]
    expected = tree(sums) / np.dtype(dtype).type(rows)
    assert _kernels.batch_statistics(x, 100, isa=isa)[0].tobytes() == expected.tobytes()
    # Every row with its opposite has a mean of 0, and squares of few bits are exact, fused or not.
    few = numbers("float16", rows, 18).astype(dtype)
    both = np.stack([few, -few], axis=1).reshape(-1, 18)
    mean, variance = _kernels.batch_statistics(both, 100, isa=isa)
    squares = [np.add.accumulate(part * part)[-1] for (part,) in shards(both)]
    assert not mean.any()
    np.testing.assert_array_equal(variance, tree(squares) / np.dtype(dtype).type(len(both)))


def test_the_twin_has_the_same_tree():
    for rows in ROWS:
        x, dz = numbers("float32", rows, 3), numbers("float32", rows, 4, seed=2)
        assert reference.dense_bias_gradient(dz).tobytes() == tree([b.sum(axis=0) for _, b in shards(x, dz)]).tobytes()
        assert reference.dense_weight_gradient(x, dz).tobytes() == tree([a.T @ b for a, b in shards(x, dz)]).tobytes()


# ---- errors that do not grow with the rows ----

BLOCK = 1 << 16  # few blocks are quickly made
FAR = {  # rows: what a sum of them may be off, relative to itself; one chain was 6.5e-4 and 1.9e-2 off
    65_536: 1e-5,
    2_000_000: 1e-5,
}


@pytest.mark.parametrize("rows", FAR)
def test_a_constant_gradient_is_summed_as_well_over_many_rows(rows):
    x, dz = np.full((rows, 1), 0.7, np.float32), np.full((rows, 1), 0.1, np.float32)
    dw = _kernels.dense_weight_gradient(x, dz, BLOCK)
    db = _kernels.dense_bias_gradient(dz, BLOCK)
    assert abs(float(dw[0, 0]) / (rows * float(x[0, 0]) * float(dz[0, 0])) - 1) < FAR[rows]
    assert abs(float(db[0]) / (rows * float(dz[0, 0])) - 1) < FAR[rows]


def test_a_batch_of_a_million_rows_is_normalised(isa):
    """Mean 101 and deviation 1: one chain found a variance of 1.20."""
    x = np.random.default_rng(5).normal(101, 1, (1_000_000, 1)).astype(np.float32)
    mean, variance = _kernels.batch_statistics(x, BLOCK, isa=isa)
    assert abs(mean[0] - x.mean(dtype=np.float64)) < 1e-4
    assert abs(variance[0] - x.var(dtype=np.float64)) < 1e-5


# ---- through the engine ----


def network(dtype, layers=((5, "tanh"), (3, "identity"))):
    found = _engine.Network(4, [(n, name, 1.0, True) for n, name in layers], dtype)
    rng, n_in, weights = np.random.default_rng(6), 4, []
    for n_out, _ in layers:
        weights.append((rng.standard_normal((n_in, n_out)).astype(dtype), rng.standard_normal(n_out).astype(dtype)))
        n_in = n_out
    found.set_weights(weights)
    return found


def run_of(dtype, rows, n_threads, training, first=0):
    """Buffers with some rows of one data set."""
    x, y = numbers(dtype, 8 * SHARD, 4, seed=7), np.random.default_rng(8).integers(0, 3, 8 * SHARD).astype(np.int32)
    found = _engine.Run(network(dtype), rows, n_threads, True, training, "softmax_cross_entropy_labels")
    found.bind(x[first : first + rows], y[first : first + rows])
    return found


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_the_loss_of_a_batch_is_a_sum_by_the_tree(n_threads, dtype):
    for many in (1, 3, 6, 7):  # a mean over a whole shard is exactly its sum
        losses = [run_of(dtype, SHARD, 1, True, i * SHARD).gradients()[0] * SHARD for i in range(many)]
        assert run_of(dtype, many * SHARD, n_threads, True).gradients()[0] == tree(losses) / (many * SHARD)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_the_loss_of_an_evaluation_is_a_sum_by_the_tree(n_threads, dtype):
    """Of blocks of 128 rows."""
    for many in (1, 2, 7, 12):
        losses = [run_of(dtype, 128, 1, False, i * 128).evaluate()[0] * 128 for i in range(many)]
        assert run_of(dtype, many * 128, n_threads, False).evaluate()[0] == tree(losses) / (many * 128)
