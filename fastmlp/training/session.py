"""One training: chunks of steps in the engine, and between them progress, callbacks and Ctrl-C."""

import abc
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastmlp import _engine, _evaluation, _pace
from fastmlp._callback import Logs
from fastmlp._evaluation import Validation
from fastmlp._quiet import quiet
from fastmlp._validation import still_whole
from fastmlp.core import Core
from fastmlp.history import DivergedError, History
from fastmlp.losses import Custom
from fastmlp.schedules import Schedule
from fastmlp.training.hooks import Hooks
from fastmlp.training.steps import Steps

# Weights of a network whose small epochs are trained several at a time: their snapshot holds the optimizer too.
SMALL_BYTES = 1 << 18


class Session(abc.ABC):
    """A training, of whatever kind: who hears of it, what it is validated on, and what it leaves behind.

    Ctrl-C ends it with the history of the epochs that were finished; a second one, while callbacks end theirs, is a
    KeyboardInterrupt.

    Parameters
    ----------
    core : Core
    hooks : Hooks
    validation : Validation
    initial_epoch : int, default 0

    Attributes
    ----------
    history : History
        With the epochs before the first.
    epoch : int
        That is trained, or comes next.
    logs : dict of str to float
        Of the last epoch.
    run : engine.Run or BatchRun
    pace : _pace.Pace
    maps : Maps
        Set, as the two before, by `train`.
    """

    def __init__(self, core: Core, hooks: Hooks, validation: Validation, initial_epoch: int = 0) -> None:
        self.core, self.hooks, self.validation = core, hooks, validation
        self.initial_epoch = self.epoch = initial_epoch
        self.history = core.history.before(initial_epoch)
        self.logs: Logs = {}
        self.run: Any = None
        self.pace: _pace.Pace
        self.maps: Maps

    def train(self, run: Any, pace: _pace.Pace) -> History:
        """Train on the data bound to a run.

        Parameters
        ----------
        run : engine.Run or BatchRun
        pace : _pace.Pace
            Chooses its threads, and how many steps pass between two visits of Python.

        Returns
        -------
        History
        """
        core, history = self.core, self.history
        self.run, self.pace, self.maps = run, pace, Maps(run, self.validation)
        self._check()
        core.stop_training, core.stop_reason = False, "callback"
        self.begin()
        try:
            self.hooks.call("on_train_begin", {})
            core.history = history
            if core.callback_states is not None and core.callback_states[0] == self.initial_epoch > 0:
                self.hooks.restore(core.callback_states[1])
            core.callback_states = None
            history.stopped = self.train_epochs()
        except KeyboardInterrupt:
            history.stopped = "interrupted"
        finally:
            self.end()
            self.hooks.end(self.logs)
        if history.stopped != "interrupted":
            self.hooks.keep(core, self.epoch, finished=True)
        return history

    def _check(self) -> None:
        """What must hold of a model when its training begins."""
        core = self.core
        if not core.network.is_finite():
            raise ValueError("the weights, or the optimizer's states, hold NaN or infinity; assign model.weights first")
        if self.validation is not None and core.metrics and isinstance(core.loss, Custom):
            _evaluation.validate(core, self.validation)  # whether these metrics suit what the function takes

    @abc.abstractmethod
    def begin(self) -> None:
        """Before anybody hears of the training."""

    @abc.abstractmethod
    def train_epochs(self) -> str:
        """All epochs; why they ended."""

    @abc.abstractmethod
    def end(self) -> None:
        """In any case, before callbacks end theirs."""

    def end_epoch(self) -> None:
        """Validate, record, and tell the callbacks, which may add to the logs."""
        core, logs = self.core, self.logs
        if self.validation is not None:
            self.hooks.call("on_test_begin", {})
            found = _evaluation.validate(core, self.validation)
            self.hooks.call("on_test_end", found)
            logs |= {f"val_{name}": value for name, value in found.items()}
        self.history.append(self.epoch, logs)  # a model that a callback saves has it
        try:
            self.hooks.call("on_epoch_end", self.epoch, logs)
        finally:
            self.history.amend(logs)


class Epochs(Session):
    """A training by steps of an optimizer.

    Small epochs go through several at a time where nobody wants to hear of each one.

    Parameters
    ----------
    core, hooks, validation, initial_epoch
        As of `Session`.
    epochs : int
        Number of the epoch before which it ends.
    shuffle : bool
    recorded : Steps
    watch : callable
        Is given the loss of the first epoch, infinity where that diverged; it returns a remedy then.
    """

    def __init__(
        self,
        core: Core,
        hooks: Hooks,
        validation: Validation,
        initial_epoch: int,
        epochs: int,
        shuffle: bool,
        recorded: Steps,
        watch: Callable[[float], str],
    ) -> None:
        super().__init__(core, hooks, validation, initial_epoch)
        self.epochs, self.shuffle, self.recorded, self.watch = epochs, shuffle, recorded, watch
        self.by_epoch = True  # or several at a time

    def begin(self) -> None:
        """The first epoch of the run begins."""
        self.run.paced = True
        self.run.start_epoch()
        large = self.run.network.n_bytes > SMALL_BYTES
        listened = bool(self.hooks.callbacks) or self.validation is not None
        self.by_epoch = listened or large or not self.recorded.many

    def train_epochs(self) -> str:
        """All epochs; why they ended."""
        core, hooks, recorded = self.core, self.hooks, self.recorded
        steps = recorded.steps
        while self.epoch < self.epochs and not core.stop_training:
            hooks.call("on_epoch_begin", self.epoch, {})
            left, at_once = self.epochs - self.epoch, 0 if steps is None else self.pace.steps // steps
            many = 1 if self.by_epoch else max(1, min(left, at_once))
            try:
                self._train(many)
            except DivergedError as error:
                if many == 1:
                    self.history.stopped = "diverged"
                    remedy = self.watch(math.inf) if self.epoch == self.initial_epoch else ""
                    if remedy:
                        raise error.advised(remedy) from None
                    raise
                self.by_epoch = True  # the same epochs again, one by one, up to the one in which it happened
                continue
            columns = self._columns()
            if self.by_epoch:
                self.logs = {name: values[0] for name, values in columns.items()}
                self.maps.check()
                self.end_epoch()
            else:
                self.history.extend(range(self.epoch, self.epoch + many), columns)
            if self.epoch == self.initial_epoch:
                self.watch(columns["loss"][0])
            self.epoch += many
            if self.epoch < self.epochs and not core.stop_training:
                hooks.keep(core, self.epoch)
        return str(core.stop_reason) if core.stop_training else "epochs done"

    def end(self) -> None:
        """The weights are those of the last step, or of the epoch before one that diverged."""

    def _columns(self) -> dict[str, list[float]]:
        """What is logged of each of the epochs that were recorded."""
        recorded, optimizer = self.recorded, self.core.optimizer
        length = recorded.n if recorded.steps is None else min(recorded.steps, recorded.n)
        columns = recorded.logs(self.core, length)
        if isinstance(optimizer.learning_rate, Schedule):
            rates = optimizer.rates(max(0, self.run.network.step - recorded.n), recorded.n)
            columns["learning_rate"] = rates[length - 1 :: length].tolist()
        return columns

    def _train(self, many: int) -> None:
        """So many epochs; where the loss diverges, go back to the weights before them and say so."""
        network, recorded = self.run.network, self.recorded
        last_good = network.snapshot(states=many > 1)
        recorded.clear()
        try:
            self._train_steps(math.inf if recorded.steps is None else recorded.steps * many)
            if not network.is_finite():  # the last update has no next step whose loss would tell
                rate = self.core.optimizer.rate(network.step - 1)
                raise diverged(self.core, network.step, rate, self.history, updated=True)
        except DivergedError:
            network.restore(last_good)
            raise
        except KeyboardInterrupt:
            if not network.is_finite():
                network.restore(last_good)
            raise

    def _train_steps(self, total: float) -> None:
        """So many steps, chunk by chunk."""
        core, hooks, pace, recorded, run = self.core, self.hooks, self.pace, self.recorded, self.run
        network = run.network
        while recorded.n < total:
            if recorded.steps is None and run.is_over():  # no further batch is to be announced
                break
            chunk, threads = pace.next(1 if hooks.by_batch else total - recorded.n)
            hooks.call("on_steps_begin", recorded.n, {})
            hooks.call("on_train_batch_begin", recorded.n, {})
            self.maps.check()
            rates, hyper = core.optimizer.rates(network.step, chunk), core.optimizer.hyper()
            began = time.perf_counter()
            losses, right = run.train(rates, hyper, self.shuffle, core.seed, threads, 2 * _pace.CHUNK_SECONDS)
            recorded.add(losses, right)
            seconds = time.perf_counter() - began - recorded.waited
            pace.learn(recorded.units(len(losses)), threads, seconds, len(losses))
            if threads > 1 and pace.next_threads == 1:  # after a trial: nobody will need them soon
                _engine.rest()
            if not np.isfinite(losses).all():
                # The engine stopped before this step changed the weights.
                raise diverged(core, network.step + 1, float(rates[len(losses) - 1]), self.history)
            if hooks.between_steps:
                logs = recorded.so_far(core)
                hooks.call("on_train_batch_end", recorded.n - 1, logs)
                hooks.call("on_steps_end", recorded.n - 1, logs)
            if hooks.callbacks and core.stop_training:
                break


@quiet
def diverged(core: Core, step: int, rate: float, history: History, updated: bool = False) -> DivergedError:
    """What to raise of the present weights; where a step was `updated` and its loss finite, of running statistics."""
    cause = {}
    network, layer, largest = core.network, 0, -1.0
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
