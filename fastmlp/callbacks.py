"""Callbacks: what happens beside training. The engine trains a chunk of steps without Python, some tens of
milliseconds long, and then comes back here.

Names, arguments and meanings are Keras's where Keras has them. Names of files and printed lines count epochs from 1;
hooks, histories and CSV files from 0.
"""

import dataclasses
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastmlp._callback import Callback, Logs, Monitor
from fastmlp._progress import ProgressBar, format_logs, say
from fastmlp._validation import Array, arity, bounded_integer, finite_number, flag, scalar
from fastmlp.checkpoints import Checkpoint, CSVLogger, ModelCheckpoint
from fastmlp.optimizers import LBFGS
from fastmlp.schedules import Constant, Schedule, Warmup

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "Monitor",
    "ProgressBar",
    "ReduceLROnPlateau",
    "format_logs",
]

# ---- those that watch a quantity, or set the learning rate ----


def _verbosity(verbose: Any) -> int:
    verbose = scalar("verbose", verbose)
    if not isinstance(verbose, numbers.Integral) or verbose not in (0, 1):
        raise ValueError(f"verbose must be 0 or 1, not {verbose!r}")
    return int(verbose)


class EarlyStopping(Monitor):
    """Stop when a quantity no longer gets better.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Name in the logs.
    min_delta : float, default 0.0
        A change of no more than this is none.
    patience : int, default 0
        Epochs without a change for the better after which to stop: `History.stopped` is then "patience".
    verbose : {0, 1}, default 0
        1 says on stdout when it stops.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better.
    baseline : float or None, default None
        The count of `patience` only starts again where a change for the better beats this, too.
    restore_best_weights : bool, default False
        Give the model the weights of its best epoch when the training ends, however it ends. The optimizer's state is
        that of the last epoch.
    start_from_epoch : int, default 0
        Epochs at the beginning that are not looked at.
    target : float or None, default None
        Stop as soon as the quantity is as good as this: `History.stopped` is then "target reached".

    Attributes
    ----------
    best, best_epoch : float or None, int or None
        Of the last training; the epoch from 0.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_digits()
    >>> model = fm.Model([fm.Dense(10)], "softmax_cross_entropy", "adam")
    >>> stop = fm.EarlyStopping("accuracy", target=0.9)
    >>> model.fit(X / 16, y, epochs=100, callbacks=[stop], verbose=0).stopped
    'target reached'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
        target: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = bounded_integer("patience", patience, at_least=0)
        self.verbose = _verbosity(verbose)
        self.baseline = None if baseline is None else finite_number("baseline", baseline)
        self.restore_best_weights = flag("restore_best_weights", restore_best_weights)
        self.start_from_epoch = bounded_integer("start_from_epoch", start_from_epoch, at_least=0)
        self.target = None if target is None else finite_number("target", target)
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.best_weights: list[tuple[Array, ...]] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget the training before."""
        self.wait, self.best, self.best_epoch, self.best_weights = 0, None, None, None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Compare, and stop."""
        value = self.value(logs)
        if epoch < self.start_from_epoch:
            return
        self.wait += 1
        better = self.is_better(value, self.best)
        if better:
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.average_weights or self.model.weights  # those that were evaluated
            if self.baseline is None or self.is_better(value, self.baseline):
                self.wait = 0
        if self.target is not None and (value <= self.target if self.mode == "min" else value >= self.target):
            self._stop(epoch, "target reached")
        elif not better and self.wait >= self.patience and epoch > 0:
            self._stop(epoch, "patience")

    def get_state(self) -> dict[str, Any]:
        """The best so far, and how long ago."""
        best = {} if self.best_weights is None else {"best_weights": self.best_weights}
        return {"wait": self.wait, "best": self.best, "best_epoch": self.best_epoch, **best}

    def _stop(self, epoch: int, reason: str) -> None:
        self.stop(reason)
        if self.verbose:
            say(f"epoch {epoch + 1}: stopped ({reason}), {self.monitor} was best with {self.best}")

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best weights."""
        if self.best_weights is not None:
            self.model.weights, self.best_weights = self.best_weights, None


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by a factor when a quantity no longer gets better.

    The optimizer must have a number for its learning rate, or a `fastmlp.schedules.Warmup` to one, which is then what
    is reduced; no other schedule. The rate is recorded in the history.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Name in the logs.
    factor : float, default 0.1
        In (0, 1).
    patience : int, default 10
        Epochs without a change for the better after which to reduce.
    verbose : {0, 1}, default 0
        1 says so on stdout.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better.
    min_delta : float, default 1e-4
        A change of no more than this is none.
    cooldown : int, default 0
        Epochs after a reduction in which the patience does not count.
    min_lr : float, default 0.0
        The least learning rate.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.ReduceLROnPlateau(factor=0.5, patience=3).factor
    0.5
    """

    adds = ("learning_rate",)

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = finite_number("factor", factor, above=0, below=1)
        self.patience = bounded_integer("patience", patience, at_least=0)
        self.verbose = _verbosity(verbose)
        self.cooldown = bounded_integer("cooldown", cooldown, at_least=0)
        self.min_lr = finite_number("min_lr", min_lr, at_least=0)

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether the quantity can be there, and the rate be set."""
        super().check(companions)
        _plain_rate(self)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget the training before."""
        self.best: float | None = None
        self.wait = self.left = 0

    def get_state(self) -> dict[str, Any]:
        """The best so far, how long ago, and what is left of the cooldown."""
        return {"best": self.best, "wait": self.wait, "left": self.left}

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Compare, and reduce."""
        value, rate = self.value(logs), _plain_rate(self)
        logs["learning_rate"] = rate
        if self.left > 0:
            self.left, self.wait = self.left - 1, 0
        if self.is_better(value, self.best):
            self.best, self.wait = value, 0
        elif self.left == 0:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                _set_rate(self, max(rate * self.factor, self.min_lr))
                self.left, self.wait = self.cooldown, 0
                if self.verbose:
                    say(f"epoch {epoch + 1}: the learning rate falls to {_plain_rate(self):.4g}")


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch. For a rate that follows the step there is `fastmlp.schedules`.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)``, or ``schedule(epoch)``, returns the new rate; epochs count from
        ``initial_epoch`` of `fit`.

    Examples
    --------
    >>> import fastmlp as fm
    >>> halve = fm.LearningRateScheduler(lambda epoch, rate: rate if epoch < 10 else rate / 2)
    """

    adds = ("learning_rate",)

    def __init__(self, schedule: Callable[..., float]) -> None:
        if not callable(schedule):
            raise TypeError(f"schedule must be a function of epoch and learning rate, not {schedule!r}")
        if isinstance(schedule, Schedule):
            raise TypeError(f"{schedule!r} follows the steps: give it to the optimizer, as its learning_rate")
        self.schedule = schedule
        for rate in ("rate", "lr", "learning_rate"):  # one alone gets the epoch
            self.n_arguments = arity(schedule, ("epoch", rate), "schedule")

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether the rate can be set."""
        _plain_rate(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate of this epoch."""
        rate = self.schedule(*(epoch, _plain_rate(self))[: self.n_arguments])
        _set_rate(self, finite_number(f"what the schedule {self.schedule!r} gives for epoch {epoch}", rate, at_least=0))

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Record it."""
        logs["learning_rate"] = _plain_rate(self)


def _plain_rate(callback: Callback) -> float:
    """The learning rate that is a number, or that a warm-up rises to."""
    optimizer = callback.model.optimizer
    rate = optimizer.learning_rate
    if isinstance(rate, Warmup) and isinstance(rate.then, Constant):
        rate = rate.then.learning_rate
    if isinstance(optimizer, LBFGS):
        raise TypeError(f"{type(callback).__name__} sets a learning rate, but LBFGS has none; leave it out")
    if not isinstance(rate, int | float):
        raise TypeError(f"{type(callback).__name__} sets a learning rate, but the optimizer follows {rate!r}; use one")
    return float(rate)


def _set_rate(callback: Callback, rate: float) -> None:
    model = callback.model
    before = model.optimizer.learning_rate
    if rate < np.finfo(model.dtype).tiny:  # many reductions end in nothing, which no optimizer is made with
        rate = 0.0
    after = Warmup(before.steps, rate) if isinstance(before, Warmup) else rate
    model.optimizer = dataclasses.replace(model.optimizer, learning_rate=after)
