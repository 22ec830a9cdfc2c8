"""Callbacks that write files: models after an epoch, all that a killed training needs, logs."""

import errno
import os
import string
import time
from collections.abc import Sequence
from typing import IO, Any

from fastmlp._callback import Callback, Logs, Monitor
from fastmlp._names import monitored
from fastmlp._validation import bounded_integer, file_path, finite_number, flag, scalar
from fastmlp.metrics import BY_NAME as METRICS


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
        self.initial_value_threshold = (
            None if threshold is None else finite_number("initial_value_threshold", threshold)
        )
        self.best = self.initial_value_threshold

    def _is_default(self, name: str, value: Any, default: Any) -> bool:
        """Whether an argument may be left out: the mode, where nothing is compared."""
        return (name == "mode" and not self.save_best_only) or super()._is_default(name, value, default)

    def get_state(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": self.best}

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether the quantity and the folder can be there."""
        if self.save_best_only:
            super().check(companions)
        for field in self.fields:
            if field != "epoch":
                name = field if field in self._names() else monitored(field, METRICS)
                self._check_name(name, f"path {self.path!r} names {field!r}, which", companions)
        from fastmlp import _writing, files

        files.check_name(self.path)
        if not self.fields:
            _writing.writable(self.path)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Save."""
        if self.save_best_only:
            value = self.value(logs)
            if not self.is_better(value, self.best):
                return
            self.best = value
        values = {**logs, "epoch": epoch + 1}
        for field in self.fields:
            if field not in values:
                name = monitored(field, METRICS)
                if name not in values:
                    raise ValueError(f"path {self.path!r} names {field!r}; there are epoch, {', '.join(logs)}")
                values[field] = values[name]
        self.model.save(self.path.format(**values))


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

    def _is_default(self, name: str, value: Any, default: Any) -> bool:
        """Whether an argument may be left out."""
        alone = name == "every_epochs" and self.every_seconds is None
        return bool(value == 1) if alone else super()._is_default(name, value, default)

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether the file can be written."""
        from fastmlp import files

        files.model_target(self.path)

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
        Add to a file that is there, in its columns; False refuses one that holds anything. Where `fit` goes on from an
        ``initial_epoch`` above 0, lines at its end that tell of this epoch or later ones are removed first: they were
        written after the checkpoint.

    Raises
    ------
    FileExistsError
        In `fit`, before anything changes: the file is there and ``append=False``. Keras would replace it.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.CSVLogger("training.csv").separator
    ','
    """

    def __init__(self, path: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.path = file_path("path", path)
        separator = scalar("separator", separator)
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator must be one character, not {separator!r}")
        self.separator, self.append = str(separator), flag("append", append)
        self.file: IO[str] | None = None
        self.columns: list[str] = []

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether there is a folder for the file, and nothing that would be lost."""
        folder = os.path.dirname(os.path.abspath(self.path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, "there is no such folder for the CSV file", folder)
        if not self.append and os.path.isfile(self.path) and os.path.getsize(self.path):
            remedy = "append=True adds to it; otherwise remove it, or give another name"
            raise FileExistsError(errno.EEXIST, f"the CSV file is there already; {remedy}", self.path)
        if self.append and os.path.isfile(self.path):
            import csv

            with open(self.path, newline="", encoding="utf-8") as file:
                columns = next(csv.reader(file, delimiter=self.separator), [])
            missing = [name for name in self.params["metrics"] if name not in columns]
            if "epoch" in columns and missing:  # a log, and not a file of another kind, whose columns are kept to
                raise ValueError(
                    f"{self.path} has no columns for {', '.join(missing)}; give another file to write them"
                )

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

        from fastmlp import _writing

        target = _writing.writable(self.path)
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
            with _writing.replacing(target) as temporary, open(temporary, "x", newline="", encoding="utf-8") as file:
                file.writelines(lines[:kept])

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
        try:
            self.file.flush()
        except OSError as error:  # of a full disk, which does not say of which file
            error.filename = self.path
            raise

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
            self.file = None
