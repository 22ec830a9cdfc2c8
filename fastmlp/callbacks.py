"""Callbacks: what happens beside training. The engine trains a chunk of steps without Python, some tens of
milliseconds long, and then comes back here."""

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmlp.model import Model

Logs = dict[str, float]


class Callback:
    """Base of callbacks, with the hooks of Keras.

    Attributes
    ----------
    model : Model
        Set by `fit`. A callback that sets ``model.stop_training = True`` ends the training after the epoch, or, where
        it does so in `on_train_batch_end`, in the middle of one.
    params : dict
        "epochs" and "steps" (in an epoch).

    Examples
    --------
    >>> import fastmlp as fm
    >>> class Stop(fm.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         self.model.stop_training = logs["loss"] < 0.1
    """

    model: "Model"
    params: dict[str, Any]

    def on_train_begin(self) -> None:
        """Before the first epoch."""

    def on_train_end(self) -> None:
        """After the last epoch, also where an error or Ctrl-C ended the training."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch, counted from 0 in this fit."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch; logs holds its losses and metrics, of validation data with the prefix "val_"."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """After a chunk of steps, not after each one: batch is the last one done in this epoch, from 0.

        Chunks end by the clock, so what is changed in the model here is not the same in every run.
        """


def format_logs(logs: Logs) -> str:
    """Logs in one line: ``loss 0.1234  accuracy 0.9876``."""
    return "  ".join(f"{name} {value:.4f}" for name, value in logs.items())


class ProgressBar(Callback):
    """What `fit` shows: a bar on a terminal (verbose=1) and a line for every epoch (verbose=1 or 2), on stderr.

    Parameters
    ----------
    bar : bool, default True
        A tqdm bar over the steps of an epoch, where stderr is a terminal.
    """

    def __init__(self, bar: bool = True) -> None:
        self.wants_bar = bar
        self.bar: Any = None
        self.began = 0.0

    def on_epoch_begin(self, epoch: int) -> None:
        """Open the bar of this epoch."""
        self.began = time.perf_counter()
        if self.wants_bar and sys.stderr.isatty():
            from tqdm.auto import tqdm

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

    def on_train_end(self) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
