"""csrc/kernels/optimizers.inc.h against its twins."""

import numpy as np
import pytest

from fastmlp import _engine, _kernels, optimizers, reference

every_optimizer = pytest.mark.parametrize("name", _engine.optimizers)
STATES = optimizers.STATES
HYPER = {
    "rate": 0.01, "momentum": 0.9, "beta_2": 0.99, "epsilon": 1e-7, "epsilon_in_root": 0.0, "correction_1": 1.7,
    "correction_2": 2.3, "correction_g": 0.3, "weight_decay": 0.1, "gradient_scale": 0.7, "share": 1.0, "l1": 0.0,
    "l2": 0.0, "clip_value": 0.0,
}  # fmt: skip


def test_every_optimizer_has_a_twin_and_the_reverse():
    assert list(reference.OPTIMIZERS) == _engine.optimizers
    assert {name: len(states) for name, states in STATES.items()} == _engine.n_states == reference.N_STATES


def case(rng, name, n, dtype):
    """g, w, states; a variance, v - m^2, is some way from zero."""
    g, w, m = rng.standard_normal((3, n)).astype(dtype)
    v = (m * m + 10 * g * g + rng.random(n) + 0.1).astype(dtype)
    return g, w, tuple(m if state == "m" else v for state in STATES[name])


def twin(name, g, w, states, hyper):
    """The twin in float64, and for each result the size of the terms that it adds up."""
    g, w = g.astype(np.float64), w.astype(np.float64)
    states = tuple(a.astype(np.float64) for a in states)
    found = reference.OPTIMIZERS[name](g, w, states, hyper)
    # The same with all terms of one sign: |w| + |step|
    negative = tuple(-np.abs(a) if state == "m" else a for a, state in zip(states, STATES[name], strict=True))
    size = reference.OPTIMIZERS[name](-np.abs(g), np.abs(w), negative, hyper)
    return (found[0], *found[1]), (size[0], *size[1])


def check(name, case_, found, hyper, tolerance):
    exact, size = twin(name, *case_, hyper)
    before = (case_[1], *case_[2])
    for a, b, e, s, what in zip((found[0], *found[1]), before, exact, size, ("w", *STATES[name]), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_less(np.abs(a - e), tolerance("update") * np.abs(s) + 1e-40, f"{name} {what}")


@every_optimizer
def test_update_is_the_twins_at_every_size(name, isa, dtype, sizes, tolerance):
    rng = np.random.default_rng(1)
    for n in sizes:
        arrays = case(rng, name, n, dtype)
        check(name, arrays, _kernels.update(name, *arrays, HYPER, isa=isa), HYPER, tolerance)


@every_optimizer
@pytest.mark.parametrize("constant", HYPER)
def test_every_constant_is_read(name, constant, isa, dtype, tolerance):
    rng = np.random.default_rng(2)
    for value in (0.0, 0.25, 1.0):
        if (name, constant, value) == ("rmsprop_centered", "beta_2", 0.0):
            continue  # a variance of one number is zero, and rounding decides what remains of it
        hyper = {**HYPER, constant: value}
        arrays = case(rng, name, 40, dtype)
        check(name, arrays, _kernels.update(name, *arrays, hyper, isa=isa), hyper, tolerance)


@every_optimizer
def test_zero_stays_zero(name, isa, dtype):
    """Padding of weights must never wake up."""
    zeros = np.zeros(48, dtype)
    w, states = _kernels.update(name, zeros, zeros, (zeros,) * len(STATES[name]), HYPER, isa=isa)
    assert not w.any()
    assert not np.any(states)


@every_optimizer
def test_the_arguments_are_left_alone(name, isa, dtype):
    g, w, states = case(np.random.default_rng(3), name, 20, dtype)
    copies = [a.copy() for a in (g, w, *states)]
    for a in (g, w, *states):
        a.flags.writeable = False
    _kernels.update(name, g, w, states, HYPER, isa=isa)
    for a, b in zip((g, w, *states), copies, strict=True):
        assert np.array_equal(a, b)


@every_optimizer
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_gradient_spoils_its_own_weight_only(name, value, isa, dtype):
    arrays = case(np.random.default_rng(4), name, 37, dtype)
    good = _kernels.update(name, *arrays, HYPER, isa=isa)
    arrays[0][21] = value
    found = _kernels.update(name, *arrays, HYPER, isa=isa)
    others = np.arange(37) != 21
    bad = [a for a in (found[0], *found[1]) if not np.isfinite(a[21])]
    assert bad
    assert name == "lion" or bad[0] is found[0]  # of an infinity lion takes the sign, but its m keeps it
    for a, b in zip((found[0], *found[1]), (good[0], *good[1]), strict=True):
        assert a[others].tobytes() == b[others].tobytes()


@every_optimizer
def test_ten_updates_walk_with_the_twin(name, isa, dtype, tolerance):
    rng = np.random.default_rng(5)
    _, w, states = case(rng, name, 33, dtype)
    exact, exact_states = w.astype(np.float64), tuple(a.astype(np.float64) for a in states)
    powers = (1.0, 1.0, 1.0, 1.0)
    for _ in range(10):
        g = rng.standard_normal(33).astype(dtype)
        corrected = {"momentum_schedule": True} if name == "nadam" else {"bias_correction": True}
        constants, powers = reference.hyper_of_step(HYPER | corrected, 0.01, powers)
        w, states = _kernels.update(name, g, w, states, constants, isa=isa)
        exact, exact_states = reference.OPTIMIZERS[name](g.astype(np.float64), exact, exact_states, constants)
    np.testing.assert_allclose(w, exact, rtol=0, atol=10 * tolerance("update") * np.abs(exact).max())


def test_a_centred_variance_that_rounding_makes_negative_is_zero(isa, dtype):
    """Of gradients that fall and then stay constant v - m^2 goes to 0, and past it: its root would be no number."""
    g = np.random.default_rng(6).uniform(0.1, 9, 67).astype(dtype)
    w, states, constants = np.zeros(67, dtype), (np.zeros(67, dtype), np.zeros(67, dtype)), {**HYPER, "beta_2": 0.9}
    constants |= {"weight_decay": 0.0, "gradient_scale": 1.0}
    below_zero = np.zeros(67, bool)
    for step in range(600):
        before = w
        w, states = _kernels.update("rmsprop_centered", g * (100 if step == 0 else 1), w, states, constants, isa=isa)
        m, v = (array.astype(np.longdouble) for array in states)
        below_zero |= v - m * m < 0
        assert np.isfinite(w).all()
        assert (w < before).all()  # against the gradient
    assert below_zero.any()


def prepared(rng, n, dtype, **constants):
    hyper = HYPER | {"share": 0.5, "l1": 0.03, "l2": 0.2, "clip_value": 0.4} | constants
    g, w = rng.standard_normal((2, n)).astype(dtype)
    w[::7] = 0
    return g, w, hyper


def test_prepare_gradient_is_the_twins(isa, dtype, sizes, tolerance):
    rng = np.random.default_rng(6)
    for constants in ({}, {"clip_value": 0.0}, {"l1": 0.0, "share": 1.0}, {"l2": 0.0}):
        for n in sizes:
            g, w, hyper = prepared(rng, n, dtype, **constants)
            found = _kernels.prepare_gradient(g, w, hyper, isa=isa)
            exact = reference.prepare_gradient(g.astype(np.float64), w.astype(np.float64), hyper)
            np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance("update") * np.abs([g, w]).max())
    assert np.abs(reference.prepare_gradient(*prepared(rng, 100, dtype))).max() == pytest.approx(0.4)


def test_clipping_keeps_nan_and_bounds_infinity(isa, dtype):
    g, w, hyper = prepared(np.random.default_rng(6), 5, dtype)
    g[:3] = np.nan, np.inf, -np.inf
    found = _kernels.prepare_gradient(g, w, hyper, isa=isa)
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:3], [0.4, -0.4])


def test_penalty_is_the_twins(isa, dtype, sizes):
    for n in sizes:
        x = np.random.default_rng(7).standard_normal(n).astype(dtype)
        for l1, l2 in ((0.3, 0.7), (0.3, 0.0), (0.0, 2.0), (0.0, 0.0)):
            assert _kernels.penalty(x, l1, l2, isa=isa) == pytest.approx(reference.penalty(x, l1, l2), rel=1e-14)


@pytest.mark.parametrize("n_out", [1, 15, 16, 40])
@pytest.mark.parametrize("n_in", [1, 7, 300])
def test_max_norm_is_the_twins(n_in, n_out, isa, dtype, tolerance):
    w = np.random.default_rng(8).standard_normal((n_in, n_out)).astype(dtype)
    w[:, ::3] *= 0.01
    norms = np.linalg.norm(w.astype(np.float64), axis=0)
    limit = float(np.sqrt(n_in) * 0.9)
    found = _kernels.max_norm(w, limit, isa=isa)
    exact = reference.max_norm(w.astype(np.float64), limit)
    np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance("product") * np.sqrt(n_in) * np.abs(w).max())
    assert found[:, norms < 0.99 * limit].tobytes() == w[:, norms < 0.99 * limit].tobytes()
    np.testing.assert_array_less(np.linalg.norm(found, axis=0), limit * (1 + 1e-5))
