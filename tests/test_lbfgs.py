"""fastmlp.LBFGS beside what it should find."""

import dataclasses
import sys

import numpy as np
import pytest

import fastmlp as fm

pytest.importorskip("scipy.optimize")


def data(n=80):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 5))
    return X, X @ rng.standard_normal((5, 2)) + rng.standard_normal(2) + 0.1 * rng.standard_normal((n, 2))


def test_a_linear_model_ends_at_the_ridge_solution():
    X, y = data()
    model = fm.Model([fm.Dense(2, l2=0.05)], optimizer=fm.LBFGS(tolerance=1e-10), dtype="float64")
    history = model.fit(X, y, verbose=0)
    centred, (W, b) = X - X.mean(0), model.weights[0]
    # Of the mean over samples and both outputs the gradient X^T (X W - y) / 80 + 2 * 0.05 W vanishes.
    exact = np.linalg.solve(centred.T @ centred / len(X) + 2 * 0.05 * np.eye(5), centred.T @ (y - y.mean(0)) / len(X))
    np.testing.assert_allclose(W, exact, atol=1e-8)
    np.testing.assert_allclose(b, y.mean(0) - X.mean(0) @ exact, atol=1e-8)
    assert history.stopped == "converged"
    assert 3 < len(history["loss"]) < 50
    assert np.all(np.diff(history["loss"]) <= 0)
    assert history["loss"][-1] == model.loss_and_gradients(X, y)[0] == pytest.approx(model.evaluate(X, y)["loss"])


def test_a_network_ends_where_gradients_vanish():
    X, y = data()
    labels = y.argmax(1)
    layers = [fm.Dense(7, "tanh", l2=1e-2), fm.Dense(3, "tanh", trainable=False), fm.Dense(2, l2=1e-2, use_bias=False)]
    model = fm.Model(layers, "softmax_cross_entropy", fm.LBFGS(500, tolerance=1e-5), n_inputs=5, dtype="float64")
    before = model.weights
    assert model.fit(X, labels, validation_data=(X, labels), verbose=0).stopped == "converged"
    gradients = model.loss_and_gradients(X, labels)[1]
    assert max(np.abs(a).max() for i in (0, 2) for a in gradients[i]) < 2e-5
    assert all(np.array_equal(a, b) for a, b in zip(model.weights[1], before[1], strict=True))
    assert not np.array_equal(model.weights[0][0], before[0][0])
    assert not model.weights[2][1].any()
    assert model.history["val_loss"][-1] == pytest.approx(model.history["loss"][-1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_do_not_change_a_bit(dtype):
    X, y = data()
    found = []
    for n_threads in (1, 2, 3):
        model = fm.Model([fm.Dense(9, "tanh"), fm.Dense(2)], optimizer=fm.LBFGS(15), n_threads=n_threads, dtype=dtype)
        found.append((model.fit(X, y, verbose=0)["loss"], model.predict(X).tobytes()))
    assert found[0] == found[1] == found[2]


def test_callbacks_and_iterations_end_it():
    X, y = data()
    layers = [fm.Dense(9, "tanh"), fm.Dense(2)]
    history = fm.Model(layers, optimizer=fm.LBFGS(4)).fit(X, y, verbose=0)
    assert (history.stopped, history.epoch) == ("epochs done", [0, 1, 2, 3])

    class Third(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            self.model.stop_training = epoch == 2

    model = fm.Model(layers, optimizer=fm.LBFGS())
    history = model.fit(X, y, callbacks=[Third()], verbose=0)
    assert (history.stopped, len(history["loss"])) == ("callback", 3)
    assert model.loss_and_gradients(X, y)[0] == history["loss"][-1]


@pytest.mark.parametrize("how", ["interrupted", "diverged"])
def test_what_ends_it_between_two_iterations_leaves_the_weights_of_the_last(how):
    X, y = data()
    kept = []

    class Keep(fm.Callback):
        def on_epoch_end(self, epoch):
            if epoch == 2:
                kept.append(self.model.weights)

    def loss(scores, targets):
        if kept and how == "interrupted":
            raise KeyboardInterrupt
        error = scores - targets
        return np.inf if kept else (error**2).mean(), 2 * error / error.size

    model = fm.Model([fm.Dense(9, "tanh"), fm.Dense(2)], loss, fm.LBFGS())
    try:
        history = model.fit(X, y, callbacks=[Keep()], verbose=0)
    except fm.DivergedError as error:
        history = error.history
    assert (history.stopped, history.epoch) == (how, [0, 1, 2])
    for found, expected in zip(model.weights, kept[0], strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_it_is_saved_and_copied(tmp_path):
    model = fm.Model([fm.Dense(2)], optimizer=fm.LBFGS(7, 1e-3, 5), n_inputs=5)
    model.save(tmp_path / "net")
    assert fm.load(tmp_path / "net").optimizer == model.optimizer == dataclasses.replace(model.optimizer)


def test_what_it_cannot_do_is_refused(monkeypatch):
    X, y = data()
    model = fm.Model([fm.Dense(2)], optimizer="lbfgs", n_inputs=5)
    before = model.weights[0][0].tobytes()
    for work, words in {
        lambda: model.fit(X, y, epochs=3): "max_iterations",
        lambda: model.fit([(X, y)]): "arrays",
        lambda: model.train_on_batch(X, y): "fit",
        lambda: model.apply_gradients([[np.zeros((5, 2)), np.zeros(2)]]): "fit",
        lambda: fm.LBFGS(use_ema=True): "options",
        lambda: fm.LBFGS(max_iterations=0): "max_iterations",
        lambda: fm.LBFGS(tolerance=-1): "tolerance",
        lambda: fm.Model([fm.Dense(2, max_norm=1)], optimizer="lbfgs").fit(X, y): "max_norm",
    }.items():
        with pytest.raises(ValueError, match=words):
            work()
    assert model.weights[0][0].tobytes() == before
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match="lbfgs"):
        model.fit(X, y)


def test_weights_that_a_callback_changes_are_not_lost_in_silence():
    class Zeros(fm.Callback):
        def on_epoch_end(self, epoch):
            if epoch == 1:
                self.model.weights = [tuple(np.zeros_like(a) for a in arrays) for arrays in self.model.weights]

    rng = np.random.default_rng(0)
    model = fm.Model([fm.Dense(3, "tanh"), fm.Dense(1)], optimizer="lbfgs")
    with pytest.raises(ValueError, match="a callback changed the weights after iteration 2"):
        model.fit(rng.random((20, 2)), rng.random(20), callbacks=[Zeros()], verbose=0)


@pytest.mark.parametrize("options", [
    {"ema_momentum": 0.9}, {"decay_biases": False}, {"use_ema": True}, {"l2": 0.1}, {"weight_decay": 0.1},
])  # fmt: skip
def test_options_that_it_would_not_follow_are_refused(options):
    with pytest.raises(ValueError, match="none of the options of other optimizers; leave them out"):
        fm.LBFGS(**options)
