"""csrc/kernels/probe.inc.h against its twins, and the peaks that fastmlp/bench/machine.py makes of them."""

import threading

import numpy as np
import pytest

from fastmlp import _engine, _kernels, reference
from fastmlp.bench import machine


def registers(isa, dtype, s, t, values):
    """What probe_fma works on: a register of s, one of t, and values."""
    table = _kernels.table(isa, dtype)
    x = np.empty((table["chains"] + 2, table["lanes"]), dtype)
    x[0], x[1], x[2:] = s, t, values(x[2:].shape)
    return x


@pytest.mark.parametrize("n", [0, 1, 2, 7, 1000])
def test_probe_fma_does_as_many_rounds_as_it_says(n, isa, dtype):
    x = registers(isa, dtype, 1, 2, lambda shape: np.arange(np.prod(shape)).reshape(shape))
    found = _kernels.probe_fma(x, n, isa)
    np.testing.assert_array_equal(found[2:], x[2:] + 2 * n)  # small integers: exact
    np.testing.assert_array_equal(found[:2], x[:2])
    np.testing.assert_array_equal(_kernels.probe_fma(x, n, isa, repeat=3)[2:], x[2:] + 6 * n)


def test_probe_fma_has_the_closed_form(isa, dtype):
    rng = np.random.default_rng(0)
    s, t = rng.uniform(0.5, 0.9, 2).astype(dtype)
    x = registers(isa, dtype, s, t, rng.standard_normal)
    for n in (1, 3, 20):
        found, limit = _kernels.probe_fma(x, n, isa), 8 * np.finfo(dtype).eps / (1 - s)
        exact = float(s) ** n * x[2:].astype(np.float64) + float(t) * (1 - float(s) ** n) / (1 - float(s))
        scale = np.abs(x[2:]) + t / (1 - s)
        assert np.all(np.abs(found[2:] - exact) <= limit * scale), n
        assert np.all(np.abs(found[2:] - reference.probe_fma(x, n)[2:]) <= limit * scale), n


def test_probe_fma_stays_finite(isa, dtype):
    x = registers(isa, dtype, 0.5, 0.5, lambda shape: np.linspace(-9, 9, np.prod(shape)).reshape(shape))
    np.testing.assert_allclose(_kernels.probe_fma(x, 100_000, isa)[2:], 1, rtol=np.finfo(dtype).eps)


def test_probe_fma_wants_its_shape(isa, dtype):
    with pytest.raises(ValueError, match=r"has the shape \(3, 4\); probe_fma keeps"):
        _kernels.probe_fma(np.ones((3, 4), dtype), 1, isa)


def test_probe_triad_is_its_twin(isa, dtype, sizes):
    rng = np.random.default_rng(1)
    for n in sizes:
        a, b = rng.integers(-1000, 1000, (2, n)).astype(dtype)
        np.testing.assert_array_equal(_kernels.probe_triad(a, b, isa), reference.probe_triad(a, b), f"{n=}")
        a, b = rng.standard_normal((2, n)).astype(dtype)
        limit = np.finfo(dtype).eps * (np.abs(a) + 3 * np.abs(b))  # the twin rounds twice, the kernel once
        assert np.all(np.abs(_kernels.probe_triad(a, b, isa) - reference.probe_triad(a, b)) <= limit), n


def test_probe_triad_works_in_place_where_it_is_told(isa, dtype):
    a, b, c = (_kernels.aligned(64, dtype) for _ in range(3))
    a[:], b[:] = 1, 2
    found = _kernels.probe_triad(a, b, isa, out=c, repeat=2)
    assert np.shares_memory(found, c)
    np.testing.assert_array_equal(c, 7)
    for bad in (c[1:], c[:-1], c[: _kernels.line_of(dtype)], c.astype("int16")):
        with pytest.raises(ValueError, match="aligned arrays of one length"):
            _kernels.probe_triad(a, b, isa, out=bad)


def test_peaks_are_plausible(isa, dtype):
    """The best of some: what other work on the machine takes is not the probe's."""
    for threads in (1, 2):
        rates = [machine.peak_fma(isa, dtype, threads, seconds=0.005) for _ in range(10)]
        assert 1e8 < max(rates) < 1e13
        rates = [machine.bandwidth(threads, 0.5, seconds=0.005, isa=isa, dtype=dtype) for _ in range(10)]
        assert 1e7 < max(rates) < 1e13


def test_repeats_reach_the_time():
    for cost in (1e-7, 3e-4, 0.2, 5.0):
        assert machine.repeats(lambda n, cost=cost: n * cost, 0.1) == max(1, round(0.1 / cost))


def test_kernels_run_at_once():
    met = []

    def work(i):
        met.append(threading.get_ident())
        _kernels.sum(np.ones(16), repeat=10)

    assert machine.at_once(work, 3) > 0
    assert len(met) == len(set(met)) == 3
    assert _kernels.stopwatch.start is None


def test_a_thread_that_fails_ends_the_others():
    def work(i):
        if i == 1:
            raise ZeroDivisionError("thread 1")
        _kernels.sum(np.ones(16))

    with pytest.raises(ZeroDivisionError, match="thread 1"):
        machine.at_once(work, 3)


def test_the_description_is_complete(monkeypatch):
    monkeypatch.setenv("OMP_PROC_BIND", "close")
    found = machine.describe()
    assert found["isa"] == _engine.isa
    assert found["environment"]["OMP_PROC_BIND"] == "close"
    assert all(found[key] for key in ("processor", "cores", "system", "python", "numpy", "blas", "fastmlp"))
