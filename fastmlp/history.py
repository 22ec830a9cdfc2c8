"""What training left behind."""

import math
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import Any

from fastmlp._validation import counted


class History(dict[str, list[float]]):
    """Losses and metrics of a call of `fit`, epoch by epoch: a dictionary from their names to lists of numbers.

    Attributes
    ----------
    epoch : list of int
        From 0.
    history : dict of str to list of float
        "loss", "accuracy", "val_loss", "val_accuracy", as far as there are, each with a value for every epoch, NaN
        where it was not recorded. The same as the history itself, ``history["loss"]`` for example, in a dictionary of
        its own.
    stopped : str
        Why the training ended: "epochs done", "patience" or "target reached" (`EarlyStopping`), "callback" (another one
        that set ``model.stop_training``; or what it gave to `Callback.stop`), "interrupted" (Ctrl-C), "diverged" (in
        `DivergedError.history`). Empty before the end, and where an error ended it.

    Notes
    -----
    That of a model's last `fit` is in ``model.history``, and saved with the model. ``"val_loss" in history``,
    ``list(history)`` and ``dict(history)`` do what they do with a dictionary, and ``len(history)`` counts names; of
    epochs there are ``len(history.epoch)``. ``pandas.DataFrame(history)`` has a column for each name and a row for each
    epoch.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_digits()
    >>> model = fm.Model([fm.Dense(10)], "softmax_cross_entropy", "adam")
    >>> list(model.fit(X / 16, y, epochs=2, verbose=0))
    ['loss', 'accuracy']
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.stopped = ""

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        self.update(state.pop("history", {}))  # of an older pickle, which kept the values there
        self.__dict__.update(state)

    @property
    def history(self) -> dict[str, list[float]]:
        """The values by name."""
        return dict(self)

    def before(self, epoch: int) -> "History":
        """A copy of the epochs before one, to go on from."""
        earlier = History()
        earlier.epoch = [number for number in self.epoch if number < epoch]
        n = len(earlier.epoch)
        earlier.update({name: values[:n] for name, values in self.items() if n})
        return earlier

    def extend(self, epochs: Sequence[int], logs: Mapping[str, Sequence[float]]) -> None:
        """Add epochs and values by name; NaN to what they do not tell, and to the epochs before of what is new."""
        n_epochs, names = len(self.epoch), set(self)
        try:
            for name in {**self, **logs}:
                values = self.setdefault(name, [math.nan] * len(self.epoch))
                values.extend(logs.get(name, [math.nan] * len(epochs)))
            self.epoch.extend(epochs)
        except BaseException:  # Ctrl-C: all of an epoch or nothing
            if len(self.epoch) == n_epochs:
                for name in [*self]:
                    del self[name][n_epochs:]
                    if name not in names:
                        del self[name]
            raise

    def append(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Add one epoch."""
        self.extend([epoch], {name: [value] for name, value in logs.items()})

    def amend(self, logs: Mapping[str, float]) -> None:
        """Add to the last epoch, or replace in it, what came later; numbers alone, whatever a failed callback left."""
        for name, value in logs.items():
            if not isinstance(value, numbers.Real):
                continue
            self.setdefault(name, [math.nan] * len(self.epoch))[-1] = value

    def __missing__(self, name: object) -> list[float]:
        raise KeyError(f"{name!r} was not recorded; there are {', '.join(self) or 'no entries'}")

    # Two histories are equal where they are the same, as two models are.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__  # type: ignore[assignment]  # a dictionary has none

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.items())
        why = f" ({self.stopped})" if self.stopped not in ("", "epochs done") else ""
        return f"<fastmlp.History: {counted(len(self.epoch), 'epoch')}{why}{', ' if last else ''}{last}>"

    def _repr_html_(self) -> str:
        """The numbers as a table, and the curves where matplotlib is there, in a notebook."""
        from fastmlp import _html

        return _html.history(self)

    def plot(
        self, ax: Any = None, names: Sequence[str] | None = None, to_file: str | os.PathLike[str] | None = None
    ) -> Any:
        """Draw losses, metrics and the learning rate over the epochs (needs matplotlib: the extra "plot").

        Parameters
        ----------
        ax : matplotlib Axes or None, default None
            Where to draw the losses; None makes a new figure.
        names : sequence of str or None, default None
            What to draw, each with its ``"val_"``; None: everything.
        to_file : str or path-like or None, default None
            Where to save the figure, "loss.png" or "loss.svg" for example; the ending says the format. A figure that
            was made for it is closed then.

        Returns
        -------
        matplotlib Axes
        """
        from fastmlp import _curves, _figures

        return _figures.drawn(lambda axes: _curves.of_history(self, axes, names), ax, to_file)


class DivergedError(ArithmeticError):
    """The loss, a weight or a running statistic became NaN or infinite; the message says which, and what may help.

    Attributes
    ----------
    step : int
        Training step, from 1, at which it did.
    learning_rate : float
    layer : int
        Position in ``model.weights`` of the largest absolute weight when it did.
    largest_weight : float
        That weight; infinity also for NaN.
    history : History
        Up to the last good epoch; the model's weights are those of its end. Of a single step, `Model.train_on_batch`,
        it is empty, and the weights are those before the step: they may be too large already.
    """

    def __init__(
        self,
        step: int,
        learning_rate: float,
        history: History,
        layer: int = 0,
        largest_weight: float = math.nan,
        remedy: str = "A smaller learning rate or scaled inputs usually help",
        cause: str = "the loss became NaN or infinite",
    ) -> None:
        super().__init__(
            f"{cause} at step {step} (learning rate {learning_rate:g}); the largest weight was "
            f"then {largest_weight:.3g}, in layer {layer}. The weights are those before that epoch, or before a single "
            f"step, whose predecessor may have ruined them (assign model.weights then). {remedy}"
        )
        self.step = step
        self.learning_rate = learning_rate
        self.layer = layer
        self.largest_weight = largest_weight
        self.history = history
        self._words = remedy, cause

    def __reduce__(self) -> tuple[Any, ...]:
        told = self.step, self.learning_rate, self.history, self.layer, self.largest_weight
        return type(self), (*told, *self._words)

    def advised(self, remedy: str) -> "DivergedError":
        """The same with another remedy."""
        told = self.step, self.learning_rate, self.history, self.layer, self.largest_weight
        return type(self)(*told, remedy, self._words[1])


def finished(history: History) -> History:
    """The history itself; KeyboardInterrupt where Ctrl-C ended its training, for a program that is to end then."""
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    return history
