"""The model as users meet it: fit, predict and the rest, data of every kind, threads, Ctrl-C, nothing else touched."""

import copy
import ctypes
import gc
import json
import math
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine

X_DIGITS, Y_DIGITS = fm.datasets.load_digits()


def data(n=60, n_inputs=6, n_outputs=3, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, n_inputs)).astype(np.float32), rng.integers(0, n_outputs, n)


def classifier(optimizer="adam", **options):
    return fm.Model([fm.Dense(17, "relu"), fm.Dense(3)], "softmax_cross_entropy", optimizer, **options)


def bits(model):
    """Weights, optimizer states and counts, as bytes."""
    state = model._core.__getstate__()
    moments = [pair for pairs in state["training"]["states"].values() for pair in pairs]
    counts = [state["training"][name] for name in ("step", "updates", "pending", "epoch", "powers", "optimizer")]
    return [array.tobytes() for pair in [*state["weights"], *moments] for array in pair], counts


@pytest.fixture(scope="module")
def slow():
    """A model and data of which one epoch takes far longer than any of these tests may."""
    X = np.ones((200_000, 256), np.float32)
    return fm.Model([fm.Dense(1024, "tanh"), fm.Dense(1024, "tanh"), fm.Dense(1)], optimizer=fm.SGD(0.0)), X, X[:, :1]


# ---- fit ----


def test_it_learns_the_digits():
    model = fm.Model([fm.Dense(64, "relu"), fm.Dense(10)], "softmax_cross_entropy", fm.Adam(0.003))
    X, test = X_DIGITS / 16, np.arange(len(X_DIGITS)) % 4 == 3
    history = model.fit(X[~test], Y_DIGITS[~test], epochs=30, validation_data=(X[test], Y_DIGITS[test]), verbose=0)
    assert history["accuracy"][-1] > 0.99
    assert history["val_accuracy"][-1] > 0.95
    assert history["loss"][-1] < 0.1 * history["loss"][0]


def test_history_holds_every_epoch():
    X, y = data()
    model = classifier()
    history = model.fit(X, y, batch_size=7, epochs=4, validation_data=(X[:11], y[:11]), verbose=0)
    assert isinstance(history, fm.History)
    assert history.epoch == [0, 1, 2, 3]
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(values) == 4 and all(type(v) is float for v in values) for values in history.history.values())
    evaluated = model.evaluate(X[:11], y[:11])
    assert (history["val_loss"][-1], history["val_accuracy"][-1]) == (evaluated["loss"], evaluated["accuracy"])
    assert repr(history).startswith("<fastmlp.History: 4 epochs, loss=")
    with pytest.raises(KeyError, match="'f1' was not recorded; there are loss, accuracy"):
        history["f1"]


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples():
    """Weighted by the sizes of the batches, the last of which is smaller: with a rate of 0 it is exactly that."""
    X, y = data(50)
    model = classifier(fm.SGD(0.0), n_inputs=6, dtype="float64")
    history = model.fit(X, y, batch_size=16, epochs=2, verbose=0)
    evaluated = model.evaluate(X, y)
    assert history["loss"] == pytest.approx([evaluated["loss"]] * 2, rel=1e-13)
    assert history["accuracy"] == [evaluated["accuracy"]] * 2


def test_a_regression_has_no_accuracy():
    X, _ = data()
    history = fm.Model([fm.Dense(2)]).fit(X, X[:, :2], verbose=0)
    assert list(history.history) == ["loss"]


@pytest.mark.parametrize("optimizer", [
    "sgd", fm.SGD(0.01, momentum=0.9), "rmsprop", fm.RMSprop(centered=True), "adagrad", "adam", fm.Adam(amsgrad=True),
    "adamw", "nadam", "lion", fm.SGD(0.1, global_clipnorm=0.5), fm.Adam(gradient_accumulation_steps=4, use_ema=True),
], ids=str)  # fmt: skip
def test_two_fits_are_one(optimizer):
    X, y = data()
    model, other = classifier(optimizer), classifier(optimizer)
    losses = [model.fit(X, y, batch_size=7, epochs=5, verbose=0)["loss"] for _ in range(2)]
    assert losses[0] + losses[1] == other.fit(X, y, batch_size=7, epochs=10, verbose=0)["loss"]
    assert bits(model) == bits(other)


def test_epochs_one_by_one_are_epochs_at_once():
    """Callbacks, validation and progress make fit come back after every epoch; the numbers do not depend on it."""
    X, y = data()
    models = [classifier() for _ in range(4)]
    options = {}, {"callbacks": [fm.Callback()]}, {"validation_data": (X, y)}, {"verbose": 2}
    losses = [
        model.fit(X, y, batch_size=7, epochs=6, **{"verbose": 0} | option)["loss"]
        for model, option in zip(models, options, strict=True)
    ]
    assert losses[1:] == losses[:1] * 3
    assert all(bits(model) == bits(models[0]) for model in models[1:])


@pytest.mark.parametrize("batch_size", [61, 1000, 2**61])
def test_a_batch_larger_than_the_data_is_all_data(batch_size):
    X, y = data()
    model, other = classifier(), classifier()
    model.fit(X, y, batch_size=batch_size, epochs=3, verbose=0)
    other.fit(X, y, batch_size=60, epochs=3, verbose=0)
    assert bits(model) == bits(other)


def test_one_sample():
    X, y = data(1)
    model = classifier()
    assert len(model.fit(X, y, epochs=3, verbose=0)["loss"]) == 3
    assert model.predict(X).shape == (1, 3)
    assert set(model.evaluate(X, y)) == {"loss", "accuracy"}


def test_shuffle_changes_the_order_and_only_that():
    X, y = data()
    results = []
    for shuffle in (True, False):
        model = classifier()
        model.fit(X, y, batch_size=7, shuffle=shuffle, verbose=0)
        results.append(bits(model))
    assert results[0] != results[1]
    model, other = classifier(), classifier()
    model.fit(X, y, batch_size=7, shuffle=False, verbose=0)
    for first in range(0, 60, 7):
        other.train_on_batch(X[first : first + 7], y[first : first + 7])
    assert bits(model)[0] == bits(other)[0]


def test_each_epoch_has_its_own_order():
    X, y = data()
    model, other = classifier(), classifier()
    model.fit(X, y, batch_size=7, epochs=2, verbose=0)
    for epoch in range(2):
        order = _engine.shuffle(60, 0, epoch)
        other.fit(X[order], y[order], batch_size=7, shuffle=False, verbose=0)
    assert bits(model)[0] == bits(other)[0]


def test_the_seed_decides_everything():
    X, y = data()
    found = {}
    for seed in (0, 0, 1, 2**64 - 1):
        model = classifier(seed=seed)
        model.fit(X, y, batch_size=7, verbose=0)
        found.setdefault(seed, set()).add(str(bits(model)))
    assert [len(each) for each in found.values()] == [1, 1, 1]
    assert len(set.union(*found.values())) == 3


def test_no_seed_draws_one():
    models = [classifier(seed=None, n_inputs=6) for _ in range(2)]
    assert models[0].seed != models[1].seed
    assert bits(models[0]) != bits(models[1])
    again = classifier(seed=models[0].seed, n_inputs=6)
    assert bits(again) == bits(models[0])


def test_layers_without_bias_keep_it_zero():
    X, y = data()
    for optimizer in ("sgd", "adamw"):
        model = fm.Model([fm.Dense(9, "relu", use_bias=False), fm.Dense(3, use_bias=False)], "softmax_cross_entropy",
                         optimizer)  # fmt: skip
        model.fit(X, y, verbose=0)
        model.train_on_batch(X, y)
        gradients = model.loss_and_gradients(X, y)[1]
        assert not any(db.any() for _, db in gradients)
        model.apply_gradients([(dW, np.ones_like(db)) for dW, db in gradients])
        assert not any(b.any() for _, b in model.weights)


def test_a_larger_loss_than_all_floats_stops_training_and_restores():
    X, _ = data()
    model = fm.Model([fm.Dense(1)], optimizer=fm.SGD(0.01))
    model.fit(X, X[:, :1], verbose=0)
    model.optimizer = fm.SGD(1e15)
    before = bits(model)[0]
    with pytest.raises(fm.DivergedError, match=r"step [2-9] .*learning rate 1e\+15") as caught:
        model.fit(X, X[:, :1], batch_size=10, epochs=2, verbose=0)
    assert bits(model)[0] == before
    assert isinstance(caught.value, ArithmeticError)
    assert caught.value.learning_rate == 1e15
    assert caught.value.history.epoch == []
    model.optimizer = fm.SGD(0.01)
    assert math.isfinite(model.fit(X, X[:, :1], verbose=0)["loss"][0])


@pytest.mark.parametrize("optimizer", [fm.SGD(1.6), fm.SGD(1.2, momentum=0.5)])
@pytest.mark.parametrize("verbose", [0, 2])
def test_diverging_later_keeps_the_last_good_epoch(verbose, optimizer):
    """However many epochs the engine trains in one go."""
    X = np.array([[1.0], [1.1], [0.9], [0.8]], np.float32)
    models = [fm.Model([fm.Dense(1)], optimizer=optimizer, n_inputs=1) for _ in range(2)]
    with pytest.raises(fm.DivergedError) as caught:
        models[0].fit(X, 3 * X, batch_size=1, epochs=1000, verbose=verbose)
    error = caught.value
    good = len(error.history.epoch)
    assert good == (error.step - 1) // 4 > 2
    losses = models[1].fit(X, 3 * X, batch_size=1, epochs=good, verbose=0)["loss"]
    assert error.history["loss"] == losses
    assert bits(models[0])[0][:2] == bits(models[1])[0][:2]
    assert not any(array.any() for pair in models[0]._core.network.get_state()["states"].get("m", []) for array in pair)
    assert models[0]._core.network.step == 4 * good  # schedules and masks go on
    again = pickle.loads(pickle.dumps(error))
    assert (again.step, again.learning_rate, str(again)) == (error.step, error.learning_rate, str(error))


def test_train_on_batch_that_diverges_changes_nothing():
    model = fm.Model([fm.Dense(1)], optimizer=fm.Adam(), n_inputs=2)
    model.weights = [([[1e30], [1e30]], [0.0])]
    before = bits(model)
    with pytest.raises(fm.DivergedError, match="step 1 "):
        model.train_on_batch(np.ones((3, 2)), np.zeros((3, 1)))
    assert bits(model) == before


# ---- callbacks and what fit shows ----


class Diary(fm.Callback):
    """Writes down what happens."""

    def __init__(self, name="", pages=None):
        self.name, self.pages = name, [] if pages is None else pages

    def on_train_begin(self):
        self.pages.append((self.name, "train begin", self.params["epochs"], self.params["steps"]))

    def on_epoch_begin(self, epoch):
        self.pages.append((self.name, "epoch begin", epoch))

    def on_steps_end(self, batch, logs):
        self.pages.append((self.name, "batch", batch, logs["loss"]))

    def on_epoch_end(self, epoch, logs):
        self.pages.append((self.name, "epoch end", epoch, logs))

    def on_train_end(self):
        self.pages.append((self.name, "train end"))


def test_callbacks_are_called_in_order():
    X, y = data()
    diary = Diary("a")
    model = classifier()
    history = model.fit(X, y, batch_size=7, epochs=2, callbacks=[diary], validation_data=(X, y), verbose=0)
    assert diary.model is model
    names = [page[1] for page in diary.pages]
    assert names[0] == "train begin"
    assert names[-1] == "train end"
    assert [page for page in names if page != "batch"] == [
        "train begin", "epoch begin", "epoch end", "epoch begin", "epoch end", "train end"
    ]  # fmt: skip
    assert diary.pages[0] == ("a", "train begin", 2, 9)
    batches = [page[2] for page in diary.pages if page[1] == "batch"]
    for epoch in (batches[: batches.index(8) + 1], batches[batches.index(8) + 1 :]):
        assert epoch == sorted(set(epoch))
        assert epoch[-1] == 8
    ends = [page[3] for page in diary.pages if page[1] == "epoch end"]
    assert [logs["val_loss"] for logs in ends] == history["val_loss"]
    assert list(ends[0]) == ["loss", "accuracy", "val_loss", "val_accuracy"]


def test_several_callbacks_each_hook_in_their_order():
    X, y = data()
    pages = []
    classifier().fit(X, y, callbacks=[Diary("a", pages), Diary("b", pages)], verbose=0)
    assert [page[0] for page in pages] == ["a", "b"] * (len(pages) // 2)


def test_the_last_batch_knows_the_loss_of_the_epoch():
    X, y = data()
    diary = Diary()
    history = classifier().fit(X, y, batch_size=7, callbacks=[diary], verbose=0)
    assert [page for page in diary.pages if page[1] == "batch"][-1][3] == history["loss"][0]


@pytest.mark.parametrize(
    "hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_end", "on_steps_end", "on_epoch_end"]
)
def test_stop_training(hook):
    X, y = data()

    def stop(self, *_):
        self.model.stop_training = True

    callback = type("Stop", (fm.Callback,), {hook: stop})()
    model = classifier()
    history = model.fit(X, y, epochs=5, callbacks=[callback], verbose=0)
    assert history.epoch == ([] if hook == "on_train_begin" else [0])
    assert len(model.fit(X, y, epochs=3, verbose=0).epoch) == 3  # the next fit is not stopped


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_end", "on_steps_end", "on_epoch_end"])
def test_an_error_in_a_callback_ends_training_in_order(hook):
    X, y = data()

    def fails(self, *_):
        raise LookupError("mine")

    diary = Diary()
    model = classifier()
    with pytest.raises(LookupError, match="mine"):
        model.fit(X, y, epochs=5, callbacks=[diary, type("Bad", (fm.Callback,), {hook: fails})()], verbose=0)
    assert diary.pages[-1][1] == "train end"
    model.fit(X, y, verbose=0)


def test_callbacks_may_look_at_the_model_and_change_it():
    """Predict, evaluate, save, read and write weights, change the optimizer: what early stopping and schedules do."""
    X, y = data()
    seen = []

    class Busy(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append((self.model.evaluate(X, y)["loss"], self.model.predict(X).shape, copy.copy(self.model)))
            self.model.optimizer = fm.SGD(0.1 / (epoch + 2))
            if epoch == 2:
                self.model.weights = seen[0][2].weights

    model = classifier(fm.SGD(0.1))
    model.fit(X, y, epochs=3, callbacks=[Busy()], verbose=0)
    assert [shape for _, shape, _ in seen] == [(60, 3)] * 3
    assert model.optimizer == fm.SGD(0.025)
    assert bits(model)[0] == bits(seen[0][2])[0]


def test_a_learning_rate_changed_by_a_callback_is_used():
    X, y = data()

    class Decay(fm.Callback):
        def on_epoch_begin(self, epoch):
            self.model.optimizer = fm.Adam(0.01 / (epoch + 1))

    model, other = classifier(), classifier()
    model.fit(X, y, epochs=3, callbacks=[Decay()], verbose=0)
    for epoch in range(3):
        other.optimizer = fm.Adam(0.01 / (epoch + 1))
        other.fit(X, y, verbose=0)
    assert bits(model) == bits(other)


def test_another_optimizer_starts_afresh():
    X, y = data()
    model = classifier("adam")
    model.fit(X, y, verbose=0)
    weights = model.weights
    model.optimizer = "rmsprop"
    other = classifier("rmsprop", n_inputs=6)
    other.weights = weights
    for each in (model, other):
        each.train_on_batch(X, y)
    assert bits(model)[0] == bits(other)[0]


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("chosen", [fm.SGD(0.5), fm.SGD(0.5, use_ema=True), fm.Adam()], ids=["SGD", "average", "Adam"])
def test_an_optimizer_that_could_not_be_assigned(chosen, when, error, monkeypatch):
    """The model has the old one and its states, or the new one and its."""

    class Fails:
        """A network; its optimizer is assigned with an error, before it has changed or after that."""

        def __getattr__(self, name):
            found = getattr(network, name)
            if name not in ("keep_optimizer", "set_optimizer"):
                return found

            def failing(*arguments):
                if when == "after":
                    found(*arguments)
                raise error

            return failing

    X, y = data()
    model = classifier(fm.SGD(0.1))
    model.train_on_batch(X, y)
    network = model._core.network
    with monkeypatch.context() as patch:
        patch.setattr(model._core, "network", Fails())
        with pytest.raises(error):
            model.optimizer = chosen
    assert model.optimizer == (chosen if when == "after" else fm.SGD(0.1))
    assert (network.optimizer, list(network.states)) == (model.optimizer.kernel, list(model.optimizer.kernel_states))
    model.train_on_batch(X, y)


LINE = r"epoch +\d+/12 +\d+\.\d\d s  loss \d\.\d{4}  accuracy \d\.\d{4}  val_loss \d\.\d{4}  val_accuracy \d\.\d{4}"


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_a_line_for_each_epoch_on_stdout(verbose, capsys):
    X, y = data()
    model = classifier()
    model.fit(X, y, epochs=12, validation_data=(X, y), verbose=verbose)
    model.fit(X, y, epochs=12, validation_data=(X, y), verbose=verbose)
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert len(lines) == (24 if verbose else 0)
    assert all(re.fullmatch(LINE, line) for line in lines)
    assert "\r" not in out
    if verbose:
        assert lines[0].startswith("epoch  1/12")
        assert lines[11].startswith("epoch 12/12")


# ---- prediction and evaluation ----


def test_predict_is_the_link_of_the_scores():
    X, y = data()
    model = classifier(dtype="float64")
    model.fit(X, y, verbose=0)
    scores, p = model.scores(X), model.predict(X)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(p, e / e.sum(axis=1, keepdims=True), rtol=1e-13)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-13)
    model = fm.Model([fm.Dense(2)], "binary_cross_entropy", n_inputs=6, dtype="float64")
    np.testing.assert_allclose(model.predict(X), 1 / (1 + np.exp(-model.scores(X))), rtol=1e-13)
    model = fm.Model([fm.Dense(2)], n_inputs=6)
    assert model.predict(X).tobytes() == model.scores(X).tobytes()


def test_scores_are_the_network(dtype):
    X, _ = data()
    model = fm.Model([fm.Dense(17, "tanh"), fm.Dense(5, "relu"), fm.Dense(2)], n_inputs=6, dtype=dtype)
    z = X.astype(np.float64)
    for (W, b), function in zip(model.weights, [np.tanh, lambda z: np.maximum(z, 0), lambda z: z], strict=True):
        z = function(z @ W.astype(np.float64) + b)
    found = model.scores(X)
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_allclose(found, z, rtol=0, atol=20 * np.finfo(dtype).eps)


def test_evaluate_is_the_loss_and_the_share_of_hits():
    X, y = data(333)
    model = classifier()
    model.fit(X, y, verbose=0)
    p = model.predict(X).astype(np.float64)
    found = model.evaluate(X, y)
    assert list(found) == ["loss", "accuracy"]
    assert found["loss"] == pytest.approx(-np.log(p[np.arange(333), y]).mean(), rel=1e-6)
    assert found["accuracy"] == (p.argmax(axis=1) == y).mean()
    assert model.loss_and_gradients(X, y)[0] == pytest.approx(found["loss"], rel=1e-6)


def test_rows_do_not_influence_each_other():
    """The prediction for a sample has the same bits alone, in any company and at any place."""
    X, y = data(301)
    model = classifier()
    model.fit(X, y, verbose=0)
    together = model.predict(X)
    assert model.predict(X[::-1])[::-1].tobytes() == together.tobytes()
    for n in (1, 2, 3, 127, 128, 129, 200):
        assert model.predict(X[:n]).tobytes() == together[:n].tobytes()
    assert b"".join(model.predict(row[None]).tobytes() for row in X) == together.tobytes()


# ---- weights and gradients ----


def test_weights_are_copies_that_can_be_assigned():
    X, y = data()
    model, other = classifier(n_inputs=6), classifier(n_inputs=6, seed=5)
    weights = model.weights
    assert [(W.shape, b.shape) for W, b in weights] == [((6, 17), (17,)), ((17, 3), (3,))]
    assert all(array.dtype == np.float32 for pair in weights for array in pair)
    with pytest.raises(ValueError, match="read-only"):
        weights[0][0][0, 0] = 1
    assert model.predict(X).tobytes() != other.predict(X).tobytes()
    other.weights = weights
    assert model.predict(X).tobytes() == other.predict(X).tobytes()
    model.fit(X, y, verbose=0)
    assert weights[0][0].tobytes() == other.weights[0][0].tobytes()  # the copy has not moved with the model


@pytest.mark.parametrize("kind", [lambda a: a.tolist(), np.asfortranarray, lambda a: a.astype(np.float16),
                                  lambda a: a[::-1].copy()[::-1], lambda a: a.astype(">f8")])  # fmt: skip
def test_weights_may_be_any_array(kind):
    model = classifier(n_inputs=6)
    pairs = [tuple(np.round(array * 8) / 8 for array in pair) for pair in model.weights]
    model.weights = tuple([kind(array) for array in pair] for pair in pairs)
    assert all(
        np.array_equal(a, b) for p, q in zip(model.weights, pairs, strict=True) for a, b in zip(p, q, strict=True)
    )


def test_a_training_loop_of_ones_own_is_fit():
    X, y = data()
    for optimizer in ("sgd", fm.SGD(0.1, 0.9, nesterov=True), "rmsprop", "adam", "adamw"):
        model, other = classifier(optimizer, n_inputs=6), classifier(optimizer, n_inputs=6)
        for _ in range(5):
            loss, gradients = model.loss_and_gradients(X, y)
            model.apply_gradients(gradients)
            assert other.train_on_batch(X, y) == loss
        assert bits(model)[0] == bits(other)[0]


def test_loss_and_gradients_change_nothing():
    X, y = data()
    model, other = classifier(), classifier()
    for each in (model, other):
        each.fit(X, y, batch_size=7, verbose=0)
    before = bits(model)
    model.loss_and_gradients(X, y)
    model.evaluate(X, y)
    model.predict(X)
    assert bits(model) == before
    for each in (model, other):
        each.fit(X, y, batch_size=7, verbose=0)
    assert bits(model) == bits(other)


def test_summary_and_repr(capsys):
    model = fm.Model([fm.Dense(512, "relu", use_bias=False), fm.Dense(10)], "softmax_cross_entropy")
    assert repr(model).startswith("<fastmlp.Model: not built, [Dense(512, 'relu', use_bias=False), Dense(10)], Softmax")
    model.summary()
    assert "not built" in capsys.readouterr().out
    assert model.build(784) is model
    assert "784 inputs" in repr(model)
    model.summary()
    text = capsys.readouterr().out
    assert "401,408" in text
    assert "5,130" in text
    assert "406,538 parameters" in text
    assert f"{2 * (784 * 512 + 512 * 10):,} operations" in text


# ---- data of every kind ----


def kinds(X):
    """The same numbers in other arrays. X holds small whole numbers."""
    wide = np.zeros((len(X), 2 * X.shape[1]), X.dtype)
    wide[:, ::2] = X
    tall = np.repeat(X, 3, axis=0)
    read_only = X.copy()
    read_only.flags.writeable = False
    packed = np.zeros(len(X), [("tag", "u1"), ("x", X.dtype, X.shape[1])])
    packed["x"] = X
    found = {
        "float64": X.astype(np.float64), "float16": X.astype(np.float16), "longdouble": X.astype(np.longdouble),
        "uint8": X.astype(np.uint8), "int8": X.astype(np.int8), "int64": X.astype(np.int64),
        "uint64": X.astype(np.uint64), "big-endian": X.astype(">f4"), "Fortran": np.asfortranarray(X),
        "columns apart": wide[:, ::2], "rows apart": tall[::3], "reversed": X[::-1, ::-1].copy()[::-1, ::-1],
        "read-only": read_only, "unaligned": packed["x"], "list": X.tolist(), "tuple": tuple(map(tuple, X)),
        "images": X.reshape(len(X), 2, 3), "strided images": wide[:, ::2].reshape(len(X), 3, 2),
        "transposed images": np.moveaxis(np.moveaxis(X.reshape(len(X), 2, 3), 0, 2).copy(), 2, 0),
        "subclass": np.asarray(X).view(type("Mine", (np.ndarray,), {})),
    }  # fmt: skip
    return found


WHOLE = np.random.default_rng(4).integers(0, 5, (60, 6)).astype(np.float32)


@pytest.mark.parametrize("kind", kinds(WHOLE))
def test_data_of_every_kind_is_the_same_data(kind):
    _, y = data()
    X = kinds(WHOLE)[kind]
    expected, model = classifier(), classifier()
    expected.fit(WHOLE, y, batch_size=7, epochs=2, verbose=0)
    before = np.array(X, copy=True)
    model.fit(X, y, batch_size=7, epochs=2, validation_data=(X, y), verbose=0)
    assert bits(model) == bits(expected)
    assert model.predict(X).tobytes() == expected.predict(WHOLE).tobytes()
    assert model.evaluate(X, y) == expected.evaluate(WHOLE, y)
    assert np.array_equal(np.asarray(X), before)


@pytest.mark.parametrize("make", [lambda X: X > 2, lambda X: np.repeat(X > 2, 2, axis=1)[:, ::2]])
def test_bool_data(make):
    X, y = make(WHOLE), data()[1]
    model, other = classifier(), classifier()
    model.fit(X, y, verbose=0)
    other.fit(X.astype(np.float32), y, verbose=0)
    assert bits(model) == bits(other)


def test_one_sample_broadcast_to_many():
    X = np.broadcast_to(WHOLE[:1], (60, 6))
    model = classifier(n_inputs=6)
    assert model.predict(X).tobytes() == model.predict(X.copy()).tobytes()


@pytest.mark.parametrize(
    "make",
    [lambda y: y.astype(np.uint8), lambda y: y.astype(np.float64), lambda y: y[:, None], lambda y: y.tolist(),
     lambda y: np.repeat(y, 2)[::2], lambda y: np.eye(3)[y], lambda y: np.eye(3, dtype=np.uint8)[y],
     lambda y: np.eye(3, dtype=bool)[y], lambda y: np.asfortranarray(np.eye(3)[y]), lambda y: np.eye(3, dtype=int)[y]],
)  # fmt: skip
def test_targets_of_every_kind(make):
    X, y = data()
    model, other = classifier(), classifier()
    model.fit(X, make(y), batch_size=7, verbose=0)
    other.fit(X, y, batch_size=7, verbose=0)
    for (W, b), (V, c) in zip(model.weights, other.weights, strict=True):
        np.testing.assert_allclose(W, V, rtol=0, atol=1e-5)
        np.testing.assert_allclose(b, c, rtol=0, atol=1e-5)


def test_single_outputs_take_flat_targets():
    X, y = data()
    for loss in ("mean_squared_error", "half_squared_error", "binary_cross_entropy"):
        models = [fm.Model([fm.Dense(1)], loss) for _ in range(2)]
        models[0].fit(X, y > 0, verbose=0)
        models[1].fit(X, (y > 0)[:, None].astype(float), verbose=0)
        assert bits(models[0]) == bits(models[1])


def traced(call):
    """Bytes that a call allocates at its peak."""
    gc.collect()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def large(n=40_000):
    return np.random.default_rng(5).integers(0, 2, (n, 300)).astype(np.uint8)


@pytest.mark.parametrize(
    "make",
    [lambda X: X, lambda X: X.astype(np.float32), lambda X: X.astype(np.float64), lambda X: X.astype(bool),
     lambda X: np.asfortranarray(X), lambda X: X.astype(np.float64)[::-1], lambda X: X.astype(np.float32)[:, ::2],
     lambda X: X.reshape(-1, 10, 30)],
)  # fmt: skip
def test_data_are_not_copied(make):
    X = make(large(10_000))
    model = fm.Model([fm.Dense(8, "relu"), fm.Dense(2)], "softmax_cross_entropy", n_threads=1)
    y = np.zeros(len(X), np.int32)
    size = len(X) * X[0].size
    indices = 8 * len(X)
    assert traced(lambda: model.fit(X, y, batch_size=128, verbose=0)) < size / 2 + indices
    assert traced(lambda: model.predict(X)) < size / 2 + indices
    assert traced(lambda: model.evaluate(X, y)) < size / 2 + indices


def test_a_memory_map_is_read_in_place(tmp_path):
    X = large()
    X.tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", np.uint8, "r", shape=X.shape)
    y = X[:, 0] % 2
    layers = [fm.Dense(8, "relu"), fm.Dense(2)]
    models = [fm.Model(layers, "softmax_cross_entropy", n_threads=1) for _ in range(2)]
    models[0].fit(X, y, batch_size=1000, verbose=0)
    assert traced(lambda: models[1].fit(mapped, y, batch_size=1000, verbose=0)) < X.nbytes / 4
    assert bits(models[0]) == bits(models[1])


def test_data_are_let_go():
    """A model does not keep a data set alive."""
    X, y = data()
    X, t = X.copy(), np.eye(3)[y]
    model = classifier()
    model.fit(X, t, verbose=0)
    model.train_on_batch(X, t)
    model.loss_and_gradients(X, t)
    model.predict(X)
    model.evaluate(X, t)
    references = weakref.ref(X), weakref.ref(t)
    del X, t
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_buffers_do_not_pile_up():
    model = fm.Model([fm.Dense(64, "relu"), fm.Dense(3)], "softmax_cross_entropy", n_inputs=6)
    X, y = data(400)
    model.predict(X)
    tracemalloc.start()
    try:
        for n in range(1, 400):
            model.train_on_batch(X[:n], y[:n])
            model.predict(X[:n])
        assert tracemalloc.get_traced_memory()[0] < 3e6
    finally:
        tracemalloc.stop()


# ---- copies ----


def test_a_class_that_forgets_to_make_its_model_is_told():
    class Forgets(fm.Model):
        def __init__(self):
            self.mine = 3

    for use in (repr, lambda m: m.fit(np.ones((2, 2)), [0, 1]), lambda m: m.weights, pickle.dumps):
        with pytest.raises(AttributeError, match=r"this Forgets has no layers: call super\(\).__init__"):
            use(Forgets())


def test_base_classes_say_what_one_of_ones_own_must_define():
    X, y = np.ones((4, 2)), np.ones(4)
    with pytest.raises(NotImplementedError, match="Rates must define rates"):
        fm.Model([fm.Dense(1)], optimizer=fm.SGD(type("Rates", (fm.schedules.Schedule,), {})())).fit(X, y, verbose=0)
    with pytest.raises(NotImplementedError, match="give a function of scores and targets"):
        fm.Model([fm.Dense(1)], type("Own", (fm.losses.Loss,), {})()).fit(X, y, verbose=0)
    scaled = type("Scaled", (fm.preprocessing.Preprocessing,), {})()
    with pytest.raises(NotImplementedError, match="Scaled must define fitted, shapes and scaling"):
        fm.Model([fm.Dense(1)], preprocessing=scaled).fit(X, y, verbose=0)
    drawn = type("Drawn", (fm.initializers.Initializer,), {})()
    with pytest.raises(NotImplementedError, match="Drawn draws nothing: derive from another class"):
        fm.Model([fm.Dense(1, initializer=drawn)]).fit(X, y, verbose=0)
    with pytest.raises(NotImplementedError, match=r"Own has no kernel: derive from a class of fastmlp\.optimizers"):
        fm.Model([fm.Dense(1)], optimizer=type("Own", (fm.optimizers.Optimizer,), {})()).fit(X, y, verbose=0)


@pytest.mark.parametrize("name", ["fit", "predict", "vjp", "evaluate", "save"])
def test_methods_pickle_and_have_the_name_that_users_know(name):
    method = getattr(fm.Model, name)
    assert pickle.loads(pickle.dumps(method)) is method
    with pytest.raises(TypeError, match=rf"Model\.{name}\(\)"):
        method(classifier(), **{"no such argument": 1})


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)),
                                  lambda m: pickle.loads(pickle.dumps(m, 2))])  # fmt: skip
@pytest.mark.parametrize("optimizer", ["sgd", fm.SGD(0.01, 0.9), "rmsprop", "adam", "adamw"])
def test_copies_go_on_with_the_same_bits(make, optimizer, dtype):
    X, y = data()
    model = classifier(optimizer, dtype=dtype, seed=None, n_threads=2)
    model.fit(X, y, batch_size=7, epochs=2, verbose=0)
    other = make(model)
    assert repr(other) == repr(model)
    assert (other.seed, other.n_threads, other.layers, other.loss) == (model.seed, 2, model.layers, model.loss)
    assert bits(other) == bits(model)
    before = bits(model)
    other.fit(X, y, batch_size=7, epochs=2, verbose=0)
    assert bits(model) == before  # a copy has its own weights
    model.fit(X, y, batch_size=7, epochs=2, verbose=0)
    assert bits(other) == bits(model)


def test_an_unbuilt_model_can_be_copied():
    X, y = data()
    model = classifier()
    other = copy.deepcopy(model)
    assert not other.built
    for each in (model, other):
        each.fit(X, y, verbose=0)
    assert bits(other) == bits(model)


# ---- Ctrl-C ----


def interrupted(call, after=0.3):
    """What a call returns that gets a SIGINT, None where it raises KeyboardInterrupt."""
    timer = threading.Timer(after, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        return call()
    except KeyboardInterrupt:
        return None
    finally:
        timer.join()


def test_ctrl_c_is_answered_and_the_model_goes_on(slow):
    model, X, t = slow
    diary = Diary()

    class Interrupt(fm.Callback):
        """Sends it while the epoch runs, however long the way to it takes."""

        def on_epoch_begin(self, epoch):
            self.timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
            self.timer.start()

        def on_train_end(self):
            self.timer.join()

    for options in ({"callbacks": [Interrupt(), diary]}, {"callbacks": [Interrupt()], "batch_size": 128}):
        history = model.fit(X, t, verbose=0, **options)
        assert history.epoch == []  # answered within the epoch
        assert history.stopped == "interrupted"
        assert repr(history) == "<fastmlp.History: 0 epochs (interrupted)>"
    assert diary.pages[-1][1] == "train end"
    assert np.isfinite(model.predict(X[:3])).all()
    assert math.isfinite(model.fit(X[:100], t[:100], verbose=0)["loss"][0])


def test_after_ctrl_c_the_next_fit_begins_an_epoch(slow):
    model, X, t = slow
    interrupted(lambda: model.fit(X, t, verbose=0))
    history = model.fit(X[:50], t[:50], batch_size=10, verbose=0)
    assert history.epoch == [0]
    assert history.stopped == "epochs done"
    assert math.isfinite(history["loss"][0])


@pytest.mark.parametrize("callbacks", [[], [fm.Callback()]], ids=["epochs together", "one by one"])
def test_ctrl_c_keeps_the_epochs_so_far(callbacks):
    """The model is where the history says, or in the epoch after it."""
    X, y = data(600)
    model = classifier(fm.SGD(0.01))
    history = interrupted(lambda: model.fit(X, y, batch_size=60, epochs=10**9, callbacks=callbacks, verbose=0))
    assert history.stopped == "interrupted"
    assert history.epoch == list(range(len(history.epoch)))
    assert len(history["loss"]) == len(history.epoch) > 0
    done = len(history.epoch)
    assert done <= model._core.__getstate__()["training"]["step"] / 10 <= 1.5 * done + 1000
    other = classifier(fm.SGD(0.01))
    assert other.fit(X, y, batch_size=60, epochs=min(done, 50), verbose=0)["loss"] == history["loss"][:50]


def test_ctrl_c_outside_of_training_is_raised(slow):
    model, X, _ = slow
    model.build(256)
    assert interrupted(lambda: model.predict(X)) is None  # answered within the call


def test_ctrl_c_after_an_update_that_is_not_finite_goes_back_to_the_epoch_before():
    X, _ = data()
    model = fm.Model([fm.Dense(1)], n_inputs=X.shape[1])
    finite = []

    class Interrupt(fm.Callback):
        def on_epoch_begin(self, epoch):
            if epoch == 1:
                before.extend(model.weights[0])
                model.optimizer = fm.SGD(1e38)

        def on_train_batch_end(self, batch):
            finite.append(bool(np.isfinite(model.weights[0][0]).all()))
            if not finite[-1]:
                raise KeyboardInterrupt

    before = []
    history = model.fit(1e3 * X, X[:, :1], batch_size=len(X), epochs=3, callbacks=[Interrupt()], verbose=0)
    assert history.stopped == "interrupted"
    assert (history.epoch, finite) == ([0], [True, False])
    for found, expected in zip(model.weights[0], before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_second_ctrl_c_while_callbacks_end_is_raised():
    X, y = data()
    ended = []

    class Slow(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            signal.raise_signal(signal.SIGINT)

        def on_train_end(self):
            ended.append(True)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        classifier().fit(X, y, epochs=9, callbacks=[Slow()], verbose=0)
    assert ended == [True]


# ---- threads ----


def test_the_gil_is_free_while_training(slow):
    _, X, t = slow
    done = threading.Event()
    turns = 0

    def count():
        nonlocal turns
        while not done.is_set():
            time.sleep(0.001)
            turns += 1

    step = fm.Model([fm.Dense(1024, "tanh"), fm.Dense(1024, "tanh"), fm.Dense(1)], optimizer=fm.SGD(0.0), n_threads=1)
    step.train_on_batch(X[:2], t[:2])
    thread = threading.Thread(target=count)
    thread.start()
    before = turns
    step.train_on_batch(X[:5_000], t[:5_000])  # one call into the engine, of some tenths of a second
    during = turns - before
    done.set()
    thread.join()
    assert during >= 5  # with the GIL none, but for one before the call and one behind it


def test_one_thread_at_a_time_trains_a_model(slow):
    model, X, t = slow
    entered, stop = threading.Event(), threading.Event()

    class Waits(fm.Callback):
        def on_train_begin(self):
            entered.set()
            assert stop.wait(20)

    thread = threading.Thread(target=lambda: model.fit(X[:64], t[:64], callbacks=[Waits()], verbose=0))
    thread.start()
    assert entered.wait(20)
    try:
        calls = {
            "fit": lambda: model.fit(X[:64], t[:64], verbose=0),
            "train_on_batch": lambda: model.train_on_batch(X[:64], t[:64]),
            "loss_and_gradients": lambda: model.loss_and_gradients(X[:64], t[:64]),
            "apply_gradients": lambda: model.apply_gradients(model.weights),
            "weights": lambda: setattr(model, "weights", model.weights),
            "optimizer": lambda: setattr(model, "optimizer", "adam"),
        }
        for name, call in calls.items():
            print(name)
            with pytest.raises(RuntimeError, match="being trained"):
                call()
        assert model.predict(X[:5]).shape == (5, 1)
    finally:
        stop.set()
        thread.join()
    model.fit(X[:64], t[:64], verbose=0)
    assert model.optimizer == fm.SGD(0.0)


def test_a_model_is_not_trained_from_its_own_callback():
    X, y = data()

    class Again(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            self.model.fit(X, y, verbose=0)

    with pytest.raises(RuntimeError, match="being trained"):
        classifier().fit(X, y, callbacks=[Again()], verbose=0)


def test_many_threads_predict_at_once():
    X, y = data(3000)
    model = classifier()
    model.fit(X, y, verbose=0)
    parts = [slice(first, first + 50 + first % 7 * 100) for first in range(0, 2400, 100)]
    expected = [model.predict(X[part]).tobytes() for part in parts]
    losses = [model.evaluate(X[part], y[part]) for part in parts]
    wrong, go = [], threading.Barrier(8)

    def work():
        go.wait()
        for _ in range(20):
            for part, bytes_, logs in zip(parts, expected, losses, strict=True):
                if model.predict(X[part]).tobytes() != bytes_ or model.evaluate(X[part], y[part]) != logs:
                    wrong.append(part)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_models_train_side_by_side():
    X, y = data(500)
    models = [classifier(seed=seed) for seed in range(4)]
    expected = [classifier(seed=seed) for seed in range(4)]
    threads = [threading.Thread(target=m.fit, args=(X, y), kwargs={"epochs": 20, "verbose": 0}) for m in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model in expected:
        model.fit(X, y, epochs=20, verbose=0)
    assert [bits(model) for model in models] == [bits(model) for model in expected]


@pytest.mark.parametrize("batch_size", [50, 130, 301])
@pytest.mark.parametrize("n_threads", [2, 5, 16])
def test_explicit_threads_give_the_same(n_threads, batch_size):
    X, y = data(301)
    model, other = classifier(n_threads=1), classifier(n_threads=n_threads)
    for each in (model, other):
        each.fit(X, y, batch_size=batch_size, epochs=2, verbose=0)
    assert bits(model) == bits(other)
    assert model.predict(X).tobytes() == other.predict(X).tobytes()
    assert model.evaluate(X, y) == other.evaluate(X, y)
    loss, gradients = model.loss_and_gradients(X, y)
    loss_other, gradients_other = other.loss_and_gradients(X, y)
    assert loss == loss_other
    assert all(a.tobytes() == b.tobytes() for p, q in zip(gradients, gradients_other, strict=True)
               for a, b in zip(p, q, strict=True))  # fmt: skip


# ---- nothing else is touched ----


def python(program, *options, **environment):
    """Output of a program in a Python of its own, which finds the package that is tested here."""
    found = subprocess.run(
        [sys.executable, *options, "-c", program], capture_output=True, text=True, timeout=60,
        env={**dict(__import__("os").environ), **environment}, cwd=Path(fm.__file__).parents[1],
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found


def test_import_brings_nothing_heavy():
    program = """
import json, sys
import numpy
before = set(sys.modules)
import fastmlp
fastmlp.Model([fastmlp.Dense(2)], n_inputs=3)
print(json.dumps(sorted({".".join(name.split(".")[:2]) for name in set(sys.modules) - before})))
"""
    brought = set(json.loads(python(program).stdout))
    assert "fastmlp" in brought
    heavy = {"matplotlib", "scipy", "sklearn", "torch", "pandas", "tqdm", "safetensors", "urllib.request", "http",
             "ssl", "asyncio", "multiprocessing", "concurrent", "unittest", "pytest"}  # fmt: skip
    assert brought.isdisjoint(heavy), brought & heavy


def test_import_alone_makes_no_classes():
    program = """
import json, sys
import fastmlp
print(json.dumps(sorted(name for name in sys.modules if name.startswith("fastmlp."))))
"""
    assert json.loads(python(program).stdout) == ["fastmlp._engine", "fastmlp._version"]


def test_lazy_modules_are_there():
    program = "import fastmlp; print(fastmlp.gradcheck.check, fastmlp.datasets.load_digits, dir(fastmlp))"
    out = python(program).stdout
    assert "gradcheck" in out
    with pytest.raises(AttributeError, match="no attribute 'Mode1'"):
        fm.Mode1  # noqa: B018
    assert all(hasattr(fm, name) for name in fm.__all__)


def everything(model, X, y):
    model.fit(X, y, epochs=3, verbose=0)
    model.predict(X)
    model.evaluate(X, y)
    model.apply_gradients(model.loss_and_gradients(X, y)[1])


def test_numpys_random_state_is_untouched():
    np.random.seed(3)  # noqa: NPY002
    before = str(np.random.get_state())  # noqa: NPY002
    everything(classifier(seed=None), *data())
    assert str(np.random.get_state()) == before  # noqa: NPY002


def test_signal_handlers_are_untouched():
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    everything(classifier(), *data())
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


@pytest.mark.parametrize("n_threads", [1, 2])
def test_subnormal_numbers_of_others_are_untouched(n_threads):
    """The engine flushes subnormals to zero in its own threads while it computes, and in nobody's afterwards."""
    tiny = np.full(3, 1e-40, np.float32)
    libm = ctypes.CDLL(None)
    libm.fegetround.restype = ctypes.c_int
    rounding = libm.fegetround()
    X, y = data(500)
    everything(classifier(n_threads=n_threads), X, y)
    with pytest.raises(fm.DivergedError):
        fm.Model([fm.Dense(1)], optimizer=fm.SGD(1e30), n_threads=n_threads).fit(X, X[:, :1], verbose=0)
    assert (tiny * np.float32(0.5) != 0).all()
    assert (np.full(100, 1e-310) * 0.5 != 0).all()
    assert float(np.float32(1e-40)) != 0.0
    assert libm.fegetround() == rounding


@pytest.mark.parametrize("n_threads", [1, 2])
def test_subnormal_weights_are_taken_for_zero(n_threads):
    """In training, evaluation, prediction and derivatives: they would cost a hundred times the time of others."""
    model = fm.Model([fm.Dense(64)], optimizer=fm.SGD(0.0), n_inputs=64, n_threads=n_threads)
    X, t = np.full((512, 64), 1e30, np.float32), np.zeros((512, 64), np.float32)
    model.weights = [(np.full((64, 64), 1e-41), np.zeros(64))]
    assert model.fit(X, t, batch_size=512, shuffle=False, verbose=0)["loss"] == [0]
    assert model.train_on_batch(X, t) == 0
    assert model.evaluate(X, t)["loss"] == 0
    assert not model.predict(X).any()
    assert not model.jvp(X, np.ones_like(X))[1].any()


def test_floating_point_flags_raise_no_warnings():
    """Overflow inside the engine is not reported in the caller's name."""
    X, y = data()
    with np.errstate(all="raise"):
        everything(classifier(), 30 * X, y)


def test_show_config(capsys):
    fm.show_config()
    out = capsys.readouterr().out
    assert fm.__version__ in out
    assert f"{_engine.isa} " in out
    assert "active" in out
    assert "OpenMP" in out


# ---- what the losses predict ----


def test_poisson_predicts_rates(dtype):
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (4000, 2))
    rates = np.exp(0.5 + X @ [1.0, -0.5])
    model = fm.Model([fm.Dense(1)], "poisson", fm.Adam(0.02), dtype=dtype)
    model.fit(X, rng.poisson(rates), 100, 15, verbose=0)
    np.testing.assert_allclose(model.predict(X)[:, 0], rates, rtol=0.15)
    np.testing.assert_allclose(model.predict(X), np.exp(model.scores(X)), rtol=1e-6)


def test_several_quantiles_of_one_target():
    rng = np.random.default_rng(2)
    X = rng.uniform(-1, 1, (4000, 1))
    y = (2 + X[:, 0]) * rng.uniform(0, 1, 4000)  # whose quantile q is (2 + x) q
    levels = (0.1, 0.5, 0.9)
    model = fm.Model([fm.Dense(3)], fm.losses.Quantile(levels), fm.Adam(0.02))
    model.fit(X, y, 100, 30, validation_data=(X[:9], y[:9, None]), verbose=0)
    np.testing.assert_allclose(
        model.predict([[0.0], [0.5]]), [np.multiply(levels, 2), np.multiply(levels, 2.5)], atol=0.15
    )


def test_gaussian_nll_finds_means_and_variances():
    rng = np.random.default_rng(3)
    X = rng.uniform(-1, 1, (6000, 1))
    y = np.hstack([X + np.exp(0.5 * X) * rng.standard_normal(X.shape), 3 + 0.1 * rng.standard_normal(X.shape)])
    model = fm.Model([fm.Dense(4)], "gaussian_nll", fm.Adam(0.02))
    model.fit(X, y, 100, 40, verbose=0)
    expected = [[-0.5, 3, -0.5, 2 * np.log(0.1)], [0.5, 3, 0.5, 2 * np.log(0.1)]]
    np.testing.assert_allclose(model.predict([[-0.5], [0.5]]), expected, atol=0.25)


@pytest.mark.parametrize(
    "y", [np.array([0, 1, 1, 0]), np.array([-1, 1, 1, -1.0]), np.array([False, True, True, False])]
)
def test_hinge_takes_sides_of_either_kind(y):
    X = np.array([[-2.0], [1.0], [0.5], [-0.5]])
    model = fm.Model([fm.Dense(1)], "hinge", n_inputs=1)
    model.weights = [([[2.0]], [-0.1])]
    assert model.evaluate(X, y) == {"loss": pytest.approx((0.1 + 0) / 4, rel=1e-5), "accuracy": 1.0}
    np.testing.assert_allclose(model.predict(X), 2 * X - 0.1, rtol=1e-6)


@pytest.mark.parametrize("loss", ["focal", "binary_focal"])
def test_focal_losses_without_gamma_are_cross_entropies(loss):
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((50, 4)), rng.integers(0, 3, 50)
    y = y if loss == "focal" else np.eye(3)[y]
    kinds = {"focal": (fm.losses.Focal(0), "softmax_cross_entropy"),
             "binary_focal": (fm.losses.BinaryFocal(0), "binary_cross_entropy")}[loss]  # fmt: skip
    found = [fm.Model([fm.Dense(3)], kind, n_inputs=4, dtype="float64") for kind in kinds]
    assert found[0].evaluate(X, y) == {k: pytest.approx(v, rel=1e-12) for k, v in found[1].evaluate(X, y).items()}
    np.testing.assert_array_equal(found[0].predict(X), found[1].predict(X))
    histories = [model.fit(X, y, 10, 3, verbose=0).history for model in found]
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-10)


# ---- what may be assigned, and what comes behind an activation ----


@pytest.mark.parametrize(("name", "remedy"), [
    ("optimize", r"did you mean optimizer\?"),
    ("weight", r"did you mean weights\?"),
    ("learning_rate", "it is in model.optimizer"),
    ("tag", "there are history, metrics, n_threads, optimizer"),
])  # fmt: skip
def test_names_that_a_model_has_not_are_not_assigned(name, remedy):
    model = classifier()
    with pytest.raises(AttributeError, match=f"a Model has no attribute '{name}' to assign; {remedy}"):
        setattr(model, name, 0.5)
    assert not hasattr(model, name)


def test_what_a_model_has_may_be_assigned():
    model = classifier()
    model.stop_training, model.history, model._mine = True, fm.History(), 3
    model.optimizer, model.n_threads, model.metrics = "adam", 2, ["f1"]

    class Named(fm.Model):
        pass

    named = Named([fm.Dense(1)])
    named.name = "mine"
    assert named.name == "mine"
    with pytest.raises(AttributeError, match="layers of a Model cannot be assigned; there are history, metrics"):
        model.layers = []


@pytest.mark.parametrize("behind", [
    [fm.Flatten()], [fm.Dropout(0.0)], [fm.Dropout(0.5), fm.Flatten()], [fm.Activation("identity")],
])  # fmt: skip
def test_an_activation_of_the_outputs_is_found_behind_what_changes_nothing(behind):
    with pytest.raises(ValueError, match="takes raw scores: the last layer must have no activation, not 'sigmoid'"):
        fm.Model([fm.Dense(1, "sigmoid"), *behind], "binary_cross_entropy")
    fm.Model([fm.Dense(1), *behind], "binary_cross_entropy")
    fm.Model([fm.Dense(1, "sigmoid"), fm.LayerNorm()], "binary_cross_entropy")


def test_the_average_starts_again_or_goes_on_as_the_docstrings_say():
    X = np.random.default_rng(0).standard_normal((40, 5))
    model = fm.Model([fm.Dense(1)], optimizer=fm.Adam(0.1, use_ema=True, ema_momentum=0.9))
    model.fit(X, X[:, 0], epochs=3, verbose=0)
    average = model.average_weights[0][0]
    assert not np.array_equal(average, model.weights[0][0])
    model.optimizer = fm.SGD(0.1, use_ema=True)
    np.testing.assert_array_equal(model.average_weights[0][0], average)
    model.weights = model.weights
    np.testing.assert_array_equal(model.average_weights[0][0], model.weights[0][0])
    model.optimizer = fm.SGD(0.1)
    assert model.average_weights is None
