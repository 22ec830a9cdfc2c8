"""The loop of `Model.fit`: chunks of steps in the engine, and between them progress, callbacks and Ctrl-C."""

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp._validation import Array
from fastmlp.callbacks import Callback, Logs
from fastmlp.history import DivergedError, History

if TYPE_CHECKING:
    from fastmlp.model import Model

# Time between two visits of Python: short enough for Ctrl-C, long enough to cost nothing.
CHUNK_SECONDS = 0.03
# The first chunk, before the speed is known: multiply-adds of 1 to 100 ms, and steps, which have a cost of their own.
FIRST_WORK, FIRST_STEPS = 3e8, 10_000
# How often the other number of threads is tried, and for how long.
TRIAL_PERIOD, TRIAL_SECONDS = 1.0, 0.005


def fit(
    model: "Model",
    run: Any,
    n_samples: int,
    batch_size: int,
    epochs: int,
    validation: tuple[Array, Array] | None,
    shuffle: bool,
    callbacks: list[Callback],
) -> History:
    """Train for some epochs on the data bound to an engine.Run.

    Small epochs go through several at a time where nobody wants to hear of each one.

    Returns
    -------
    History
    """
    history, recorded = History(), Steps(n_samples, batch_size)
    pace = Pace(run, batch_size)
    steps = len(recorded.rows)
    by_epoch = bool(callbacks) or validation is not None
    run.start_epoch()
    model.stop_training = False
    for callback in callbacks:
        callback.model = model
        callback.params = {"epochs": epochs, "steps": steps}
    try:
        call(callbacks, "on_train_begin")
        epoch = 0
        while epoch < epochs and not model.stop_training:
            call(callbacks, "on_epoch_begin", epoch)
            many = 1 if by_epoch else max(1, min(epochs - epoch, pace.steps // steps))
            try:
                train_epochs(model, run, many, shuffle, callbacks, pace, recorded, history)
            except DivergedError:
                if many == 1:
                    raise
                by_epoch = True  # the same epochs again, one by one, up to the one in which it happened
                continue
            for logs in recorded.logs(model, min(steps, recorded.n)):
                if validation is not None:
                    logs |= {f"val_{name}": value for name, value in model._evaluate(*validation).items()}
                history.append(epoch, logs)
                call(callbacks, "on_epoch_end", epoch, logs)
                epoch += 1
    finally:
        call(callbacks, "on_train_end")
    return history


def train_epochs(
    model: "Model",
    run: Any,
    many: int,
    shuffle: bool,
    callbacks: list[Callback],
    pace: "Pace",
    recorded: "Steps",
    history: History,
) -> None:
    """Train `many` epochs into `recorded`; where the loss diverges, go back to the weights before them and say so."""
    network = run.network
    last_good = network.snapshot(states=many > 1)
    recorded.clear()
    total = len(recorded.rows) * many
    while recorded.n < total:
        chunk, threads = pace.next(total - recorded.n)
        rate = float(model.optimizer.learning_rate)
        with pace.measure(chunk, threads):
            losses, right = run.train(np.full(chunk, rate), model.optimizer.hyper(), shuffle, model.seed, threads)
        recorded.add(losses, right)
        if not np.isfinite(losses).all():
            step = int(network.step) + 1  # the engine stopped before this step changed the weights
            network.restore(last_good)
            raise DivergedError(step, rate, history)
        if callbacks:
            call(callbacks, "on_train_batch_end", recorded.n - 1, recorded.logs(model, recorded.n)[-1])
            if model.stop_training:
                break
    if not network.is_finite():  # the last update has no next step whose loss would tell
        step = int(network.step)
        network.restore(last_good)
        raise DivergedError(step, float(model.optimizer.learning_rate), history)


def call(callbacks: list[Callback], hook: str, *arguments: Any) -> None:
    """One hook of every callback."""
    for callback in callbacks:
        getattr(callback, hook)(*arguments)


class Pace:
    """How long chunks are, and on how many threads they run: as the clock tells.

    A second thread makes steps up to twice as fast where processors are idle, and several times slower where another
    program wants them, as each step then waits for a thread that is not running. So a short chunk now and then tries
    one thread, or all that the work deserves, whichever the others did not. The bits are the same.
    """

    def __init__(self, run: Any, batch_size: int) -> None:
        work = run.network.work(batch_size, True)  # multiply-adds of a step
        self.steps = max(1, min(FIRST_STEPS, int(FIRST_WORK / work)))
        self.choices = [run.n_threads] if run.exact_threads or run.n_threads == 1 else [run.n_threads, 1]
        self.seconds: dict[int, float] = {}  # of a step, by the number of threads that made it
        self.tried = 0.0

    def next(self, left: int) -> tuple[int, int]:
        """Steps of the next chunk, at most so many, and its threads."""
        if not self.seconds:
            return min(self.steps, left), self.choices[0]
        best = min(self.seconds, key=lambda threads: self.seconds[threads])
        now = time.perf_counter()
        if len(self.choices) > 1 and now > self.tried + TRIAL_PERIOD:
            self.tried = now
            trial = int(TRIAL_SECONDS / self.seconds[best])
            if trial > 0:  # a step may last longer than a trial may
                return min(trial, left), self.choices[self.choices[0] == best]
        return min(self.steps, left), best

    @contextlib.contextmanager
    def measure(self, steps: int, threads: int) -> Iterator[None]:
        """Time a chunk, and learn from it."""
        began = time.perf_counter()
        yield
        self.seconds[threads] = max(time.perf_counter() - began, 1e-7) / steps
        fastest = min(self.seconds.values())
        self.steps = max(1, min(8 * max(steps, self.steps), int(CHUNK_SECONDS / fastest)))


class Steps:
    """Losses and right predictions of the steps of one chunk of epochs."""

    def __init__(self, n_samples: int, batch_size: int) -> None:
        steps = -(-n_samples // batch_size)
        self.rows = np.full(steps, float(batch_size))
        self.rows[-1] = n_samples - (steps - 1) * batch_size
        self.clear()

    def clear(self) -> None:
        """Begin the next chunk of epochs."""
        self.losses: list[Array] = []
        self.right: list[Array] = []
        self.n = 0

    def add(self, losses: Array, right: Array) -> None:
        """Keep what a chunk of steps gave."""
        self.losses.append(losses)
        self.right.append(right)
        self.n += len(losses)

    def logs(self, model: "Model", steps: int) -> list[Logs]:
        """Means over every `steps` steps: one entry an epoch, or one for the steps so far."""
        losses = np.concatenate(self.losses).reshape(-1, steps)
        right = np.concatenate(self.right).reshape(-1, steps)
        rows = self.rows[:steps]
        n = int(rows.sum())
        means = (losses * rows).sum(axis=1) / n
        return [
            model._logs(mean, hits, n) for mean, hits in zip(means.tolist(), right.sum(axis=1).tolist(), strict=True)
        ]
