"""The promise that no peer makes: the same bits for any number of threads, and on every ISA with fused multiply-add."""

import numpy as np
import pytest

from fastmlp import _engine, _kernels, reference
from fastmlp.optimizers import STATES

# The baseline of x86-64 rounds multiply-adds twice and has other bits: it is compared with itself only.
THREADS = [2, 3, 4]

HYPER = {
    "momentum": 0.9, "beta_2": 0.99, "epsilon": 1e-7, "epsilon_in_root": 1e-9, "bias_correction": True,
}  # fmt: skip

# n_inputs, layers, samples, batch. A batch of fewer than 32 rows a thread is shared by panels, a larger one by rows.
SHAPES = {
    "small": (5, [(3, "tanh"), (2, "identity")], 40, 8),
    "below and above a panel": (17, [(15, "gelu"), (33, "relu"), (7, "sigmoid"), (9, "identity")], 130, 50),
    "few rows of a wide net": (70, [(257, "relu"), (130, "silu"), (10, "identity")], 61, 20),
    "single rows": (20, [(65, "elu"), (10, "identity")], 7, 1),
    "many rows": (33, [(40, "mish"), (12, "identity")], 900, 400),
    "several shards of rows": (18, [(20, "tanh"), (3, "identity")], 2000, 1300),
    "rows for every thread": (33, [(40, "softplus"), (12, "identity")], 270, 131),
    "one layer": (784, [(10, "identity")], 100, 64),
    "one output": (12, [(100, "selu"), (1, "identity")], 300, 290),
}


def trained(
    shape, isa, n_threads, dtype="float32", optimizer="adam", loss="softmax_cross_entropy_labels", weighted=False
):
    """Everything that training, evaluation and prediction return, as bytes."""
    n_inputs, layers, samples, batch_rows = SHAPES[shape]
    rng = np.random.default_rng(7)
    network = _engine.Network(n_inputs, [(n, name, 1.0, True) for n, name in layers], dtype, isa=isa)
    n_in, weights = n_inputs, []
    for n_out, _ in layers:
        weights.append(((rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)).astype(dtype), np.zeros(n_out, dtype)))
        n_in = n_out
    network.set_weights(weights)
    network.set_optimizer(optimizer)
    x = rng.standard_normal((samples, n_inputs)).astype(dtype)
    labels = rng.integers(0, n_in, samples).astype(np.int32)
    targets = labels if loss.endswith("_labels") else rng.dirichlet(np.ones(n_in), samples).astype(dtype)
    weights = np.abs(rng.standard_normal((samples, 1))).astype(dtype) if weighted else None
    run = _engine.Run(network, batch_rows, n_threads, True, True, loss)
    assert run.n_threads == n_threads or not _engine.has_openmp
    run.bind(x, targets, weights)
    n_steps = 2 * -(-samples // batch_rows) + 1
    rate = 1e-4 if loss == "poisson" else 0.01  # whose steps are large where rates are
    hyper = HYPER | ({"momentum_schedule": True, "bias_correction": False} if optimizer == "nadam" else {})
    losses, right = run.train(np.full(n_steps, rate), hyper, True, 3)
    assert np.isfinite(losses).all()
    found = {"losses": losses.tobytes(), "hits": right.tobytes()}
    whole = _engine.Run(network, samples, n_threads, True, True, loss)
    whole.bind(x, targets, weights)
    loss_value, _, gradients = whole.gradients()
    passes = _engine.Run(network, samples, n_threads, True, False, loss)
    passes.bind(x, targets, weights)
    out = np.empty((samples, n_in), dtype)
    passes.predict(out, "softmax")
    found["evaluation"] = np.array([loss_value, *passes.evaluate()]).tobytes()
    found["predictions"] = out.tobytes()
    for i in range(len(layers)):
        for j in (0, 1):
            found[f"weights {i} {j}"] = network.get_weights()[i][j].tobytes()
            found[f"gradients {i} {j}"] = gradients[i][j].tobytes()
    return found


def compare(a, b):
    assert [name for name in a if a[name] != b[name]] == []


@pytest.mark.skipif(not _engine.has_openmp, reason="built without OpenMP: one thread only")
@pytest.mark.parametrize("shape", SHAPES)
def test_threads_do_not_change_a_bit(shape, isa, dtype):
    one = trained(shape, isa, 1, dtype)
    for n_threads in THREADS:
        compare(one, trained(shape, isa, n_threads, dtype))


@pytest.mark.skipif(not _engine.has_openmp, reason="built without OpenMP: one thread only")
@pytest.mark.parametrize("loss", _engine.losses)
@pytest.mark.parametrize("optimizer", _engine.optimizers)
def test_threads_do_not_change_a_bit_with_any_optimizer_and_loss(loss, optimizer):
    """In one shape and dtype each, so that every optimizer and every loss meets the four ways to combine them."""
    way = list(_engine.optimizers).index(optimizer) + list(_engine.losses).index(loss)
    shape = ("few rows of a wide net", "many rows")[way % 2]  # by panels, by rows
    dtype = ("float32", "float64")[way // 2 % 2]
    one = trained(shape, None, 1, dtype, optimizer, loss)
    for n_threads in (2, 4):
        compare(one, trained(shape, None, n_threads, dtype, optimizer, loss))


@pytest.mark.skipif(not _engine.has_openmp, reason="built without OpenMP: one thread only")
@pytest.mark.parametrize("shape", ["few rows of a wide net", "many rows"])  # by panels, by rows
@pytest.mark.parametrize("loss", ["softmax_cross_entropy_labels", "binary_cross_entropy"])
def test_threads_do_not_change_a_bit_with_weights(shape, loss, dtype):
    one = trained(shape, None, 1, dtype, loss=loss, weighted=True)
    for n_threads in (2, 4):
        compare(one, trained(shape, None, n_threads, dtype, loss=loss, weighted=True))


@pytest.mark.skipif(not _engine.has_openmp, reason="built without OpenMP: one thread only")
def test_a_run_repeats_itself():
    first = trained("below and above a panel", None, 3)
    for _ in range(10):
        compare(first, trained("below and above a panel", None, 3))


@pytest.mark.parametrize("optimizer", _engine.optimizers)
@pytest.mark.parametrize("shape", SHAPES)
def test_instruction_sets_do_not_change_a_bit(shape, optimizer, dtype, fused_isas):
    best, other = fused_isas
    compare(trained(shape, best, 1, dtype, optimizer), trained(shape, other, 2, dtype, optimizer))


# ---- each kernel by itself ----


def sample(shape, dtype, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def special(dtype):
    """All magnitudes, zeros, infinities and subnormals; not NaN, whose sign and payload nobody promises."""
    info = np.finfo(dtype)
    magnitudes = 10.0 ** np.random.default_rng(2).uniform(np.log10(info.tiny) - 2, np.log10(info.max), 3000)
    ordinary = np.random.default_rng(3).uniform(-100, 100, 20_000)
    edges = [0.0, info.tiny, info.smallest_subnormal, info.max, np.inf, 88.0, 103.0, 709.0, 745.0, 1.0, 0.5]
    half = np.concatenate([magnitudes, ordinary, edges]).astype(dtype)
    return np.concatenate([half, -half])


def dense(isa, dtype):
    for rows, n_in, n_out in [(1, 1, 1), (13, 300, 70), (30, 17, 33), (5, 129, 16), (64, 100, 150), (800, 18, 37)]:
        x, w, b, dz = (sample(s, dtype) for s in ((rows, n_in), (n_in, n_out), (n_out,), (rows, n_out)))
        yield _kernels.dense_forward(x, w, b, isa=isa)
        yield _kernels.dense_input_gradient(dz, w, isa=isa)
        yield _kernels.dense_input_gradient(dz, w, isa=isa, derivative=x)
        yield _kernels.dense_weight_gradient(x, dz, 12, isa=isa)
        yield _kernels.dense_bias_gradient(dz, 12, isa=isa)
        yield _kernels.transpose(w, isa=isa)


def activations(isa, dtype):
    for name in _engine.activations:
        yield from _kernels.activation(name, special(dtype), 0.3, isa=isa)
        yield _kernels.activation(name, special(dtype), 0.3, isa=isa, derivative=False)[0]


def losses(isa, dtype):
    for name in _engine.losses:
        for rows, n in [(1, 1), (5, 10), (33, 37), (17, 100)]:
            rng = np.random.default_rng(4)
            targets = rng.integers(0, n, rows) if name.endswith("_labels") else rng.dirichlet(np.ones(n), rows)
            some = {
                "label_smoothing": 0.1, "positive_weight": np.linspace(0.3, 3, n), "gamma": 0.7, "delta": 0.4,
                "alpha": np.linspace(0.2, 0.9, n), "levels": np.linspace(0.1, 0.8, n),
            }  # fmt: skip
            for spread, options in [(0.1, {}), (3, {}), (1e3, {}), (3, some)]:
                scores = sample((rows, n), dtype) * np.dtype(dtype).type(spread)
                row_losses, right, gradient = _kernels.loss(name, scores, targets, 0.3, 0.7, isa=isa, options=options)
                yield row_losses
                yield np.array(right)
                yield gradient


def weights_of_rows(isa, dtype):
    for rows, n in [(1, 1), (5, 10), (33, 37), (17, 100)]:
        weights = np.maximum(sample(rows, dtype), 0)
        yield from _kernels.scale_rows(weights, sample(rows, dtype, 2), sample((rows, n), dtype, 3), isa=isa)


def optimizers(isa, dtype):
    hyper = reference.NEUTRAL | HYPER | {"rate": 0.01, "correction_1": 1.3, "correction_2": 1.7, "correction_g": 0.2}
    hyper |= {"weight_decay": 0.01, "gradient_scale": 0.9, "share": 0.5, "l1": 0.01, "l2": 0.1, "clip_value": 1.5}
    del hyper["bias_correction"]
    for name in _engine.optimizers:
        g, w, m = sample((3, 1000), dtype)
        states = [m if state == "m" else np.abs(g) for state in STATES[name]]
        w, states = _kernels.update(name, g, w, states, hyper, isa=isa)
        yield from (w, *states)
    for n in (1, 50, 1000):
        yield _kernels.prepare_gradient(*sample((2, n), dtype), hyper, isa=isa)
        yield np.array(_kernels.penalty(sample(n, dtype), 0.3, 0.7, isa=isa))
        yield _kernels.max_norm(sample((n, 40), dtype), 0.9 * np.sqrt(n), isa=isa)


def rows(isa, dtype):
    for source_dtype in ("float32", "float64", "uint8"):
        source = (sample((9, 50), "float64") * 50 + 100).astype(source_dtype)
        yield _kernels.gather(source, dtype, [3, 0, 8], isa=isa)
        yield _kernels.gather(source[:, ::-2], dtype, None, np.full(25, 0.3), np.full(25, 0.7), isa=isa)
    yield _kernels.scatter(sample((9, 50), dtype), isa=isa)
    yield _kernels.multiply(sample(100, dtype), sample(100, dtype, 2), isa=isa)
    yield np.array([_kernels.sum(sample(n, dtype), isa=isa) for n in (*range(1, 60), 257, 1800)])


def column_sums(isa, dtype):
    for rows, block_rows in [(1, 1), (33, 12), (800, 100)]:
        x, dz = sample((rows, 21), dtype), sample((rows, 21), dtype, 2)
        mean, scale = sample(rows, dtype, 3), np.abs(sample(rows, dtype, 4))
        yield from _kernels.layer_norm_weight_gradient(dz, x, mean, scale, block_rows, isa=isa)
        mean, variance = _kernels.batch_statistics(x, block_rows, isa=isa)
        yield from (mean, variance)
        yield from _kernels.batch_norm_weight_gradient(dz, x, mean, variance, 1e-3, block_rows, isa=isa)
        yield _kernels.prelu_weight_gradient(dz, x, block_rows, isa=isa)


def softmax(isa, dtype):
    for n in (1, 7, 16, 50):
        for spread in (1, 100):
            yield _kernels.softmax(sample((11, n), dtype) * np.dtype(dtype).type(spread), isa=isa)


@pytest.mark.parametrize(
    "kernels", [dense, activations, losses, weights_of_rows, optimizers, rows, column_sums, softmax]
)
def test_kernels_give_the_same_bits_on_every_fused_isa(kernels, dtype, fused_isas):
    found = [list(kernels(isa, dtype)) for isa in fused_isas]
    assert len(found[0]) > 4
    for i, results in enumerate(zip(*found, strict=True)):
        a, b = (r.view(np.uint8 if r.ndim else r.dtype) for r in results)
        np.testing.assert_array_equal(a, b, f"result {i}")
