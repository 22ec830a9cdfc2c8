"""What all callbacks share: the hooks, and how one watches a quantity of the logs."""

from collections.abc import Sequence
from typing import Any, ClassVar

from fastmlp._names import direction, monitored
from fastmlp._validation import OtherNames, choice, finite_number, scalar
from fastmlp.metrics import BY_NAME as METRICS

Logs = dict[str, float]


class Callback(OtherNames):
    """Base of callbacks, with those hooks of Keras that `fit` has a use for; one may take fewer arguments than are
    listed here.

    Attributes
    ----------
    model : Model
        Set by `fit`. A callback that calls ``self.stop()``, or sets ``model.stop_training = True``, ends the training
        after the epoch, or, where it does so in `on_train_batch_end` or `on_steps_end`, in the middle of one.
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

    _other_names: ClassVar[dict[str, str]] = {
        "filepath": "path", "filename": "path", "file_path": "path", "threshold": "min_delta", "epsilon": "min_delta",
        "save_weights_only": "a file holds all of the model", "save_freq": "it writes after each epoch",
        "period": "it writes after each epoch", "min_learning_rate": "min_lr",
    }  # fmt: skip

    adds: ClassVar[tuple[str, ...]] = ()  # names that a callback of fastmlp adds to the logs

    model: Any  # the fastmlp.Model, of a higher floor
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
        """Before each batch, counted from 0 in every epoch; logs is empty.

        A callback that defines this hook, or `on_train_batch_end`, has Python visited in every step, which costs some
        ten microseconds: more than a small step takes. Where it need not hear of each, `on_steps_begin` and
        `on_steps_end` are for it. A learning rate that is set here counts from this batch on.
        """

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """After each batch; logs holds the means over the batches of this epoch so far, as in Keras. It costs what
        `on_train_batch_begin` costs. A learning rate that is set here counts from the next batch on."""

    def on_steps_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a chunk of steps, some 30 ms long, which costs nothing that counts: batch is the first one; logs is
        empty."""

    def on_steps_end(self, batch: int, logs: Logs) -> None:
        """After a chunk of steps: batch is the last one done in this epoch, from 0; logs holds the means so far.

        Chunks end by the clock, so what is changed in the model here is not the same in every run. Where another
        callback wants to hear of every batch, each is a chunk.
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


class Monitor(Callback):
    """Base of callbacks that watch one quantity of the logs.

    Parameters
    ----------
    monitor : str
        Its name, "val_loss" for example, or what other libraries call it, as "val_acc".
    mode : {"auto", "min", "max"}
        Whether less or more is better. "auto" goes by the words of the name: more of accuracies and the other measures
        of classes and r2 in `fastmlp.metrics`, less of what ends in "loss", "error" or the name of an error there; a
        name that fits both, "f1_loss" for example, or none is refused, whatever a metric of that name computes. Where
        the model has a metric of a name that fits, what it computes decides.
    min_delta : float
        What counts as better differs by more than this.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        monitor = scalar("monitor", monitor)
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be the name of a logged quantity such as 'val_loss', not {monitor!r}")
        self.named = str(monitor)  # as somebody's own metric may be called
        self.monitor, self.mode = monitored(self.named, METRICS), choice("mode", mode, ("auto", "min", "max"))
        self.min_delta = finite_number("min_delta", min_delta, at_least=0)
        self.auto = self.mode == "auto"
        if self.auto:
            self.mode = direction(self.monitor)

    def _is_default(self, name: str, value: Any, default: Any) -> bool:
        """Whether an argument may be left out: a mode that the name told, too."""
        return self.auto if name == "mode" else super()._is_default(name, value, default)

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether the quantity can be there; a callback of the user's own may add it."""
        name = self.named if self.named in self._names() else self.monitor
        self._check_name(name, f"monitor={self.named!r}", companions)
        if self.auto:  # whatever the name seems to say
            computed = {f"val_{metric.name}": metric.function for metric in self.model.metrics}
            function = computed.get(name, name)
            self.mode = direction(function if isinstance(function, str) else self.monitor)

    def _names(self) -> Sequence[str]:
        """What will be in the logs, but for what callbacks add."""
        names: Sequence[str] = self.params["metrics"]
        return names

    def _check_name(self, name: str, what: str, companions: Sequence[Callback]) -> None:
        names, plain = self._names(), name.removeprefix("val_")
        own = {metric.name for metric in self.model.metrics}
        if name in names or any(type(c).__module__.partition(".")[0] != "fastmlp" for c in companions):
            return
        if name in own:
            raise ValueError(f"{what} is known of validation data alone; take 'val_{plain}'")
        if plain != name and plain in {*names, *own}:
            raise ValueError(f"{what} needs validation_data; give it to fit, or take another")
        if not any(name in companion.adds for companion in companions):
            raise ValueError(f"{what} will not be in the logs; there are {', '.join(names)}")

    def value(self, logs: Logs) -> float:
        """The quantity."""
        name = self.named if self.named in logs else self.monitor
        if name not in logs:
            raise ValueError(f"monitor={self.named!r} is not in the logs; there are {', '.join(logs)}")
        return float(logs[name])

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value is better than another by more than min_delta, and any number than None."""
        if than is None:
            return value == value  # not NaN
        return value < than - self.min_delta if self.mode == "min" else value > than + self.min_delta
