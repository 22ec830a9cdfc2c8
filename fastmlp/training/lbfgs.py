"""Full-batch L-BFGS: scipy's (extra "lbfgs") on the loss and the gradients of all samples."""

from typing import Any

import numpy as np

from fastmlp import _pace, _vector, layers
from fastmlp._evaluation import Validation
from fastmlp._validation import Array, LayerArrays
from fastmlp.core import Core
from fastmlp.optimizers import LBFGS
from fastmlp.training.hooks import Hooks
from fastmlp.training.session import Maps, Session, diverged


class _StopError(Exception):
    """Ends the minimisation from within: a callback wants it, or the loss is not finite."""

    def __init__(self, diverged: bool) -> None:
        self.diverged = diverged


def check(core: Core, epochs: int, initial_epoch: int) -> None:
    """What a fit by L-BFGS cannot do, before it begins.

    Parameters
    ----------
    core : Core
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
    for layer in layers.walk(core.layers):
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
    core : Core
        Built.
    run : _engine.Run
        Bound to all samples.
    pace : _pace.Pace
        On how many threads it is evaluated.
    maps : Maps
    """

    def __init__(self, core: Core, run: Any, pace: _pace.Pace, maps: Maps) -> None:
        self.network, self.run, self.pace, self.right = run.network, run, pace, 0
        self.maps = maps
        self.trained = [
            [found and getattr(layer, "trainable", True) for found in layer.has_gradient] for layer in core.weighted
        ]
        self.best = self.network.get_weights()  # of the last iteration, with its running statistics
        self.last: tuple[Array, float] | None = None  # where it was evaluated

    def vector(self, arrays: LayerArrays) -> Array:
        """What is trained of some weights or gradients."""
        return _vector.joined(arrays, self.trained).astype(np.float64)

    def set(self, theta: Array) -> None:
        """Give the network these weights."""
        self.network.set_weights(_vector.replaced(self.network.get_weights(), self.trained, theta))

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


class Minimisation(Session):
    """A training by one minimisation, each of whose iterations is an epoch.

    Parameters
    ----------
    core, hooks, validation
        As of `Session`.
    n_samples : int
    """

    def __init__(self, core: Core, hooks: Hooks, validation: Validation, n_samples: int) -> None:
        super().__init__(core, hooks, validation)
        self.n_samples = n_samples
        self.objective: Objective

    def begin(self) -> None:
        """From the weights that there are."""
        self.objective = Objective(self.core, self.run, self.pace, self.maps)

    def train_epochs(self) -> str:
        """Minimise; why it ended."""
        from scipy.optimize import minimize

        optimizer, objective = self.core.optimizer, self.objective
        assert isinstance(optimizer, LBFGS)
        options = {
            "maxiter": optimizer.max_iterations, "maxfun": 20 * optimizer.max_iterations, "maxcor": optimizer.memory,
            "gtol": optimizer.tolerance, "ftol": 64 * np.finfo(float).eps,
        }  # fmt: skip
        start = objective.vector(objective.best)
        try:
            with np.errstate(all="ignore"):  # the minimiser's own arithmetic
                done = minimize(
                    objective, start, jac=True, method="L-BFGS-B", callback=self._end_iteration, options=options
                )
        except _StopError as stop:
            if not stop.diverged:
                return str(self.core.stop_reason)
            self.history.stopped = "diverged"
            raise diverged(self.core, self.epoch + 1, 1.0, self.history) from None
        return "epochs done" if done.status == 1 else "converged"

    def _end_iteration(self, theta: Array) -> None:
        core, hooks, objective = self.core, self.hooks, self.objective
        self.logs = core.logs(objective.accept(theta), objective.right, self.n_samples)
        hooks.call("on_epoch_begin", self.epoch, {})
        for hook, what in ("begin", {}), ("end", self.logs):  # all samples are one batch
            hooks.call(f"on_train_batch_{hook}", 0, {**what})
            hooks.call(f"on_steps_{hook}", 0, {**what})
        self.maps.check()
        self.end_epoch()
        self.epoch += 1
        if not _vector.same(objective.network.get_weights(), objective.best):
            raise ValueError(
                f"a callback changed the weights after iteration {self.epoch}, which L-BFGS cannot follow; change them "
                "after fit, and call it again"
            )
        hooks.keep(core, self.epoch)
        if core.stop_training:
            raise _StopError(diverged=False)

    def end(self) -> None:
        """Keep the weights of the last iteration."""
        self.objective.network.set_weights(self.objective.best)
