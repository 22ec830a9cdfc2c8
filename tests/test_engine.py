"""fastmlp/_engine.pyx against fastmlp/reference/: training step for step, gradients, prediction, evaluation."""

import numpy as np
import pytest

from fastmlp import _engine, reference

HYPER = {  # constants as fastmlp/optimizers.py gives them, and the rate
    "sgd": ({}, 0.05),
    "momentum": ({"momentum": 0.9}, 0.02),
    "nesterov": ({"momentum": 0.9}, 0.02),
    "rmsprop": ({"beta_2": 0.9, "epsilon": 1e-3}, 0.01),
    "adam": ({"momentum": 0.9, "beta_2": 0.99, "epsilon": 1e-3, "bias_correction": True}, 0.01),
    "amsgrad": ({"momentum": 0.9, "beta_2": 0.9, "epsilon": 1e-3, "bias_correction": True}, 0.01),
    "nadam": ({"momentum": 0.9, "beta_2": 0.99, "epsilon": 1e-3, "momentum_schedule": True}, 0.01),
    "rmsprop_centered": ({"beta_2": 0.9, "epsilon": 1e-2}, 0.01),
    "adagrad": ({"epsilon": 1e-3, "epsilon_in_root": 0.1}, 0.05),
    "lion": ({"momentum": 0.9, "beta_2": 0.99}, 0.01),
}
ROW_SCALE = {"squared_error": 0.25}
SHARD = reference.SHARD_ROWS
SMOOTH = [(19, "tanh"), (33, "silu"), (7, "identity")]


class Case:
    """A network of the engine, its twin with the same weights in float64, and data."""

    def __init__(self, layers=SMOOTH, loss="softmax_cross_entropy_labels", optimizer="adam", dtype="float64", isa=None,
                 samples=50, n_inputs=21, use_bias=True, seed=0, weighted=False):  # fmt: skip
        rng = np.random.default_rng(seed)
        self.loss, self.row_scale, n_in, weights = loss, ROW_SCALE.get(loss, 1.0), n_inputs, []
        for n_out, _ in layers:
            w, b = rng.standard_normal((n_in, n_out)) / np.sqrt(n_in), 0.1 * rng.standard_normal(n_out) * use_bias
            weights.append((w.astype(dtype), b.astype(dtype)))
            n_in = n_out
        alpha = {"leaky_relu": 0.1, "elu": 1.3}
        plan = [(n_out, name, alpha.get(name, 0.0), use_bias) for n_out, name in layers]
        self.network = _engine.Network(n_inputs, plan, dtype, isa=isa)
        self.network.set_weights(weights)
        twins = [(w.astype(np.float64), b.astype(np.float64), *p[1:]) for (w, b), p in zip(weights, plan, strict=True)]
        self.twin = reference.Network(twins, loss, self.row_scale)
        self.hyper, self.rate = HYPER[optimizer]
        self.network.set_optimizer(optimizer)
        self.twin.set_optimizer(optimizer)
        self.x = rng.standard_normal((samples, n_inputs)).astype(dtype)
        if loss.endswith("_labels"):
            self.targets = rng.integers(0, n_in, samples).astype(np.int32)
        elif loss in ("softmax_cross_entropy", "focal"):
            self.targets = rng.dirichlet(np.ones(n_in), samples).astype(dtype)
        elif loss.startswith("binary") or loss == "poisson":
            self.targets = rng.integers(0, 2, (samples, n_in)).astype(dtype)
        else:
            self.targets = rng.standard_normal((samples, n_in)).astype(dtype)
        self.weights = np.where(rng.random(samples) < 0.2, 0, 3 * rng.random(samples)) if weighted else None

    def run(self, batch_rows, n_threads=1, training=True):
        """A pass over the data."""
        found = _engine.Run(self.network, batch_rows, n_threads, True, training, self.loss, self.row_scale)
        found.bind(self.x, self.targets, None if self.weights is None else self.weights[:, None])
        return found

    def train(self, batch_rows, n_steps, n_threads=1, shuffle=True, seed=5, factor=1.0):
        """Some steps of the engine: (losses, right)."""
        rates = np.full(n_steps, self.rate * factor)
        return self.run(batch_rows, n_threads).train(rates, self.hyper, shuffle, seed)

    def walk(self, tolerance, batch_rows=13, n_steps=9, n_threads=1, shuffle=True):
        """Train both, a step at a time, and compare the weights, losses and hits after each."""
        run = self.run(batch_rows, n_threads)
        for step in range(n_steps):
            rate = np.array([self.rate * (1 - step / 20)])
            losses, right = run.train(rate, self.hyper, shuffle, 5)
            twin_losses, twin_right = self.twin.fit(
                self.x, self.targets, batch_rows, rate, self.hyper, shuffle, 5, self.weights
            )
            np.testing.assert_allclose(losses, twin_losses, rtol=tolerance("training"), err_msg=f"loss, {step=}")
            np.testing.assert_array_equal(right, twin_right, f"hits, {step=}")
            self.compare(self.network.get_weights(), self.twin.layers, tolerance, f"{step=}")

    def compare(self, pairs, twin_pairs, tolerance, what):
        for i, (pair, twin_pair) in enumerate(zip(pairs, twin_pairs, strict=True)):
            for name, a, b in zip("wb", pair, twin_pair[:2], strict=True):
                limit = tolerance("training") * (np.abs(twin_pair[0]).max() + np.abs(b).max())
                if a.shape != b.shape or not (np.abs(a - b) <= limit).all():  # or NumPy, slowly, tells where
                    np.testing.assert_allclose(a, b, rtol=0, atol=limit, err_msg=f"{what}, {name} of layer {i}")


# ---- training ----


@pytest.mark.parametrize("optimizer", _engine.optimizers)
def test_training_is_the_twins_with_every_optimizer(optimizer, isa, dtype, tolerance):
    Case(optimizer=optimizer, isa=isa, dtype=dtype).walk(tolerance)


@pytest.mark.parametrize("loss", _engine.losses)
@pytest.mark.parametrize("n_outputs", [1, 7, 17])
def test_training_is_the_twins_with_every_loss(loss, n_outputs, isa, dtype, tolerance):
    layers = [(19, "tanh"), (n_outputs, "identity")]
    Case(layers, loss, isa=isa, dtype=dtype).walk(tolerance)


@pytest.mark.parametrize("name", _engine.activations)
def test_training_is_the_twins_with_every_activation(name, isa, dtype, tolerance):
    layers = [(17, name), (9, name), (4, name)]  # also on the scores
    Case(layers, "squared_error", "momentum", isa=isa, dtype=dtype).walk(tolerance)


def test_training_is_the_twins_with_mixed_activations(isa, dtype, tolerance):
    layers = [(8 + i, name) for i, name in enumerate(_engine.activations)]
    Case([*layers, (5, "identity")], optimizer="sgd", isa=isa, dtype=dtype).walk(tolerance, n_steps=4)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("batch_rows", [1, 2, 7, 49, 50, 64])
def test_training_is_the_twins_at_every_batch_size(batch_rows, n_threads, dtype, tolerance):
    Case(dtype=dtype).walk(tolerance, batch_rows, n_threads=n_threads)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("samples", [128, 129, 300, SHARD - 1, SHARD, SHARD + 1, 2 * SHARD, 3 * SHARD + 5])
def test_training_is_the_twins_over_several_blocks_of_rows(samples, n_threads, dtype, tolerance):
    Case(dtype=dtype, samples=samples).walk(tolerance, samples, 3, n_threads)
    Case(dtype=dtype, samples=samples).walk(tolerance, samples - 20, 3, n_threads)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("layers", [
    [(1, "identity")], [(1, "tanh"), (1, "identity")], [(65, "tanh"), (130, "silu"), (3, "identity")],
    [(200, "tanh"), (16, "identity")], [(16, "tanh"), (16, "tanh"), (16, "tanh"), (16, "identity")],
])  # fmt: skip
@pytest.mark.parametrize("n_inputs", [1, 16, 67, 150])
def test_training_is_the_twins_in_every_shape(n_inputs, layers, n_threads, dtype, tolerance):
    Case(layers, dtype=dtype, n_inputs=n_inputs).walk(tolerance, n_steps=5, n_threads=n_threads)


def test_training_in_order_is_the_twins(isa, dtype, tolerance):
    Case(isa=isa, dtype=dtype).walk(tolerance, shuffle=False)


def test_bias_stays_zero_where_it_is_not_used(isa, dtype, tolerance):
    case = Case(isa=isa, dtype=dtype, use_bias=False)
    case.walk(tolerance)
    for _, b in case.network.get_weights():
        assert not b.any()
    for _, db in case.run(50).gradients()[2]:
        assert not db.any()


def test_one_call_is_many(isa, dtype):
    """Steps, epochs, states and the place in the epoch go on from call to call."""
    whole, parts = Case(isa=isa, dtype=dtype), Case(isa=isa, dtype=dtype)
    losses, _ = whole.train(13, 11)
    run, found = parts.run(13), []
    for n in (3, 0, 1, 5, 2):
        found += run.train(np.full(n, parts.rate), parts.hyper, True, 5)[0].tolist()
    assert found == losses.tolist()
    for a, b in zip(whole.network.get_weights(), parts.network.get_weights(), strict=True):
        assert a[0].tobytes() == b[0].tobytes()
        assert a[1].tobytes() == b[1].tobytes()


def test_start_epoch_ends_an_interrupted_epoch(dtype, tolerance):
    case = Case(dtype=dtype)
    run = case.run(13)
    run.train(np.full(2, case.rate), case.hyper, True, 5)
    run.start_epoch()
    run.start_epoch()  # there is nothing to end
    assert case.network.get_state()["epoch"] == 1
    case.twin.fit(case.x, case.targets, 13, [case.rate] * 2, case.hyper, True, 5)
    case.twin.epoch, case.twin.batch = 1, 0
    case.walk(tolerance)


def test_state_is_all_that_training_depends_on(isa, dtype):
    first = Case(isa=isa, dtype=dtype)
    first.train(13, 4)
    second = Case(isa=isa, dtype=dtype, seed=1)
    second.x, second.targets = first.x, first.targets
    second.network.set_weights(first.network.get_weights())
    second.network.set_state(first.network.get_state())
    assert first.train(13, 6)[0].tolist() == second.train(13, 6)[0].tolist()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_loss_that_is_not_finite_stops_before_its_update(n_threads, isa, dtype):
    case, short = Case(isa=isa, dtype=dtype), Case(isa=isa, dtype=dtype)
    case.x[30, 4] = np.nan  # in the third batch of 13
    losses, right = case.train(13, 8, n_threads, shuffle=False)
    assert len(losses) == len(right) == 3
    assert np.isfinite(losses[:2]).all()
    assert np.isnan(losses[2])
    short.train(13, 2, shuffle=False)
    for a, b in zip(case.network.get_weights(), short.network.get_weights(), strict=True):
        assert a[0].tobytes() == b[0].tobytes()
    twin_losses, _ = case.twin.fit(case.x, case.targets, 13, [case.rate] * 8, case.hyper)
    assert len(twin_losses) == 3


@pytest.mark.parametrize("loss", ["softmax_cross_entropy_labels", "squared_error"])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("batch_rows", [1, 7, 50, 300])
def test_training_with_weights_is_the_twins(batch_rows, n_threads, loss, dtype, tolerance):
    case = Case(loss=loss, dtype=dtype, samples=300 if batch_rows == 300 else 50, weighted=True)
    case.walk(tolerance, batch_rows, 5, n_threads)
    found, right = case.run(64, n_threads, training=False).evaluate()
    exact, exact_right = case.twin.evaluate(case.x.astype(np.float64), case.targets, case.weights)
    assert found == pytest.approx(exact, rel=tolerance("training"))
    assert right == exact_right


def test_weights_are_those_of_the_last_bind(dtype):
    case = Case(dtype=dtype, weighted=True)
    run = case.run(50, training=False)
    weighted = run.evaluate()[0]
    run.bind(case.x, case.targets)
    plain = run.evaluate()[0]
    case.weights = None
    assert plain == case.run(50, training=False).evaluate()[0] != weighted


# ---- data ----

LAYOUTS = {
    "fortran": np.asfortranarray,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second column": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "columns reversed": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "not aligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}


@pytest.mark.parametrize("loss", ["softmax_cross_entropy_labels", "squared_error"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_of_the_data_changes_nothing(layout, loss, isa, dtype):
    plain, odd = Case(loss=loss, isa=isa, dtype=dtype), Case(loss=loss, isa=isa, dtype=dtype)
    odd.x = LAYOUTS[layout](odd.x)
    if odd.targets.ndim == 2:  # labels come contiguous from losses.py
        odd.targets = LAYOUTS[layout](odd.targets)
    assert plain.train(13, 6)[0].tolist() == odd.train(13, 6)[0].tolist()


@pytest.mark.parametrize("source_dtype", ["uint8", "float32", "float64"])
def test_data_of_other_types_is_converted(source_dtype, isa, dtype, tolerance):
    case = Case(isa=isa, dtype=dtype, loss="binary_cross_entropy")
    case.x = np.random.default_rng(0).integers(0, 4, case.x.shape).astype(source_dtype)
    case.targets = case.targets.astype(source_dtype)
    case.walk(tolerance)


# ---- without training ----


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("loss", _engine.losses)
def test_gradients_are_the_twins(loss, n_threads, isa, dtype, tolerance):
    for samples in (1, 40, 300):
        case = Case(loss=loss, isa=isa, dtype=dtype, samples=samples)
        before = case.network.get_weights()
        loss_value, right, gradients = case.run(samples, n_threads).gradients()
        exact_loss, exact_right, exact = case.twin.loss_and_gradients(case.x.astype(np.float64), case.targets)
        assert loss_value == pytest.approx(exact_loss, rel=tolerance("training"))
        assert right == exact_right
        case.compare(gradients, exact, tolerance, f"{samples=}")
        for a, b in zip(before, case.network.get_weights(), strict=True):
            assert a[0].tobytes() == b[0].tobytes()
        assert case.network.step == 0


@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_finite_differences_of_the_loss(seed, isa):
    case = Case(isa=isa, seed=seed, samples=11)
    run, h = case.run(11), 2.0**-10
    _, _, gradients = run.gradients()
    weights = case.network.get_weights()
    rng = np.random.default_rng(seed)
    for i, which in [(i, which) for i in range(3) for which in (0, 1)]:
        place = tuple(int(rng.integers(0, n)) for n in weights[i][which].shape)
        f = {}
        for k in (-2, -1, 1, 2):
            moved = [(w.copy(), b.copy()) for w, b in weights]
            moved[i][which][place] += k * h
            case.network.set_weights(moved)
            f[k] = run.gradients()[0]
        slope = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
        assert gradients[i][which][place] == pytest.approx(slope, abs=1e-10)


@pytest.mark.parametrize("optimizer", _engine.optimizers)
def test_apply_gradients_is_what_training_does(optimizer, isa, dtype):
    trained, applied = (Case(optimizer=optimizer, isa=isa, dtype=dtype) for _ in range(2))
    run = applied.run(50)
    for _ in range(4):
        applied.network.apply_gradients(run.gradients()[2], applied.hyper, applied.rate)
    trained.train(50, 4, shuffle=False)
    assert trained.network.step == applied.network.step == 4
    for a, b in zip(trained.network.get_weights(), applied.network.get_weights(), strict=True):
        assert a[0].tobytes() == b[0].tobytes()
        assert a[1].tobytes() == b[1].tobytes()


@pytest.mark.parametrize("link", ["identity", "softmax", "sigmoid", "tanh"])
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("samples", [1, 2, 127, 128, 129, 500])
def test_predictions_are_the_twins(samples, n_threads, link, isa, dtype, tolerance):
    case = Case(isa=isa, dtype=dtype, samples=samples)
    out = np.full((samples, 7), np.nan, dtype)
    case.run(samples, n_threads, training=False).predict(out, link)
    exact = case.twin.predict(case.x.astype(np.float64), link)
    np.testing.assert_allclose(out, exact, rtol=0, atol=tolerance("training") * np.abs(exact).max())


def test_predictions_of_a_row_do_not_depend_on_the_others(isa, dtype):
    case = Case(isa=isa, dtype=dtype, samples=300)
    whole = np.empty((300, 7), dtype)
    case.run(300, training=False).predict(whole, "softmax")
    for rows in (1, 5, 130):
        part = np.empty((rows, 7), dtype)
        run = _engine.Run(case.network, rows, 1)
        run.bind(case.x[50 : 50 + rows])
        run.predict(part, "softmax")
        assert part.tobytes() == whole[50 : 50 + rows].tobytes()


@pytest.mark.parametrize("loss", _engine.losses)
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("samples", [1, 128, 500])
def test_evaluation_is_the_twins(samples, n_threads, loss, isa, dtype, tolerance):
    case = Case(loss=loss, isa=isa, dtype=dtype, samples=samples)
    found, right = case.run(samples, n_threads, training=False).evaluate()
    exact, exact_right = case.twin.evaluate(case.x.astype(np.float64), case.targets)
    assert found == pytest.approx(exact, rel=tolerance("training"))
    assert right == exact_right


# ---- manners ----


def test_a_small_step_gets_one_thread():
    network = _engine.Network(10, [(10, "relu", 0.0, True), (2, "identity", 0.0, True)], "float32")
    assert _engine.Run(network, 32, 8, False, True, "squared_error").n_threads == 1


@pytest.mark.skipif(not _engine.has_openmp, reason="built without OpenMP: one thread only")
def test_a_large_step_gets_the_threads_it_asks_for():
    network = _engine.Network(500, [(500, "relu", 0.0, True), (2, "identity", 0.0, True)], "float32")
    assert _engine.Run(network, 512, 3, False, True, "squared_error").n_threads == 3
    assert _engine.Run(network, 1, 3, True, True, "squared_error").n_threads == 3


def test_subnormals_of_the_caller_survive():
    case = Case(dtype="float32")
    case.train(13, 3)
    case.run(50, training=False).evaluate()
    case.network.apply_gradients(case.run(50).gradients()[2], case.hyper, case.rate)
    assert np.float32(1e-38) * np.float32(0.1) > 0


def test_the_weights_returned_are_copies(dtype):
    case = Case(dtype=dtype)
    weights = case.network.get_weights()
    weights[0][0][...] = 7
    assert not np.array_equal(case.network.get_weights()[0][0], weights[0][0])
    for w, b in weights:
        assert w.flags.c_contiguous
        assert w.dtype == b.dtype == dtype


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_a_call_ends_when_its_time_is_over(n_threads):
    """After whole steps, so that those that follow give the bits of one call."""
    cases = [Case(), Case()]
    runs = [case.run(16, n_threads) for case in cases]
    losses = []
    for seconds in (0.0, -1.0, 1e-4, 0.0):
        found, right = runs[0].train(np.full(10_000, 0.01), cases[0].hyper, True, 5, seconds=seconds)
        assert len(found) == len(right)
        assert len(found) == 1 if seconds <= 0 else 0 < len(found) < 10_000
        losses.extend(found)
    assert cases[0].network.step == len(losses)
    found, _ = runs[1].train(np.full(len(losses), 0.01), cases[1].hyper, True, 5)
    np.testing.assert_array_equal(losses, found)
    for ours, theirs in zip(cases[0].network.get_weights(), cases[1].network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])


def test_a_call_without_an_update_changes_nothing():
    case = Case()
    before = case.network.get_weights()
    losses, _ = case.run(16).train(np.full(8, 0.01), None)
    assert np.isfinite(losses).all()
    assert losses[0] == losses[4]  # the same batch, four later
    for ours, theirs in zip(case.network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
