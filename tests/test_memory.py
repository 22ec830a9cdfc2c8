"""Memory: what `fit` needs beside the user's arrays, and that it never copies a data set."""

import contextlib
import gc
import itertools
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, _pool

# A Python in another folder that finds the package which is tested here, be it installed or built in place.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fm.__file__).parents[1])}

# Optimizers and their states.
OPTIMIZERS = {"sgd": (fm.SGD(0.01), 0), "momentum": (fm.SGD(0.01, 0.9), 1), "adam": (fm.Adam(), 2)}

# Python objects, the tiles of a weight gradient of two threads, what drawing 64 x 64 weights takes: 81 kB were needed.
SMALL = 100_000
# A thread transposes 4 panels of weights at a time for the gradient of a layer's inputs, in cache lines of 64 bytes:
# 131 kB for 512 outputs, 262 kB for 1024.
TRANSPOSED = 4 * 64
# Rows, loss and right predictions of a step, kept until its epoch is over; the two joined to arrays; a product.
STEP = 6 * 8


@contextlib.contextmanager
def tracing():
    """Gives a function that tells the most bytes at a time that were in use since it was last called."""

    def peak():
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        return found

    fm.Model([fm.Dense(1)], n_inputs=1)  # what is imported only when it is needed does not count
    gc.collect()
    tracemalloc.start()
    try:
        yield peak
    finally:
        tracemalloc.stop()


def padded(width, dtype):
    """A width in whole cache lines."""
    line = 64 // np.dtype(dtype).itemsize
    return -(-width // line) * line


def weight_bytes(widths, dtype):
    """Of weights and biases."""
    pairs = itertools.pairwise(widths)
    return sum((n_in + 1) * padded(n_out, dtype) for n_in, n_out in pairs) * np.dtype(dtype).itemsize


def activation_bytes(widths, rows, dtype):
    """Of the inputs and the outputs of every layer."""
    return rows * sum(padded(width, dtype) for width in widths) * np.dtype(dtype).itemsize


def model_of(widths, **options):
    layers = [*(fm.Dense(width, "relu") for width in widths[1:-1]), fm.Dense(widths[-1])]
    return fm.Model(layers, "softmax_cross_entropy", **options)


# In the largest batch activations are most of what a narrow network needs, and as much as the weights of a wide one: of
# more rows the budget of those would hide another copy of the weights.
NARROW, WIDE = [(64, 64, 10), (10, 46, 46, 10)], [(784, 512, 512, 10), (256, 1024, 1024, 10)]
BATCHES = [*itertools.product(NARROW, [1, 32, 128, 1000]), *itertools.product(WIDE, [1, 32, 128, 300])]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("widths", "batch_size"), BATCHES, ids=str)
def test_fit_keeps_to_its_budget(widths, batch_size, optimizer, n_threads, dtype):
    """The weights and those to go back to, the optimizer's states, thrice the activations of a batch, and of a sample
    its place in the order and its label."""
    chosen, states = OPTIMIZERS[optimizer]
    n = max(3, batch_size + 1)  # a step besides the first, and one of fewer rows where there can be
    X = np.random.default_rng(0).standard_normal((n, widths[0]), np.float32).astype(dtype)
    y = np.arange(n) % 10
    with tracing() as peak:
        model = model_of(widths, optimizer=chosen, n_threads=n_threads, dtype=dtype)
        model.fit(X, y, batch_size=batch_size, verbose=0)
        needed = peak()
    budget = (2 + states) * weight_bytes(widths, dtype) + 3 * activation_bytes(widths, batch_size, dtype)
    budget += (8 + 4) * n + n_threads * TRANSPOSED * max(widths[1:]) + SMALL
    assert needed <= budget


def test_a_step_leaves_few_numbers_behind():
    """In batches of one sample this is more than the samples' order and labels."""
    n = 20_000
    X, y = np.zeros((n, 3), np.float32), np.zeros(n, np.uint8)
    with tracing() as peak:
        model_of((3, 2), n_threads=1).fit(X, y, batch_size=1, verbose=0)
        assert peak() <= (8 + 4 + STEP) * n + SMALL


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts what is allocated only on Linux, since 4.7")
def test_a_data_set_beyond_memory_is_trained_on(tmp_path):
    """A copy of it, or of more than a sixteenth, would be a MemoryError."""
    code = """
import re, resource, sys
import numpy as np
import fastmlp as fm

X = np.memmap(sys.argv[1], np.float32, "r", shape=(262144, 1024))
y = np.zeros(len(X), np.uint8)
model = fm.Model([fm.Dense(8, "relu"), fm.Dense(2)], "softmax_cross_entropy")
model.fit(X[:4096], y[:4096], batch_size=1024, epochs=2, verbose=0)  # with the threads that it will use

# Not RLIMIT_AS, which counts the map itself; private memory that can be written is what a copy needs.
used = int(re.search(r"VmData:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (used + (64 << 20), resource.RLIM_INFINITY))
try:
    np.ones(128 << 20, np.uint8)
except MemoryError:
    print("limited")
print(len(model.fit(X, y, batch_size=1024, shuffle=True, verbose=0)["loss"]))
"""
    with open(tmp_path / "X", "wb") as file:
        file.truncate(1 << 30)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "X")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["limited", "1"]


def diverging(model, X, Y):
    with pytest.raises(fm.DivergedError):
        model.fit(X, Y + 1e30, len(X), verbose=0)


CALLS = {
    "fit": lambda model, X, Y: model.fit(X, Y, batch_size=len(X), verbose=0),
    "fit on batches": lambda model, X, Y: model.fit([(X, Y)] * 2, verbose=0),
    "fit with weights": lambda model, X, Y: model.fit(X, Y, len(X), sample_weight=np.ones(len(X)), verbose=0),
    "fit in small batches": lambda model, X, Y: model.fit(X, Y, epochs=2, verbose=0),
    "train_on_batch": lambda model, X, Y: model.train_on_batch(X, Y),
    "loss_and_gradients": lambda model, X, Y: model.loss_and_gradients(X, Y),
    "vjp": lambda model, X, Y: model.vjp(X)[1](Y),
    "predictions": lambda model, X, Y: [model.predict(X[:n]) for n in (1, 10, 100, 1000)] and None,
    "a fit that fails": diverging,
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "optimizer"),
    [*itertools.product(CALLS, ["sgd", fm.SGD(global_clipnorm=1.0)]), ("fit", fm.LBFGS(max_iterations=2))], ids=str,
)  # fmt: skip
def test_a_call_gives_its_buffers_back(call, optimizer, monkeypatch):
    """But for some bytes, here of fewer than one batch or one matrix of weights takes."""
    if isinstance(optimizer, fm.LBFGS):
        pytest.importorskip("scipy")
    monkeypatch.setattr(_pool, "MOST_BYTES", 1 << 18)
    X, Y = np.random.default_rng(0).random((1000, 50), np.float32), np.zeros((1000, 300), np.float32)
    model = fm.Model([fm.Dense(300, "tanh"), fm.Dense(300)], optimizer=optimizer, n_inputs=50, n_threads=1)
    CALLS[call](model, X[:10], Y[:10])  # imports, and what stays of any call
    gc.collect()
    with tracing() as peak:
        found = CALLS[call](model, X, Y)
        del found
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < (1 << 18) + SMALL
        assert peak() > 1 << 19


def test_small_buffers_stay_for_the_next_call(monkeypatch):
    """And large ones from step to step of one fit."""
    X, Y = np.random.default_rng(0).random((4000, 50), np.float32), np.zeros((4000, 30), np.float32)
    made = []
    make = _engine.Run
    monkeypatch.setattr(_engine, "Run", lambda *arguments, **options: made.append(1) or make(*arguments, **options))
    monkeypatch.setattr(_pool, "MOST_BYTES", 1 << 18)
    model = fm.Model([fm.Dense(30, "tanh"), fm.Dense(30)], n_inputs=50, n_threads=1)
    for _ in range(3):
        model.predict(X[:1])
        model.train_on_batch(X[:10], Y[:10])
    assert len(made) == 2
    model.fit([(X, Y)] * 5, verbose=0)
    assert len(made) == 3
    model.predict(X[:1])
    assert len(made) == 3


class Kept:
    """Stands for a pass that is kept, of so many bytes."""

    def __init__(self, n_bytes):
        self.n_bytes = n_bytes


@pytest.mark.parametrize(("sizes", "stay"), [
    ([64], [0]), ([64.1], []), ([20, 20, 20], [0, 1, 2]), ([30, 20, 20], [1, 2]), ([10, 60, 3], [1, 2]),
    ([1, 63, 65], [0, 1]), ([40, 40, 40], [2]),
])  # fmt: skip
def test_passes_that_are_kept_have_64_mib_in_all(sizes, stay):
    """The newest, as docs/engine.md says."""
    model = fm.Model([fm.Dense(1)])
    model._core.runs.update({(i, "prediction"): Kept(int(size * 2**20)) for i, size in enumerate(sizes)})
    _pool.trim(model._core.runs)
    assert [i for i, _ in model._core.runs] == stay
