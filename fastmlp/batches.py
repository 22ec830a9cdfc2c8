"""An iterable of batches as `Model.fit` trains on it: read ahead in a thread, checked there, each batch one step."""

import collections
import contextlib
import math
import numbers
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _engine, _pool
from fastmlp._validation import Array, is_by_number, own
from fastmlp.training import Steps

if TYPE_CHECKING:
    from fastmlp.model import Model

# What is read ahead: at most so many batches, and none while those that wait fill so many bytes.
AHEAD_BATCHES, AHEAD_BYTES = 8, 1 << 26
# How long an error or Ctrl-C waits for the thread, which may be in the middle of a batch.
PATIENCE_SECONDS = 0.1
# Waiting looks up so often: a Ctrl-C that another thread caught does not wake the main thread, and one that came before
# a signal was set leaves the other thread without it.
WAKE_SECONDS = 0.05

Batch = tuple[Array, ...]


class Signal:
    """One thread wakes another: `set` ends its `wait`, also one that begins later.

    A lock, which is compiled: Ctrl-C can end a `threading.Condition` between taking its lock and giving it back, and
    then both threads would wait for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let `wait` return."""
        with contextlib.suppress(RuntimeError):  # it was set
            self._lock.release()

    def wait(self, seconds: float) -> None:
        """Return after `set`, or so many seconds."""
        self._lock.acquire(timeout=seconds)


class Reader:
    """Reads an iterator ahead in a daemon thread, while there is room and never more batches than it was asked for.

    Parameters
    ----------
    iterator : Iterator
    """

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator
        self.waiting: collections.deque[Batch | BaseException | None] = collections.deque()  # None: there are no more
        self.bytes_read = self.bytes_taken = 0  # each is changed by one thread
        self.n_read = 0
        self.filled, self.room = Signal(), Signal()
        self.thread: threading.Thread | None = None
        self.stopping = False
        self.process = os.getpid()

    def start(self, many: float, check: Callable[[int, Any], Batch]) -> None:
        """Read so many batches, counted from the next that `take` gives; inf: to the end. In the thread `check` makes
        of the i-th what the engine reads."""
        self.stop(math.inf)
        self.stopping = False
        arguments = (many - len(self.waiting), check)
        self.thread = threading.Thread(target=self._read, args=arguments, name="fastmlp batches", daemon=True)
        self.thread.start()

    def stop(self, seconds: float) -> None:
        """End the thread: now, or after the batch that it is reading, for which this waits so long. What it has read
        stays for the next `start`."""
        self.stopping = True
        self.room.set()
        if self.thread is not None and self.thread.ident is not None:  # not if Ctrl-C came before it was started
            self.thread.join(None if seconds == math.inf else seconds)

    def take(self) -> Batch | None:
        """The next batch; None where there is none, and what the iterator raised where it did."""
        self.peek()
        batch = self.waiting.popleft()
        self.bytes_taken += _n_bytes(batch)
        self.room.set()
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def peek(self) -> Batch | BaseException | None:
        """What `take` will give or raise, once it is there."""
        while not self.waiting:
            if self.is_empty():
                if self.process == os.getpid():
                    raise RuntimeError("the thread that read the batches has ended before its time; call fit again")
                raise RuntimeError(
                    "the thread that read the batches is gone: this process was forked from the one in which it runs. "
                    "Call fit in the child, with an iterable made there"
                )
            self.filled.wait(WAKE_SECONDS)
        return self.waiting[0]

    def is_empty(self) -> bool:
        """Whether nothing waits, nor will."""
        dead = self.thread is None or not self.thread.is_alive()  # looked up first: its last act may be a batch
        return dead and not self.waiting

    def _read(self, many: float, check: Callable[[int, Any], Batch]) -> None:
        while many > 0 and self._has_room():
            many -= 1
            batch: Batch | BaseException | None
            try:
                batch = check(self.n_read, next(self.iterator))
            except StopIteration:
                batch = None
            except BaseException as error:  # the caller's to see, with the traceback that it has
                batch = error
            self.n_read += 1
            self.bytes_read += _n_bytes(batch)
            self.waiting.append(batch)
            self.filled.set()
            if batch is None or isinstance(batch, BaseException):
                return

    def _has_room(self) -> bool:
        """Wait for room; False where reading is to stop."""
        while (
            not self.stopping
            and self.waiting
            and (len(self.waiting) >= AHEAD_BATCHES or self.bytes_read - self.bytes_taken >= AHEAD_BYTES)
        ):
            self.room.wait(WAKE_SECONDS)
        return not self.stopping


def _n_bytes(batch: Batch | BaseException | None) -> int:
    return sum(array.nbytes for array in batch) if isinstance(batch, tuple) else 0


def is_iterable(batches: Any) -> bool:
    """Whether batches can be taken from something one after the other; not from an array."""
    return (isinstance(batches, Iterable) and not hasattr(batches, "__array__")) or is_by_number(batches)


def check_iterable(call: str, X: Any, sample_weight: Any) -> None:
    """Whether what a call got in the place of X, without y, is an iterable of batches; TypeError or ValueError."""
    if not is_iterable(X):
        raise TypeError(
            f"y is None; {call} takes arrays X and y, or an iterable of (X, y), not only {type(X).__name__}"
        )
    if isinstance(X, tuple | list) and len(X) in (2, 3) and hasattr(X[0], "__array__"):
        raise TypeError(f"X is a {type(X).__name__} of {len(X)} arrays and y is None; did you mean {call}(X, y)?")
    if sample_weight is not None:
        raise ValueError("sample_weight is for arrays; an iterable gives batches (X, y, sample_weight)")


def check_pair(name: str, given: Any) -> None:
    """Whether something is a batch: two or three arrays."""
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        many = f" of {len(given)}" if isinstance(given, tuple | list) else ""
        raise TypeError(f"{name} must be a pair (X, y) or (X, y, sample_weight), not {type(given).__name__}{many}")
    if isinstance(given[1], numbers.Number) or getattr(given[1], "shape", None) == ():
        raise ValueError(
            f"{name} is a single sample, of y={given[1]!r}; give arrays X and y of all samples, or batches of several"
        )


class BatchRun:
    """Stands for an engine.Run in `training.fit`: its data come from an iterable, and each batch is a step.

    Parameters
    ----------
    model : Model
    batches : iterable of (X, y) or (X, y, sample_weight)
        One that begins anew with every `iter` gives an epoch each time; an iterator goes on where it stands.
    steps_per_epoch : int or None
    epochs : int
    class_weight : dict or None, default None
    """

    def __init__(
        self,
        model: "Model",
        batches: Iterable[Any],
        steps_per_epoch: int | None,
        epochs: int,
        class_weight: Any = None,
    ) -> None:
        self.model, self.batches, self.steps_per_epoch = model, batches, steps_per_epoch
        self.class_weight = class_weight
        self.paced = True  # by each batch itself
        self.n_inputs = model.n_inputs
        self.rows: list[int] = []  # of the steps of the last `train`
        self.waited = 0.0  # seconds that it waited for batches
        self.done = 0  # steps of this epoch
        self.interrupted = False  # by Ctrl-C: the thread gets no more time than after an error
        self.reader: Reader | None = None
        if not isinstance(batches, Iterator):
            return
        if steps_per_epoch is None:
            raise ValueError(
                f"steps_per_epoch is missing: a {type(batches).__name__} does not say where an epoch ends, as a list "
                "or an object whose __iter__ begins anew does"
            )
        kept = model._reader  # of an earlier fit: what it read ahead and did not use comes first
        if kept is None or kept.iterator is not batches or kept.process != os.getpid():
            kept = Reader(batches)
        self.reader = model._reader = kept
        self.many = epochs * steps_per_epoch

    def _begin(self) -> None:
        """Begin a pass over what gives an epoch each time."""
        given: Any = self.batches
        self.reader = Reader(
            iter(given) if isinstance(given, Iterable) else (given[i] for i in range(len(given)))  # as Keras's Sequence
        )
        self.reader.start(math.inf if self.steps_per_epoch is None else self.steps_per_epoch, self._checked)

    def __enter__(self) -> "BatchRun":
        try:
            if self.reader is None:
                self._begin()
            else:
                self.reader.start(self.many, self._checked)
        except BaseException:  # Ctrl-C: no __exit__ would follow
            if self.reader is not None:
                self.reader.stop(PATIENCE_SECONDS)
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        _pool.trim(self.model, after_training=True)
        _engine.rest()
        if self.reader is not None:
            self.reader.stop(PATIENCE_SECONDS if self.interrupted or kind is not None else math.inf)
        if self.model._reader is not None and self.model._reader.is_empty():
            self.model._reader = None  # nothing is lost without it

    def _checked(self, i: int, given: Any) -> Batch:
        """A batch as the engine reads it, in arrays that the iterable does not write to when it goes on."""
        check_pair(f"batch {i}", given)
        X, targets = self.model._data(given[0], given[1], (f"X of batch {i}", f"y of batch {i}"), self.n_inputs)
        self.n_inputs = X.shape[1]
        given_weight = given[2] if len(given) == 3 else None
        name = f"sample_weight of batch {i}"
        weights = self.model._sample_weights(given_weight, targets, name=name, some=False)
        if self.class_weight is not None:  # whether it suits; another fit may use the batch, so that `train` applies it
            self.model._sample_weights(weights, targets, self.class_weight, name, some=False)
        batch = own(X, given[0]), own(targets, given[1])
        return batch if weights is None else (*batch, own(weights, given_weight))

    def first(self) -> Batch:
        """The batch that comes next, left where it is."""
        assert self.reader is not None
        batch = self.reader.peek()
        if isinstance(batch, tuple):
            return batch
        self.reader.take()  # raises, unless there is none
        raise self._empty()

    def _empty(self) -> ValueError:
        return ValueError(f"the {type(self.batches).__name__} holds no batch")

    @property
    def network(self) -> Any:
        """The model's."""
        return self.model._network

    def start_epoch(self) -> None:
        """Each batch begins its own."""

    def mapped(self) -> list[Array]:
        """Batches are copies."""
        return []

    def is_over(self) -> bool:
        """Whether the epoch has no further batch: the next `train` begins another."""
        if self.reader is None:
            self._begin()
        assert self.reader is not None
        if self.reader.peek() is not None:
            return False
        self.reader.take()
        self._end()
        return True

    def train(
        self, rates: Array, hyper: Any, shuffle: bool, seed: int, most_threads: int, seconds: float
    ) -> tuple[Array, Array]:
        """One step for each rate, up to the one in which so many seconds have passed or the iterable ends.

        Returns (losses, right) as engine.Run.train does.
        """
        until = time.perf_counter() + seconds
        self.rows, self.waited = [], 0.0
        losses: list[Array] = []
        right: list[Array] = []
        if self.reader is None:
            self._begin()
        assert self.reader is not None
        for i in range(len(rates)):
            asked = time.perf_counter()
            over = self.reader.peek() is None
            self.waited += time.perf_counter() - asked
            if over and losses:  # the next call finds it again
                break
            batch = self.reader.take()
            if batch is None:
                self._end()
                break
            X, targets, weights = batch[0], batch[1], batch[2] if len(batch) == 3 else None
            if self.class_weight is not None:
                weights = self.model._sample_weights(weights, targets, self.class_weight, some=False)

            def step(run: Any, rate: Array = rates[i : i + 1]) -> tuple[Array, Array]:
                run.start_epoch()
                found: tuple[Array, Array] = run.train(rate, hyper, False, seed)
                return found

            loss, hits = self.model._with_run(step, len(X), "training", X, targets, weights, keep=True)
            losses.append(loss)
            right.append(hits)
            self.rows.append(len(X))
            self.done += 1
            if not np.isfinite(loss[0]) or time.perf_counter() >= until:
                break
        if self.done == self.steps_per_epoch:
            self._end()
        return np.concatenate([*losses, np.empty(0)]), np.concatenate([*right, np.empty(0, np.intp)])

    def _end(self) -> None:
        """The epoch is over, or the iterable."""
        assert self.reader is not None
        if self.steps_per_epoch is not None and self.done < self.steps_per_epoch:
            raise ValueError(
                f"the {type(self.batches).__name__} ended after {self.done} of steps_per_epoch={self.steps_per_epoch} "
                "batches of an epoch; give it more, or ask for fewer steps or epochs"
            )
        if self.done == 0:
            raise self._empty()
        self.done = 0
        if not isinstance(self.batches, Iterator):
            self.reader.stop(math.inf)
            self.reader = None


class BatchSteps(Steps):
    """Losses and right predictions of the steps of one epoch, whose rows are known when they are done."""

    many = False

    def __init__(self, run: BatchRun) -> None:
        self.run, self.steps = run, run.steps_per_epoch
        self.clear()

    def clear(self) -> None:
        """Begin the next epoch."""
        super().clear()
        self.rows: list[int] = []

    def units(self, last: int) -> float:
        """Each batch has found its threads as a single call: here is nothing to be chosen."""
        return last

    def add(self, losses: Array, right: Array) -> None:
        """Keep what some steps gave."""
        super().add(losses, right)
        self.waited = self.run.waited
        self.rows += self.run.rows
