"""`Model.fit`: its options checked, its data bound to the engine, and a session over them."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastmlp import _pace
from fastmlp._evaluation import validation_of
from fastmlp._iterables import check_iterable
from fastmlp._split import split
from fastmlp._validation import (
    Array,
    bounded_integer,
    check_some_weight,
    finite_number,
    flag,
    is_by_number,
    shown,
    verbosity,
)
from fastmlp.callbacks import Callback, ProgressBar
from fastmlp.core import Core
from fastmlp.history import History
from fastmlp.optimizers import LBFGS
from fastmlp.schedules import Schedule
from fastmlp.training import lbfgs
from fastmlp.training.batches import BatchRun, BatchSteps
from fastmlp.training.hooks import Hooks
from fastmlp.training.session import Epochs, Session
from fastmlp.training.steps import Steps
from fastmlp.training.watch import watch


@dataclasses.dataclass
class Options:
    """Arguments of `Model.fit` beside the data, as they are given; checked when they are made."""

    batch_size: int
    epochs: int
    validation_data: Any
    shuffle: bool
    callbacks: Any
    verbose: int | str
    validation_split: float
    steps_per_epoch: int | None
    initial_epoch: int
    sample_weight: Any
    class_weight: Mapping[int, float] | None

    def __post_init__(self) -> None:
        self.epochs = bounded_integer("epochs", self.epochs)
        self.initial_epoch = bounded_integer("initial_epoch", self.initial_epoch, at_least=0)
        if self.initial_epoch > self.epochs:
            raise ValueError(
                f"initial_epoch={self.initial_epoch} is past epochs={self.epochs}, where the training ends"
            )
        self.batch_size = bounded_integer("batch_size", self.batch_size)
        self.verbose = verbosity(self.verbose)
        self.shuffle = flag("shuffle", self.shuffle)
        self.hooks = _hooks(self.callbacks, self.verbose)
        if self.steps_per_epoch is not None:
            self.steps_per_epoch = bounded_integer("steps_per_epoch", self.steps_per_epoch)
        self.validation_split = finite_number("validation_split", self.validation_split, at_least=0, below=1)


def fit(core: Core, model: Any, X: Any, y: Any, options: Options) -> History:
    """Train; `model` is what callbacks see of it.

    Parameters
    ----------
    core : Core
    model : Model
    X, y
        As of `Model.fit`.
    options : Options

    Returns
    -------
    History
    """
    share = options.validation_split
    if share and (y is None or options.validation_data is not None):
        other = "validation_data" if y is None else "not both validation_data and validation_split"
        raise ValueError(f"validation_split={share} takes its share of arrays X and y; give {other}")
    if isinstance(core.optimizer, LBFGS):
        lbfgs.check(core, options.epochs, options.initial_epoch)
        if y is None:
            raise ValueError("LBFGS needs all samples at once: give fit arrays X and y, not an iterable of batches")
    if options.initial_epoch == options.epochs or options.hooks.have_ended(core, options.initial_epoch):
        done = core.history.before(options.initial_epoch)
        done.stopped = core.history.stopped or "epochs done"
        return done
    return _fit_batches(core, model, X, options) if y is None else _fit_arrays(core, model, X, y, options)


def _fit_batches(core: Core, model: Any, given: Any, options: Options) -> History:
    check_iterable("fit", given, options.sample_weight)
    hooks, initial_epoch, epochs = options.hooks, options.initial_epoch, options.epochs
    steps = options.steps_per_epoch
    with core.turn, BatchRun(core, given, steps, epochs - initial_epoch, options.class_weight) as source:
        _announce(core, model, hooks, options, epochs, steps, options.validation_data is not None)
        try:
            first, *others = source.first()
        except KeyboardInterrupt:
            source.interrupted = True
            done = core.history = core.history.before(initial_epoch)
            done.stopped = "interrupted"
            return done
        core.check_adapted()
        validation = validation_of(core, options.validation_data, first.shape[1])
        core.build(first.shape[1])
        warning = watch(core, others[0], None, others[1] if len(others) > 1 else None)
        session = Epochs(core, hooks, validation, initial_epoch, epochs, False, BatchSteps(source), warning)
        pace = _pace.Pace(1, core.network.work(len(first), True))  # of chunks; each batch finds its threads
        history = session.train(source, pace)
        source.interrupted = history.stopped == "interrupted"
        if not source.interrupted:
            source.check_weights()
        return history


def _fit_arrays(core: Core, model: Any, X: Any, y: Any, options: Options) -> History:
    if isinstance(X, Iterator) or is_by_number(X):
        raise TypeError(f"X is a {type(X).__name__}: an iterable gives batches (X, y), so leave out y")
    if options.steps_per_epoch is not None:
        raise ValueError("steps_per_epoch is for an iterable of batches; with arrays choose batch_size")
    X, targets = core.data(X, y)
    weights = core.sample_weights(options.sample_weight, targets, options.class_weight)
    validation = validation_of(core, options.validation_data, X.shape[1])
    subset: Array | None = None
    if options.validation_split:
        subset, held_out = split(core.loss.strata(targets), options.validation_split, core.seed)
        own_weights = core.sample_weights(options.sample_weight, targets)
        validation = X, targets, own_weights, held_out
        for part, rows in (("those that are held out", held_out), ("those that are trained on", subset)):
            if own_weights is not None:
                check_some_weight(f"sample_weight of {part}", own_weights[rows], core.dtype)
    if weights is not None:
        of_rows = weights if subset is None else weights[subset]
        check_some_weight("class_weight * sample_weight", of_rows, core.dtype)
    n_samples = len(X) if subset is None else len(subset)
    minimiser = core.optimizer if isinstance(core.optimizer, LBFGS) else None
    batch_size = min(options.batch_size, n_samples) if minimiser is None else n_samples
    epochs = options.epochs if minimiser is None else minimiser.max_iterations
    recorded = Steps(n_samples, batch_size)
    learned = core.unlearned(X, targets, subset, weights)
    warning = watch(core, targets, subset, weights)
    hooks, initial_epoch = options.hooks, options.initial_epoch
    with core.turn:
        _announce(core, model, hooks, options, epochs, recorded.steps, validation is not None)
        core.build(X.shape[1])
        core.adapt(*learned)
        session: Session
        if minimiser is None:
            session = Epochs(core, hooks, validation, initial_epoch, epochs, options.shuffle, recorded, warning)
        else:
            session = lbfgs.Minimisation(core, hooks, validation, n_samples)
        try:
            history: History = core.with_run(
                session.train, batch_size, "training", X, targets, weights, subset=subset, single=False
            )
        finally:
            core.trim()
        return history


def _announce(
    core: Core, model: Any, hooks: Hooks, options: Options, epochs: int, steps: int | None, validated: bool
) -> None:
    """Tell the callbacks of a training that is to begin, and let them object."""
    names = [*core.logs(0.0, 0, 1)]
    if validated:
        names += [f"val_{name}" for name in [*names, *(metric.name for metric in core.metrics)]]
    if isinstance(core.optimizer.learning_rate, Schedule):
        names.append("learning_rate")
    for callback in hooks.callbacks:
        callback.model = model
        callback.params = {
            "epochs": epochs, "initial_epoch": options.initial_epoch, "steps": steps, "metrics": names,
        }  # fmt: skip
    hooks.check()


def _hooks(callbacks: Any, verbose: int) -> Hooks:
    """Those of callbacks as a user gives them, and of the progress."""
    callbacks = () if callbacks is None else [callbacks] if isinstance(callbacks, Callback) else callbacks
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks must be a list of fastmlp.Callback objects, not {callbacks!r}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must hold fastmlp.Callback objects, not {shown(callback)}")
    return Hooks([*callbacks, *([ProgressBar(bar=verbose == 1)] if verbose else [])])
