"""An iterable of batches as a training takes it: read ahead and checked in a thread, each batch one step."""

import math
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fastmlp import _engine
from fastmlp._iterables import check_pair
from fastmlp._validation import Array, check_some_weight, own
from fastmlp.core import Core
from fastmlp.training.reader import PATIENCE_SECONDS, Batch, Reader
from fastmlp.training.steps import Steps


class BatchRun:
    """Stands for an engine.Run in a `Session`: its data come from an iterable, and each batch is a step.

    Parameters
    ----------
    core : Core
    batches : iterable of (X, y) or (X, y, sample_weight)
        One that begins anew with every `iter` gives an epoch each time; an iterator goes on where it stands.
    steps_per_epoch : int or None
    epochs : int
    class_weight : dict or None, default None
    """

    def __init__(
        self,
        core: Core,
        batches: Iterable[Any],
        steps_per_epoch: int | None,
        epochs: int,
        class_weight: Any = None,
    ) -> None:
        self.core, self.batches, self.steps_per_epoch = core, batches, steps_per_epoch
        self.class_weight = class_weight
        self.paced = True  # by each batch itself
        self.n_inputs = core.n_inputs
        self.rows: list[int] = []  # of the steps of the last `train`
        self.waited = 0.0  # seconds that it waited for batches
        self.done = 0  # steps of this epoch
        self.heaviest: float | None = None  # of the weights of all samples of the training
        self.interrupted = False  # by Ctrl-C: the thread gets no more time than after an error
        self.reader: Reader | None = None
        if not isinstance(batches, Iterator):
            return
        if steps_per_epoch is None:
            raise ValueError(
                f"steps_per_epoch is missing: a {type(batches).__name__} does not say where an epoch ends, as a list "
                "or an object whose __iter__ begins anew does"
            )
        earlier = core.reader  # of an earlier fit: what it read ahead and did not use comes first
        if earlier is None or earlier.iterator is not batches or earlier.process != os.getpid():
            earlier = Reader(batches)
        self.reader = core.reader = earlier
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
        self.core.trim()
        _engine.rest()
        if self.reader is not None:
            self.reader.stop(PATIENCE_SECONDS if self.interrupted or kind is not None else math.inf)
        if self.core.reader is not None and self.core.reader.is_empty():
            self.core.reader = None  # nothing is lost without it

    def _checked(self, i: int, given: Any) -> Batch:
        """A batch as the engine reads it, in arrays that the iterable does not write to when it goes on."""
        check_pair(f"batch {i}", given)
        X, targets = self.core.data(given[0], given[1], (f"X of batch {i}", f"y of batch {i}"), self.n_inputs)
        self.n_inputs = X.shape[1]
        given_weight = given[2] if len(given) == 3 else None
        name = f"sample_weight of batch {i}"
        weights = self.core.sample_weights(given_weight, targets, name=name, some=False)
        if self.class_weight is not None:  # whether it suits; another fit may use the batch, so that `train` applies it
            self.core.sample_weights(weights, targets, self.class_weight, name, some=False)
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
        """Of the model."""
        return self.core.network

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
                weights = self.core.sample_weights(weights, targets, self.class_weight, some=False)
            self.heaviest = max(self.heaviest or 0.0, 1.0 if weights is None else float(weights.max()))

            def step(run: Any, rate: Array = rates[i : i + 1]) -> tuple[Array, Array]:
                run.start_epoch()
                found: tuple[Array, Array] = run.train(rate, hyper, False, seed)
                return found

            loss, hits = self.core.with_run(step, len(X), "training", X, targets, weights, keep=True)
            losses.append(loss)
            right.append(hits)
            self.rows.append(len(X))
            self.done += 1
            if not np.isfinite(loss[0]) or time.perf_counter() >= until:
                break
        if self.done == self.steps_per_epoch:
            self._end()
        return np.concatenate([*losses, np.empty(0)]), np.concatenate([*right, np.empty(0, np.intp)])

    def check_weights(self) -> None:
        """ValueError where all samples of the training had the weight 0: it learned nothing."""
        if self.heaviest is not None:
            name = "sample_weight" if self.class_weight is None else "class_weight * sample_weight"
            check_some_weight(f"{name} of all batches", np.array(self.heaviest), self.core.dtype)

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
