"""fastmlp.losses.Custom: a loss in Python gives what the same loss in C gives, in every way a model is trained."""

import copy
import gc
import pickle
import signal

import numpy as np
import pytest
from test_layers import STACKS, data, model_of

import fastmlp as fm


def squared(scores, targets):
    error = scores - targets
    return (error**2).mean(), 2 * error / error.size


def cross_entropy(scores, labels):
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(p[rows, labels]).mean()
    p[rows, labels] -= 1
    return loss, p / len(labels)


def with_loss(model, loss):
    """The same model with another loss."""
    other = fm.Model(model.layers, loss, model.optimizer, model.seed, 11, model.dtype, model.n_threads)
    other.weights = model.weights
    return other


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("batch_size", [50, 13])
@pytest.mark.parametrize("name", ["batch norm twice", "residuals within", "layer norm first and last", "dropout last"])
def test_fit_is_that_of_the_kernel(name, batch_size, n_threads):
    X, y = data()
    model = model_of(STACKS[name], n_threads=n_threads)
    own = with_loss(model, cross_entropy)
    expected = model.fit(X, y, batch_size, 3, validation_data=(X[:9], y[:9]), verbose=0)
    found = own.fit(X, y, batch_size, 3, validation_data=(X[:9], y[:9]), verbose=0)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-10)
    np.testing.assert_allclose(found["val_loss"], expected["val_loss"], rtol=1e-9)
    for mine, its in zip(own.weights, model.weights, strict=True):
        for a, b in zip(mine, its, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_gradients_steps_and_evaluation():
    X, _ = data()
    T = np.random.default_rng(5).standard_normal((50, 3))
    model = fm.Model([fm.Dense(9, "tanh"), fm.Dense(3)], squared, "adam", n_inputs=11, dtype="float64")
    known = with_loss(model, "mean_squared_error")
    assert fm.gradcheck.check(model, X[:10], T[:10]).max_relative_error < 1e-6
    for a, b in ((model.train_on_batch(X, T), known.train_on_batch(X, T)),
                 (model.evaluate(X, T)["loss"], known.evaluate(X, T)["loss"]),
                 (model.loss_and_gradients(X, T)[0], known.loss_and_gradients(X, T)[0])):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(model.predict(X), known.predict(X), rtol=1e-12)
    np.testing.assert_allclose(model.input_gradients(X, T), known.input_gradients(X, T), rtol=1e-10, atol=1e-14)


def test_penalties_of_weights_are_part_of_every_loss():
    X, y = data()
    layers = [fm.Dense(9, "tanh", l1=0.1), fm.Dense(3, l2=0.1)]
    model = fm.Model(layers, "softmax_cross_entropy", fm.SGD(0.0), n_inputs=11, dtype="float64")
    own = with_loss(model, cross_entropy)
    expected = model.evaluate(X, y)["loss"]
    bare = fm.Model([fm.Dense(9, "tanh"), fm.Dense(3)], cross_entropy, n_inputs=11, dtype="float64")
    bare.weights = model.weights
    assert expected > bare.evaluate(X, y)["loss"] + 0.1
    history = own.fit(X, y, len(X), validation_data=(X, y), verbose=0)
    for found in (own.evaluate(X, y)["loss"], history["val_loss"][0], history["loss"][0], own.train_on_batch(X, y)):
        assert found == pytest.approx(expected, rel=1e-12)


def test_targets_may_be_anything():
    X, _ = data(20)
    names = np.array(["a", "b"] * 10, object)

    def loss(scores, targets):
        assert set(targets) <= {"a", "b"}
        wanted = (targets == "a").astype(float)[:, None]
        return squared(scores, wanted)

    history = fm.Model([fm.Dense(1)], loss, fm.SGD(0.1)).fit(X, names, 5, 30, verbose=0)
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_a_loss_that_raises_changes_nothing():
    X, y = data()
    calls = []

    def loss(scores, targets):
        calls.append(len(scores))
        if len(calls) == 5:
            raise KeyError("mine")
        return cross_entropy(scores, targets)

    model = model_of(STACKS["batch norm twice"], n_threads=2)
    own = with_loss(model, loss)
    with pytest.raises(KeyError, match="mine"):
        own.fit(X, y, 10, 3, shuffle=False, verbose=0)
    assert len(calls) == 5
    model.fit(X[:40], y[:40], 10, 1, shuffle=False, verbose=0)  # the four steps before
    for mine, its in zip(own.weights, model.weights, strict=True):
        for a, b in zip(mine, its, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    own.fit(X, y, 10, 1, verbose=0)  # the model is still good


def test_divergence():
    X, _ = data()
    model = fm.Model([fm.Dense(3)], lambda z, t: (np.inf, z), n_inputs=11)
    with pytest.raises(fm.DivergedError):
        model.fit(X, X, verbose=0)


@pytest.mark.parametrize(
    ("loss", "error", "words"),
    [
        (lambda z, t: 1.0, TypeError, "must return (loss, dscores), not float"),
        (lambda z, t: (1.0,), TypeError, "must return (loss, dscores), not a tuple of 1"),
        (lambda z, t: (1.0, z[:, :1]), ValueError, "gave dscores of shape (50, 1), not (50, 3)"),
        (lambda z, t: (z[0], z), ValueError, "must return one number"),
        (lambda z, t: (1.0, z * np.nan), ValueError, "dscores of the loss '<lambda>' holds nan"),
        (lambda z, t: (1.0, "x"), TypeError, "must hold real numbers"),
        (fm.losses.HalfSquaredError, TypeError, "loss must be a name or a loss"),
    ],
)
def test_bad_functions(loss, error, words):
    X, y = data()
    with pytest.raises(error) as caught:
        fm.Model([fm.Dense(3)], loss, n_inputs=11).train_on_batch(X, y)
    assert words in str(caught.value)


def test_saved_and_loaded_with_the_function(tmp_path):
    X, y = data()
    model = fm.Model([fm.Dense(3)], cross_entropy, "adam", n_inputs=11)
    model.fit(X, y, verbose=0)
    model.save(tmp_path / "a")
    with pytest.raises(ValueError, match=r"pass it again as load\(path, loss=...\)"):
        fm.load(tmp_path / "a")
    other, copied = fm.load(tmp_path / "a", loss=cross_entropy), pickle.loads(pickle.dumps(model))
    for each in (model, other, copied):
        each.fit(X, y, verbose=0)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    np.testing.assert_array_equal(copied.predict(X), model.predict(X))


def test_targets_have_a_row_for_each_sample():
    with pytest.raises(ValueError, match=r"y has shape \(3,\), but X holds 50 samples"):
        fm.Model([fm.Dense(3)], squared).fit(data()[0], [1, 2, 3], verbose=0)


def test_targets_without_an_axis_are_told_of():
    X, _ = data()
    model = fm.Model([fm.Dense(1)], squared, n_inputs=11)
    message = r"'squared' gave dscores of shape \(32, 32\), not \(32, 1\) .*have shape \(32,\): give y\[:, None\]"
    with pytest.raises(ValueError, match=message):
        model.fit(X, X[:, 0], verbose=0)
    assert np.isfinite(model.fit(X, X[:, :1], verbose=0)["loss"]).all()


@pytest.mark.parametrize("loss", ["low", 1j, None])
def test_a_loss_that_is_no_real_number_is_named(loss):
    def mine(scores, targets):
        return loss, scores

    X, _ = data()
    with pytest.raises(TypeError, match=f"the loss 'mine' must return a real number, not {loss!r}"):
        fm.Model([fm.Dense(3)], mine).fit(X, X[:, :3], verbose=0)


def test_class_weight_is_named():
    X, _ = data()
    with pytest.raises(ValueError, match="class_weight needs a loss for each sample"):
        fm.Model([fm.Dense(3)], squared).fit(X, X[:, :3], class_weight={0: 2.0}, verbose=0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_missing_values_are_no_remedy_for_what_is_computed(wrong):
    X, _ = data()
    model = fm.Model([fm.Dense(3)], lambda scores, targets: (0.5, np.full_like(scores, wrong)), n_inputs=11)
    where = rf"holds {wrong} at index \(0, 0\); "
    with pytest.raises(ValueError, match=rf"'<lambda>' {where}the derivative of a finite loss"):
        model.fit(X, X[:, :3], verbose=0)
    pairs = [(np.full((11, 3), wrong), np.zeros(3))]
    with pytest.raises(ValueError, match=rf"weights\[0\]\[0\] {where}give finite numbers"):
        model.weights = pairs
    with pytest.raises(ValueError, match=rf"gradients\[0\]\[0\] {where}give finite numbers"):
        model.apply_gradients(pairs)


CHANGES = {
    "optimizer": lambda model, _: setattr(model, "optimizer", fm.SGD(0.1)),
    "optimizer of the same kind": lambda model, _: setattr(model, "optimizer", fm.Adam(0.1, use_ema=True)),
    "weights": lambda model, _: setattr(model, "weights", model.weights),
    "n_threads": lambda model, _: setattr(model, "n_threads", 1),
    "adapt": lambda model, X: model.adapt(X + 1),
    "build": lambda model, X: model.build(X.shape[1]),
    "fit": lambda model, X: model.fit(X, X[:, :3], verbose=0),
    "train_on_batch": lambda model, X: model.train_on_batch(X, X[:, :3]),
    "loss_and_gradients": lambda model, X: model.loss_and_gradients(X, X[:, :3]),
    "apply_gradients": lambda model, X: model.apply_gradients([pair[:2] for pair in model.weights]),
    "copy": lambda model, _: copy.deepcopy(model),
    "pickle": lambda model, _: pickle.dumps(model),
}  # fmt: skip
WAYS = {
    "fit": lambda model, X: model.fit(X, X[:, :3], batch_size=20, verbose=0),
    "fit on batches": lambda model, X: model.fit([(X[:20], X[:20, :3])] * 3, verbose=0),
    "train_on_batch": lambda model, X: model.train_on_batch(X, X[:, :3]),
    "loss_and_gradients": lambda model, X: model.loss_and_gradients(X, X[:, :3]),
}


@pytest.mark.parametrize("from_a_signal", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGES)
def test_nothing_changes_a_model_in_the_middle_of_a_step(change, way, from_a_signal):
    """Its buffers would be freed while the step writes to them."""
    X = data()[0]
    refused = []

    def attempt(*_):
        with pytest.raises(RuntimeError, match=r"this model is (in the middle of|being trained)"):
            CHANGES[change](models[0], X)
        refused.append(1)

    def disturbed(scores, targets):
        if from_a_signal:
            signal.raise_signal(signal.SIGINT)
        else:
            attempt()
        gc.collect()
        return squared(scores, targets)

    layers = [fm.Dense(9, "tanh"), fm.BatchNorm(), fm.Dense(3)]
    models = [
        fm.Model(layers, loss, fm.Adam(global_clipnorm=1.0), n_inputs=11, n_threads=2, preprocessing="standardize")
        for loss in (disturbed, squared)
    ]
    before = signal.signal(signal.SIGINT, attempt)
    try:
        for model in models:
            model.adapt(X)
            WAYS[way](model, X)
    finally:
        signal.signal(signal.SIGINT, before)
    assert refused
    states = [model._core.__getstate__() for model in models]
    assert pickle.dumps(states[0]["weights"]) == pickle.dumps(states[1]["weights"])
    assert pickle.dumps(states[0]["training"]) == pickle.dumps(states[1]["training"])


def test_a_loss_may_read_its_model():
    X = data()[0]
    seen = []

    def curious(scores, targets):
        seen.append((model.predict(X[:2]), model.weights, model.vjp(X[:2])[1](np.ones((2, 3)))))
        return squared(scores, targets)

    model = fm.Model([fm.Dense(9, "tanh"), fm.Dense(3)], curious, "adam", n_inputs=11)
    before = model.predict(X[:2])
    model.fit(X, X[:, :3], batch_size=20, verbose=0)
    np.testing.assert_array_equal(seen[0][0], before)
    assert len(seen) == 3
    assert not np.array_equal(seen[1][0], before)


def test_a_step_that_failed_is_over():
    X = data()[0]

    def failing(scores, targets):
        raise ZeroDivisionError

    model = fm.Model([fm.Dense(3)], failing, "adam", n_inputs=11)
    for way in WAYS.values():
        with pytest.raises(ZeroDivisionError):
            way(model, X)
        model.optimizer = fm.Adam(0.1)
        model.weights = copy.deepcopy(model).weights


@pytest.mark.parametrize("source", ["callback", "iterable"])
def test_between_two_steps_a_callback_may_change_a_model_and_the_thread_that_reads_may_not(source):
    X = data()[0]
    refused = []

    class Change(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            if source == "callback":
                self.model.optimizer = fm.SGD(0.1 / (epoch + 1), momentum=0.5)

    def batches():
        while True:
            if source == "iterable":
                with pytest.raises(RuntimeError, match="being trained"):
                    model.optimizer = fm.SGD(0.1)
                refused.append(1)
            yield X, X[:, :3]

    model = fm.Model([fm.Dense(3)], squared, "adam", n_inputs=11)
    model.fit(batches(), steps_per_epoch=2, epochs=3, callbacks=[Change()], verbose=0)
    assert model.optimizer == (fm.SGD(0.1 / 3, momentum=0.5) if source == "callback" else fm.Adam())
    assert bool(refused) == (source == "iterable")


@pytest.mark.parametrize("names", ["y_true, y_pred", "targets, scores", "target, output", "y, y_hat", "y_true, scores"])
def test_parameters_of_the_other_order_are_refused(names):
    other = eval(f"lambda {names}: (0.0, None)")
    with pytest.raises(TypeError, match=r"is called with \(scores, targets\), in this order"):
        fm.Model([fm.Dense(1)], loss=other)


@pytest.mark.parametrize("names", ["scores, targets", "y_pred, y_true", "input, target", "y, t", "a, b", "*both"])
def test_other_names_of_parameters_are_taken(names):
    fm.Model([fm.Dense(1)], loss=eval(f"lambda {names}: (0.0, None)"))
