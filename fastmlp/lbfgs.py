"""Full-batch L-BFGS: scipy's (extra "lbfgs") on the loss and the gradients of all samples."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _flat, _pace, layers, training
from fastmlp._hooks import Hooks
from fastmlp._validation import Array
from fastmlp.history import History

if TYPE_CHECKING:
    from fastmlp.model import Model
    from fastmlp.optimizers import LBFGS


class _StopError(Exception):
    """Ends the minimisation from within: a callback wants it, or the loss is not finite."""

    def __init__(self, diverged: bool) -> None:
        self.diverged = diverged


def check(model: "Model", epochs: int, initial_epoch: int) -> None:
    """What a fit by L-BFGS cannot do, before it begins.

    Parameters
    ----------
    model : Model
    epochs, initial_epoch : int

    Raises
    ------
    ValueError, ImportError
        Of the remedy.
    """
    if epochs != 1:
        raise ValueError(
            f"LBFGS makes max_iterations iterations over all samples in one epoch; leave out epochs={epochs}"
        )
    if initial_epoch != 0:
        raise ValueError(f"LBFGS goes on from the weights that there are; leave out initial_epoch={initial_epoch}")
    for layer in layers.flat(model.layers):
        if getattr(layer, "max_norm", None) is not None or getattr(layer, "learning_rate_factor", 1) != 1:
            raise ValueError(f"LBFGS knows neither max_norm nor learning_rate_factor, but a layer is {layer!r}")
    try:
        import scipy.optimize  # noqa: F401  (only whether it is there)
    except ImportError as error:
        raise ImportError("LBFGS needs scipy: pip install 'fastmlp[lbfgs]'") from error


class Objective:
    """The mean loss and its gradient as functions of all that is trained, as one float64 vector.

    Parameters
    ----------
    model : Model
        Built.
    run : _engine.Run
        Bound to all samples.
    pace : _pace.Pace
        On how many threads it is evaluated.
    maps : training.Maps
    """

    def __init__(self, model: "Model", run: Any, pace: _pace.Pace, maps: training.Maps) -> None:
        self.network, self.run, self.pace, self.right = run.network, run, pace, 0
        self.maps = maps
        self.trained = [
            [found and getattr(layer, "trainable", True) for found in layer.has_gradient] for layer in model._weighted
        ]
        self.best = self.network.get_weights()  # of the last iteration, with its running statistics
        self.last: tuple[Array, float] | None = None  # where it was evaluated

    def vector(self, pairs: Any) -> Array:
        """What is trained of some weights or gradients."""
        return _flat.vector(pairs, self.trained).astype(np.float64)

    def set(self, theta: Array) -> None:
        """Give the network these weights."""
        self.network.set_weights(_flat.replaced(self.network.get_weights(), self.trained, theta))

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Loss and gradient; _StopError where the loss is not finite."""
        self.maps.check()
        with np.errstate(all="ignore"):
            self.set(theta)
        rows = self.run.batch_rows
        loss, self.right, gradients = _pace.single_call(self.run, type(self.run).gradients, rows, self.pace)
        if not np.isfinite(loss):
            raise _StopError(diverged=True)
        self.last = theta.copy(), float(loss)
        return float(loss), self.vector(gradients)

    def accept(self, theta: Array) -> float:
        """The loss at the end of an iteration, most often where it was evaluated last."""
        if self.last is None or not np.array_equal(theta, self.last[0]):
            self(theta)
        assert self.last is not None
        self.best = self.network.get_weights()
        return self.last[1]


def fit(
    model: "Model",
    run: Any,
    pace: _pace.Pace,
    n_samples: int,
    validation: training.Validation,
    hooks: Hooks,
    optimizer: "LBFGS",
) -> History:
    """One minimisation; each iteration is an entry of the history.

    Returns
    -------
    History
    """
    from scipy.optimize import minimize

    history = History()
    maps = training.Maps(run, validation)
    objective = Objective(model, run, pace, maps)
    training.begin(model, validation)
    model._kept = None
    logs: dict[str, float] = {}

    def after_iteration(theta: Array) -> None:
        nonlocal logs
        logs = model._logs(objective.accept(theta), objective.right, n_samples)
        epoch = len(history.epoch)
        hooks.call("on_epoch_begin", epoch, {})
        for hook, what in ("begin", {}), ("end", logs):  # all samples are one batch
            hooks.call(f"on_train_batch_{hook}", 0, {**what})
            hooks.call(f"on_steps_{hook}", 0, {**what})
        maps.check()
        training.end_epoch(model, hooks, history, epoch, logs, validation)
        if not _flat.same(objective.network.get_weights(), objective.best):
            raise ValueError(
                f"a callback changed the weights after iteration {epoch + 1}, which L-BFGS cannot follow; change them "
                "after fit, and call it again"
            )
        hooks.keep(epoch + 1)
        if model.stop_training:
            raise _StopError(diverged=False)

    options = {
        "maxiter": optimizer.max_iterations, "maxfun": 20 * optimizer.max_iterations, "maxcor": optimizer.memory,
        "gtol": optimizer.tolerance, "ftol": 64 * np.finfo(float).eps,
    }  # fmt: skip
    try:
        hooks.call("on_train_begin", {})
        model.history = history
        start = objective.vector(objective.best)
        with np.errstate(all="ignore"):  # the minimiser's own arithmetic
            done = minimize(objective, start, jac=True, method="L-BFGS-B", callback=after_iteration, options=options)
        history.stopped = "epochs done" if done.status == 1 else "converged"
    except _StopError as stop:
        history.stopped = "diverged" if stop.diverged else str(model.stop_reason)
        if stop.diverged:
            raise training.diverged(model, len(history.epoch) + 1, 1.0, history) from None
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    finally:
        objective.network.set_weights(objective.best)
        hooks.end(logs)
    if history.stopped != "interrupted":
        hooks.keep(len(history.epoch), finished=True)
    return history
