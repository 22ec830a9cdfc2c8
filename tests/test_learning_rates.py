"""fastmlp/learning_rates.py: a sweep on a copy of a model, and the rate that it suggests."""

import copy

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import learning_rates

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 6))
Y = X @ RNG.standard_normal((6, 2))


def model(**options):
    return fm.Model([fm.Dense(8, "tanh"), fm.Dense(2)], **options)


def state(model):
    return copy.deepcopy(model._core.__getstate__())


def test_the_sweep_is_a_training_with_rising_rates():
    swept = model(optimizer="adam", dtype="float64")
    found = fm.find_learning_rate(swept, X, Y, 32, least=1e-5, most=1e-1, steps=30)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-5, 1e-1, 30)[: len(found.rates)], rtol=1e-12)
    by_hand, order = model(optimizer="adam", dtype="float64"), np.random.default_rng(swept.seed)
    rows = np.concatenate([np.append(order.permutation(300), [-1] * 20) for _ in range(4)]).reshape(-1, 32)
    for rate, loss, batch in zip(found.rates, found.losses, rows, strict=False):
        by_hand.optimizer = fm.Adam(rate)
        assert by_hand.train_on_batch(X[batch[batch >= 0]], Y[batch[batch >= 0]]) == loss


@pytest.mark.parametrize("preprocessing", [None, "standardize"])
def test_targets_are_scaled_as_fit_does(preprocessing):
    y = 1e6 + 1e4 * Y
    fresh = model(optimizer="adam", targets="standardize", preprocessing=preprocessing)
    found = fm.find_learning_rate(fresh, X, y, steps=20)
    assert fresh.target_statistics == {}
    adapted = model(optimizer="adam", targets="standardize", preprocessing=preprocessing)
    if preprocessing is not None:
        adapted.adapt(5 * X)  # what it has learned it keeps
        fm.find_learning_rate(adapted, X, y, steps=20)
    adapted.adapt(X, y)
    np.testing.assert_array_equal(found.losses, fm.find_learning_rate(adapted, X, y, steps=20).losses)


def test_a_loss_of_ones_own_stays_as_it_is():
    class Counts:
        calls = 0

        def __call__(self, scores, targets):
            self.calls += 1
            return float(np.square(scores - targets).mean()), 2 * (scores - targets) / targets.size

    loss = Counts()
    fm.find_learning_rate(model(loss=loss), X, Y, steps=20)
    assert loss.calls == 0


@pytest.mark.parametrize("built", [False, True])
def test_the_model_stays_as_it_is(built):
    swept = model(optimizer="adam", preprocessing="standardize")
    if built:
        swept.fit(X, Y, verbose=0)
    before = state(swept)
    first, second = (fm.find_learning_rate(swept, X, Y, steps=20) for _ in range(2))
    np.testing.assert_array_equal(first.losses, second.losses)
    assert swept.built == built
    if built:
        for pair, old in zip(swept.weights, before["weights"], strict=True):
            for array, twin in zip(pair, old, strict=True):
                np.testing.assert_array_equal(array, twin)
        assert swept._core.network.step == before["training"]["step"]
    assert swept.optimizer == fm.Adam()


def test_a_rate_that_is_suggested_trains_and_the_ends_do_not():
    found = fm.find_learning_rate(model(), X, Y)

    def loss(rate):
        trained = model(optimizer=fm.SGD(rate))
        try:
            return trained.fit(X, Y, epochs=5, verbose=0)["loss"][-1]
        except fm.DivergedError:
            return np.inf

    assert loss(found.suggestion) < 0.5 * loss(found.rates[0])
    assert loss(found.suggestion) < loss(10.0)


def test_the_sweep_ends_where_the_loss_explodes():
    found = fm.find_learning_rate(model(), X, 100 * Y, most=1e6)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) < 200
    assert np.isfinite(found.losses).all()


def test_the_suggestion_is_the_steepest_descent_before_the_least_loss():
    rates = np.geomspace(1e-5, 1, 101)
    place = np.log10(rates)
    smoothed = 1 / (1 + np.exp(8 * (place + 3))) + np.where(place > -1, (place + 1) * 5, 0)
    assert learning_rates._steepest(rates, smoothed, 2) == pytest.approx(1e-3)
    assert learning_rates._steepest(rates, place, 2) is None  # it only rises


def test_means_lag_behind_nothing():
    line = np.arange(50.0)
    np.testing.assert_allclose(learning_rates._smoothed(line, 6), line)
    np.testing.assert_allclose(learning_rates._smoothed(np.ones(5), 9), 1)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"least": 0.1, "most": 0.1}, ValueError, "least=0.1 must be below most=0.1"),
    ({"least": 0}, ValueError, "least must be a finite number above 0, not 0"),
    ({"steps": 9}, ValueError, "steps must be at least 10, not 9"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ({"model": fm.Model([fm.Dense(2)], optimizer="lbfgs")}, TypeError, "LBFGS has no learning rate"),
    ({"model": [fm.Dense(2)]}, TypeError, "model must be a fastmlp.Model, not list"),
    ({"y": Y[:-1]}, ValueError, "300 samples"),
])  # fmt: skip
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        fm.find_learning_rate(**{"model": model(), "X": X, "y": Y, **arguments})


def test_a_schedule_gives_way():
    schedule = fm.SGD(fm.schedules.Exponential(0.1, 5, 0.5), momentum=0.5)
    found = fm.find_learning_rate(model(optimizer=schedule), X, Y, steps=20)
    plain = fm.find_learning_rate(model(optimizer=fm.SGD(0.3, momentum=0.5)), X, Y, steps=20)
    np.testing.assert_array_equal(found.losses, plain.losses)


def test_picture_and_repr():
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install '.[plot]'")
    matplotlib.use("Agg")
    found = fm.find_learning_rate(model(), X, Y)
    assert repr(found).startswith(f"<fastmlp.RateSweep: {len(found.rates)} rates from 1e-06 to ")
    assert repr(found).endswith(f"suggestion {found.suggestion:.3g}>")
    ax = found.plot()
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(lines["batches"].get_ydata(), found.losses)
    np.testing.assert_array_equal(lines["means"].get_ydata(), found.smoothed)
    assert lines[f"suggestion: {found.suggestion:.2g}"].get_xdata() == [found.suggestion] * 2
    assert ax.get_xscale() == "log"
    matplotlib.pyplot.close("all")


class Scripted:
    """Stands for `train_on_batch`: the losses of a sweep, one after the other."""

    def __init__(self, losses):
        self.losses = iter(losses)

    def __call__(self, *batch):
        loss = next(self.losses)
        if not np.isfinite(loss):
            raise fm.DivergedError(0, 0.1, fm.History())
        return loss


def swept(monkeypatch, losses, steps=50):
    monkeypatch.setattr(learning_rates, "train_on_batch", Scripted(losses))
    return fm.find_learning_rate(model(), X, Y, steps=steps)


def test_the_sweep_ends_at_four_times_the_least_loss(monkeypatch):
    """The mean of five losses, of 50: 3.9 times the least is not enough, and the fifth loss of 4.1 is."""
    assert len(swept(monkeypatch, [1.0] * 20 + [3.9] * 30).losses) == 50
    assert len(swept(monkeypatch, [1.0] * 20 + [4.1] * 30).losses) == 25


def test_a_loss_that_is_no_number_ends_the_sweep(monkeypatch):
    found = swept(monkeypatch, [*np.linspace(2, 1, 30), np.nan])
    assert len(found.losses) == len(found.rates) == 30
    with pytest.raises(ValueError, match="the loss of the first batch is no finite number"):
        swept(monkeypatch, [np.nan])


def test_losses_are_means_of_a_share_of_the_steps(monkeypatch):
    """Of 4 % on each side: one loss among 200 moves the 17 means around it."""
    losses = np.ones(200)
    losses[100] = 2
    np.testing.assert_array_equal(np.flatnonzero(swept(monkeypatch, losses, 200).smoothed > 1), np.arange(92, 109))
