"""Single steps: of the optimizer, or of its two halves, gradients and what is done with them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from fastmlp import _engine, _targets
from fastmlp._evaluation import check_range
from fastmlp._validation import Array, LayerArrays, sample_weights, samples
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


def adapt(core: Core, X: Any, y: Any, sample_weight: Any) -> None:
    """`Model.adapt`."""
    if y is not None and core.targets is None:
        raise ValueError("this model reads targets as they are; make it with targets='standardize', or leave out y")
    if core.preprocessing is None and y is None:
        remedy = "its targets it learns by adapt(X, y)"
        if core.targets is None:
            remedy = "make it with preprocessing=fastmlp.Standardize()"
        raise ValueError(f"this model has no preprocessing to adapt; {remedy}")
    array = samples("X", X, core.n_inputs, core.dtype)
    weights = None
    if sample_weight is not None:
        weights = sample_weights("sample_weight", sample_weight, len(array), core.dtype)
    statistics: dict[str, Array] = {}
    of_targets: dict[str, Array] = {}
    if core.preprocessing is not None:
        statistics = core.preprocessing.fitted(array, None, core.dtype, weights)
    if y is not None:
        targets = core.loss.targets(y, len(array), core.n_outputs, core.dtype)
        of_targets = _targets.fitted(targets, None, core.dtype, weights)
    with core.turn.of_callback():
        core.build(array.shape[1])
        core.adapt(statistics, of_targets)
