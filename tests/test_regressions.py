"""Mistakes that were made once and found by reading or by trying, each with the shape that showed it."""

import os
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _pace
from fastmlp.core import Core


def data(n=40, n_in=4, n_out=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, n_in)).astype(np.float32), rng.standard_normal((n, n_out)).astype(np.float32)


# One line of outputs, or one input, made the reshaped panels contiguous, and what should be copied was a view.
@pytest.mark.parametrize(("n_in", "n_out", "dtype"), [(4, 16, "float32"), (4, 8, "float64"), (1, 5, "float32")])
def test_weights_states_and_gradients_are_copies(n_in, n_out, dtype):
    X, y = data(n_in=n_in, n_out=n_out)
    model = fm.Model([fm.Dense(n_out)], optimizer="adam", n_inputs=n_in, dtype=dtype)
    model.fit(X, y, verbose=0)
    state = model._core.network.get_state()
    arrays = [
        array
        for pairs in (model.weights, *state["states"].values(), model.loss_and_gradients(X, y)[1])
        for pair in pairs
        for array in pair
    ]
    kept = [array.copy() for array in arrays]
    model.fit(X, y, epochs=3, verbose=0)
    model.loss_and_gradients(X, y)
    for array, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_two_first_fits_at_once_do_not_lose_a_training():
    X, y = data(2000, 30)
    model = fm.Model([fm.Dense(200, "relu"), fm.Dense(1)])
    results, start = [], threading.Barrier(2)

    def fit():
        start.wait()
        try:
            results.append(model.fit(X, y, epochs=5, verbose=0))
        except RuntimeError as error:
            results.append(error)

    threads = [threading.Thread(target=fit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fits = sum(isinstance(result, fm.History) for result in results)
    assert fits >= 1
    assert model._core.network.step == fits * 5 * 63


@pytest.mark.parametrize("other", [fm.RMSprop(1e30), fm.SGD(1e30), fm.AdamW(1e30)])
def test_divergence_after_a_change_of_optimizer(other, monkeypatch):
    """The weights go back; states of the other optimizer start afresh instead of being taken for its own."""
    monkeypatch.setattr(_pace, "CHUNK_SECONDS", 1e-9)
    monkeypatch.setattr(_pace, "FIRST_STEPS", 1)
    X, y = data()
    model = fm.Model([fm.Dense(8, "tanh"), fm.Dense(1)], optimizer=fm.Adam(), n_inputs=4)
    model.fit(X, y, epochs=2, verbose=0)
    before = model.weights

    class Change(fm.Callback):
        def on_train_batch_end(self, batch, logs):
            self.model.optimizer = other

    with pytest.raises(fm.DivergedError):
        model.fit(X, y, batch_size=5, callbacks=[Change()], verbose=0)
    for (W, b), (W_before, b_before) in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(W, W_before)
        np.testing.assert_array_equal(b, b_before)
    state = model._core.network.get_state()
    for moment in state["states"].values():
        assert moment is None or not any(array.any() for pair in moment for array in pair)
    model.optimizer = fm.SGD(1e-3)
    model.fit(X, y, verbose=0)


def test_weights_that_overflow_in_the_last_step():
    X, y = data()
    model = fm.Model([fm.Dense(1)], optimizer=fm.SGD(1e38), n_inputs=4)
    before = model.weights
    with pytest.raises(fm.DivergedError):
        model.fit(X * 100, y, batch_size=40, verbose=0)
    np.testing.assert_array_equal(model.weights[0][0], before[0][0])


def test_what_is_not_finite_is_not_saved(tmp_path):
    model = fm.Model([fm.Dense(1)], optimizer=fm.SGD(1e20), n_inputs=4)
    model.apply_gradients([(np.full((4, 1), 1e30), np.zeros(1))])
    with pytest.raises(ValueError, match="NaN or infinity"):
        model.save(tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [fm.Adam, fm.AdamW, fm.RMSprop])
def test_an_epsilon_that_float32_cannot_hold(kind):
    """It made 0 / 0 of a weight without gradient."""
    with pytest.raises(ValueError, match=r"epsilon=1e-40 of .* vanishes in float32"):
        fm.Model([fm.Dense(1)], optimizer=kind(epsilon=1e-40))
    model = fm.Model([fm.Dense(1)])
    with pytest.raises(ValueError, match=r"epsilon=1e-40 of .* vanishes in float32"):
        model.optimizer = kind(epsilon=1e-40)
    fm.Model([fm.Dense(1)], optimizer=kind(epsilon=1e-40), dtype="float64")


@pytest.mark.parametrize("name", ["layers", "dtype", "seed", "loss"])
def test_what_the_engine_was_made_for_cannot_be_assigned(name):
    model = fm.Model([fm.Dense(1)], n_inputs=4)
    with pytest.raises(AttributeError):
        setattr(model, name, getattr(model, name))


def test_threads_can_be_changed():
    X, _ = data()
    model = fm.Model([fm.Dense(1)], n_inputs=4)
    expected = model.predict(X)
    with pytest.raises(ValueError, match="-3"):
        model.n_threads = -3
    with pytest.raises(TypeError, match="two"):
        model.n_threads = "two"
    model.n_threads = 2
    assert model.predict(X).tobytes() == expected.tobytes()


def test_stop_training_between_chunks(monkeypatch):
    monkeypatch.setattr(_pace, "CHUNK_SECONDS", 1e-9)
    monkeypatch.setattr(_pace, "FIRST_STEPS", 1)

    class Stop(fm.Callback):
        def on_steps_end(self, batch, logs):
            self.model.stop_training = batch == 2

    X, y = data()
    model = fm.Model([fm.Dense(1)])
    history = model.fit(X, y, batch_size=4, epochs=5, callbacks=[Stop()], verbose=0)
    assert model._core.network.step == 3
    assert len(history["loss"]) == 1


def test_masked_values_are_refused():
    X, y = data()
    with pytest.raises(ValueError, match="X masks 1 value"):
        fm.Model([fm.Dense(1)]).fit(np.ma.array(X, mask=np.arange(X.size).reshape(X.shape) == 3), y, verbose=0)


def test_the_base_classes_are_no_loss_and_no_optimizer():
    with pytest.raises(TypeError, match="loss must be"):
        fm.Model([fm.Dense(1)], loss=fm.losses.Loss())
    with pytest.raises(TypeError, match="optimizer must be"):
        fm.Model([fm.Dense(1)], optimizer=fm.optimizers.Optimizer())


def test_a_loss_of_ones_own_is_not_saved_by_name(tmp_path):
    class Mine(fm.losses.MeanSquaredError):
        pass

    model = fm.Model([fm.Dense(1)], loss=Mine(), n_inputs=2)
    with pytest.raises(ValueError, match="Mine"):
        model.save(tmp_path / "net.safetensors")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither such links nor such modes")
def test_save_follows_links_keeps_modes_and_refuses_devices(tmp_path):
    model = fm.Model([fm.Dense(1)], n_inputs=2)
    target, link, pipe = tmp_path / "net", tmp_path / "link", tmp_path / "pipe"
    model.save(target)
    target.chmod(0o640)
    link.symlink_to(target)
    model.fit([[1.0, 2.0]], [1.0], verbose=0)
    model.save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert fm.load(target).predict([[1.0, 2.0]]).tobytes() == model.predict([[1.0, 2.0]]).tobytes()
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        model.save(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        model.save(tmp_path / "nowhere" / "net")


def output_of(code, **environment):
    """What a Python of its own prints, on this very package."""
    folder = os.path.dirname(os.path.dirname(fm.__file__))
    command = [sys.executable, "-c", code]
    run = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True, cwd=folder, timeout=200
    )
    return run.stdout


def test_an_empty_or_capital_isa_variable():
    code = "import fastmlp; print(fastmlp._engine.isa)"
    available = [name for name, missing in fm._engine.isas().items() if missing is None]
    assert output_of(code, FASTMLP_ISA="").strip() == available[0]
    assert output_of(code, FASTMLP_ISA="BASELINE").strip() == "baseline"


def test_a_team_smaller_than_asked():
    """OpenMP may give fewer threads than a plan was made for."""
    code = (
        "import numpy as np, fastmlp as fm\n"
        "X = np.random.default_rng(0).standard_normal((300, 50)).astype('f4')\n"
        "m = fm.Model([fm.Dense(70, 'tanh'), fm.Dense(3)], n_inputs=50, n_threads=4)\n"
        "for size in (20, 300):\n"
        "    m.fit(X, X[:, :3], batch_size=size, epochs=2, verbose=0)\n"
        "print(m.weights[0][0].tobytes().hex(), m.evaluate(X, X[:, :3]))"
    )
    assert len({output_of(code, OMP_THREAD_LIMIT=limit) for limit in ("1", "3", "64")}) == 1


def test_predictions_while_batches_of_changing_size_are_trained():
    """The buffers that are kept change hands in both."""
    X = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    model = fm.Model([fm.Dense(4, "relu"), fm.Dense(1)], n_inputs=4)
    errors, done = [], threading.Event()

    def predict(seed):
        sizes = np.random.default_rng(seed)
        try:
            while not done.is_set():
                model.predict(X[: sizes.integers(1, 65)])
        except RuntimeError as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=predict, args=(seed,)) for seed in range(3)]
    try:
        for thread in threads:
            thread.start()
        for step in range(3000):
            rows = step % 64 + 1
            model.train_on_batch(X[:rows], X[:rows, :1])
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert errors == []


def test_a_callback_changes_the_threads_of_the_next_call():
    X, y = data()

    class Alone(fm.Callback):
        def on_train_begin(self):
            self.model.n_threads = 1

    model = fm.Model([fm.Dense(1)], n_threads=2)
    model.fit(X, y, callbacks=[Alone()], verbose=0)
    model.train_on_batch(X, y)
    assert all(run.n_threads == 1 for key, run in model._core.runs.items() if key[-1] == 1)
    assert any(key[-1] == 1 for key in model._core.runs)


def test_a_divergence_leaves_the_moving_average():
    X, y = np.random.default_rng(0).standard_normal((60, 5)), np.zeros((60, 3))
    model = fm.Model([fm.Dense(8, "tanh"), fm.Dense(3)], optimizer=fm.SGD(1e-2, use_ema=True), dtype="float64")
    model.fit(X, y, epochs=5, verbose=0)
    before = model.predict(X)
    model.optimizer = fm.SGD(1e200, use_ema=True)
    with pytest.raises(fm.DivergedError):
        model.fit(X, y, epochs=5, verbose=0)
    np.testing.assert_array_equal(model.predict(X), before)


def test_numpy_scalars_as_options_are_saved(tmp_path):
    X = np.random.default_rng(0).standard_normal((20, 5))
    model = fm.Model(
        [fm.Dense(3)], "softmax_cross_entropy", fm.Adam(np.float32(0.01), use_ema=np.True_),
        metrics=[fm.metrics.Metric("top_k_accuracy", k=np.int64(2))], preprocessing=fm.Whiten(epsilon=np.float32(0.1)),
    )  # fmt: skip
    model.fit(X, np.arange(20) % 3, verbose=0)
    model.save(tmp_path / "a")
    assert fm.load(tmp_path / "a").optimizer == model.optimizer


def test_what_a_checkpoint_saves_knows_its_own_epoch(tmp_path):
    X = np.random.default_rng(0).standard_normal((20, 5))
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy")
    model.fit(X, np.arange(20) % 3, epochs=3, callbacks=[fm.ModelCheckpoint(str(tmp_path / "n-{epoch}"))], verbose=0)
    assert fm.load(tmp_path / "n-3").history.epoch == [0, 1, 2]


def test_another_optimizer_goes_on_with_the_average():
    X, y = np.random.default_rng(0).standard_normal((60, 5)), np.zeros((60, 3))
    model = fm.Model([fm.Dense(3)], optimizer=fm.SGD(0.1, use_ema=True), dtype="float64")
    model.fit(X, y, epochs=2, verbose=0)
    before = model.predict(X)
    model.optimizer = fm.SGD(0.1, momentum=0.9, use_ema=True)
    np.testing.assert_array_equal(model.predict(X), before)


def test_a_checkpoint_of_lbfgs_is_written(tmp_path):
    pytest.importorskip("scipy", reason="scipy is not installed: pip install '.[test]'")
    X = np.random.default_rng(0).standard_normal((60, 5))
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy", fm.LBFGS(20))
    history = model.fit(X, np.arange(60) % 3, callbacks=[fm.Checkpoint(tmp_path / "k")], verbose=0)
    loaded = fm.load(tmp_path / "k")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.history.epoch == history.epoch


def test_a_history_has_a_value_for_every_epoch():
    X, y = np.random.default_rng(0).standard_normal((20, 5)), np.arange(20) % 3
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy")
    model.fit(X, y, epochs=2, verbose=0)
    history = model.fit(X, y, epochs=4, initial_epoch=2, validation_data=(X, y), verbose=0)
    assert history.epoch == [0, 1, 2, 3]
    assert [np.isnan(value) for value in history["val_loss"]] == [True, True, False, False]
    assert len(history["loss"]) == 4
    last = model.fit(X, y, epochs=5, initial_epoch=3, verbose=0)
    assert [len(last[name]) for name in ("loss", "val_loss")] == [5, 5]


def test_an_average_that_goes_on_is_not_thrown_away():
    X, y = np.random.default_rng(0).standard_normal((60, 5)), np.zeros((60, 3))
    model = fm.Model([fm.Dense(3)], optimizer=fm.SGD(0.1, use_ema=True), dtype="float64")
    model.fit(X, y, epochs=2, verbose=0)
    (before, _), (raw, _) = model.average_weights[0], model.weights[0]
    model.optimizer = fm.SGD(0.0, momentum=0.9, use_ema=True)
    model.train_on_batch(X, y)
    np.testing.assert_allclose(model.average_weights[0][0], 0.99 * before + 0.01 * raw, rtol=1e-12)


def test_gradients_of_an_infinite_loss_leave_the_running_statistics():
    model = fm.Model([fm.BatchNorm(), fm.Dense(3)], n_inputs=5)
    before = model.weights[0][2]
    loss, _ = model.loss_and_gradients(np.ones((4, 5)), np.full((4, 3), 1e30))
    assert not np.isfinite(loss)
    np.testing.assert_array_equal(model.weights[0][2], before)


def test_what_is_not_ready_builds_nothing():
    X, y = np.ones((4, 5)), np.zeros((4, 1))
    for model in (fm.Model([fm.Dense(1)], preprocessing="standardize"), fm.Model([fm.Dense(1)], optimizer=fm.LBFGS())):
        with pytest.raises(ValueError, match=r"has seen no data|no steps on batches"):
            model.train_on_batch(X, y)
        assert not model.built


def test_frozen_layers_at_the_bottom_change_nothing_above():
    X, y = np.random.default_rng(0).standard_normal((40, 5)), np.arange(40) % 3
    for n_threads in (1, 2):
        stack = [fm.Dense(40, "tanh", trainable=False), fm.Dropout(0.5), fm.Dense(40, "tanh", trainable=False)]
        model = fm.Model([*stack, fm.BatchNorm(), fm.Dense(20, "tanh"), fm.Dense(3)], "softmax_cross_entropy",
                         n_inputs=5, dtype="float64", n_threads=n_threads)  # fmt: skip
        _, gradients = model.loss_and_gradients(X, y)
        before = model.weights
        model.train_on_batch(X, y)
        for i, (old, new, gradient) in enumerate(zip(before, model.weights, gradients, strict=True)):
            for a, b, g in zip(old, new, gradient, strict=False):
                np.testing.assert_allclose(b, a - 0.01 * g * (i > 1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("other", [fm.SGD(), fm.Adam(use_ema=True), fm.Adam(1e-4)])
def test_ctrl_c_within_a_change_of_optimizer(other, monkeypatch, tmp_path):
    """The engine had one optimizer then, and the model another: its file could not be loaded."""
    X, y = data()
    model = fm.Model([fm.Dense(3), fm.Dense(1)], optimizer=fm.Adam(), n_inputs=4)
    model.fit(X, y, verbose=0)
    assign, times = Core.__setattr__, []

    def interrupted(self, name, value):
        if name == "optimizer" and not times:
            times.append(name)
            raise KeyboardInterrupt
        assign(self, name, value)

    monkeypatch.setattr(Core, "__setattr__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.optimizer = other
    monkeypatch.undo()
    model.save(tmp_path / "net.safetensors")
    assert fm.load(tmp_path / "net.safetensors").predict(X).tobytes() == model.predict(X).tobytes()
    model.fit(X, y, verbose=0)
