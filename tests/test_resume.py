"""A training goes on where it stopped: fit after fit, and after a kill at any moment, with the bits of one that did not
stop."""

import contextlib
import copy
import itertools
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, reference

X = np.random.default_rng(1).standard_normal((150, 6)).astype(np.float32)
Y = np.random.default_rng(2).integers(0, 3, 150)
LAYERS = [fm.Dense(17, "relu"), fm.BatchNorm(), fm.Dropout(0.2), fm.Dense(9, "tanh"), fm.LayerNorm(), fm.Dense(3)]
OPTIMIZERS = {
    **{name: kind() for name, kind in fm.optimizers.BY_NAME.items() if name != "lbfgs"},  # which takes no batches
    "amsgrad": fm.Adam(amsgrad=True),
    "centred": fm.RMSprop(centered=True),
    "an average": fm.AdamW(use_ema=True, ema_momentum=0.9, global_clipnorm=0.5),
    "accumulation": fm.Nadam(gradient_accumulation_steps=3),  # of which an epoch holds no whole number
    "momentum": fm.SGD(0.05, momentum=0.9),
    "nesterov": fm.SGD(0.05, momentum=0.9, nesterov=True),
    "a schedule": fm.Adam(fm.schedules.Warmup(7, fm.schedules.CosineRestarts(0.01, 20))),
}


def classifier(optimizer="adam", **options):
    return fm.Model(LAYERS, "softmax_cross_entropy", optimizer, seed=4, **options)


def bits(model):
    state = model._core.__getstate__()
    training = state["training"]
    arrays = [array for layer in state["weights"] for array in layer]
    arrays += [array for name in sorted(training["states"]) for layer in training["states"][name] for array in layer]
    counts = {name: value for name, value in training.items() if name != "states"}
    return [array.tobytes() for array in arrays], counts


# ---- fit after fit ----


def test_every_optimizer_is_here():
    kernels = {optimizer.kernel for optimizer in OPTIMIZERS.values()}
    assert kernels == set(_engine.optimizers)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_five_epochs_twice_are_ten(optimizer, shuffle, dtype):
    model, other = (classifier(OPTIMIZERS[optimizer], dtype=dtype, preprocessing="standardize") for _ in range(2))
    options = {"batch_size": 32, "shuffle": shuffle, "validation_split": 0.2, "verbose": 0}
    for _ in range(2):
        model.fit(X, Y, epochs=5, **options)
    other.fit(X, Y, epochs=10, **options)
    assert bits(model) == bits(other)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_five_epochs_of_a_generator_twice_are_ten(optimizer):
    def batches():
        for i in itertools.count():
            rows = np.random.default_rng(i).integers(0, 150, 20)
            yield X[rows], Y[rows]

    model, other, source = classifier(OPTIMIZERS[optimizer]), classifier(OPTIMIZERS[optimizer]), batches()
    for _ in range(2):
        model.fit(source, epochs=5, steps_per_epoch=7, verbose=0)
    other.fit(batches(), epochs=10, steps_per_epoch=7, verbose=0)
    assert bits(model) == bits(other)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_file_between_two_fits_changes_nothing(optimizer, tmp_path):
    model, other = classifier(OPTIMIZERS[optimizer]), classifier(OPTIMIZERS[optimizer])
    model.fit(X, Y, epochs=5, verbose=0)
    model.save(tmp_path / "net")
    model = fm.load(tmp_path / "net")
    assert model.history.epoch == [0, 1, 2, 3, 4]
    model.fit(X, Y, epochs=5, verbose=0)
    other.fit(X, Y, epochs=10, verbose=0)
    assert bits(model) == bits(other)


class CopyWithin(fm.Callback):
    """Copies the model after the second batch, and ends its training there."""

    def __init__(self, copy_of):
        self.copy_of = copy_of

    def on_train_batch_end(self, batch, logs):
        if batch == 1:
            self.copy = self.copy_of(self.model)
            self.stop()


def by_file(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "net")
        return fm.load(Path(folder) / "net")


@pytest.mark.parametrize("copy_of", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), by_file],
                         ids=["copy", "deepcopy", "pickle", "file"])  # fmt: skip
def test_a_copy_within_an_epoch_goes_on_with_the_next_order(copy_of):
    model, within = classifier(), CopyWithin(copy_of)
    model.fit(X, Y, epochs=3, callbacks=[within], verbose=0)
    assert bits(within.copy) == bits(model)
    by_hand = copy.deepcopy(model)
    for each in (model, within.copy):
        each.fit(X, Y, verbose=0)
    order = reference.shuffle(len(X), model.seed, 1)  # that of epoch 0 is behind it
    by_hand.fit([(X[rows], Y[rows]) for rows in np.split(order, range(32, len(X), 32))], verbose=0)
    assert bits(within.copy) == bits(model)
    assert bits(within.copy)[0] == bits(by_hand)[0]


# ---- initial_epoch and the history ----


class Epochs(fm.Callback):
    """Which epochs began."""

    def __init__(self):
        self.seen = []

    def on_epoch_begin(self, epoch):
        self.seen.append(epoch)


def test_the_history_goes_on(tmp_path):
    model, other, seen = classifier(), classifier(), Epochs()
    first = model.fit(X, Y, epochs=3, verbose=0)
    assert model.history is first
    model.save(tmp_path / "net")
    again = fm.load(tmp_path / "net")
    for each in (model, again):
        found = each.fit(X, Y, epochs=7, initial_epoch=3, callbacks=[seen], verbose=0)
        assert found is each.history
        expected = other.fit(X, Y, epochs=7, verbose=0) if other.history.epoch == [] else other.history
        assert found.epoch == expected.epoch == list(range(7))
        assert found.history == expected.history
        assert bits(each) == bits(other)
    assert seen.seen == [3, 4, 5, 6] * 2
    assert first.epoch == [0, 1, 2]  # is left as it was
    assert model.fit(X, Y, verbose=0).epoch == [0]


def test_nothing_is_left_to_do():
    model = classifier()
    model.fit(X, Y, epochs=3, verbose=0)
    before, seen = bits(model), Epochs()
    history = model.fit(X, Y, epochs=3, initial_epoch=3, callbacks=[seen], verbose=0)
    assert history.epoch == [0, 1, 2]
    assert bits(model) == before
    assert seen.seen == []


@pytest.mark.parametrize(("epoch", "error"), [(-1, ValueError), (4, ValueError), (1.5, TypeError), (True, TypeError)])
def test_wrong_initial_epochs_are_refused(epoch, error):
    with pytest.raises(error, match="initial_epoch"):
        classifier().fit(X, Y, epochs=3, initial_epoch=epoch, verbose=0)


# ---- Checkpoint ----


class Killed(BaseException):
    """Ends a training as if the power had failed."""


class Kill(fm.Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, epoch):
        if epoch == self.epoch:
            raise Killed


OPTIONS = {"epochs": 12, "batch_size": 16, "validation_split": 0.3, "verbose": 0}


def watchers():
    stop = fm.EarlyStopping(patience=6, restore_best_weights=True)
    return [stop, fm.ReduceLROnPlateau("loss", 0.5, 1, min_delta=0.1)]


@pytest.mark.parametrize("epoch", [1, 2, 5, 9])
def test_a_checkpoint_holds_the_states_of_callbacks(epoch, tmp_path):
    whole = classifier()
    expected = whole.fit(X, Y, callbacks=watchers(), **OPTIONS)
    assert len(set(expected["learning_rate"])) > 2
    path = tmp_path / "run"
    with pytest.raises(Killed):
        classifier().fit(X, Y, callbacks=[Kill(epoch), *watchers(), fm.Checkpoint(path)], **OPTIONS)
    model = fm.load(path)
    assert model.history.epoch == list(range(epoch))
    assert model.history.stopped == ""
    found = model.fit(X, Y, callbacks=[*watchers(), fm.Checkpoint(path)], initial_epoch=epoch, **OPTIONS)
    assert (found.epoch, found.history, found.stopped) == (expected.epoch, expected.history, expected.stopped)
    assert bits(model) == bits(whole)
    final = fm.load(path)
    assert bits(final) == bits(whole)  # with the best weights restored
    assert final.history.stopped == expected.stopped


class KillAtTheEnd(fm.Callback):
    def on_train_end(self):
        raise Killed


@pytest.mark.parametrize("kills", [[], [Kill(2)], [KillAtTheEnd()], [Kill(4), KillAtTheEnd(), KillAtTheEnd()]])
@pytest.mark.parametrize("reason", ["patience", "target reached"])
def test_what_early_stopping_ended_stays_ended(reason, kills, tmp_path):
    """The same lines, as often as they are run: in the end they return at once."""
    values = [4.0, 3.0, 5.0, 6.0, 7.0] + [9.0] * 5 if reason == "patience" else [4.0, 3.0, 5.0, 6.0, 1.0] + [0.5] * 5
    path, whole, kept = tmp_path / "run", classifier(), []

    def run(model, *more):
        stop = fm.EarlyStopping("mine", mode="min", patience=3, target=1.0, restore_best_weights=True)
        done = len(model.history.epoch)
        callbacks = [Says(*values), stop, *more]
        return model.fit(X, Y, epochs=10, initial_epoch=done, callbacks=callbacks, verbose=0)

    expected = run(whole)
    assert (expected.stopped, expected.epoch) == (reason, [0, 1, 2, 3, 4])
    for kill in kills:
        with pytest.raises(Killed):
            run(fm.load(path) if path.exists() else classifier(), fm.Checkpoint(path), kill)
    for _ in range(3):
        model, seen = fm.load(path) if path.exists() else classifier(), Epochs()
        history = run(model, fm.Checkpoint(path), seen)
        kept.append(len(seen.seen))
        assert (history.epoch, history.history, history.stopped) == (expected.epoch, expected.history, reason)
        assert bits(model) == bits(fm.load(path)) == bits(whole)
    assert kept[1:] == [0, 0]


class Says(fm.Callback):
    """Puts numbers of the test's own into the logs."""

    def __init__(self, *values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["mine"] = self.values[epoch]


def resumed(path, epoch, values, *watcher):
    """A training of an epoch for each value that is killed before one of them and gone on with; each callback of
    `watcher` is made anew."""
    options = {"epochs": len(values), "verbose": 0}
    for model, first, ends in [(classifier(), 0, [Kill(epoch)]), (None, epoch, [])]:
        model = model or fm.load(path)
        callbacks = [Says(*values), *(make() for make in watcher), fm.Checkpoint(path), *ends]
        with pytest.raises(Killed) if ends else contextlib.nullcontext():
            model.fit(X, Y, initial_epoch=first, callbacks=callbacks, **options)
    return model


@pytest.mark.parametrize("epoch", [1, 2, 3, 4, 5])
def test_a_cooldown_goes_on(epoch, tmp_path):
    model = resumed(tmp_path / "run", epoch, [1.0] * 6, lambda: fm.ReduceLROnPlateau("mine", 0.5, 1, 0, "min", 0, 3))
    rates = np.array(model.history["learning_rate"])
    np.testing.assert_allclose(rates / rates[0], [1, 1, 0.5, 0.5, 0.5, 0.25])


def test_the_best_file_is_not_replaced_by_a_worse_model(tmp_path):
    best = tmp_path / "best"
    values = [2.0, 1.0, 3.0, 1.5]
    resumed(tmp_path / "run", 2, values, lambda: fm.ModelCheckpoint(best, "mine", save_best_only=True, mode="min"))
    assert fm.load(best).history.epoch == [0, 1]


def test_how_often(tmp_path, monkeypatch):
    path, written = tmp_path / "run", []
    monkeypatch.setattr(fm.Model, "save", lambda model, path: written.append(len(model.history.epoch)))
    clock = itertools.count()
    monkeypatch.setattr("fastmlp.checkpoints.time", SimpleNamespace(monotonic=lambda: next(clock)))
    everything = [1, 2, 3, 4, 5, 6, 7]
    for options, expected in [
        ({}, everything),
        ({"every_epochs": 3}, [3, 6, 7]),
        ({"every_seconds": 100.0}, [7]),
        ({"every_seconds": 0.0}, everything),
        ({"every_seconds": 2.5}, [3, 6, 7]),
        ({"every_epochs": 2, "every_seconds": 2.5}, [2, 4, 6, 7]),
    ]:
        written.clear()
        classifier().fit(X, Y, epochs=7, callbacks=[fm.Checkpoint(path, **options)], verbose=0)
        assert written == expected, options


def test_ctrl_c_leaves_the_last_epoch(tmp_path):
    class Interrupt(fm.Callback):
        def on_train_batch_end(self, batch):
            if len(self.model.history.epoch) == 3:
                raise KeyboardInterrupt

    whole, path = classifier(), tmp_path / "run"
    whole.fit(X, Y, **OPTIONS)
    history = classifier().fit(X, Y, callbacks=[fm.Checkpoint(path), Interrupt()], **OPTIONS)
    assert history.stopped == "interrupted"
    model = fm.load(path)
    model.fit(X, Y, initial_epoch=len(model.history.epoch), **OPTIONS)
    assert bits(model) == bits(whole)


def test_odd_numbers_are_kept(tmp_path):
    class Odd(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            logs["bad"], logs["narrow"] = float("nan"), np.float32(0.1)

    model = classifier()
    model.fit(X, Y, callbacks=[Odd(), fm.Checkpoint(tmp_path / "run")], verbose=0)
    found = fm.load(tmp_path / "run").history.history
    assert set(found) == {"loss", "accuracy", "bad", "narrow"}
    assert np.isnan(found["bad"][0])
    assert found["narrow"] == [float(np.float32(0.1))]


def test_mistakes_are_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        classifier().fit(X, Y, callbacks=[fm.Checkpoint(tmp_path / "no" / "run")], verbose=0)
    with pytest.raises(ValueError, match="every_epochs must be at least 1"):
        fm.Checkpoint("run", every_epochs=0)
    with pytest.raises(ValueError, match="every_seconds"):
        fm.Checkpoint("run", every_seconds=-1)


# ---- killed ----

SCRIPT = """
import os, sys, time
import numpy as np
import fastmlp as fm

class Slow(fm.Callback):
    def on_steps_end(self, batch):
        time.sleep(0.006)

path = sys.argv[1]
rng = np.random.default_rng(0)
X, Y = rng.standard_normal((400, 20)) * 3 + 1, rng.integers(0, 4, 400)
if os.path.exists(path):
    model = fm.load(path)
else:
    layers = [fm.Dense(64, "relu"), fm.BatchNorm(), fm.Dropout(0.3), fm.Dense(4)]
    rate = fm.schedules.OneCycle(0.01, 60 * 13)
    model = fm.Model(layers, "softmax_cross_entropy", fm.Adam(rate), preprocessing="standardize")
done = len(model.history.epoch)
print(done, flush=True)
model.fit(X, Y, epochs=60, initial_epoch=done, batch_size=25, validation_split=0.2, verbose=0,
          callbacks=[Slow(), fm.EarlyStopping("loss", patience=50), fm.Checkpoint(path)])
print("done", flush=True)
"""


def run_script(path, seconds):
    """Epochs done at its start, and whether it came to its end before it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(fm.__file__).parents[1]
    )
    first = process.stdout.readline()
    if seconds is not None:
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode in (0 if "done" in rest else -signal.SIGKILL, -signal.SIGKILL)
    return int(first), "done" in rest


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_training_that_is_killed_ends_with_the_same_bits(tmp_path):
    run_script(tmp_path / "whole", None)
    whole = fm.load(tmp_path / "whole")
    rng, starts, finished = random.Random(time.time_ns()), [], False
    for _ in range(6):
        start, finished = run_script(tmp_path / "killed", rng.uniform(0.01, 0.3))
        starts.append(start)
        if finished:
            break
    if not finished:
        run_script(tmp_path / "killed", None)
    assert len(starts) > 1
    assert starts == sorted(starts)
    killed = fm.load(tmp_path / "killed")
    assert bits(killed) == bits(whole)
    assert killed.history.history == whole.history.history
    assert killed.history.epoch == list(range(60))
    assert {each.name for each in tmp_path.iterdir()} == {"whole", "killed"}
