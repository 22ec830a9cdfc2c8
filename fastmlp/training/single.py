"""Single steps: of the optimizer, or of its two halves, gradients and what is done with them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from fastmlp import _engine
from fastmlp._evaluation import check_range
from fastmlp._validation import LayerArrays
from fastmlp.core import Core
from fastmlp.history import History
from fastmlp.training.session import diverged


def train_on_batch(core: Core, X: Any, y: Any, sample_weight: Any = None) -> float:
    """`Model.train_on_batch`."""
    X, targets = core.data(X, y)
    weights = None if sample_weight is None else core.sample_weights(sample_weight, targets)
    with core.turn:
        core.check_adapted()
        hyper = core.optimizer.hyper()
        core.build(X.shape[1])
        rate = core.optimizer.rate(core.network.step)
        loss: float = core.with_run(lambda run: run.step(rate, hyper), len(X), "training", X, targets, weights)
        if not math.isfinite(loss):
            raise diverged(core, core.network.step + 1, rate, History())
        return loss


def loss_and_gradients(core: Core, X: Any, y: Any, sample_weight: Any = None) -> tuple[float, LayerArrays]:
    """`Model.loss_and_gradients`."""
    X, targets = core.data(X, y)
    weights = core.sample_weights(sample_weight, targets)
    with core.turn:
        core.check_adapted()
        core.build(X.shape[1])
        loss, _, gradients = core.with_run(_engine.Run.gradients, len(X), "training", X, targets, weights)
        check_range(core, X, loss)
        return float(loss), gradients


def apply_gradients(core: Core, gradients: Sequence[Sequence[npt.ArrayLike]]) -> None:
    """`Model.apply_gradients`."""
    arrays = core.gradient_arrays("gradients", gradients)
    with core.turn:
        core.network.apply_gradients(arrays, core.optimizer.hyper(), core.optimizer.rate(core.network.step))
