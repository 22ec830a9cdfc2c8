"""Targets in units of their own: scaled while they are read, back in their units where something is predicted."""

import contextlib
import copy
import pickle
import warnings

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, _targets
from fastmlp._split import split

RNG = np.random.default_rng(11)
X = RNG.standard_normal((300, 5))
UNITS, OFFSET = np.array([3e4, 2e-3]), np.array([5e5, -7.0])
Z = np.tanh(X @ RNG.standard_normal((5, 2))) + 0.1 * RNG.standard_normal((300, 2))
Y = Z * UNITS + OFFSET

LOSSES = {
    "mean_squared_error": "mean_squared_error",
    "half_squared_error": "half_squared_error",
    "mean_absolute_error": "mean_absolute_error",
    "huber": fm.losses.Huber(0.7),
    "log_cosh": "log_cosh",
    "quantile": fm.losses.Quantile(0.3),
}


def made(dtype="float64", loss="mean_squared_error", targets="standardize", n_outputs=2, **options):
    layers = [fm.Dense(12, "tanh"), fm.Dense(n_outputs)]
    return fm.Model(layers, loss, fm.Adam(0.01), dtype=dtype, targets=targets, **options)


def trained(*arguments, y=Y, epochs=3, fit=None, **options):
    model = made(*arguments, **options)
    model.fit(X, y, epochs=epochs, verbose=0, **(fit or {}))
    return model


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_training_is_that_on_standardised_targets(loss, dtype):
    """Weights, losses of every kind, and with their gradients; predictions are those, back in their units."""
    mean, variance = _engine.moments(Y)
    scale = np.sqrt(variance)
    y = (Y - mean) / scale
    model = made(dtype, loss)
    other = made(dtype, loss, None)
    data = {"validation_split": 0.2}
    history, expected = (m.fit(X, t, epochs=3, verbose=0, batch_size=32) for m, t in ((model, Y), (other, y)))
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=tolerance)
    for found, wanted in zip(model.weights, other.weights, strict=True):
        np.testing.assert_allclose(found[0], wanted[0], rtol=0, atol=tolerance)
    np.testing.assert_allclose((model.predict(X) - mean) / scale, other.predict(X), rtol=0, atol=10 * tolerance)
    assert model.scores(X).tobytes() == model.predict(X).tobytes()
    assert model.evaluate(X, Y)["loss"] == pytest.approx(other.evaluate(X, y)["loss"], rel=tolerance)
    assert model.train_on_batch(X[:9], Y[:9]) == pytest.approx(other.train_on_batch(X[:9], y[:9]), rel=tolerance)
    (loss_1, found), (loss_2, wanted) = model.loss_and_gradients(X, Y), other.loss_and_gradients(X, y)
    assert loss_1 == pytest.approx(loss_2, rel=tolerance)
    np.testing.assert_allclose(found[0][0], wanted[0][0], rtol=0, atol=tolerance)
    again = made(dtype, loss).fit(X, Y, epochs=1, verbose=0, **data)
    assert 0 < again["val_loss"][0] < 10


def test_metrics_are_in_the_targets_units(dtype):
    model = made(dtype, metrics=["mae", "r2"])
    history = model.fit(X, Y, epochs=30, verbose=0, validation_data=(X, Y))
    found = model.evaluate(X, Y)
    assert found["mae"] == pytest.approx(np.abs(model.predict(X) - Y).mean(), rel=1e-5)
    assert history["val_mae"][-1] == pytest.approx(found["mae"])
    assert found["r2"] > 0.8
    statistics = model.target_statistics
    error = (model.predict(X) - Y) / statistics["scale"]
    assert found["loss"] == pytest.approx((error**2).mean(), rel=1e-3)


@pytest.mark.parametrize("mean", [1.7e9, -1.7e9])
def test_units_that_the_dtype_cannot_hold(mean):
    """Times in seconds: the engine's output is small, the mean is not; targets lose nothing on their way in, and
    predictions and metrics nothing on their way out."""
    y = mean + 10 * Z[:, :1]
    options = {"y": y, "n_outputs": 1, "metrics": ["r2", "mae"], "epochs": 20}
    double = trained("float64", fit={"validation_split": 0.2}, **options)
    single = trained("float32", fit={"validation_split": 0.2}, **options)
    found = single.predict(X)
    assert found.dtype == single.scores(X).dtype == single.jvp(X[:3], X[:3])[0].dtype == np.float64
    assert single.vjp(X)[1](np.ones((300, 1)))[0].dtype == np.float32
    np.testing.assert_allclose(found, double.predict(X), rtol=0, atol=0.1)
    history = single.history
    for name in ("loss", "val_loss", "val_r2", "val_mae"):
        assert history[name] == pytest.approx(double.history[name], rel=1e-2)
    assert single.evaluate(X, y)["r2"] == pytest.approx(fm.metrics.r2(y, found), rel=1e-12)
    assert single.evaluate([(X[:100], y[:100]), (X[100:], y[100:])])["r2"] == pytest.approx(fm.metrics.r2(y, found))
    assert fm.metrics.r2(y, found) > 0.5


def test_predictions_are_of_the_models_dtype_where_that_holds_the_units():
    """And rounded once: a mean of a thousand deviations is added in double."""
    y = 1e7 + 1e4 * Z
    model = trained("float32", y=y, metrics=["mae"])
    inner = copy.deepcopy(model)
    inner._core.network.set_target_scaling({"mean": np.zeros(2), "scale": np.ones(2)})  # what the network gives
    statistics = model.target_statistics
    exact = inner.predict(X).astype(float) * statistics["scale"] + statistics["mean"]
    found = model.predict(X)
    assert found.dtype == np.float32
    assert found.tobytes() == exact.astype(np.float32).tobytes()
    assert model.evaluate(X, y)["mae"] == pytest.approx(np.abs(exact - y).mean(), rel=1e-12)
    for far, dtype in ((1e4, np.float32), (3e4, np.float64)):  # deviations that the mean is off, on one output
        assert trained("float32", y=np.column_stack([Z[:, 0], far * Z[:, 1].std() + Z[:, 1]])).predict(X).dtype == dtype


def test_statistics_are_those_of_the_training_samples_and_their_weights():
    weights = np.where(np.arange(300) % 4 == 0, 0, RNG.uniform(1, 2, 300))
    y = np.where(weights[:, None] == 0, 1e9, Y)
    model = made()
    model.fit(X, y, sample_weight=weights, verbose=0)
    mean = np.average(Y, axis=0, weights=weights)
    np.testing.assert_allclose(model.target_statistics["mean"], mean, rtol=1e-12)
    scale = np.sqrt(np.average((Y - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(model.target_statistics["scale"], scale, rtol=1e-12)
    before = model.target_statistics
    model.fit(X, 2 * Y, verbose=0)  # once
    np.testing.assert_array_equal(model.target_statistics["mean"], before["mean"])
    model.adapt(X, 2 * Y)
    np.testing.assert_allclose(model.target_statistics["mean"], 2 * Y.mean(axis=0), rtol=1e-12)


def test_targets_that_are_held_out_do_not_count():
    _, held_out = split(np.zeros(300), 0.25, 0)
    y = Y.copy()
    y[held_out] = 1e9
    model, other = (trained(y=each, epochs=1, fit={"validation_split": 0.25}) for each in (y, Y))
    np.testing.assert_allclose(model.target_statistics["mean"], np.delete(Y, held_out, axis=0).mean(axis=0), rtol=1e-12)
    assert bits(model) == bits(other)


def test_adapt_weighs_the_targets():
    weights = RNG.uniform(0.1, 2, 300)
    model, other = made().adapt(X, Y, sample_weight=weights), trained(epochs=1, fit={"sample_weight": weights})
    for name, array in other.target_statistics.items():
        np.testing.assert_array_equal(model.target_statistics[name], array)
    np.testing.assert_allclose(model.target_statistics["mean"], np.average(Y, axis=0, weights=weights), rtol=1e-12)


@pytest.mark.parametrize("cast", ["float32", "float64"])
def test_deviations_that_the_dtype_cannot_hold_are_refused(cast):
    y = np.column_stack([Z[:, 0], 1e-40 * Z[:, 1]]).astype(cast)
    model = made("float32")
    with pytest.raises(ValueError, match=r"column 1 of y has the deviation .*e-4\d, .*dtype='float64'"):
        model.fit(X, y, verbose=0)
    assert not model.built
    double = trained(y=y.astype("float64"), epochs=60)
    assert np.all(double.target_statistics["scale"] == pytest.approx(y.std(axis=0, dtype="float64"), abs=0, rel=1e-5))
    if cast == "float64":  # subnormal numbers of float32 the engine takes for 0
        assert fm.metrics.r2(y * [1, 1e40], double.predict(X) * [1, 1e40]) > 0.5


def test_a_constant_target_has_the_scale_1():
    y = np.column_stack([np.full(300, 41.5), Y[:, 0]])
    model = trained(y=y)
    assert model.target_statistics["scale"][0] == 1
    assert np.abs(model.predict(X)[:, 0] - 41.5).max() < 3


@pytest.mark.parametrize("preprocessing", [None, "standardize", "whiten"])
def test_derivatives_are_of_what_it_predicts(preprocessing):
    model = trained(preprocessing=preprocessing)
    x, y, step = X[:5], Y[:5], 1e-6
    moved = np.random.default_rng(3).standard_normal(x.shape)
    expected = (model.predict(x + step * moved) - model.predict(x - step * moved)) / (2 * step)
    limit = 1e-5 * np.abs(expected).max(axis=0)
    for found in (model.jvp(x, moved)[1], np.einsum("rok,rk->ro", model.jacobian(x), moved)):
        assert np.all(np.abs(found - expected) <= limit)
    assert model.jvp(x, moved)[0].tobytes() == model.vjp(x)[0].tobytes() == model.predict(x).tobytes()
    cotangents = np.random.default_rng(4).standard_normal((5, 2)) / UNITS
    dX, dweights = model.vjp(x)[1](cotangents)
    assert (dX * moved).sum() == pytest.approx((cotangents * expected).sum(), rel=1e-5)
    weights = [tuple(array.copy() for array in pair) for pair in model.weights]
    losses = []
    for sign in (1, -1):
        weights[0][0][2, 3] += sign * step if sign > 0 else -2 * step
        model.weights = weights
        losses.append((cotangents * model.predict(x)).sum())
    weights[0][0][2, 3] += step
    model.weights = weights
    assert dweights[0][0][2, 3] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-4)
    assert model.jvp(x, dweights=dweights)[1].shape == (5, 2)
    both = [model.evaluate(x + sign * step * moved, y)["loss"] for sign in (1, -1)]
    assert (model.input_gradients(x, y) * moved).sum() == pytest.approx((both[0] - both[1]) / (2 * step), rel=1e-4)
    fm.gradcheck.check(model, x, y)


def bits(model):
    arrays = [array for pair in model.weights for array in pair]
    return [a.tobytes() for a in [*arrays, *model.target_statistics.values(), model.predict(X), model.jacobian(X[:3])]]


def test_threads_and_layouts_do_not_change_a_bit(dtype):
    one = bits(trained(dtype, n_threads=1))
    for n_threads in (2, 3):
        assert bits(trained(dtype, n_threads=n_threads)) == one
    assert bits(trained(dtype, y=np.asfortranarray(Y))) == one
    assert bits(trained(dtype, y=Y[::-1].copy()[::-1])) == one


@pytest.mark.parametrize("way", ["copy", "pickle", "file"])
def test_it_is_kept_with_the_model(way, tmp_path):
    model = trained("float32", preprocessing="standardize")
    model.save(tmp_path / "net")
    ways = {
        "copy": lambda: copy.deepcopy(model),
        "pickle": lambda: pickle.loads(pickle.dumps(model)),
        "file": lambda: fm.load(tmp_path / "net"),
    }
    again = ways[way]()
    assert again.targets == "standardize"
    assert bits(again) == bits(model)
    for each in (model, again):
        each.fit(X, Y, verbose=0)
    assert bits(again) == bits(model)
    fresh = made(n_inputs=5)
    fresh.save(tmp_path / "fresh")
    assert fm.load(tmp_path / "fresh").target_statistics == {}


def test_it_is_shown(capsys):
    model = trained()
    assert "targets='standardize'" in repr(model)
    model.summary()
    assert "targets='standardize'" in capsys.readouterr().out
    assert "targets" not in repr(made(targets=None))


def test_batches_want_it_adapted_first():
    model = made(preprocessing="standardize")
    model.adapt(X)
    with pytest.raises(ValueError, match=r"adapt\(X, y\)"):
        model.fit([(X, Y)], verbose=0)
    with pytest.raises(ValueError, match=r"adapt\(X, y\)"):
        model.predict(X)
    model.adapt(X, Y)
    model.fit([(X[:150], Y[:150]), (X[150:], Y[150:])], verbose=0)
    other = trained(preprocessing="standardize", epochs=1, fit={"batch_size": 150, "shuffle": False})
    assert bits(other) == bits(model)


def test_lbfgs_trains_on_them():
    pytest.importorskip("scipy")
    model = fm.Model([fm.Dense(6, "tanh"), fm.Dense(2)], optimizer="lbfgs", dtype="float64", targets="standardize")
    model.fit(X, Y, verbose=0)
    assert 1 - ((model.predict(X) - Y) ** 2).mean(axis=0).max() / Y.var(axis=0).max() > 0.8
    assert model.evaluate(X, Y)["loss"] < 0.2


def test_quantiles_of_one_target():
    model = made(loss=fm.losses.Quantile((0.1, 0.5, 0.9)), n_outputs=3)
    model.fit(X, Y[:, 0], epochs=150, verbose=0)
    assert model.target_statistics["mean"].tolist() == [pytest.approx(Y[:, 0].mean())] * 3
    below = (Y[:, :1] < model.predict(X)).mean(axis=0)
    np.testing.assert_allclose(below, [0.1, 0.5, 0.9], atol=0.1)


@pytest.mark.parametrize(
    "loss", ["softmax_cross_entropy", "binary_cross_entropy", "poisson", "gaussian_nll", "hinge", lambda s, t: (0, s)]
)
def test_other_losses_are_refused(loss):
    with pytest.raises(ValueError, match=r"is for losses of values .*'mean_squared_error'.*leave it out"):
        made(loss=loss)


@pytest.mark.parametrize("name", ["standardise", "Standardize", "standard_scaler", np.str_("standardize")])
def test_the_name_is_spelt_as_that_of_the_preprocessing(name):
    assert made(targets=name).targets == "standardize"
    assert fm.Model([fm.Dense(1)], preprocessing=name).preprocessing == fm.Standardize()


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"None or 'standardize', not Standardize\(\); give the name"):
        made(targets=fm.Standardize())
    with pytest.raises(ValueError, match="targets must be None or 'standardize', not 'log'"):
        made(targets="log")
    with pytest.raises(TypeError, match="targets must be None or 'standardize', not True"):
        made(targets=True)
    with pytest.raises(ValueError, match="make it with targets='standardize', or leave out y"):
        made(targets=None, preprocessing="standardize").adapt(X, Y)
    with pytest.raises(ValueError, match=r"adapt\(X, y\)"):
        made().adapt(X)
    with pytest.raises(ValueError, match=r"column 1 of y .* so large"):
        made().fit(X, np.column_stack([Y[:, 0], np.where(np.arange(300) % 2, 1e200, -1e200)]), verbose=0)


# ---- the warning ----


def test_a_regression_in_real_units():
    """scikit-learn's diabetes: without it does not train, and says why; with it does."""
    data, y = pytest.importorskip("sklearn.datasets").load_diabetes(return_X_y=True)

    def r2(targets, expected):
        layers = [fm.Dense(32, "relu"), fm.Dense(1)]
        model = fm.Model(layers, optimizer="adam", preprocessing="standardize", targets=targets, metrics=["r2"])
        with expected:
            model.fit(data, y, epochs=20, verbose=0)
        return model.evaluate(data, y)["r2"]

    warned = pytest.warns(UserWarning, match="targets='standardize'")
    assert r2(None, warned) < 0
    assert r2("standardize", warnings.catch_warnings()) > 0.4


@pytest.mark.parametrize("callbacks", [(), [fm.Callback()]])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_far_targets_are_warned_of_once(loss, callbacks):
    y = 1e4 + 300 * Z
    model = made(loss=loss, targets=None)
    with pytest.warns(UserWarning, match=r"typical error is .* make the model with targets='standardize'") as found:
        model.fit(X, y, epochs=4, verbose=0, callbacks=callbacks)
    assert len(found) == 1
    assert found[0].filename == __file__
    model.fit(X, y, epochs=2, verbose=0)  # warnings are errors here
    batches = made(loss=loss, targets=None)
    with pytest.warns(UserWarning, match="targets='standardize'") as found:
        batches.fit([(X, y)], epochs=2, verbose=0, callbacks=callbacks)
    assert found[0].filename == __file__


def test_small_targets_are_warned_of():
    with pytest.warns(UserWarning, match="targets='standardize'"):
        made(targets=None).fit(X, 1e-5 * Z, verbose=0)


@pytest.mark.parametrize("y", [Z, 10 * Z, 0.05 * Z, Z + 5, np.zeros_like(Z), np.full_like(Z, 9)])
def test_targets_near_the_outputs_are_not(y):
    for options in ({}, {"sample_weight": np.full(300, 1e6)}, {"batch_size": 300}):
        made(targets=None).fit(X, y, verbose=0, **options)
    made(targets=None).fit([(X, y)], verbose=0)
    layers = [fm.Dense(12, "tanh", l1=100.0), fm.Dense(2)]  # the penalty is no error
    fm.Model(layers).fit(X, y, verbose=0)


@pytest.mark.parametrize("weight", [None, 0.01, 1.0, 100.0])
@pytest.mark.parametrize("batches", [False, True])
def test_weights_of_all_samples_do_not_count(weight, batches):
    """Outputs of 0.5 are 25 and 250 deviations off."""
    weights = None if weight is None else np.full(300, weight)
    for deviation, expected in ((0.02, contextlib.nullcontext()), (0.002, pytest.warns(UserWarning, match="targets="))):
        model = fm.Model([fm.Dense(2)], optimizer=fm.Adam(1e-9), n_inputs=5)
        model.weights = [(np.zeros((5, 2)), np.full(2, 0.5))]
        y = deviation * Z / Z.std()
        with expected:
            if batches:
                model.fit([(X, y) if weights is None else (X, y, weights)], verbose=0)
            else:
                model.fit(X, y, sample_weight=weights, verbose=0)


def test_lbfgs_does_not_warn():
    """It chooses the length of its steps itself."""
    pytest.importorskip("scipy")
    model = fm.Model([fm.Dense(6, "tanh"), fm.Dense(2)], optimizer=fm.LBFGS(max_iterations=3), dtype="float64")
    model.fit(X, 1e4 + 300 * Z, verbose=0)


def test_an_error_that_is_not_the_targets_is_not():
    """A training that is about to diverge."""
    model = fm.Model([fm.Dense(12, "relu"), fm.Dense(2)], optimizer=fm.SGD(3.0))
    with contextlib.suppress(fm.DivergedError):
        model.fit(X, Z, verbose=0, batch_size=100)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("error", [1e-3, 0.4, 50.0])
def test_the_typical_error_is_that_of_the_loss(loss, error):
    """Of a model that predicts 0 where all targets are the error, on either side."""
    model = fm.Model([fm.Dense(2)], loss, n_inputs=5, dtype="float64")
    model.weights = [(np.zeros((5, 2)), np.zeros(2))]
    y = np.where(np.arange(300)[:, None] % 2, error, -error) * np.ones(2)
    found = _targets.ERRORS[type(model.loss)](model.loss, model.evaluate(X, y)["loss"], 2)
    assert found == pytest.approx(error, rel=1e-6)


def test_targets_that_are_learned_in_an_epoch_are_not():
    """However large: where enough steps made of it what it is to be."""
    model = fm.Model([fm.Dense(1)], optimizer=fm.Adam(2.0), dtype="float64")
    y = X @ np.array([50.0, 40, 30, 20, 10])
    model.fit(np.tile(X, (20, 1)), np.tile(y, 20), batch_size=8, verbose=0)


@pytest.mark.parametrize("factor", [1, 1000])
@pytest.mark.parametrize("batches", [False, True])
def test_a_first_epoch_that_diverges_names_far_targets(factor, batches):
    model = fm.Model([fm.Dense(32, "relu"), fm.Dense(2)], optimizer=fm.SGD(10.0))
    y = factor * (1e3 + 300 * Z)
    given = ([(X, y)] * 60,) if batches else (X, y)
    with pytest.raises(fm.DivergedError, match="make the model with targets='standardize'") as found:
        model.fit(*given, epochs=60, verbose=0)
    assert str(pickle.loads(pickle.dumps(found.value))) == str(found.value)
    model = fm.Model([fm.Dense(32, "relu"), fm.Dense(2)], optimizer=fm.SGD(1e6))
    with pytest.raises(fm.DivergedError, match="A smaller learning rate or scaled inputs usually help"):
        model.fit(X, Z, epochs=60, batch_size=1, verbose=0)


def test_a_running_statistic_that_overflows_is_named():
    data = np.concatenate([np.full((50, 1), 3e19), np.full((50, 1), -3e19)]).astype(np.float32)
    with pytest.raises(fm.DivergedError, match=r"^a running statistic of layer 0 became NaN or infinite"):
        fm.Model([fm.BatchNorm(0.5), fm.Dense(1)]).fit(data, np.zeros((100, 1)), batch_size=100, verbose=0)
