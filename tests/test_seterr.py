"""What a caller asks of NumPy's floating-point errors is for the caller's computations: ours neither raise nor warn."""

import copy

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import schedules

RNG = np.random.default_rng(1)
X = RNG.standard_normal((60, 4)).astype(np.float32)
LABELS = RNG.integers(0, 3, 60)
VALUES = X[:, :1]


@pytest.fixture(autouse=True, params=["raise", "warn"])
def strict(request):
    """Of warnings the tests make errors."""
    with np.errstate(all=request.param):
        yield


def classifier(optimizer="adam", **options):
    return fm.Model([fm.Dense(5, "tanh"), fm.Dense(3)], "softmax_cross_entropy", optimizer, **options)


def regression(loss="mean_squared_error", **options):
    return fm.Model([fm.Dense(5, "tanh"), fm.Dense(1)], loss, "adam", **options)


FAR = 10_000_000
SCHEDULES = {
    "exponential": schedules.Exponential(1e-3, 1, 0.1),
    "step decay": schedules.StepDecay(1e-3, 1, 0.01),
    "inverse": schedules.InverseScaling(1e-37, 10.0),
    "polynomial": schedules.Polynomial(1e-37, FAR, 0.0, 10.0),
    "cosine": schedules.CosineRestarts(1e-37, 7, 1.5, 1e-3),
    "one cycle": schedules.OneCycle(1e-12, FAR, final_div_factor=1e12),
    "milestones": schedules.MultiStep(1e-37, [1, 2, 3], 1e-150),
    "warmup": schedules.Warmup(FAR, 1e-37),
}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_may_underflow(schedule):
    model = classifier(fm.SGD(schedule))
    model.fit(X, LABELS, epochs=3, batch_size=10, verbose=0)
    assert model.optimizer.rates(0, 400).min() >= 0
    assert model.optimizer.rates(FAR - 100, 400).min() >= 0
    assert 0 <= schedule(FAR) < 1


@pytest.mark.parametrize("initializer", [
    fm.initializers.Given(np.full((4, 5), 1e-60)), "orthogonal", "truncated_normal",
    fm.initializers.Orthogonal(2e-38),
])  # fmt: skip
def test_initial_weights_may_underflow(initializer):
    model = fm.Model([fm.Dense(5, initializer=initializer), fm.Dense(3)], n_inputs=4)
    assert np.isfinite(model.weights[0][0]).all()


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "quantile"])
def test_tiny_losses_and_weights(loss):
    model = regression(loss)
    tiny = {"sample_weight": np.full(60, 1e-37), "validation_split": 0.2}
    history = model.fit(X, np.zeros((60, 1)), epochs=2, verbose=2, callbacks=[fm.EarlyStopping(patience=1)], **tiny)
    assert np.isfinite(history["val_loss"]).all()
    model.fit([(X, VALUES, np.full(60, 1e-37))], verbose=0)
    assert repr(history)
    double = regression(loss, dtype="float64")
    double.fit(X, VALUES, sample_weight=np.full(60, 1e-307), verbose=0)


def test_products_of_weights():
    classifier(dtype="float64").fit(
        X, LABELS, sample_weight=np.full(60, 1e-200), class_weight={0: 1e-200}, epochs=1, verbose=0
    )


@pytest.mark.parametrize("preprocessing", ["standardize", "whiten"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_statistics_of_tiny_columns(preprocessing, dtype):
    data = np.column_stack([X.astype(float), X[:, :1].astype(float) * 1e-200, np.full(60, 1e-170)])
    model = classifier(dtype=dtype, preprocessing=preprocessing)
    model.fit(data, LABELS, verbose=0, sample_weight=RNG.uniform(0, 1e-30, 60))
    model.adapt(data)
    assert model.jacobian(data[:3]).shape == (3, 3, 6)
    assert model.vjp(data[:3])[1](np.full((3, 3), 1e-38))[0].shape == (3, 6)
    assert model.jvp(data[:3], np.full((3, 6), 1e-38))[1].shape == (3, 3)
    assert np.isfinite(copy.deepcopy(model).predict(data)).all()


@pytest.mark.parametrize("size", [1e-30, 1e-37, 1e30])
def test_targets_in_units(tmp_path, size):
    y = VALUES.astype(float) * size
    model = regression(targets="standardize", preprocessing="standardize", metrics=["r2", "mae", "mse", "rmse", "mape"])
    model.fit(X, y, epochs=2, verbose=0, validation_data=(X, y))
    model.vjp(X)[1](np.full((60, 1), 1e-38))
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite(model.jacobian(X)).all()
    assert np.isfinite(model.jvp(X, 1e-3 * X)[1]).all()
    model.apply_gradients(model.loss_and_gradients(X, y)[1])
    model.save(tmp_path / "net")
    assert fm.load(tmp_path / "net").evaluate(X, y) == model.evaluate(X, y)


def test_weights_and_inputs_that_vanish_in_float32():
    model = classifier(n_inputs=4)
    model.weights = [(np.full((4, 5), 1e-60), np.zeros(5)), (np.full((5, 3), 1e-60), np.zeros(3))]
    for data in (X.astype(float) * 1e-30 * 1e-30, X.astype(np.longdouble) / 2**200, np.full((3, 4), 3e38, np.float32)):
        assert np.isfinite(model.predict(data)).all()
    model.summary()
    fm.gradcheck.check(model, X[:5], LABELS[:5])


def test_metrics_of_extreme_values():
    probabilities = np.full((60, 3), 1e-320)
    probabilities[:, 0] = 1
    for name in ("accuracy", "balanced_accuracy", "precision", "recall", "f1"):
        fm.metrics.get(name)(LABELS, probabilities)
    tiny, huge = VALUES.astype(float) * 1e-300, np.full((60, 1), 1e200)
    for name in ("r2", "rmse", "mae", "mse", "mape"):
        for true, found in ((tiny, 2 * VALUES), (VALUES, tiny), (VALUES, huge), (huge, VALUES), (huge, -huge)):
            assert isinstance(fm.metrics.get(name)(true, found), float)


def test_a_training_that_diverges_says_so():
    model = fm.Model([fm.Dense(30, "relu"), fm.Dense(1)], optimizer=fm.SGD(1e10))
    with pytest.raises(fm.DivergedError):
        model.fit(X * np.float32(1e10), VALUES + 1, epochs=5, verbose=0)


def test_lbfgs_finishes():
    pytest.importorskip("scipy")
    model = fm.Model([fm.Dense(5, "tanh"), fm.Dense(1)], optimizer="lbfgs")
    assert model.fit(X, VALUES, verbose=0).stopped
    model = fm.Model([fm.Dense(5, "tanh"), fm.Dense(1)], optimizer="lbfgs", targets="standardize", metrics=["r2"])
    assert model.fit(X, VALUES.astype(float) * 1e-37, verbose=0, validation_split=0.2).stopped


def test_functions_of_ones_own_keep_what_the_caller_asked_for():
    def loss(scores, targets):
        return float(np.float64(1e-200) * np.float64(1e-200)), np.zeros_like(scores)

    model = fm.Model([fm.Dense(1)], loss)
    if np.geterr()["under"] == "raise":
        with pytest.raises(FloatingPointError):
            model.fit(X, VALUES, verbose=0)
    else:
        with pytest.warns(RuntimeWarning, match="underflow"):
            model.fit(X, VALUES, verbose=0)
