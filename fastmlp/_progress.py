"""What a training tells of its progress: a line for each epoch, and one bar for all of it where somebody watches.

On stdout, as print does; within `on_stderr`, where a program keeps its results apart, on stderr.
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from fastmlp._callback import Callback, Logs
from fastmlp._validation import flag

# How often the bar of a notebook is drawn: each time is a message to a browser.
NOTEBOOK_SECONDS = 0.2

_stream: ContextVar[str] = ContextVar("_stream", default="stdout")


@contextlib.contextmanager
def on_stderr() -> Iterator[None]:
    """Progress goes to stderr within this block."""
    token = _stream.set("stderr")
    try:
        yield
    finally:
        _stream.reset(token)


def stream() -> Any:
    """Where progress goes; None where the process has no such stream."""
    return getattr(sys, _stream.get())


def say(text: str) -> None:
    """A line of progress, at once."""
    if stream() is not None:
        print(text, file=stream(), flush=True)


def format_logs(logs: Logs) -> str:
    """Logs in one line: ``loss 0.1234  accuracy 0.9876``."""
    return "  ".join(f"{name} {_formatted(name, value)}" for name, value in logs.items())


def _formatted(name: str, value: float) -> str:
    return f"{value:{'.3g' if name == 'learning_rate' else '.4f'}}"


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: the same question that tqdm asks."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())


class _Terminal:
    """A tqdm bar in the last line of a terminal."""

    def __init__(self, total: int | None) -> None:
        from tqdm import tqdm

        self.bar = tqdm(total=total, unit="step", leave=False, file=stream(), dynamic_ncols=True)

    def show(self, n: int, total: int | None, label: str, postfix: dict[str, str], now: bool = False) -> None:
        """Move it; now: draw it in any case."""
        self.bar.total = total
        self.bar.set_description(label, refresh=False)
        self.bar.set_postfix(postfix, refresh=False)
        self.bar.update(n - self.bar.n)
        if now:
            self.bar.refresh()

    def hide(self) -> None:
        """Make room for a line."""
        self.bar.clear()

    def close(self) -> None:
        """Take it away."""
        self.bar.close()


class _Notebook:
    """A bar as one piece of text in the output of a cell, which is replaced again and again: no widget, so that a saved
    notebook holds the last one."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.handle: Any = None
        self.drawn, self.text = -1.0, ""

    def show(self, n: int, total: int | None, label: str, postfix: dict[str, str], now: bool = False) -> None:
        """Move it; now: draw it in any case."""
        from tqdm import tqdm

        elapsed = time.perf_counter() - self.began
        told = ", ".join(f"{name}={value}" for name, value in postfix.items())
        self.text = tqdm.format_meter(n, total, elapsed, prefix=label, unit="step", postfix=told)
        if now or self.drawn < 0 or elapsed - self.drawn >= NOTEBOOK_SECONDS:
            self.draw(elapsed)

    def draw(self, elapsed: float) -> None:
        """Send what it shows."""
        from IPython.display import display

        if self.handle is None:
            self.handle = display({"text/plain": self.text}, raw=True, display_id=True)
        else:
            self.handle.update({"text/plain": self.text}, raw=True)
        self.drawn = elapsed

    def hide(self) -> None:
        """Lines have their own place."""

    def close(self) -> None:
        """Leave it as it is in the end."""
        if self.text:
            self.draw(time.perf_counter() - self.began)


class ProgressBar(Callback):
    """What `fit` shows: a line for every epoch (verbose=1 or 2), and on a terminal or in a notebook one bar over all
    steps, with the loss and the metrics so far and those of the validation before (verbose=1); on stdout.

    Parameters
    ----------
    bar : bool, default True
        A bar where somebody watches; in a file or a pipe there are lines alone.
    """

    def __init__(self, bar: bool = True) -> None:
        self.bar = flag("bar", bar)
        self.shown: _Terminal | _Notebook | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin to count."""
        self.steps: int | None = self.params["steps"]
        self.done = 0  # steps of the epochs before
        self.validated: Logs = {}

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Open the bar with the first one."""
        self.began = time.perf_counter()
        self.epoch, self.n = epoch, 0
        self.logs: Logs = {}
        if self.bar and self.shown is None:
            if _in_notebook():
                self.shown = _Notebook()
            elif getattr(stream(), "isatty", lambda: False)():
                self.shown = _Terminal(self._total())

    def _total(self) -> int | None:
        """Steps of the whole training; of an iterable that does not tell they are known after an epoch."""
        return None if self.steps is None else self.steps * (self.params["epochs"] - self.params["initial_epoch"])

    def _show(self, now: bool = False) -> None:
        if self.shown is not None:
            postfix = {name: _formatted(name, value) for name, value in {**self.logs, **self.validated}.items()}
            label = f"epoch {self.epoch + 1}/{self.params['epochs']}"
            self.shown.show(self.done + self.n, self._total(), label, postfix, now)

    def on_steps_end(self, batch: int, logs: Logs) -> None:
        """Move the bar; it makes room for what is printed when the epoch is over."""
        self.n, self.logs = batch + 1, dict(logs)
        self._show()
        if self.shown is not None and self.n == self.steps:
            self.shown.hide()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Show the bar while the validation lasts."""
        self._show(now=True)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Keep what it found."""
        self.validated = {f"val_{name}": value for name, value in (logs or {}).items()}
        if self.shown is not None:
            self.shown.hide()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the line of this epoch."""
        if self.steps is None and self.n:
            self.steps = self.n
        self.done += self.n if self.n else self.steps or 0  # L-BFGS tells of no steps
        self.n = 0
        seconds = time.perf_counter() - self.began
        width = len(str(self.params["epochs"]))
        number = f"epoch {epoch + 1:{width}}/{self.params['epochs']}"
        if self.shown is not None:
            self.shown.hide()
        say(f"{number}  {seconds:6.2f} s  {format_logs(logs)}")
        self.logs = {name: value for name, value in logs.items() if not name.startswith("val_")}
        self._show(now=epoch + 1 < self.params["epochs"])

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the bar."""
        if self.shown is not None:
            self.shown.close()
            self.shown = None
