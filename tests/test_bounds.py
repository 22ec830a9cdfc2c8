"""The range of every number in a constructor: its ends, what lies just beyond them, and what is no finite number."""

import math

import numpy as np
import pytest

import fastmlp as fm

S, L, O = fm.schedules, fm.losses, fm.optimizers  # noqa: E741  (O is no zero here: a module, like its neighbours)
INF, STEPS, ANY = math.inf, 2**53, 2**62
TINY, LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)

# constructor, field, range: "[" and "]" belong to it, "(" and ")" do not. A field of integers has integers as its ends.
RANGES = [
    (S.Constant, {}, "learning_rate", "[", 0.0, INF, ")"),
    *((make, {}, "initial_learning_rate", "[", 0.0, INF, ")") for make in (
        lambda **k: S.StepDecay(**{"initial_learning_rate": 0.1, "decay_steps": 5, **k}),
        lambda **k: S.MultiStep(**{"initial_learning_rate": 0.1, "milestones": [5], **k}),
        lambda **k: S.Exponential(**{"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5, **k}),
        lambda **k: S.InverseScaling(**{"initial_learning_rate": 0.1, **k}),
        lambda **k: S.Polynomial(**{"initial_learning_rate": 0.1, "decay_steps": 5, **k}),
        lambda **k: S.CosineRestarts(**{"initial_learning_rate": 0.1, "first_decay_steps": 5, **k}),
    )),
    *((make, {"initial_learning_rate": 0.1}, "decay_steps", "[", 1, STEPS, ")") for make in (
        S.StepDecay, S.InverseScaling, S.Polynomial)),
    (S.Exponential, {"initial_learning_rate": 0.1, "decay_rate": 0.5}, "decay_steps", "[", 1, STEPS, ")"),
    (S.CosineRestarts, {"initial_learning_rate": 0.1}, "first_decay_steps", "[", 1, STEPS, ")"),
    (S.StepDecay, {"initial_learning_rate": 0.1, "decay_steps": 5}, "decay_rate", "(", 0.0, 1.0, "]"),
    (S.MultiStep, {"initial_learning_rate": 0.1, "milestones": [5]}, "decay_rate", "(", 0.0, 1.0, "]"),
    (S.Exponential, {"initial_learning_rate": 0.1, "decay_steps": 5}, "decay_rate", "(", 0.0, 1.0, "]"),
    (S.InverseScaling, {"initial_learning_rate": 0.1}, "power", "[", 0.0, 10.0, "]"),
    (S.InverseScaling, {"initial_learning_rate": 0.1}, "decay_rate", "[", 0.0, 1e12, "]"),
    (S.Polynomial, {"initial_learning_rate": 0.1, "decay_steps": 5}, "end_learning_rate", "[", 0.0, INF, ")"),
    (S.Polynomial, {"initial_learning_rate": 0.1, "decay_steps": 5}, "power", "(", 0.0, 100.0, "]"),
    (S.CosineRestarts, {"initial_learning_rate": 0.1, "first_decay_steps": 5}, "t_mul", "[", 1.0, 1e6, "]"),
    (S.CosineRestarts, {"initial_learning_rate": 0.1, "first_decay_steps": 5}, "m_mul", "(", 0.0, 1.0, "]"),
    (S.CosineRestarts, {"initial_learning_rate": 0.1, "first_decay_steps": 5}, "alpha", "[", 0.0, 1.0, "]"),
    (S.OneCycle, {"total_steps": 9}, "max_learning_rate", "[", 0.0, INF, ")"),
    (S.OneCycle, {"max_learning_rate": 0.1}, "total_steps", "[", 2, STEPS, ")"),
    (S.OneCycle, {"max_learning_rate": 0.1, "total_steps": 9}, "pct_start", "(", 0.0, 1.0, ")"),
    (S.OneCycle, {"max_learning_rate": 0.1, "total_steps": 9}, "div_factor", "[", 1.0, 1e12, "]"),
    (S.OneCycle, {"max_learning_rate": 0.1, "total_steps": 9}, "final_div_factor", "[", 1.0, 1e12, "]"),
    (S.Warmup, {"then": 0.1}, "steps", "[", 1, STEPS, ")"),
    (S.Warmup, {"steps": 5}, "then", "[", 0.0, INF, ")"),
    *((O.SGD, {}, name, low, a, b, high) for name, low, a, b, high in (
        ("learning_rate", "[", 0.0, INF, ")"), ("weight_decay", "[", 0.0, INF, ")"), ("l2", "[", 0.0, INF, ")"),
        ("global_clipnorm", "(", 0.0, INF, ")"), ("clipvalue", "(", 0.0, INF, ")"),
        ("gradient_accumulation_steps", "[", 1, ANY, ")"), ("ema_momentum", "[", 0.0, 1.0, ")"),
        ("momentum", "[", 0.0, 1.0, ")"))),
    (O.RMSprop, {}, "rho", "[", 0.0, 1.0, ")"),
    (O.Adagrad, {}, "initial_accumulator_value", "[", 0.0, INF, ")"),
    *((make, {}, name, "[", 0.0, 1.0, ")") for make in (O.Adam, O.Nadam, O.Lion) for name in ("beta_1", "beta_2")),
    *((make, {}, "epsilon", "(", 0.0, INF, ")") for make in (O.RMSprop, O.Adagrad, O.Adam, O.Nadam)),
    (O.LBFGS, {}, "max_iterations", "[", 1, ANY, ")"),
    (O.LBFGS, {}, "memory", "[", 1, ANY, ")"),
    (O.LBFGS, {}, "tolerance", "[", 0.0, INF, ")"),
    (L.SoftmaxCrossEntropy, {}, "label_smoothing", "[", 0.0, 1.0, ")"),
    (L.BinaryCrossEntropy, {}, "label_smoothing", "[", 0.0, 1.0, ")"),
    (L.BinaryCrossEntropy, {}, "positive_weight", "(", 0.0, LARGEST, "]"),
    (L.Focal, {}, "gamma", "[", 0.0, LARGEST, "]"),
    (L.Focal, {}, "alpha", "[", 0.0, LARGEST, "]"),
    (L.BinaryFocal, {}, "gamma", "[", 0.0, LARGEST, "]"),
    (L.BinaryFocal, {}, "alpha", "(", 0.0, 1.0, ")"),
    (L.Quantile, {}, "levels", "(", 0.0, 1.0, ")"),
    (L.Huber, {}, "delta", "[", TINY, LARGEST, "]"),
    (fm.Dense, {}, "units", "[", 1, 2**31, "]"),
    (fm.Dense, {"units": 2, "activation": "elu"}, "alpha", "[", 0.0, INF, ")"),
    *((fm.Dense, {"units": 2}, name, "[", 0.0, INF, ")") for name in ("l1", "l2", "learning_rate_factor")),
    (fm.Dense, {"units": 2}, "max_norm", "(", 0.0, INF, ")"),
    (fm.Dropout, {}, "rate", "[", 0.0, 1 - 2.0**-17, ")"),  # masks have 16 bits
    (fm.LayerNorm, {}, "epsilon", "(", 0.0, INF, ")"),
    (fm.BatchNorm, {}, "epsilon", "(", 0.0, INF, ")"),
    (fm.BatchNorm, {}, "momentum", "[", 0.0, 1.0, "]"),
]  # fmt: skip


def name_of(make, name):
    return f"{getattr(make, '__name__', 'schedule')}.{name}"


@pytest.mark.parametrize(
    ("make", "others", "name", "opens", "low", "high", "closes"), RANGES, ids=lambda v: getattr(v, "__name__", None)
)
def test_a_number_is_taken_within_its_range_only(make, others, name, opens, low, high, closes):
    whole = isinstance(low, int)

    def below(number):
        return number - 1 if whole else math.nextafter(number, -INF)

    def above(number):
        return number + 1 if whole else math.nextafter(number, INF)

    taken, refused = (low, below(low)) if opens == "[" else (above(low), low)
    inside, outside = [taken], [refused, below(refused)]
    if high < INF:
        taken, refused = (high, above(high)) if closes == "]" else (below(high), high)
        inside, outside = [*inside, taken], [*outside, refused, above(refused)]
    for number in inside:
        made = getattr(make(**others, **{name: number}), name)
        assert getattr(made, "learning_rate", made) == number
    for number in outside + ([] if whole else [math.nan, INF, -INF]):
        with pytest.raises(ValueError, match=name):
            make(**others, **{name: number})
    for other in ["1", True, 1j] + ([2.5] if whole else []):
        with pytest.raises(TypeError, match=name):
            make(**others, **{name: other})
