"""Full-batch L-BFGS: scipy's (extra "lbfgs") on the loss and the gradients of all samples."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _flat, layers, training
from fastmlp._hooks import Hooks
from fastmlp._validation import Array
from fastmlp.history import History

if TYPE_CHECKING:
    from fastmlp.model import Model
    from fastmlp.optimizers import LBFGS


class _StopError(Exception):
    """Ends the minimisation from within."""


def check(model: "Model", epochs: int) -> None:
    """What a fit by L-BFGS cannot do, before it begins.

    Parameters
    ----------
    model : Model
    epochs : int

    Raises
    ------
    ValueError, ImportError
        Of the remedy.
    """
    if epochs != 1:
        raise ValueError(
            f"LBFGS makes max_iterations iterations over all samples in one epoch; leave out epochs={epochs}"
        )
    for layer in layers.flat(model.layers):
        if isinstance(layer, layers.Dense) and (layer.max_norm is not None or layer.learning_rate_factor != 1):
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
    """

    def __init__(self, model: "Model", run: Any) -> None:
        self.network, self.run, self.right = run.network, run, 0
        self.trained = [self.names(layer) for layer in model._weighted]
        self.best = self.vector(self.network.get_weights())  # of the last iteration

    @staticmethod
    def names(layer: layers.Layer) -> list[bool]:
        """Which arrays of a layer are trained."""
        dense = isinstance(layer, layers.Dense)
        trainable, use_bias = getattr(layer, "trainable", True), getattr(layer, "use_bias", True)
        found = [name not in layers.RUNNING for name in layer.weight_shapes(1)]
        return [trainable, trainable and use_bias] if dense else found

    def vector(self, pairs: Any) -> Array:
        """What is trained of some weights or gradients."""
        return _flat.vector(pairs, self.trained).astype(np.float64)

    def set(self, theta: Array) -> None:
        """Give the network these weights."""
        self.network.set_weights(_flat.replaced(self.network.get_weights(), self.trained, theta))

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Loss and gradient; _StopError where the loss is not finite."""
        with np.errstate(over="ignore"):
            self.set(theta)
        loss, self.right, gradients = self.run.gradients()
        if not np.isfinite(loss):
            raise _StopError
        return float(loss), self.vector(gradients)


def fit(
    model: "Model", run: Any, n_samples: int, validation: tuple[Array, ...] | None, hooks: Hooks, optimizer: "LBFGS"
) -> History:
    """One minimisation; each iteration is an entry of the history.

    Returns
    -------
    History
    """
    from scipy.optimize import minimize

    history = model.history = History()
    objective = Objective(model, run)
    model.stop_training, model.stop_reason = False, "callback"
    names = [*model._logs(0.0, 0, 1)]
    if validation is not None:
        names += [f"val_{name}" for name in [*names, *(metric.name for metric in model.metrics)]]
    for callback in hooks.callbacks:
        callback.model = model
        callback.params = {"epochs": optimizer.max_iterations, "steps": 1, "metrics": names}
    logs: dict[str, float] = {}

    def after_iteration(theta: Array) -> None:
        nonlocal logs
        loss, _ = objective(theta)
        objective.best = theta.copy()
        epoch = len(history.epoch)
        logs = model._logs(loss, objective.right, n_samples)
        if validation is not None:
            logs |= {f"val_{name}": value for name, value in model._evaluate(*validation).items()}
        history.append(epoch, logs)
        try:
            hooks.call("on_epoch_begin", epoch, {})
            hooks.call("on_epoch_end", epoch, logs)
        finally:
            history.amend(logs)
        hooks.keep(epoch + 1)
        if model.stop_training:
            history.stopped = str(model.stop_reason)
            raise _StopError

    options = {
        "maxiter": optimizer.max_iterations, "maxfun": 20 * optimizer.max_iterations, "maxcor": optimizer.memory,
        "gtol": optimizer.tolerance, "ftol": 64 * np.finfo(float).eps,
    }  # fmt: skip
    hooks.call("on_train_begin", {})
    try:
        done = minimize(
            objective, objective.best, jac=True, method="L-BFGS-B", callback=after_iteration, options=options
        )
        history.stopped = "epochs done" if done.status == 1 else "converged"
    except _StopError:
        if not history.stopped:  # the loss is not finite
            history.stopped = "diverged"
            raise training.diverged(model, len(history.epoch) + 1, 1.0, history) from None
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    finally:
        objective.set(objective.best)
        hooks.call("on_train_end", logs)
    if history.stopped != "interrupted":
        hooks.keep(len(history.epoch), finished=True)
    return history
