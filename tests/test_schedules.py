"""Schedules against their formulas in Python's floats and against PyTorch's, and in training, step by step."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _portable, schedules

S = fm.schedules

CASES = {
    "constant": S.Constant(0.3),
    "step": S.StepDecay(0.3, 7, 0.5),
    "step, tenths": S.StepDecay(0.3, 3),
    "multi": S.MultiStep(0.3, [3, 5, 40], 0.2),
    "multi, none": S.MultiStep(0.3, []),
    "exponential": S.Exponential(0.3, 9, 0.37),
    "inverse": S.InverseScaling(0.3),
    "inverse, cubic": S.InverseScaling(0.3, 3.3, 4, 17.0),
    "inverse, time": S.InverseScaling(0.3, 1, 4, 0.5),
    "polynomial": S.Polynomial(0.3, 50),
    "polynomial, cycle": S.Polynomial(0.3, 20, 0.01, 1.7, cycle=True),
    "polynomial, rising": S.Polynomial(0.01, 20, 0.3, 2),
    "cosine": S.CosineRestarts(0.3, 40, restarts=False, alpha=0.1),
    "restarts": S.CosineRestarts(0.3, 6),
    "restarts, equal": S.CosineRestarts(0.3, 6, t_mul=1, m_mul=0.9),
    "restarts, slowly longer": S.CosineRestarts(0.3, 6, t_mul=1.3, m_mul=0.8, alpha=0.01),
    "one cycle": S.OneCycle(0.3, 60),
    "one cycle, linear": S.OneCycle(0.3, 60, 0.4, "linear", 10, 100),
    "one cycle, short": S.OneCycle(0.3, 2),
    "warm-up": S.Warmup(10, 0.3),
    "warm-up, cosine": S.Warmup(10, S.CosineRestarts(0.3, 6)),
}

every_schedule = pytest.mark.parametrize("schedule", CASES.values(), ids=CASES)


def cosine(c, step):
    length, height, begin = c.first_decay_steps, 1.0, 0.0
    while c.restarts and step >= begin + length:
        begin, length, height = begin + length, length * c.t_mul, height * c.m_mul
    t = min(1, (step - begin) / length)
    return c.initial_learning_rate * (c.alpha + (1 - c.alpha) * height * (1 + math.cos(math.pi * t)) / 2)


def polynomial(c, step):
    length = c.decay_steps * (max(1, math.ceil(step / c.decay_steps)) if c.cycle else 1)
    part = (1 - min(step, length) / length) ** c.power
    return c.end_learning_rate + (c.initial_learning_rate - c.end_learning_rate) * part


def one_cycle(c, step):
    low, peak = c.max_learning_rate / c.div_factor, max(0, c.pct_start * c.total_steps - 1)
    last, lowest = c.total_steps - 1, low / c.final_div_factor
    start, end, t = (low, c.max_learning_rate, step / peak) if step < peak else (
        c.max_learning_rate, lowest, min(1, (step - peak) / (last - peak)))  # fmt: skip
    return end + (start - end) * (1 - t if c.anneal_strategy == "linear" else (1 + math.cos(math.pi * t)) / 2)


def warmup(c, step):
    return formula(c.then, 0) * (step + 1) / c.steps if step < c.steps else formula(c.then, step - c.steps)


FORMULAS = {
    S.Constant: lambda c, step: c.learning_rate,
    S.StepDecay: lambda c, step: c.initial_learning_rate * c.decay_rate ** (step // c.decay_steps),
    S.MultiStep: lambda c, step: c.initial_learning_rate * c.decay_rate ** sum(m <= step for m in c.milestones),
    S.Exponential: lambda c, step: c.initial_learning_rate * c.decay_rate ** (step / c.decay_steps),
    S.InverseScaling: lambda c, step: c.initial_learning_rate / (1 + c.decay_rate * (step // c.decay_steps)) ** c.power,
    S.Polynomial: polynomial,
    S.CosineRestarts: cosine,
    S.OneCycle: one_cycle,
    S.Warmup: warmup,
}


def formula(schedule, step):
    return FORMULAS[type(schedule)](schedule, step)


# ---- rates ----


def test_every_schedule_is_tested():
    assert set(schedules.BY_NAME.values()) == set(FORMULAS) == {type(schedule) for schedule in CASES.values()}
    assert list(schedules.BY_NAME)[1] == "step_decay"


@every_schedule
def test_rates_are_those_of_the_formula(schedule):
    rates = schedule.rates(0, 120)
    assert rates.shape == (120,)
    assert rates.dtype == np.float64
    expected = [formula(schedule, step) for step in range(120)]
    np.testing.assert_allclose(rates, expected, rtol=1e-13, atol=1e-16)


@every_schedule
@pytest.mark.parametrize("first", [0, 1, 5, 6, 9, 10, 11, 59, 10**6, 2**40])
def test_a_rate_does_not_depend_on_the_range(schedule, first):
    """Chunks end by the clock: their rates must be the same bits however steps are grouped."""
    rates = schedule.rates(first, 40)
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()
    assert [schedule(step) for step in range(first, first + 40)] == rates.tolist()
    assert np.concatenate([schedule.rates(first, 3), schedule.rates(first + 3, 37)]).tolist() == rates.tolist()


def test_bits_of_rates():
    """Found on x86-64; every machine must find the same."""
    assert {name: CASES[name](13).hex() for name in BITS} == BITS


BITS = {
    "exponential": "0x1.24431c931cc06p-4",
    "inverse, cubic": "0x1.5e171ecdf18acp-21",
    "polynomial, cycle": "0x1.e0ac34e019ae2p-5",
    "restarts, slowly longer": "0x1.2aa4b04a85d7ap-7",
    "one cycle": "0x1.0cb71dd41c70fp-2",
}


@pytest.mark.parametrize("step", [0, 1, 5, 6, 17, 18, 41, 42, 6 * (2**30 - 1) - 1, 6 * (2**30 - 1)])
def test_a_restart_is_where_it_should_be(step):
    """Cycles of 6, 12, 24, ... steps: the logarithm that finds the cycle is corrected at its edges."""
    begins = [6 * (2**i - 1) for i in range(40)]
    rate = S.CosineRestarts(1.0, 6)(step)
    assert (rate == 1.0) == (step in begins)
    if step + 1 in begins and step > 5:
        assert rate < 0.02


@pytest.mark.parametrize(
    ("first", "t_mul", "begins"),
    [
        (100, 1.1, [100, 210, 331]),  # 1.1 in binary is a little more
        (100, 1.3, [100, 230, 399]),
        (1000, 1.2, [1000, 2200, 3640, 5368]),
        (100, 1.01, [100, 201]),
        (7, 1.3, [7]),
    ],
)
def test_a_restart_is_where_decimals_put_it(first, t_mul, begins):
    """And not a step later, by a rounding."""
    schedule = S.CosineRestarts(1.0, first, t_mul)
    assert [schedule(step) for step in begins] == pytest.approx([1.0] * len(begins), rel=1e-12)
    assert all(schedule(step - 1) < 0.1 for step in begins)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of torch's own imports
def test_torchs_schedulers_give_the_same():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[test-peers]'")
    kinds = torch.optim.lr_scheduler
    pairs = [
        (S.StepDecay(0.3, 7, 0.5), lambda o: kinds.StepLR(o, 7, 0.5)),
        (S.MultiStep(0.3, [3, 5, 40], 0.2), lambda o: kinds.MultiStepLR(o, [3, 5, 40], 0.2)),
        (S.Exponential(0.3, 1, 0.97), lambda o: kinds.ExponentialLR(o, 0.97)),
        (S.Polynomial(0.3, 50, 0.0, 2.0), lambda o: kinds.PolynomialLR(o, 50, 2.0)),
        (S.CosineRestarts(0.3, 6), lambda o: kinds.CosineAnnealingWarmRestarts(o, 6, 2)),
        (S.CosineRestarts(0.3, 6, t_mul=1), lambda o: kinds.CosineAnnealingWarmRestarts(o, 6)),
        (S.OneCycle(0.3, 61), lambda o: kinds.OneCycleLR(o, 0.3, 61)),
        (S.OneCycle(0.3, 61, 0.45, "linear", 10, 50), lambda o: kinds.OneCycleLR(
            o, 0.3, 61, pct_start=0.45, anneal_strategy="linear", div_factor=10, final_div_factor=50)),
        (S.Warmup(10, 0.3), lambda o: kinds.LinearLR(o, 0.1, 1.0, 9)),
    ]  # fmt: skip
    for schedule, make in pairs:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
        scheduler, expected = make(optimizer), []
        for _ in range(61):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if len(expected) < 61:
                scheduler.step()
        np.testing.assert_allclose(schedule.rates(0, 61), expected, rtol=1e-11, atol=1e-15, err_msg=repr(schedule))


def test_inverse_scaling_is_scikit_learns():
    """Of 50 samples in batches of 20: after e epochs the rate is init / (50 e + 1)**power_t."""
    schedule = S.InverseScaling(0.3, 0.5, decay_steps=3, decay_rate=50)
    expected = [0.3 / (50 * (step // 3) + 1) ** 0.5 for step in range(30)]
    assert schedule.rates(0, 30) == pytest.approx(expected, rel=1e-15)


# ---- elementary functions ----


def test_elementary_functions_are_accurate():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-700, 700, 3000), rng.uniform(-1, 1, 3000), [0, -0.0, 1, -1, 1e-300]])
    exact = np.array([math.exp(each) for each in x])
    assert (np.abs(_portable.exp(x) - exact) <= 2.0**-51 * exact).all()
    y = np.concatenate([np.exp(x), rng.uniform(0.9, 1.1, 3000), [1.0, 5e-324, 1.7e308]])
    exact = np.array([math.log(each) for each in y])
    assert (np.abs(_portable.log(y) - exact) <= 2.0**-51 * np.abs(exact)).all()
    t = np.concatenate([rng.random(5000), np.arange(9) / 8])
    exact = np.array([math.cos(math.pi * each) for each in t])
    assert (np.abs(_portable.cos_pi(t) - exact) <= 2.0**-51).all()
    assert _portable.cos_pi(np.array([0, 0.5, 1])).tolist() == [1, 0, -1]
    for base in (0.5, 0.1, 0.99, 1.0, 3.7):
        e = np.concatenate([np.arange(30.0), rng.uniform(0, 30, 300)])
        exact = np.array([base**each for each in e])
        assert (np.abs(_portable.power(base, e) - exact) <= 40 * 2.0**-52 * exact).all()
    assert _portable.power(0.5, np.arange(1100.0)).tolist() == [0.5**n for n in range(1100)]
    assert _portable.power(0.3, np.array([1e300, 2.0**62])).tolist() == [0, 0]


# ---- in training ----


def data(n=60):
    rng = np.random.default_rng(1)
    return rng.standard_normal((n, 6)).astype(np.float32), rng.integers(0, 3, n)


def classifier(optimizer, **options):
    return fm.Model([fm.Dense(17, "relu"), fm.Dense(3)], "softmax_cross_entropy", optimizer, **options)


def bits(model):
    state = model._core.__getstate__()
    return [array.tobytes() for pair in state["weights"] for array in pair], state["training"]["step"]


SCHEDULE = S.Warmup(5, S.CosineRestarts(0.1, 9, m_mul=0.7))
OPTIMIZERS = [
    fm.SGD(SCHEDULE),
    fm.SGD(SCHEDULE, momentum=0.9),
    fm.RMSprop(SCHEDULE),
    fm.Adam(SCHEDULE),
    fm.AdamW(SCHEDULE),
]
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)


@every_optimizer
def test_each_step_has_its_rate(optimizer):
    """fit, train_on_batch and apply_gradients as a model whose plain rate is set before each step."""
    X, y = data()
    models = [classifier(optimizer) for _ in range(3)]
    models[0].fit(X, y, batch_size=7, epochs=3, shuffle=False, verbose=0)
    other = classifier(dataclasses.replace(optimizer, learning_rate=0.0), n_inputs=6)
    by_gradients = copy.deepcopy(other)
    models[2].build(6)
    for step, first in enumerate(list(range(0, 60, 7)) * 3):
        batch = X[first : first + 7], y[first : first + 7]
        models[1].train_on_batch(*batch)
        models[2].apply_gradients(models[2].loss_and_gradients(*batch)[1])
        for model in (other, by_gradients):
            model.optimizer = dataclasses.replace(optimizer, learning_rate=formula(SCHEDULE, step))
        other.train_on_batch(*batch)
        by_gradients.apply_gradients(by_gradients.loss_and_gradients(*batch)[1])
    assert bits(models[0]) == bits(models[1])
    for model, expected in ((models[0], other), (models[2], by_gradients)):
        for a, b in zip(model.weights, expected.weights, strict=True):
            for c, d in zip(a, b, strict=True):
                np.testing.assert_allclose(c, d, rtol=0, atol=1e-6)


@every_optimizer
@pytest.mark.parametrize("how", ["once", "twice", "one by one", "pickled", "saved"])
def test_training_goes_on_where_the_schedule_stood(optimizer, how, tmp_path):
    X, y = data()
    expected, model = classifier(optimizer), classifier(optimizer)
    expected.fit(X, y, batch_size=7, epochs=10, verbose=0)
    parts = {"once": [10], "one by one": [1] * 10}.get(how, [5, 5])
    for epochs in parts:
        model.fit(X, y, batch_size=7, epochs=epochs, verbose=0)
        if how == "pickled":
            model = pickle.loads(pickle.dumps(model))
        elif how == "saved":
            model.save(tmp_path / "net")
            model = fm.load(tmp_path / "net")
    assert bits(model) == bits(expected)
    assert model.optimizer == optimizer


@every_schedule
def test_every_schedule_is_saved(schedule, tmp_path):
    model = classifier(fm.Adam(schedule), n_inputs=6)
    model.save(tmp_path / "net")
    loaded = fm.load(tmp_path / "net")
    assert loaded.optimizer == model.optimizer
    assert repr(loaded.optimizer) == repr(model.optimizer)
    assert schedules.from_config(schedule.get_config()) == schedule


def test_an_optimizer_that_is_assigned_starts_its_schedule_or_goes_on():
    """As its states do: another kind starts afresh."""
    X, y = data()
    model = classifier(fm.SGD(0.1))
    model.fit(X, y, batch_size=60, epochs=4, verbose=0)
    zero_after = fm.schedules.MultiStep(0.1, [4], 1e-300)
    model.optimizer = fm.SGD(zero_after)
    before = bits(model)[0]
    model.fit(X, y, verbose=0)
    assert bits(model)[0] == before
    model.optimizer = fm.Adam(zero_after)
    model.fit(X, y, verbose=0)
    assert bits(model)[0] != before


def test_a_divergence_names_the_rate_of_its_step():
    X, _ = data()
    model = fm.Model([fm.Dense(1)], optimizer=fm.SGD(S.MultiStep(1e30, [1, 3], 1e-3)))
    with pytest.raises(fm.DivergedError) as caught:
        model.fit(X, X[:, :1], batch_size=10, verbose=0)
    assert caught.value.step > 1
    assert caught.value.learning_rate == pytest.approx(formula(model.optimizer.learning_rate, caught.value.step - 1))


class Half(S.Schedule):
    def rates(self, first, n):
        return np.full(n, 0.05)


def test_a_schedule_of_ones_own(tmp_path):
    X, y = data()
    model, other = classifier(fm.SGD(Half())), classifier(fm.SGD(0.05))
    for each in (model, other):
        each.fit(X, y, verbose=0)
    assert bits(model) == bits(other)
    assert bits(pickle.loads(pickle.dumps(model))) == bits(model)
    with pytest.raises(ValueError, match=r"Half.* cannot be saved"):
        model.save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [[0.1, 0.1], [-0.1], [np.nan], [np.inf], [[0.1]]])
def test_rates_of_ones_own_are_checked(wrong):
    class Wrong(S.Schedule):
        def rates(self, first, n):
            return np.array(wrong)

    X, y = data()
    model = classifier(fm.SGD(Wrong()), n_inputs=6)
    before = bits(model)
    with pytest.raises(ValueError, match="must be 1 finite"):
        model.train_on_batch(X, y)
    assert bits(model) == before


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: S.Constant("fast"), TypeError, "learning_rate must be a number, not 'fast'"),
        (lambda: S.Constant(-0.1), ValueError, "learning_rate must be a finite number at least 0, not -0.1"),
        (lambda: S.StepDecay(0.1, 0), ValueError, "decay_steps must be at least 1, not 0"),
        (lambda: S.StepDecay(0.1, 2.5), TypeError, "decay_steps must be an integer, not 2.5"),
        (lambda: S.StepDecay(0.1, 2, 1.5), ValueError, "decay_rate must be .* at most 1, not 1.5"),
        (lambda: S.MultiStep(0.1, 5), TypeError, "milestones must be a list of steps"),
        (lambda: S.MultiStep(0.1, [5, 3]), ValueError, r"milestones must ascend, not \[5, 3\]"),
        (lambda: S.MultiStep(0.1, [0]), ValueError, "a milestone must be at least 1, not 0"),
        (lambda: S.Exponential(0.1, 5, 0), ValueError, "decay_rate must be a finite number above 0"),
        (lambda: S.InverseScaling(0.1, -1), ValueError, "power must be a finite number at least 0"),
        (lambda: S.Polynomial(0.1, 5, cycle=1), TypeError, "cycle must be True or False, not 1"),
        (lambda: S.Polynomial(0.1, 5, math.nan), ValueError, "end_learning_rate must be a finite number"),
        (lambda: S.CosineRestarts(0.1, 5, t_mul=0.5), ValueError, "t_mul must be .* at least 1 .*not 0.5"),
        (lambda: S.CosineRestarts(0.1, 5, restarts=None), TypeError, "restarts must be True or False, not None"),
        (lambda: S.OneCycle(0.1, 1), ValueError, "total_steps must be at least 2, not 1"),
        (lambda: S.OneCycle(0.1, 9, 1.0), ValueError, "pct_start must be .* below 1, not 1.0"),
        (lambda: S.OneCycle(0.1, 9, anneal_strategy="cosine"), ValueError, "anneal_strategy must be one of 'cos'"),
        (lambda: S.Warmup(0, 0.1), ValueError, "steps must be at least 1, not 0"),
        (lambda: S.Warmup(5, "cosine"), TypeError, "then must be a number or a schedule such as .*, not 'cosine'"),
        (lambda: S.Warmup(5, S.Warmup(5, 0.1)), TypeError, "then must be another schedule than Warmup"),
        (lambda: fm.SGD(S.Schedule()), TypeError, "learning_rate must be a number"),
        (lambda: fm.Adam("cosine"), TypeError, "learning_rate must be a number or a schedule .*, not 'cosine'"),
        (lambda: fm.Adam(S.StepDecay), TypeError, "learning_rate must be a number"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
