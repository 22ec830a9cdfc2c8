"""Threads of a training and of single calls, as models choose them; the rule itself is tested in test_pace.py."""

import itertools

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, _pace
from fastmlp import core as core_module


@pytest.mark.skipif(not _engine.has_openmp, reason="built without OpenMP: one thread")
@pytest.mark.parametrize("callbacks", [[], [fm.Callback()]], ids=["epochs together", "one by one"])
@pytest.mark.parametrize("seed", range(3))
def test_switching_threads_keeps_the_bits(monkeypatch, callbacks, seed):
    """Random lengths of chunks on random numbers of threads."""
    widths, n = (150, 200, 3), 64 * 40 + 5
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, widths[0]), np.float32), rng.integers(0, widths[-1], n)
    layers = [fm.Dense(widths[1], "tanh"), fm.Dense(widths[2])]

    def trained(n_threads):
        model = fm.Model(layers, "softmax_cross_entropy", "adam", seed=seed, n_threads=n_threads)
        history = model.fit(X, y, batch_size=64, epochs=6, callbacks=callbacks, verbose=0)
        return history["loss"], [array.tobytes() for pair in model.weights for array in pair]

    expected = trained(1)
    chunks = []

    def drawn(self, left):
        chunks.append((int(min(left, rng.integers(1, 30))), int(rng.integers(1, 3))))
        return chunks[-1]

    monkeypatch.setattr(_pace.Pace, "next", drawn)
    monkeypatch.setattr(core_module, "default_threads", lambda: 2)
    assert trained(None) == expected
    assert sum(a[1] != b[1] for a, b in itertools.pairwise(chunks)) > 5


def test_schedules_go_on_after_a_divergence():
    rng = np.random.default_rng(0)
    X, y = rng.random((64, 300)), rng.integers(0, 300, 64)
    model = fm.Model(
        [fm.Dense(300, "relu"), fm.Dense(300)], "softmax_cross_entropy", fm.SGD(fm.schedules.Warmup(99, 0.1))
    )
    model.fit(X, y, batch_size=32, epochs=3, verbose=0)
    steps = model._core.network.step
    with pytest.raises(fm.DivergedError), np.errstate(all="ignore"):
        model.fit(X * 1e30, y, batch_size=32, epochs=1, verbose=0)
    assert model._core.network.step == steps == 6


def test_weights_that_overflowed_are_named_before_a_training():
    model = fm.Model([fm.Dense(2)], optimizer=fm.SGD(1e38), n_inputs=3)
    model.apply_gradients([(np.full((3, 2), 1e30), np.zeros(2))])
    with pytest.raises(ValueError, match=r"hold NaN or infinity; assign model\.weights"):
        model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)


@pytest.mark.skipif(not _engine.has_openmp, reason="built without OpenMP: one thread")
def test_calls_and_fits_of_a_model_go_on_with_what_they_know(monkeypatch):
    """Each kind of call has its own; an array's fits, batches of an iterable and validation too."""
    X, y = np.ones((4000, 64), np.float32), np.ones((4000, 8), np.float32)
    model = fm.Model([fm.Dense(256, "tanh"), fm.Dense(8)], n_inputs=64)
    monkeypatch.setattr(core_module, "default_threads", lambda: 2)
    monkeypatch.setattr(core_module, "recent_threads", lambda: 2)
    for batches in [2000, 700]:
        model.fit(X, y, batch_size=batches, validation_data=(X, y), verbose=0)
    model.fit([(X, y), (X[:3000], y[:3000])], verbose=0)
    before = dict(model._core.paces._kept)
    seen = {key: pace.seen for key, pace in before.items()}
    assert len(before) == 4  # two batch sizes, batches of about 4,000, predictions
    assert all(seconds > 0 for seconds in seen.values())
    for batches in [2000, 700]:
        model.fit(X, y, batch_size=batches, validation_data=(X, y), verbose=0)
    model.fit([(X, y), (X[:3000], y[:3000])], verbose=0)
    assert model._core.paces._kept.keys() == before.keys()
    for key, pace in model._core.paces._kept.items():
        assert pace is before[key]
        assert pace.seen > seen[key]


def test_calls_of_a_model_share_their_pace(monkeypatch):
    X, y = np.ones((4000, 64), np.float32), np.ones((4000, 8), np.float32)
    model = fm.Model([fm.Dense(256, "tanh"), fm.Dense(8)], n_inputs=64)
    told = []
    monkeypatch.setattr(
        _pace, "single_call", lambda run, work, n, pace: (told.append((run.n_threads > 1, n)), work(run))[1]
    )
    model.predict(X)
    model.jacobian(X[:500])
    model.train_on_batch(X, y)
    model.loss_and_gradients(X, y)
    several = model._core.runs and any(run.n_threads > 1 for run in model._core.runs.values())
    assert told == ([(True, 4000), (True, 500), (True, 4000), (True, 4000)] if several else [])
    told.clear()
    model.fit(X, y, verbose=0)
    fm.Model([fm.Dense(256, "tanh"), fm.Dense(8)], n_inputs=64, n_threads=2).predict(X)
    assert told == []
