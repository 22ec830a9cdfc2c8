"""The pace of `fit`: how long chunks of steps are, and on how many threads they run, by a clock that the tests set."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, training
from fastmlp import model as model_module
from fastmlp.training import (
    CHUNK_SECONDS,
    FIRST_STEPS,
    FIRST_WORK,
    LEAST_SECONDS,
    TRIAL_DELAY,
    TRIAL_PERIOD,
    TRIAL_SECONDS,
)  # fmt: skip

BATCH = 32
MANY = 10**9


class Machine:
    """A clock, and how long a step takes on so many threads."""

    def __init__(self, seconds):
        self.now = 5000.0  # a clock that was not started for us
        self.seconds = seconds

    def perf_counter(self):
        return self.now

    def chunks(self, pace, seconds, left=MANY):
        """(steps, threads) of all chunks within some time."""
        found, until = [], self.now + seconds
        while self.now < until:
            steps, threads = pace.next(left)
            began = self.now
            self.now += steps * self.seconds[threads]
            pace.learn(steps, threads, self.now - began)
            found.append((steps, threads))
        return found


@pytest.fixture
def machine(monkeypatch):
    """A machine on which a step takes 10 us with two threads and 15 us with one."""
    machine = Machine({1: 15e-6, 2: 10e-6})
    monkeypatch.setattr(training, "time", machine)
    return machine


def pace_of(n_threads=2, exact_threads=False, work=1e6):
    """A pace whose steps have so many multiply-adds."""

    def work_of(rows, training):
        assert rows == BATCH
        assert training
        return work

    network = SimpleNamespace(work=work_of)
    run = SimpleNamespace(n_threads=n_threads, exact_threads=exact_threads, network=network)
    return training.Pace(run, BATCH)


def time_by_threads(machine, chunks):
    """Seconds that chunks took on one thread, and on two."""
    chunks = list(chunks)
    return [sum(steps * machine.seconds[n] for steps, threads in chunks if threads == n) for n in (1, 2)]


@pytest.mark.parametrize(
    ("work", "steps"), [(1.0, FIRST_STEPS), (FIRST_WORK / FIRST_STEPS / 2, FIRST_STEPS), (1e6, FIRST_WORK / 1e6),
                        (FIRST_WORK, 1), (1e15, 1)]
)  # fmt: skip
@pytest.mark.parametrize("n_threads", [1, 2, 64])
def test_the_first_chunk_is_bounded_by_work_and_steps(machine, n_threads, work, steps):
    assert pace_of(n_threads, work=work).next(MANY) == (steps, n_threads)


@pytest.mark.parametrize("seconds", [1e-7, 3e-6, 1e-4, 2e-3, 0.029])
@pytest.mark.parametrize("work", [1.0, 1e5, 1e9])
def test_chunks_come_to_their_length_whatever_the_first(machine, work, seconds):
    machine.seconds = {1: seconds}
    pace = pace_of(1, work=work)
    machine.chunks(pace, 0.5)
    for steps, _ in machine.chunks(pace, 0.5):
        assert steps == pytest.approx(CHUNK_SECONDS / seconds, abs=1)


def test_chunks_grow_at_most_eightfold(machine):
    machine.seconds = {1: 1e-7}
    lengths = [steps for steps, _ in machine.chunks(pace_of(1, work=1e9), 1.0)]
    assert lengths[:3] == [1, 8, 64]


def test_a_step_longer_than_a_chunk_is_a_chunk(machine):
    machine.seconds = {1: 1.0, 2: 0.6}
    assert {steps for steps, _ in machine.chunks(pace_of(work=1e12), 20.0)} == {1}


def test_a_clock_that_stands_still_is_survived(machine):
    machine.seconds = {1: 0.0}
    pace = pace_of(1)
    for _ in range(20):
        assert pace.next(100) == (100, 1)
        pace.learn(100, 1, 0.0)


@pytest.mark.parametrize(("n_threads", "exact_threads"), [(1, False), (1, True), (2, True)])
def test_a_given_number_of_threads_stays(machine, n_threads, exact_threads):
    machine.seconds = {1: 1e-5, 2: 1e-3}
    assert {threads for _, threads in machine.chunks(pace_of(n_threads, exact_threads), 5.0)} == {n_threads}


def test_one_thread_is_tried_shortly_and_left(machine):
    """Two are faster: one thread gets a trial in each second, the first soon."""
    pace = pace_of()
    chunks = machine.chunks(pace, 10.0)
    assert chunks[0][1] == 2
    before = itertools.takewhile(lambda chunk: chunk[1] == 2, chunks)
    assert time_by_threads(machine, before)[1] == pytest.approx(TRIAL_DELAY, abs=1.1 * CHUNK_SECONDS)
    trials = [steps for steps, threads in chunks if threads == 1]
    assert len(trials) == pytest.approx(10.0 / TRIAL_PERIOD, abs=1.1)
    assert max(trials) * machine.seconds[2] == pytest.approx(TRIAL_SECONDS, rel=0.01)


def test_a_fit_shorter_than_the_delay_tries_nothing(machine):
    assert {threads for _, threads in machine.chunks(pace_of(), 0.9 * TRIAL_DELAY)} == {2}


@pytest.mark.parametrize("factor", [1, 100, 10_000])
def test_one_thread_is_tried_and_kept_where_another_program_wants_the_cores(machine, factor):
    """Also where a step takes longer than a trial."""
    machine.seconds = {1: factor * 15e-6, 2: factor * 80e-6}
    alone, both = time_by_threads(machine, machine.chunks(pace_of(work=1e6 * factor), 200.0))
    assert both < TRIAL_DELAY + 2 * CHUNK_SECONDS + 3 * machine.seconds[2] + 0.03 * 200
    assert alone > 0.9 * 200


@pytest.mark.parametrize("factor", [1, 100, 10_000])
def test_trials_cost_little_on_an_idle_machine(machine, factor):
    machine.seconds = {1: factor * 15e-6, 2: factor * 10e-6}
    alone, both = time_by_threads(machine, machine.chunks(pace_of(), 200.0))
    assert alone < 0.012 * (alone + both)


def test_threads_come_and_go_with_the_other_program(machine):
    """A number that becomes the slower is left after a chunk; one that becomes the faster is found by a trial."""
    pace = pace_of()
    idle, busy = machine.seconds, {1: 15e-6, 2: 60e-6}
    for _ in range(3):
        machine.seconds = idle
        machine.chunks(pace, 5 * TRIAL_PERIOD)
        alone, both = time_by_threads(machine, machine.chunks(pace, 3 * TRIAL_PERIOD))
        assert both > 0.95 * (alone + both)
        machine.seconds = busy
        machine.chunks(pace, 6 * CHUNK_SECONDS)
        alone, both = time_by_threads(machine, machine.chunks(pace, 3 * TRIAL_PERIOD))
        assert alone > 0.9 * (alone + both)


def test_a_hiccup_is_soon_forgotten(machine):
    pace = pace_of()
    machine.chunks(pace, 3 * TRIAL_PERIOD)
    while pace.next(MANY)[1] != 2:
        pass
    pace.learn(100, 2, 100 * 1e-3)  # a hundred times as long as usual
    alone, both = time_by_threads(machine, machine.chunks(pace, TRIAL_PERIOD))
    assert alone < 2 * TRIAL_DELAY + CHUNK_SECONDS < both


def test_a_short_chunk_says_nothing_of_the_threads(machine):
    """The rest of an epoch may have run on one thread, whatever was asked for."""
    pace = pace_of()
    machine.chunks(pace, 3 * TRIAL_PERIOD)
    pace.threads = 2
    pace.learn(3, 2, 0.9 * LEAST_SECONDS)
    assert pace.threads == 2
    assert pace.seconds[2] == pytest.approx(machine.seconds[2])


@pytest.mark.parametrize("left", [7, 50, 300])
def test_no_more_steps_than_are_left(machine, left):
    chunks = machine.chunks(pace_of(), 1.5 * TRIAL_PERIOD, left)
    assert {steps for steps, _ in chunks} == {left}
    assert {threads for _, threads in chunks} == {1, 2}


@pytest.mark.skipif(not _engine.has_openmp, reason="built without OpenMP: one thread")
@pytest.mark.parametrize("callbacks", [[], [fm.Callback()]], ids=["epochs together", "one by one"])
@pytest.mark.parametrize("seed", range(3))
def test_switching_threads_keeps_the_bits(monkeypatch, callbacks, seed):
    """Random times of steps make the lengths of chunks and the numbers of threads random."""
    widths, n = (150, 200, 3), 64 * 40 + 5
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, widths[0]), np.float32), rng.integers(0, widths[-1], n)
    layers = [fm.Dense(widths[1], "tanh"), fm.Dense(widths[2])]

    def trained(n_threads):
        model = fm.Model(layers, "softmax_cross_entropy", "adam", seed=seed, n_threads=n_threads)
        history = model.fit(X, y, batch_size=64, epochs=6, callbacks=callbacks, verbose=0)
        return history["loss"], [array.tobytes() for pair in model.weights for array in pair]

    expected = trained(1)
    chunks, following = [(1, 1)], training.Pace.next
    ticks = itertools.accumulate(chunks[-1][0] * rng.uniform(5e-4, 15e-4) for _ in itertools.count())
    monkeypatch.setattr(training.Pace, "next", lambda *a: chunks.append(following(*a)) or chunks[-1])
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    monkeypatch.setattr(training, "TRIAL_PERIOD", 0.05)
    monkeypatch.setattr(training, "TRIAL_DELAY", 0.0)
    monkeypatch.setattr(training, "TRIAL_SHARE", 1.0)
    monkeypatch.setattr(training, "TRIAL_SECONDS", 0.006)
    monkeypatch.setattr(training, "CHUNK_SECONDS", 0.01)
    monkeypatch.setattr(model_module, "default_threads", lambda: 2)
    assert trained(None) == expected
    used = [threads for steps, threads in chunks if steps > 3]  # enough work for a second thread
    assert sum(a != b for a, b in itertools.pairwise(used)) > 5


def test_schedules_go_on_after_a_divergence():
    rng = np.random.default_rng(0)
    X, y = rng.random((64, 300)), rng.integers(0, 300, 64)
    model = fm.Model(
        [fm.Dense(300, "relu"), fm.Dense(300)], "softmax_cross_entropy", fm.SGD(fm.schedules.Warmup(99, 0.1))
    )
    model.fit(X, y, batch_size=32, epochs=3, verbose=0)
    steps = model._network.step
    with pytest.raises(fm.DivergedError), np.errstate(all="ignore"):
        model.fit(X * 1e30, y, batch_size=32, epochs=1, verbose=0)
    assert model._network.step == steps == 6


def test_weights_that_overflowed_are_named_before_a_training():
    model = fm.Model([fm.Dense(2)], optimizer=fm.SGD(1e38), n_inputs=3)
    model.apply_gradients([(np.full((3, 2), 1e30), np.zeros(2))])
    with pytest.raises(ValueError, match=r"hold NaN or infinity; assign model\.weights"):
        model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)


def test_single_calls_find_their_threads_too(machine):
    """On a busy machine, on which a call of two threads waits for a time slice, then on an idle one with hiccups."""
    run = SimpleNamespace(n_threads=2, pace=None, most_threads=2)

    def calls(seconds, hiccup=0.0):
        found, until = [], machine.now + seconds
        while machine.now < until:

            def work(given):
                machine.now += 100 * machine.seconds[given.most_threads] + hiccup * (len(found) % 20 == 7)
                found.append(given.most_threads)
                return "result"

            assert training.single_call(run, work, 100) == "result"
            machine.now += 1e-4
        return found

    machine.seconds = {1: 2e-6, 2: 240e-6}
    busy = calls(10.0)
    assert busy[:3] == [2, 2, 2]
    assert busy.count(2) * 240e-6 * 100 < 0.03 * 10
    machine.seconds = {1: 2e-6, 2: 1e-6}
    assert calls(20.0)[-100:] == [2] * 100
    interrupted = calls(20.0, hiccup=2e-3)
    assert interrupted.count(1) <= 1 + 20 / training.TRIAL_PERIOD
    machine.seconds = {1: 2e-6, 2: 3e-6}
    assert calls(1.0)[-100:] == [1] * 100


def test_calls_of_a_model_share_their_pace(monkeypatch):
    X, y = np.ones((4000, 64), np.float32), np.ones((4000, 8), np.float32)
    model = fm.Model([fm.Dense(256, "tanh"), fm.Dense(8)], n_inputs=64)
    told = []
    monkeypatch.setattr(
        training, "single_call", lambda run, work, n: (told.append((run.n_threads > 1, n)), work(run))[1]
    )
    model.predict(X)
    model.jacobian(X[:500])
    model.train_on_batch(X, y)
    model.loss_and_gradients(X, y)
    several = model._runs and any(run.n_threads > 1 for run in model._runs.values())
    assert told == ([(True, 4000), (True, 500), (True, 4000), (True, 4000)] if several else [])
    told.clear()
    model.fit(X, y, verbose=0)
    fm.Model([fm.Dense(256, "tanh"), fm.Dense(8)], n_inputs=64, n_threads=2).predict(X)
    assert told == []
