"""csrc/kernels/optimizers.inc.h against its twins."""

import numpy as np
import pytest

from fastmlp import _engine, _kernels, _reference

every_optimizer = pytest.mark.parametrize("name", _engine.optimizers)
STATES = {"sgd": "", "momentum": "m", "nesterov": "m", "rmsprop": "v", "adam": "mv", "adamw": "mv"}
HYPER = {
    "rate": 0.01, "momentum": 0.9, "beta_2": 0.99, "epsilon": 1e-7, "epsilon_in_root": 0.0, "correction_1": 1.7,
    "correction_2": 2.3, "weight_decay": 0.1,
}  # fmt: skip


def test_every_optimizer_has_a_twin_and_the_reverse():
    assert list(_reference.OPTIMIZERS) == _engine.optimizers
    assert list(STATES) == _engine.optimizers


def case(rng, name, n, dtype):
    """g, w, m, v; a state that the optimizer does not keep is None."""
    g, w, m = rng.standard_normal((3, n)).astype(dtype)
    return g, w, m if "m" in STATES[name] else None, rng.random(n).astype(dtype) if "v" in STATES[name] else None


def twin(name, g, w, m, v, hyper):
    """The twin in float64, and for each result the size of the terms that it adds up."""
    g, w = g.astype(np.float64), w.astype(np.float64)
    m, v = (np.zeros_like(w) if a is None else a.astype(np.float64) for a in (m, v))
    found = _reference.OPTIMIZERS[name](g, w, m, v, hyper)
    # The same with all terms of one sign: |w| + |step|
    w_size, m_size, _ = _reference.OPTIMIZERS[name](-np.abs(g), np.abs(w), -np.abs(m), v, hyper)
    return found, (w_size, np.abs(m_size), found[2])


def check(name, case_, found, hyper, tolerance):
    exact, size = twin(name, *case_, hyper)
    for a, before, e, s, what in zip(found, case_[1:], exact, size, "wmv", strict=True):
        assert (a is None) == (before is None)
        if a is not None:
            assert a.dtype == before.dtype
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
        hyper = {**HYPER, constant: value}
        arrays = case(rng, name, 40, dtype)
        check(name, arrays, _kernels.update(name, *arrays, hyper, isa=isa), hyper, tolerance)


@every_optimizer
def test_zero_stays_zero(name, isa, dtype):
    """Padding of weights must never wake up."""
    zeros = np.zeros(48, dtype)
    states = [zeros if state in STATES[name] else None for state in "mv"]
    for found in _kernels.update(name, zeros, zeros, *states, HYPER, isa=isa):
        assert found is None or not found.any()


@every_optimizer
def test_the_arguments_are_left_alone(name, isa, dtype):
    arrays = case(np.random.default_rng(3), name, 20, dtype)
    copies = [None if a is None else a.copy() for a in arrays]
    for a in arrays:
        if a is not None:
            a.flags.writeable = False
    _kernels.update(name, *arrays, HYPER, isa=isa)
    for a, b in zip(arrays, copies, strict=True):
        assert (a is None and b is None) or np.array_equal(a, b)


@every_optimizer
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_gradient_spoils_its_own_weight_only(name, value, isa, dtype):
    arrays = case(np.random.default_rng(4), name, 37, dtype)
    good = _kernels.update(name, *arrays, HYPER, isa=isa)
    arrays[0][21] = value
    found = _kernels.update(name, *arrays, HYPER, isa=isa)
    others = np.arange(37) != 21
    assert not np.isfinite(found[0][21])
    for a, b in zip(found, good, strict=True):
        assert a is None or a[others].tobytes() == b[others].tobytes()


@every_optimizer
def test_ten_updates_walk_with_the_twin(name, isa, dtype, tolerance):
    rng = np.random.default_rng(5)
    _, w, m, v = case(rng, name, 33, dtype)
    exact = [np.zeros(33) if a is None else a.astype(np.float64) for a in (w, m, v)]
    powers = (1.0, 1.0)
    for _ in range(10):
        g = rng.standard_normal(33).astype(dtype)
        constants, powers = _reference.hyper_of_step({**HYPER, "bias_correction": True}, 0.01, powers)
        w, m, v = _kernels.update(name, g, w, m, v, constants, isa=isa)
        exact = _reference.OPTIMIZERS[name](g.astype(np.float64), *exact, constants)
    np.testing.assert_allclose(w, exact[0], rtol=0, atol=10 * tolerance("update") * np.abs(exact[0]).max())
