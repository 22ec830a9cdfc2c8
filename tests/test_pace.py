"""The choice of threads and the length of chunks on simulated machines: time is what their steps take."""

import random
from types import SimpleNamespace

import pytest

from fastmlp import _pace
from fastmlp._pace import CHUNK_SECONDS, FEW_SECONDS, FIRST_STEPS, FIRST_WORK, TRIAL_SHARE, Pace

MANY = 10**9
BATCH = 32


class Machine:
    """Two processors. A step takes `alone` seconds on one thread and `together` on two.

    Parameters
    ----------
    alone, together : float
    cold : float
        What the first step on two threads costs more after some on one.
    busy : bool
        Other programs want both processors: one thread has two thirds of one, and two threads wait for a turn of some
        milliseconds in every other of their slices.
    hiccups : float
        Of a second: how often something interrupts a step for 0.3 ms.
    noise : float
        Relative, of each chunk.
    """

    def __init__(self, alone, together, cold=1e-4, busy=False, hiccups=0.0, noise=0.0, seed=0):
        self.alone, self.together, self.cold, self.busy = alone, together, cold, busy
        self.hiccups, self.noise, self.random = hiccups, noise, random.Random(seed)
        self.now, self.last, self.by_threads, self.longest = 0.0, 1, {1: 0.0, 2: 0.0}, 0.0
        self.left_of_slice = 0.0

    def step(self, threads):
        """Seconds of one."""
        if not self.busy:
            return self.alone if threads == 1 else self.together
        if threads == 1:
            return 1.5 * self.alone
        took, self.left_of_slice = self.together, self.left_of_slice - self.together
        if self.left_of_slice <= 0:  # the other thread lost its processor: two meetings of a step wait for it
            took += self.random.uniform(2e-3, 6e-3)
            self.left_of_slice = self.random.uniform(0, 2e-3)
        return took

    def run(self, steps, threads):
        """Seconds of some steps in one go."""
        if self.busy and threads == 2:
            took = sum(self.step(threads) for _ in range(steps))
        else:
            took = steps * self.step(threads)
        if threads == 2 and self.last == 1:
            took += self.cold
        self.last = threads
        took *= 1 + abs(self.random.gauss(0, self.noise))
        if self.random.random() < self.hiccups * took:
            took += 3e-4
        self.now += took
        self.by_threads[threads] += took
        return took

    def fit(self, pace, steps):
        """One fit of so many steps; the rest of the steps is made in chunks of at most 60 ms as by the engine."""
        while steps > 0:
            n, threads = pace.next(steps)
            done = min(n, max(1, int(2 * CHUNK_SECONDS / max(self.step(threads), 1e-9))))
            pace.learn(done, threads, self.run(done, threads), done)
            steps -= done

    def better(self, steps):
        """Seconds of so many steps on the better number of threads."""
        if self.busy:
            return steps * min(1.5 * self.alone, self.together + (4e-3 if self.together > 1e-3 else MANY))
        return steps * min(self.alone, self.together)


def pace_of(machine, rate=2.5e10, crowded=None, monkeypatch=None, **options):
    """A fresh model's, on a processor of so many multiply-adds a second."""
    seen = machine.busy if crowded is None else crowded
    monkeypatch.setattr(_pace, "is_crowded", lambda n_threads: seen)
    return Pace(2, machine.alone * rate, **options)


def ratio(machine, pace, steps, seconds):
    """How many times longer fits of so many steps take than on the better number, for some time; then steps, time."""
    began, made = machine.now, 0
    while machine.now < began + seconds:
        machine.fit(pace, steps)
        made += steps
    return (machine.now - began) / machine.better(made)


# Of the cases in which earlier rules chose wrongly, the bench's shapes, and others: seconds of a step on one thread and
# on two.
QUIET = {
    "54-944-944-944-7, batch 1024": (116e-3, 55.2e-3),
    "2048-2048-2048-100, batch 512": (210e-3, 110e-3),
    "6-24-24-24-3, batch 512, processors far apart": (81e-6, 195e-6),
    "12-200-100-50-3, batch 96, processors far apart": (173e-6, 228e-6),
    "64-64-10, batch 32": (16e-6, 12e-6),
    "64-64-10, batch 32, processors far apart": (16e-6, 160e-6),
    "10-46-46-10, batch 128": (24e-6, 17e-6),
    "784-100-10, batch 10": (40e-6, 27e-6),
    "784-128-10, batch 128": (0.6e-3, 0.33e-3),
    "784-512-512-10, batch 32": (1.3e-3, 0.75e-3),
    "a step of 2 ms": (2e-3, 1.1e-3),
    "784-512-512-10, batch 1024": (40e-3, 21e-3),
    "256-1024-1024-1024-10, batch 256": (35e-3, 19e-3),
    "level": (5e-4, 5e-4),
}
BUSY = {"64-64-10": (16e-6, 12e-6), "0.2 ms": (2e-4, 1.2e-4), "1 ms": (1e-3, 0.6e-3), "3 ms": (3e-3, 1.6e-3)}


@pytest.mark.parametrize("steps", [1, 4, 50, 5000])
@pytest.mark.parametrize("rate", [1.2e10, 4e10])
@pytest.mark.parametrize("case", QUIET)
def test_on_a_quiet_machine(monkeypatch, case, rate, steps):
    """At most 1.25 times the better number of threads in a fresh model's first tenth of a second, 1.02 after that."""
    machine = Machine(*QUIET[case])
    pace = pace_of(machine, rate, monkeypatch=monkeypatch)
    assert ratio(machine, pace, steps, 0.1) <= 1.25
    ratio(machine, pace, steps, 0.1)
    assert ratio(machine, pace, steps, 0.5) <= 1.02


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("case", QUIET)
def test_interruptions_and_noise_change_little(monkeypatch, case, seed):
    machine = Machine(*QUIET[case], hiccups=20.0, noise=0.03, seed=seed)
    pace = pace_of(machine, monkeypatch=monkeypatch)
    ratio(machine, pace, 50, 0.3)
    assert ratio(machine, pace, 50, 2.0) <= 1.02 * (1 + 20 * 3e-4 + 0.03)


@pytest.mark.parametrize("steps", [1, 4, 14, 50, 57, 5000])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("case", BUSY)
def test_on_a_busy_machine(monkeypatch, case, seed, steps):
    """At most 1.3 times the better number, from the first fit on."""
    machine = Machine(*BUSY[case], busy=True, seed=seed)
    pace = pace_of(machine, monkeypatch=monkeypatch)
    machine.fit(pace, steps)
    assert machine.now <= 1.3 * machine.better(steps) + 6e-3 * (machine.now > 0.03)
    ratio(machine, pace, steps, 0.3)
    assert ratio(machine, pace, steps, 1.0) <= 1.3


@pytest.mark.parametrize("steps", [1, 14, 57])
def test_a_busy_machine_that_nobody_tells_of(monkeypatch, steps):
    """The first fits teach the later ones."""
    machine = Machine(1e-3, 0.6e-3, busy=True)
    pace = pace_of(machine, crowded=False, monkeypatch=monkeypatch)
    ratio(machine, pace, steps, 0.3)
    assert ratio(machine, pace, steps, 1.0) <= 1.3


@pytest.mark.parametrize("case", [*QUIET, *BUSY])
@pytest.mark.parametrize("busy", [False, True])
def test_trials_take_a_hundredth(monkeypatch, case, busy):
    """At any moment: what the number of threads took that is not the choice, but for one trial that met something."""
    machine = Machine(*{**QUIET, **BUSY}[case], busy=busy)
    pace = pace_of(machine, monkeypatch=monkeypatch)
    longest = 0.0
    for _ in range(500):
        before = pace.spent
        machine.fit(pace, 7)
        longest = max(longest, pace.spent - before)
        assert pace.spent <= TRIAL_SHARE * machine.now + longest
    if not busy:
        assert pace.spent <= 1.01 * TRIAL_SHARE * machine.now + 2 * machine.cold


@pytest.mark.parametrize("alone", [5e-3, 70e-3, 2.0])
def test_a_long_step_is_not_tried_on_one_thread(monkeypatch, alone):
    machine = Machine(alone, 0.8 * alone, noise=0.05)
    assert alone > FEW_SECONDS
    pace = pace_of(machine, monkeypatch=monkeypatch)
    for _ in range(3000):
        machine.fit(pace, 4)
    assert machine.by_threads[1] == 0


def test_a_long_step_is_tried_on_one_thread_where_two_became_slow(monkeypatch):
    machine = Machine(70e-3, 55e-3)
    pace = pace_of(machine, monkeypatch=monkeypatch)
    ratio(machine, pace, 4, 60.0)
    assert machine.by_threads[1] == 0
    machine.together = 140e-3
    ratio(machine, pace, 4, 20.0)
    assert ratio(machine, pace, 4, 20.0) <= 1.02


@pytest.mark.parametrize("scale", [1, 10, 30])
def test_the_choice_follows_the_machine(monkeypatch, scale):
    """Processors that are near to each other and far, neighbours that come and go."""
    machine = Machine(60e-6 * scale, 40e-6 * scale)
    pace = pace_of(machine, monkeypatch=monkeypatch)
    crowded = [False]
    monkeypatch.setattr(_pace, "is_crowded", lambda n_threads: crowded[0])
    for _ in range(4):
        machine.together = 40e-6 * scale
        ratio(machine, pace, 50, 3.0)
        assert ratio(machine, pace, 50, 5.0) <= 1.03
        machine.together = 40e-6 * scale + 150e-6 * scale
        ratio(machine, pace, 50, 0.2)
        assert ratio(machine, pace, 50, 3.0) <= 1.03
        machine.busy = crowded[0] = True
        ratio(machine, pace, 50, 0.2)
        assert ratio(machine, pace, 50, 5.0) <= 1.3
        machine.busy = crowded[0] = False


def test_a_hiccup_is_forgotten(monkeypatch):
    machine = Machine(15e-6, 10e-6)
    pace = pace_of(machine, monkeypatch=monkeypatch)
    ratio(machine, pace, 5000, 3.0)
    assert pace.threads == 2
    pace.learn(100, 2, 100 * 1e-3, 100)  # a hundred times as long as usual
    assert ratio(machine, pace, 5000, 1.0) <= 1.02


@pytest.mark.parametrize("rows", [1, 20])
def test_the_rest_of_an_epoch_is_worth_what_it_holds(monkeypatch, rows):
    """A step of few rows is no fast one."""
    from fastmlp.training.steps import Steps

    steps = Steps(3 * BATCH + rows, BATCH)
    steps.n = 2
    assert steps.units(2) == 2
    steps.n = 4
    assert steps.units(1) == rows / BATCH
    assert steps.units(4) == 3 + rows / BATCH
    steps.n = 9
    assert steps.units(9) == 7 + 2 * rows / BATCH


# ---- chunks ----


@pytest.mark.parametrize(
    ("work", "steps"), [(1.0, FIRST_STEPS), (FIRST_WORK / FIRST_STEPS / 2, FIRST_STEPS), (1e6, FIRST_WORK / 1e6),
                        (FIRST_WORK, 1), (1e15, 1)]
)  # fmt: skip
@pytest.mark.parametrize("options", [{"n_threads": 1}, {"n_threads": 3, "exact": True}])
def test_the_first_chunk_is_bounded_by_work_and_steps(options, work, steps):
    assert Pace(work=work, **options).next(MANY) == (steps, options["n_threads"])


@pytest.mark.parametrize("seconds", [1e-7, 3e-6, 1e-4, 2e-3, 0.029])
@pytest.mark.parametrize("work", [1.0, 1e5, 1e9])
def test_chunks_come_to_their_length_whatever_the_first(work, seconds):
    pace = Pace(1, work)
    for _ in range(50):
        steps, threads = pace.next(MANY)
        pace.learn(steps, threads, steps * seconds, steps)
    assert pace.next(MANY)[0] == pytest.approx(CHUNK_SECONDS / seconds, abs=1)


def test_chunks_grow_at_most_eightfold():
    pace, lengths = Pace(1, 1e9), []
    for _ in range(4):
        lengths.append(pace.next(MANY)[0])
        pace.learn(lengths[-1], 1, lengths[-1] * 1e-7, lengths[-1])
    assert lengths == [1, 8, 64, 512]


@pytest.mark.parametrize("options", [{}, {"exact": True}])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_clock_that_stands_still_is_survived(n_threads, options):
    pace = Pace(n_threads, 1e6, **options)
    for _ in range(50):
        steps, threads = pace.next(100)
        assert 1 <= steps <= 100
        pace.learn(steps, threads, 0.0, steps)


@pytest.mark.parametrize(("n_threads", "exact"), [(1, False), (1, True), (2, True)])
def test_a_given_number_of_threads_stays(n_threads, exact):
    machine, pace = Machine(1e-5, 1e-3), Pace(n_threads, 1e6, exact)
    machine.fit(pace, 10_000)
    assert {threads for threads, seconds in machine.by_threads.items() if seconds} == {n_threads}


@pytest.mark.parametrize("left", [1, 7, 50, 300])
def test_no_more_steps_than_are_left(monkeypatch, left):
    machine = Machine(15e-6, 10e-6)
    pace = pace_of(machine, monkeypatch=monkeypatch)
    used = set()
    while machine.now < 0.2:
        steps, threads = pace.next(left)
        assert 1 <= steps <= left
        used.add(threads)
        pace.learn(steps, threads, machine.run(steps, threads), steps)
    assert used == {1, 2}


# ---- what a model remembers ----


def run_of(rows, n_threads=2, exact=False, training=True):
    network = SimpleNamespace(work=lambda rows, training: 5e4 * rows)
    return SimpleNamespace(batch_rows=rows, n_threads=n_threads, exact_threads=exact, training=training,
                           network=network, most_threads=n_threads)  # fmt: skip


def test_knowledge_stays_from_call_to_call():
    """Also of single batches whose sizes differ; not that of another kind of call."""
    paces = _pace.Paces()
    key, pace = paces.take(run_of(96), "training fit", False)
    paces.give(key, pace)
    assert paces.take(run_of(96), "training fit", False)[1] is pace
    paces.give(key, pace)
    assert paces.take(run_of(95), "training fit", False)[1] is not pace
    assert paces.take(run_of(96), "prediction", False)[1] is not pace
    key, pace = paces.take(run_of(96), "training step", True)
    paces.give(key, pace)
    assert paces.take(run_of(70), "training step", True)[1] is pace
    assert paces.take(run_of(70), "training step", True)[1] is not pace  # somebody has it


def test_what_is_remembered_is_bounded():
    paces = _pace.Paces()
    for rows in range(1, 300):
        paces.give(*paces.take(run_of(rows), "training fit", False))
    assert len(paces._kept) == _pace.KEPT
    key, pace = paces.take(run_of(299), "training fit", False)
    assert key in {("training fit", 299, 2, False)}
    assert pace.threads in (1, 2)


@pytest.mark.parametrize("rows", [(100, 100), (65, 128), (128, 65)])
@pytest.mark.parametrize(("alone", "together"), [(2e-6, 1e-6), (2e-6, 3e-6), (2e-6, 40e-6)])
def test_single_calls_find_their_threads(monkeypatch, rows, alone, together):
    """Of batches of two sizes in turn."""
    machine, paces = Machine(alone, together), _pace.Paces()
    monkeypatch.setattr(_pace, "time", SimpleNamespace(perf_counter=lambda: machine.now))
    monkeypatch.setattr(_pace, "is_crowded", lambda n_threads: False)
    used = []

    def call(n):
        run = run_of(n)
        key, pace = paces.take(run, "training step", True)

        def work(given):
            used.append(given.most_threads)
            machine.run(n, given.most_threads)
            return "result"

        assert _pace.single_call(run, work, n, pace) == "result"
        paces.give(key, pace)

    while machine.now < 1.0:
        for n in rows:
            call(n)
    better = 1 if alone < together else 2
    assert used[len(used) // 2 :].count(better) > 0.97 * len(used) / 2
