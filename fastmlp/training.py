"""The loop of `Model.fit`: chunks of steps in the engine, and between them progress, callbacks and Ctrl-C."""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastmlp import _engine, _pace
from fastmlp._callback import Logs
from fastmlp._hooks import Hooks
from fastmlp._quiet import quiet
from fastmlp._validation import Array, still_whole
from fastmlp.history import DivergedError, History
from fastmlp.losses import Custom
from fastmlp.schedules import Schedule

if TYPE_CHECKING:
    from fastmlp._evaluation import Batches
    from fastmlp.model import Model

# What is evaluated after an epoch: arrays as the engine reads them, or batches of such.
Validation: TypeAlias = "tuple[Array | None, ...] | Batches | None"

# Weights of a network whose small epochs are trained several at a time: their snapshot holds the optimizer too.
SMALL_BYTES = 1 << 18


def fit(
    model: "Model",
    run: Any,
    recorded: "Steps",
    pace: _pace.Pace,
    epochs: int,
    validation: Validation,
    shuffle: bool,
    hooks: Hooks,
    initial_epoch: int,
    watch: Callable[[float], str] = lambda loss: "",
) -> History:
    """Train for some epochs on the data bound to an engine.Run, or on those of a batches.BatchRun.

    Small epochs go through several at a time where nobody wants to hear of each one. Ctrl-C ends the training with the
    history of the epochs that were finished; a second one, while callbacks end theirs, is a KeyboardInterrupt. `watch`
    is given the loss of the first epoch, infinity where that diverged; it returns a remedy then.

    Returns
    -------
    History
    """
    history = model.history.before(initial_epoch)
    maps = Maps(run, validation)
    steps = recorded.steps
    by_epoch = bool(hooks.callbacks) or validation is not None or run.network.n_bytes > SMALL_BYTES or not recorded.many
    run.paced = True
    run.start_epoch()
    begin(model, validation)
    logs: Logs = {}
    epoch = initial_epoch
    try:
        hooks.call("on_train_begin", {})
        model.history = history
        if model._kept is not None and model._kept[0] == initial_epoch > 0:
            hooks.restore(model._kept[1])
        model._kept = None
        while epoch < epochs and not model.stop_training:
            hooks.call("on_epoch_begin", epoch, {})
            many = 1 if by_epoch or steps is None else max(1, min(epochs - epoch, pace.steps // steps))
            try:
                train_epochs(model, run, many, shuffle, hooks, pace, recorded, history, maps)
            except DivergedError as error:
                if many == 1:
                    history.stopped = "diverged"
                    remedy = watch(math.inf) if epoch == initial_epoch else ""
                    if remedy:
                        raise error.advised(remedy) from None
                    raise
                by_epoch = True  # the same epochs again, one by one, up to the one in which it happened
                continue
            length = recorded.n if steps is None else min(steps, recorded.n)
            columns = recorded.logs(model, length)
            if isinstance(model.optimizer.learning_rate, Schedule):
                rates = model.optimizer.rates(max(0, run.network.step - recorded.n), recorded.n)
                columns["learning_rate"] = rates[length - 1 :: length].tolist()
            if by_epoch:
                logs = {name: values[0] for name, values in columns.items()}
                maps.check()
                end_epoch(model, hooks, history, epoch, logs, validation)
            else:
                history.extend(range(epoch, epoch + many), columns)
            if epoch == initial_epoch:
                watch(columns["loss"][0])
            epoch += many
            if epoch < epochs and not model.stop_training:
                hooks.keep(epoch)
        history.stopped = str(model.stop_reason) if model.stop_training else "epochs done"
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    finally:
        hooks.end(logs)
    if history.stopped != "interrupted":
        hooks.keep(epoch, finished=True)
    return history


def prepare(model: "Model", hooks: Hooks, epochs: int, initial_epoch: int, steps: int | None, validated: bool) -> None:
    """Tell the callbacks of a training that is to begin, and let them object."""
    names = [*model._logs(0.0, 0, 1)]
    if validated:
        names += [f"val_{name}" for name in [*names, *(metric.name for metric in model.metrics)]]
    if isinstance(model.optimizer.learning_rate, Schedule):
        names.append("learning_rate")
    for callback in hooks.callbacks:
        callback.model = model
        callback.params = {"epochs": epochs, "initial_epoch": initial_epoch, "steps": steps, "metrics": names}
    hooks.check()


def begin(model: "Model", validation: Validation) -> None:
    """What must hold of a model when its training begins."""
    if not model._network.is_finite():
        raise ValueError("the weights, or the optimizer's states, hold NaN or infinity; assign model.weights first")
    if validation is not None and model.metrics and isinstance(model.loss, Custom):
        model._validate(validation)  # whether these metrics suit what the function takes, before the first epoch
    model.stop_training, model.stop_reason = False, "callback"


def end_epoch(model: "Model", hooks: Hooks, history: History, epoch: int, logs: Logs, validation: Validation) -> None:
    """Validate, record, and tell the callbacks, which may add to the logs."""
    if validation is not None:
        hooks.call("on_test_begin", {})
        found = model._validate(validation)
        hooks.call("on_test_end", found)
        logs |= {f"val_{name}": value for name, value in found.items()}
    history.append(epoch, logs)  # a model that a callback saves has it
    try:
        hooks.call("on_epoch_end", epoch, logs)
    finally:
        history.amend(logs)


def train_epochs(
    model: "Model",
    run: Any,
    many: int,
    shuffle: bool,
    hooks: Hooks,
    pace: _pace.Pace,
    recorded: "Steps",
    history: History,
    maps: "Maps",
) -> None:
    """Train `many` epochs into `recorded`; where the loss diverges, go back to the weights before them and say so."""
    network = run.network
    last_good = network.snapshot(states=many > 1)
    recorded.clear()
    total = math.inf if recorded.steps is None else recorded.steps * many
    try:
        train_steps(model, run, total, shuffle, hooks, pace, recorded, history, maps)
        if not network.is_finite():  # the last update has no next step whose loss would tell
            raise diverged(model, network.step, model.optimizer.rate(network.step - 1), history, updated=True)
    except DivergedError:
        network.restore(last_good)
        raise
    except KeyboardInterrupt:
        if not network.is_finite():
            network.restore(last_good)
        raise


def train_steps(
    model: "Model",
    run: Any,
    total: float,
    shuffle: bool,
    hooks: Hooks,
    pace: _pace.Pace,
    recorded: "Steps",
    history: History,
    maps: "Maps",
) -> None:
    """The steps of some epochs, chunk by chunk."""
    network = run.network
    while recorded.n < total:
        if recorded.steps is None and run.is_over():  # no further batch is to be announced
            break
        chunk, threads = pace.next(1 if hooks.by_batch else total - recorded.n)
        hooks.call("on_steps_begin", recorded.n, {})
        hooks.call("on_train_batch_begin", recorded.n, {})
        maps.check()
        rates = model.optimizer.rates(network.step, chunk)
        began = time.perf_counter()
        losses, right = run.train(rates, model.optimizer.hyper(), shuffle, model.seed, threads, 2 * _pace.CHUNK_SECONDS)
        recorded.add(losses, right)
        seconds = time.perf_counter() - began - recorded.waited
        pace.learn(recorded.units(len(losses)), threads, seconds, len(losses))
        if threads > 1 and pace.next_threads == 1:  # after a trial: nobody will need them soon
            _engine.rest()
        if not np.isfinite(losses).all():
            # The engine stopped before this step changed the weights.
            raise diverged(model, network.step + 1, float(rates[len(losses) - 1]), history)
        if hooks.between_steps:
            logs = recorded.so_far(model)
            hooks.call("on_train_batch_end", recorded.n - 1, logs)
            hooks.call("on_steps_end", recorded.n - 1, logs)
        if hooks.callbacks and model.stop_training:
            break


@quiet
def diverged(model: "Model", step: int, rate: float, history: History, updated: bool = False) -> DivergedError:
    """What to raise of the present weights; where a step was `updated` and its loss finite, of running statistics."""
    cause = {}
    network, layer, largest = model._network, 0, -1.0
    for i, (arrays, shapes) in enumerate(zip(network.get_weights(), network.shapes(False), strict=True)):
        for array in arrays[: len(shapes)]:  # without running statistics
            size = np.abs(array).max(initial=0)
            if not size <= largest:  # NaN is more than all numbers
                layer, largest = i, float(size) if np.isfinite(size) else np.inf
        if updated and np.isfinite(largest) and not all(np.isfinite(array).all() for array in arrays[len(shapes) :]):
            cause = {"cause": f"a running statistic of layer {i} became NaN or infinite"}
    return DivergedError(int(step), rate, history, layer, largest, **cause)


class Maps:
    """The maps of files that a training reads: looked at before each chunk of steps and each validation, since a file
    that somebody cuts meanwhile ends the process where it is read. What is cut within a chunk does so still."""

    def __init__(self, run: Any, validation: Validation) -> None:
        self.arrays = [("X, y or sample_weight", array) for array in run.mapped()]
        for array in _engine.mapped(*validation) if isinstance(validation, tuple) else ():
            self.arrays.append(("validation_data", array))

    def check(self) -> None:
        """OSError where one of the files is too short."""
        for name, array in self.arrays:
            still_whole(name, array)


class Steps:
    """Losses and right predictions of the steps of one chunk of epochs."""

    steps: int | None  # of an epoch; None: not known before its end
    rows: Any  # of each step of an epoch
    many = True  # whether a chunk may hold several epochs
    waited = 0.0  # seconds of the last steps in which they waited for their data

    def __init__(self, n_samples: int, batch_size: int) -> None:
        self.steps = -(-n_samples // batch_size)
        self.rows = np.full(self.steps, float(batch_size))
        self.rows[-1] = n_samples - (self.steps - 1) * batch_size
        self.clear()

    def clear(self) -> None:
        """Begin the next chunk of epochs."""
        self.losses: list[Array] = []
        self.right: list[Array] = []
        self.n = 0
        self._summed, self._sums = 0, (0.0, 0, 0.0)  # chunks, and of these the losses times rows, right ones, rows

    def add(self, losses: Array, right: Array) -> None:
        """Keep what a chunk of steps gave."""
        self.losses.append(losses)
        self.right.append(right)
        self.n += len(losses)

    def units(self, last: int) -> float:
        """How many whole batches the last steps were worth."""
        if self.steps is None:
            return last
        ends = self.n // self.steps - (self.n - last) // self.steps
        return last - ends * (1 - float(self.rows[self.steps - 1] / self.rows[0]))

    @quiet
    def so_far(self, model: "Model") -> Logs:
        """Means over the steps of this epoch, by name. Each chunk is summed once, whoever asks how often; the mean of a
        whole epoch is that of `logs`."""
        if self.n == self.steps:
            return {name: values[0] for name, values in self.logs(model, self.n).items()}
        loss, hits, n = self._sums
        first = self.n - sum(map(len, self.losses[self._summed :]))
        for losses, right in zip(self.losses[self._summed :], self.right[self._summed :], strict=True):
            rows = np.asarray(self.rows[first : first + len(losses)], float)
            loss, hits, n = loss + float(losses @ rows), hits + int(right.sum()), n + float(rows.sum())
            first += len(losses)
        self._summed, self._sums = len(self.losses), (loss, hits, n)
        return {name: float(value) for name, value in model._logs(loss / n, hits, int(n)).items()}

    @quiet
    def logs(self, model: "Model", steps: int) -> dict[str, list[float]]:
        """Means over every `steps` steps, by name: of each epoch."""
        losses = np.concatenate(self.losses).reshape(-1, steps)
        right = np.concatenate(self.right).reshape(-1, steps)
        rows = np.asarray(self.rows[:steps], float)
        n = int(rows.sum())
        logs = model._logs((losses * rows).sum(axis=1) / n, right.sum(axis=1), n)
        return {name: values.tolist() for name, values in logs.items()}
