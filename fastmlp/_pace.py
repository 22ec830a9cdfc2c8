"""On how many threads a step or a call runs, and how many steps pass between two visits of Python: as their times tell.

One rule for `fit` and for single calls. A second thread makes steps up to twice as fast where processors are idle. It
makes them several times slower where another program wants these, as each step then waits for a thread that is not
running, or where two processors are slow to hear of each other. What holds is seen only by trying, and trying costs:

- Nothing is known of a fresh model but its multiply-adds, and whether other programs run: the first choice is the one
  that should be faster by these.
- What one number of threads takes is measured all the time, what the other would take by short trials. All trials
  together have at most a hundredth of the time that was seen. So the first comes after some milliseconds where steps
  are small, and the others ever more rarely, in the end two a second.
- A trial goes on, longer and longer, as long as it is ahead, and so becomes the choice; else its time is what it cost.
- A choice that gets slower than the other one was is left at once.
- A step that would take one thread more than a few milliseconds is not tried on one, unless several were slow.

A `Pace` needs no clock: time is what steps and calls took. The bits are the same for every choice.
"""

import time
from collections.abc import Callable
from typing import Any

from fastmlp import _engine
from fastmlp.config import is_crowded

# Time between two visits of Python: short enough for Ctrl-C, long enough to cost nothing.
CHUNK_SECONDS = 0.03
# The first chunk, before the speed is known: multiply-adds of 1 to 100 ms, and steps, which have a cost of their own;
# and where threads are to be chosen, whose first trial comes soon.
FIRST_WORK, FIRST_STEPS = 3e8, 10_000
FIRST_WORK_TO_CHOOSE, FIRST_STEPS_TO_CHOOSE = 2e7, 200
# All trials may take so much of the time.
TRIAL_SHARE = 0.01
# Time between two trials at least, at first and at last, of what was seen; and how long the last ones are.
FIRST_TRIAL, TRIAL_PERIOD, TRIAL_SECONDS = 0.002, 0.5, 0.0025
# So much less than the present choice a trial must take, and for how long, to become the choice.
AHEAD, PROBATION = 0.98, 0.02
# So much more than the other one took is slow; and so much more than it took itself.
BEHIND, SLOWER = 1.1, 1.5
# A step of more is not tried on one thread.
FEW_SECONDS = 0.004
# A shorter unit is made once before a trial measures: on several threads, which may have to be woken, and on one, whose
# cache has to be filled.
WARM_SECONDS, WARM_SECONDS_ALONE = 5e-4, 5e-5
# Times are means over so much, and so many of them are kept.
WINDOW_SECONDS, WINDOWS = 0.005, 5
# Multiply-adds that one thread makes in a second, of a usual processor and of a slow one; what several threads save of
# their time, what meeting costs them in each step, and in a call for which they have to be woken.
RATE, SLOW_RATE = 2.5e10, 1.2e10
SHARED, MEETING_SECONDS, WAKING_SECONDS = 1.1, 2e-5, 1.8e-4
# What a thread waits for its turn where other programs run.
TURN_SECONDS = 0.003
# Of calls that begin so long after the last one, and of those that take long, the threads do not wait for another: to
# make them again takes some 50 microseconds.
RARE_SECONDS, LONG_SECONDS = 0.001, 0.05
# Kinds and sizes of calls of which a model remembers what they took.
KEPT = 64


class Recent:
    """Seconds of a unit of work, of late."""

    def __init__(self) -> None:
        self.means: list[float] = []
        self.units = self.seconds = 0.0  # since the last mean

    def add(self, units: float, seconds: float, window: float) -> None:
        """Take into account what some units took; with those before them if they did not fill the window."""
        self.units += units
        self.seconds += seconds
        if self.seconds >= window and self.units > 0:
            self.means = [*self.means[1 - WINDOWS :], self.seconds / self.units]
            self.units = self.seconds = 0.0

    @property
    def value(self) -> float:
        """The mean without the longest, which may have met an interruption."""
        if len(self.means) < 2:
            return self.means[0]
        return (sum(self.means) - max(self.means)) / (len(self.means) - 1)


def is_cold(threads: int, unit_seconds: float) -> bool:
    """Whether the first unit of a trial is no measure of the others."""
    return unit_seconds < (WARM_SECONDS if threads > 1 else WARM_SECONDS_ALONE)


class Trial:
    """What the other number of threads took so far."""

    def __init__(self, threads: int, length: float, expected: float) -> None:
        self.threads, self.expected = threads, expected
        self.goal = length  # seconds after which it is judged
        self.cold = is_cold(threads, expected)  # whether the next unit is not to be measured
        self.units = self.seconds = 0.0
        self.cost = 0.0
        self.recent = Recent()

    def steps(self) -> float:
        """Up to the goal."""
        if self.cold:
            return 1
        expected = self.seconds / self.units if self.units else self.expected
        return (self.goal - self.seconds) / max(expected, 1e-9)


class Pace:
    """Chooses the threads, and the steps of a chunk.

    Parameters
    ----------
    n_threads : int
        As many as the work deserves; 1 leaves no choice.
    work : float
        Multiply-adds of a unit: of a step, or of a call on as many rows as there are buffers for.
    exact : bool
        Always that number of threads.
    single : bool
        For single calls, before which threads may have to be woken.
    """

    def __init__(self, n_threads: int, work: float, exact: bool = False, single: bool = False) -> None:
        self.work, self.most = work, n_threads
        self.can_choose = n_threads > 1 and not exact
        self.threads = n_threads
        first = (FIRST_WORK_TO_CHOOSE, FIRST_STEPS_TO_CHOOSE) if self.can_choose else (FIRST_WORK, FIRST_STEPS)
        self.steps = max(1, min(first[1], int(first[0] / max(work, 1.0))))
        self.seen = self.spent = 0.0  # seconds of all that was measured, and of trials that were given up
        self.next_trial = FIRST_TRIAL  # of what was seen
        self.last_trial = 0.0
        self.known: dict[int, Recent] = {}
        self.best = float("inf")  # what a unit of the present choice took at best
        self.trial: Trial | None = None
        if self.can_choose:
            alone = work / RATE
            together = SHARED * alone / n_threads + (WAKING_SECONDS if single else MEETING_SECONDS)
            if together + TURN_SECONDS < alone or (together < alone and not is_crowded(n_threads)):
                return
            self.threads = 1

    @property
    def other(self) -> int:
        """The number of threads that is not the present choice."""
        return self.most if self.threads == 1 else 1

    @property
    def next_threads(self) -> int:
        """Of the next call, as far as one can tell."""
        return self.threads if self.trial is None else self.trial.threads

    def next(self, left: float) -> tuple[int, int]:
        """Steps of the next chunk, at most so many, and its threads."""
        steps = float(self.steps)
        recent = self.known.get(self.threads)
        if self.trial is None and self.can_choose and recent is not None and recent.means:
            if self.seen >= self.next_trial:
                self._begin_trial()
            else:
                until = (self.next_trial - self.seen) / max(recent.value, 1e-9)
                steps = min(steps, until + 1)
        if self.trial is not None:
            return int(max(1, min(self.trial.steps(), left))), self.trial.threads
        return int(max(1, min(steps, left))), self.threads

    def learn(self, units: float, threads: int, seconds: float, steps: int = 1) -> None:
        """Take into account what some units took, of a chunk of so many steps, on the threads that `next` gave."""
        self.seen += seconds
        if self.trial is not None and threads == self.trial.threads:
            self._judge(self.trial, units, seconds)
            return
        recent = self.known.setdefault(threads, Recent())
        recent.add(units, seconds, min(WINDOW_SECONDS, self.seen / 16))
        took = max(seconds, 1e-7) / max(steps, 1)
        self.steps = max(1, min(8 * max(steps, self.steps), int(CHUNK_SECONDS / took)))
        if not recent.means:
            return
        value = recent.value
        self.best = min(value, self.best * (1 + seconds / 60))  # a processor may become slower for good
        found = self.known.get(self.other)
        if found is not None and len(recent.means) >= 3 and value > BEHIND * found.value:
            self._change(Recent(), found.value)

    def _expected(self) -> float:
        """Seconds of a unit on the other number of threads, as far as one can tell."""
        now = self.known[self.threads].value
        found = self.known.get(self.other)
        if found is not None:
            return found.value
        return min(self.most * now, self.work / SLOW_RATE) if self.other == 1 else now

    def _begin_trial(self) -> None:
        """Try the other number of threads, if that may be and what it costs was earned."""
        now, expected = self.known[self.threads].value, self._expected()
        if self.other == 1 and expected > FEW_SECONDS and now < min(SLOWER * self.best, self.work / SLOW_RATE):
            self.next_trial = self.seen + FIRST_TRIAL
            return
        length = min(TRIAL_SECONDS, TRIAL_SHARE / 2 * (self.seen - self.last_trial))
        cost = max(length, expected) + (expected if is_cold(self.other, expected) else 0)
        budget = TRIAL_SHARE * self.seen - self.spent
        if cost <= budget and self.other > 1 and is_crowded(self.other):
            cost = max(cost, TURN_SECONDS)
        if cost > budget:
            self.next_trial = self.seen + (cost - budget) / TRIAL_SHARE
            return
        self.trial = Trial(self.other, length, expected)

    def _judge(self, trial: Trial, units: float, seconds: float) -> None:
        """Give a trial up, let it go on, or choose it."""
        trial.cost += seconds
        if trial.cold:
            trial.cold = False
            return
        trial.units += units
        trial.seconds += seconds
        trial.recent.add(units, seconds, 0.0)
        if trial.seconds < trial.goal:
            return
        if trial.seconds >= AHEAD * self.known[self.threads].value * trial.units:
            self.spent += trial.cost
            self.known[trial.threads] = trial.recent
            self._end_trial()
        elif trial.seconds >= PROBATION:
            self._change(trial.recent, trial.seconds / trial.units)
        else:
            trial.goal = min(4 * trial.seconds, PROBATION)

    def _change(self, recent: Recent, took: float) -> None:
        """Go over to the other number of threads."""
        self.threads = self.other
        self.known[self.threads] = recent
        self.best = took
        self.steps = max(1, int(CHUNK_SECONDS / 30 / max(took, 1e-7)))
        self._end_trial()

    def _end_trial(self) -> None:
        self.trial = None
        self.last_trial = self.seen
        self.next_trial = self.seen + min(max(self.seen, FIRST_TRIAL), TRIAL_PERIOD)


class Paces:
    """What the steps and calls of a model have taught, by their kind and size. They stay as long as its buffers, and
    longer than those of a batch size that comes and goes.

    Two threads that predict at the same time do not share a `Pace`: one takes it away and gives it back.
    """

    def __init__(self) -> None:
        self._kept: dict[Any, Pace] = {}

    def take(self, run: Any, kind: str, single: bool) -> tuple[Any, Pace]:
        """Key and `Pace` of what an engine.Run is to do."""
        rows = _size(run.batch_rows) if single else run.batch_rows
        key = (kind, rows, run.n_threads, run.exact_threads)
        pace = self._kept.pop(key, None)
        if pace is None:
            pace = Pace(run.n_threads, run.network.work(rows, run.training), run.exact_threads, single)
        return key, pace

    def give(self, key: Any, pace: Pace) -> None:
        """Keep it for the next call."""
        self._kept[key] = pace
        for oldest in list(self._kept)[:-KEPT]:
            self._kept.pop(oldest, None)


class Rest:
    """Made before a call on several threads: at its end they give their processors back, unless calls come often."""

    def __init__(self) -> None:
        self.is_rare = _engine.idle_seconds() > RARE_SECONDS
        self.began = time.perf_counter()

    def end(self) -> None:
        """The call is over."""
        if self.is_rare or time.perf_counter() - self.began > LONG_SECONDS:
            _engine.rest()


def _size(rows: int) -> int:
    """One of few numbers of rows: batches of about one size know of each other."""
    return 1 << (rows - 1).bit_length()


def single_call(run: Any, work: Callable[[Any], Any], n_samples: int, pace: Pace) -> Any:
    """What work does with an engine.Run, on as many threads as calls like it were found to want."""
    if not pace.can_choose:
        return work(run)
    _, threads = pace.next(1)
    run.most_threads, run.paced = threads, True
    began = time.perf_counter()
    result = work(run)
    pace.learn(n_samples / _size(run.batch_rows), threads, time.perf_counter() - began)
    if threads > 1 and pace.next_threads == 1:  # after a trial
        _engine.rest()
    return result
