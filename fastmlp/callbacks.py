"""Callbacks: what happens beside training. The engine trains a chunk of steps without Python, some tens of
milliseconds long, and then comes back here.

Names, arguments and meanings are Keras's where Keras has them. Names of files and printed lines count epochs from 1;
hooks, histories and CSV files from 0.
"""

import dataclasses
import errno
import numbers
import os
import string
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any, ClassVar

from fastmlp._validation import Array, OtherNames, arity, bounded_integer, choice, file_path, finite_number, flag
from fastmlp.optimizers import LBFGS
from fastmlp.schedules import Constant, Schedule, Warmup

if TYPE_CHECKING:
    from fastmlp.model import Model

Logs = dict[str, float]


class Callback(OtherNames):
    """Base of callbacks, with those hooks of Keras that `fit` has a use for; one may take fewer arguments than are
    listed here.

    Attributes
    ----------
    model : Model
        Set by `fit`. A callback that calls ``self.stop()``, or sets ``model.stop_training = True``, ends the training
        after the epoch, or, where it does so in `on_train_batch_end`, in the middle of one.
    params : dict
        "epochs", "initial_epoch", "steps" (in an epoch), and "metrics", the names that the logs of an epoch will hold
        at least.

    Examples
    --------
    >>> import fastmlp as fm
    >>> class Stop(fm.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         if logs["loss"] < 0.1:
    ...             self.stop("loss below 0.1")
    """

    other_names: ClassVar[dict[str, str]] = {
        "filepath": "path", "filename": "path", "file_path": "path", "threshold": "min_delta", "epsilon": "min_delta",
        "save_weights_only": "a file holds all of the model", "save_freq": "it writes after each epoch",
        "period": "it writes after each epoch", "min_learning_rate": "min_lr",
    }  # fmt: skip

    model: "Model"
    params: dict[str, Any]

    def check(self, companions: Sequence["Callback"]) -> None:
        """Whether this training has what the callback needs: called, with all callbacks of the training, before
        anything changes. An error ends `fit`."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch; logs is empty."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, also where an error or Ctrl-C ended the training; logs is that of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch, counted from ``initial_epoch`` of `fit`; logs is empty."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch; logs holds its losses and metrics, of validation data with the prefix ``"val_"``.

        What a callback adds to logs is seen by those after it and recorded in the history: numbers, by a name.
        """

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before the validation data are evaluated; logs is empty."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After it; logs holds loss and metrics, without the prefix."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a chunk of steps, not before each one: batch is the first one; logs is empty."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """After a chunk of steps, not after each one: batch is the last one done in this epoch, from 0.

        Chunks end by the clock, so what is changed in the model here is not the same in every run.
        """

    def get_state(self) -> dict[str, Any]:
        """What this callback must remember where a `Checkpoint` is gone on from: numbers, strings or None by name, or
        lists like `Model.weights`."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Remember it, after `on_train_begin`; unknown names are an AttributeError."""
        for name, value in state.items():
            getattr(self, name)
            setattr(self, name, value)

    def stop(self, reason: str = "callback") -> None:
        """End the training.

        Parameters
        ----------
        reason : str, default "callback"
            What `History.stopped` will say.
        """
        self.model.stop_training = True
        self.model.stop_reason = reason


# ---- progress ----


def format_logs(logs: Logs) -> str:
    """Logs in one line: ``loss 0.1234  accuracy 0.9876``."""
    return "  ".join(f"{name} {value:{'.3g' if name == 'learning_rate' else '.4f'}}" for name, value in logs.items())


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: the same question that tqdm asks."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())


class ProgressBar(Callback):
    """What `fit` shows: a bar on a terminal or in a notebook (verbose=1) and a line for every epoch (verbose=1 or 2),
    on stderr.

    Parameters
    ----------
    bar : bool, default True
        A tqdm bar over the steps of an epoch, where somebody watches; in a file or a pipe there are lines alone.
    """

    def __init__(self, bar: bool = True) -> None:
        self.wants_bar = bar
        self.bar: Any = None
        self.began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Open the bar of this epoch."""
        self.began = time.perf_counter()
        notebook = _in_notebook()
        if self.wants_bar and (notebook or sys.stderr.isatty()):
            if notebook:
                from tqdm.auto import tqdm
            else:
                from tqdm import tqdm

            label = f"epoch {epoch + 1}/{self.params['epochs']}"
            self.bar = tqdm(total=self.params["steps"], desc=label, unit="step", leave=False, file=sys.stderr)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)
            self.bar.update(batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Close the bar and write the line of this epoch."""
        self.on_train_end()
        seconds = time.perf_counter() - self.began
        width = len(str(self.params["epochs"]))
        number = f"epoch {epoch + 1:{width}}/{self.params['epochs']}"
        print(f"{number}  {seconds:6.2f} s  {format_logs(logs)}", file=sys.stderr, flush=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


# ---- those that watch a quantity ----


class Monitor(Callback):
    """Base of callbacks that watch one quantity of the logs.

    Parameters
    ----------
    monitor : str
        Its name, "val_loss" for example.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" knows losses, errors and the names of `fastmlp.metrics`.
    min_delta : float
        What counts as better differs by more than this.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be the name of a logged quantity such as 'val_loss', not {monitor!r}")
        self.monitor, self.mode = monitor, choice("mode", mode, ("auto", "min", "max"))
        self.min_delta = finite_number("min_delta", min_delta, at_least=0)
        if mode == "auto":
            self.mode = _direction(monitor)

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether the quantity can be there; a callback of the user's own may add it."""
        self._check_name(self.monitor, f"monitor={self.monitor!r}", companions)

    def _check_name(self, name: str, what: str, companions: Sequence[Callback]) -> None:
        names, plain = self.params["metrics"], name.removeprefix("val_")
        own = {metric.name for metric in self.model.metrics}
        if name in names or any(type(c).__module__.partition(".")[0] != "fastmlp" for c in companions):
            return
        if name in own:
            raise ValueError(f"{what} is known of validation data alone; take 'val_{plain}'")
        if plain != name and plain in {*names, *own}:
            raise ValueError(f"{what} needs validation_data; give it to fit, or take another")
        if name != "learning_rate" or not any(
            isinstance(c, ReduceLROnPlateau | LearningRateScheduler) for c in companions
        ):
            raise ValueError(f"{what} will not be in the logs; there are {', '.join(names)}")

    def value(self, logs: Logs) -> float:
        """The quantity."""
        if self.monitor not in logs:
            raise ValueError(f"monitor={self.monitor!r} is not in the logs; there are {', '.join(logs)}")
        return float(logs[self.monitor])

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value is better than another by more than min_delta, and any number than None."""
        if than is None:
            return value == value  # not NaN
        return value < than - self.min_delta if self.mode == "min" else value > than + self.min_delta


def _direction(monitor: str) -> str:
    name = monitor.removeprefix("val_")
    if "accuracy" in name or name.startswith(("precision", "recall", "f1", "roc_auc", "r2")):
        return "max"
    if "loss" in name or "error" in name or name in ("rmse", "mae"):
        return "min"
    raise ValueError(f"mode='auto' does not know whether less {monitor!r} is better; give mode='min' or mode='max'")


def _verbosity(verbose: Any) -> int:
    if not isinstance(verbose, numbers.Integral) or verbose not in (0, 1):
        raise ValueError(f"verbose must be 0 or 1, not {verbose!r}")
    return int(verbose)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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
        1 says on stderr when it stops.
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
            _say(f"epoch {epoch + 1}: stopped ({reason}), {self.monitor} was best with {self.best}")

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
        1 says so on stderr.
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
                    _say(f"epoch {epoch + 1}: the learning rate falls to {_plain_rate(self):.4g}")


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

    def __init__(self, schedule: Callable[..., float]) -> None:
        if not callable(schedule):
            raise TypeError(f"schedule must be a function of epoch and learning rate, not {schedule!r}")
        if isinstance(schedule, Schedule):
            raise TypeError(f"{schedule!r} follows the steps: give it to the optimizer, as its learning_rate")
        self.schedule = schedule
        self.n_arguments = arity(schedule, 2, "schedule")

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
    after = Warmup(before.steps, rate) if isinstance(before, Warmup) else rate
    model.optimizer = dataclasses.replace(model.optimizer, learning_rate=after)


# ---- those that write files ----


class ModelCheckpoint(Monitor):
    """Save the model after each epoch, optimizer and position in the schedule included, by an atomic rename.

    ``fastmlp.load(path)`` gives a model that goes on with the same bits.

    Parameters
    ----------
    path : str or path-like
        May hold fields: ``{epoch}``, from 1, and names in the logs, as in "net-{epoch:03d}-{val_loss:.3f}.safetensors".
        Without fields each epoch replaces the one before.
    monitor : str, default "val_loss"
        Name in the logs; only for save_best_only.
    save_best_only : bool, default False
        Save only where the quantity has become better.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better.
    initial_value_threshold : float or None, default None
        With save_best_only: what the first model must beat. The best value of a training before is kept.

    Raises
    ------
    OSError
        Where the file cannot be written; without fields that shows before the first epoch.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.ModelCheckpoint("net-{epoch:03d}.safetensors").path
    'net-{epoch:03d}.safetensors'
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode if save_best_only or mode != "auto" else "min", 0.0)
        self.path = file_path("path", path)
        try:
            self.fields = [field for _, field, _, _ in string.Formatter().parse(self.path) if field is not None]
        except ValueError as error:
            raise ValueError(f"path {self.path!r} has a field that cannot be read: {error}") from None
        if not all(field.isidentifier() for field in self.fields):
            raise ValueError(f"path {self.path!r} must have fields with names, such as {{epoch}} or {{val_loss:.3f}}")
        self.save_best_only = flag("save_best_only", save_best_only)
        threshold = initial_value_threshold
        self.best = None if threshold is None else finite_number("initial_value_threshold", threshold)

    def get_state(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": self.best}

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether the quantity and the folder can be there."""
        if self.save_best_only:
            super().check(companions)
        for field in self.fields:
            if field != "epoch":
                self._check_name(field, f"path {self.path!r} names {field!r}, which", companions)
        if not self.fields:
            from fastmlp import files

            files.writable(self.path)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Save."""
        if self.save_best_only:
            value = self.value(logs)
            if not self.is_better(value, self.best):
                return
            self.best = value
        missing = [field for field in self.fields if field != "epoch" and field not in logs]
        if missing:
            raise ValueError(f"path {self.path!r} names {missing[0]!r}; there are epoch, {', '.join(logs)}")
        self.model.save(self.path.format(**{**logs, "epoch": epoch + 1}))


class Checkpoint(Callback):
    """Keep, in one file, all that a training needs to go on after it was killed.

    Weights, the optimizer's states, step and epoch, with them the position in a schedule and the order of the samples,
    the preprocessing, the history, and the states of the other callbacks: what ``model.save`` writes, at the end of an
    epoch, by an atomic rename. `fastmlp.load` and ``fit(..., initial_epoch=...)`` on the same data end with the bits of
    a training that nobody killed; of `LBFGS` it keeps weights and history, and a new fit begins a new minimisation.
    When the training ends by itself the file holds the model that `fit` leaves, and ``history.stopped`` says why; after
    Ctrl-C or an error it stays what it was.

    Parameters
    ----------
    path : str or path-like
    every_epochs : int or None, default None
        Write when so many epochs have passed since the last time.
    every_seconds : float or None, default None
        Write at the end of the first epoch after so many seconds. With both the first to come counts, with neither
        every epoch.

    Raises
    ------
    OSError
        Where the file cannot be written: before the first epoch.

    Examples
    --------
    The same lines begin a training and go on with it, to its last epoch; one that ended before, by early stopping for
    example, stays ended, as ``model.history.stopped`` says:

    >>> import os
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_digits()
    >>> path = "training.safetensors"
    >>> if os.path.exists(path):
    ...     model = fm.load(path)
    ... else:
    ...     model = fm.Model([fm.Dense(10)], "softmax_cross_entropy", "adam")
    >>> done = len(model.history.epoch)
    >>> history = model.fit(X / 16, y, epochs=5, initial_epoch=done, callbacks=[fm.Checkpoint(path)], verbose=0)
    >>> history.epoch
    [0, 1, 2, 3, 4]
    """

    def __init__(
        self, path: str | os.PathLike[str], every_epochs: int | None = None, every_seconds: float | None = None
    ) -> None:
        self.path = file_path("path", path)
        if every_epochs is None and every_seconds is None:
            every_epochs = 1
        self.every_epochs = None if every_epochs is None else bounded_integer("every_epochs", every_epochs)
        self.every_seconds = None
        if every_seconds is not None:
            self.every_seconds = finite_number("every_seconds", every_seconds, at_least=0)

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether the file can be written."""
        from fastmlp import files

        files.writable(self.path)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Nothing is written yet."""
        self.written, self.written_at = -1, time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """The first epoch of this fit counts from itself."""
        if self.written < 0:
            self.written = epoch

    def is_due(self, epoch: int) -> bool:
        """Whether to write after so many epochs."""
        if self.every_epochs is not None and epoch - self.written >= self.every_epochs:
            return True
        return self.every_seconds is not None and time.monotonic() - self.written_at >= self.every_seconds

    def write(self, epoch: int) -> None:
        """Write the file, after so many epochs."""
        self.model.save(self.path)
        self.written, self.written_at = epoch, time.monotonic()


class CSVLogger(Callback):
    """Write the logs of each epoch to a file of comma-separated values, as soon as there are any.

    Parameters
    ----------
    path : str or path-like
    separator : str, default ","
        One character.
    append : bool, default False
        Add to a file that is there, in its columns, instead of replacing it. Where `fit` goes on from an
        ``initial_epoch`` above 0, lines at its end that tell of this epoch or later ones are removed first: they were
        written after the checkpoint.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.CSVLogger("training.csv").separator
    ','
    """

    def __init__(self, path: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.path = file_path("path", path)
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator must be one character, not {separator!r}")
        self.separator, self.append = separator, flag("append", append)
        self.file: IO[str] | None = None
        self.columns: list[str] = []

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether there is a folder for the file."""
        folder = os.path.dirname(os.path.abspath(self.path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, "there is no such folder for the CSV file", folder)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Open the file, and read its columns where it is added to."""
        import csv

        if self.append and self.params["initial_epoch"] > 0 and os.path.isfile(self.path):
            self._remove_from(self.params["initial_epoch"])
        self.file = open(self.path, "a+" if self.append else "w", newline="", encoding="utf-8")  # noqa: SIM115  (until on_train_end)
        self.file.seek(0)
        self.columns = next(csv.reader(self.file, delimiter=self.separator), []) if self.append else []

    def _remove_from(self, epoch: int) -> None:
        """Remove the lines at the end of an epoch or later ones, and one that was cut off, by an atomic rename."""
        import csv

        from fastmlp import files

        target = files.writable(self.path)
        with open(target, newline="", encoding="utf-8") as file:
            lines = file.readlines()
        rows = list(csv.reader(lines, delimiter=self.separator))
        if not rows or len(rows) != len(lines) or "epoch" not in rows[0]:  # a file of another kind
            return
        kept = len(lines) if lines[-1].endswith("\n") else len(lines) - 1
        while kept > 1:
            number = dict(zip(rows[0], rows[kept - 1], strict=False)).get("epoch", "")
            if not number.isdecimal() or int(number) < epoch:
                break
            kept -= 1
        if kept < len(lines):
            with files.replacing(target) as temporary, open(temporary, "x", newline="", encoding="utf-8") as file:
                file.writelines(lines[:kept])
                file.flush()
                os.fsync(file.fileno())

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write a line; before the first one the names."""
        import csv

        assert self.file is not None
        writer = csv.writer(self.file, delimiter=self.separator, lineterminator="\n")
        values = {"epoch": epoch, **logs}
        if not self.columns:
            self.columns = list(values)
            writer.writerow(self.columns)
        writer.writerow([values.get(name, "") for name in self.columns])
        self.file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
            self.file = None
