"""Derivatives of a model as it predicts: its scores by its inputs and by its weights, in the compiled engine.

They are of the network itself, as it predicts: without dropout, with running statistics. `Model` has them as methods.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp import _engine, _evaluation, _targets, losses
from fastmlp._quiet import quiet
from fastmlp._validation import Array, LayerArrays, all_finite, engine_dtype, numeric_array, own, samples
from fastmlp.core import Core
from fastmlp.preprocessing import product

Pullback = Callable[..., tuple[Array | None, LayerArrays | None]]


def vjp(core: Core, X: npt.ArrayLike) -> tuple[Array, Pullback]:
    """`Model.vjp`."""
    array, shape = _inputs(core, X)
    array = own(array, X)
    scores = _evaluation.forward(core, array, "identity")

    def pullback(
        dscores: npt.ArrayLike, inputs: bool = True, weights: bool = True
    ) -> tuple[Array | None, LayerArrays | None]:
        cotangents = _targets.moved(
            _like("dscores", dscores, scores.shape, core.dtype), core.target_statistics, core.dtype
        )
        dX, gradients = None, None
        if inputs:
            dX = np.empty(array.shape, core.dtype)
            core.with_run(lambda run: run.pull(dX), len(array), "derivatives", array, cotangents, loss=False)
            dX = _pulled(core, dX).reshape(shape)
        if weights:
            _, _, gradients = core.with_run(
                _engine.Run.gradients, len(array), "weight derivatives", array, cotangents, loss=False
            )
        return dX, gradients

    return scores, pullback


def jvp(
    core: Core,
    X: npt.ArrayLike,
    dX: npt.ArrayLike | None = None,
    dweights: Sequence[Sequence[npt.ArrayLike]] | None = None,
) -> tuple[Array, Array]:
    """`Model.jvp`."""
    array, _ = _inputs(core, X)
    tangents = np.broadcast_to(np.zeros(1, core.dtype), array.shape)
    if dX is not None:
        tangents = _pushed(core, _like("dX", dX, np.shape(X), core.dtype).reshape(array.shape))
    tangents_of_weights = None if dweights is None else core.gradient_arrays("dweights", dweights)
    scores, out = (np.empty((len(array), core.n_outputs), core.dtype) for _ in range(2))
    core.with_run(lambda run: run.push(tangents, out, scores, tangents_of_weights), len(array), "derivatives", array)
    _evaluation.check_range(core, array, scores)
    learned = core.target_statistics
    return _targets.restored(scores, learned), _targets.moved(out, learned, core.dtype)


def jacobian(core: Core, X: npt.ArrayLike) -> Array:
    """`Model.jacobian`."""
    array, shape = _inputs(core, X)
    out = np.empty((len(array), core.n_outputs, array.shape[1]), core.dtype)
    core.with_run(lambda run: run.jacobian(out), len(array), "derivatives", array)
    _evaluation.check_range(core, array, out)
    if core.targets is not None:
        out = _targets.moved(out.swapaxes(1, 2), core.target_statistics, core.dtype).swapaxes(1, 2)
    return _pulled(core, out).reshape(len(array), core.n_outputs, *shape[1:])


def input_gradients(core: Core, X: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """`Model.input_gradients`."""
    array, shape = _inputs(core, X)
    _, targets = core.data(array, y)
    if isinstance(core.loss, losses.Custom):
        scores, pullback = vjp(core, X)
        found = pullback(core.loss(scores, targets)[1], weights=False)[0]
        assert found is not None
        return found
    out = np.empty(array.shape, core.dtype)
    core.with_run(lambda run: run.pull(out), len(array), "derivatives", array, targets)
    _evaluation.check_range(core, array, out)
    return _pulled(core, out).reshape(shape)


def _inputs(core: Core, X: npt.ArrayLike) -> tuple[Array, tuple[int, ...]]:
    """Samples as the engine reads them, and the shape in which they came."""
    core.check_adapted()
    return samples("X", X, core.built_network().n_inputs, core.dtype), np.shape(X)


@quiet
def _pulled(core: Core, dx: Array) -> Array:
    """Derivatives by the data, on the last axis, of those by what the preprocessing makes of them."""
    if core.preprocessing is None:
        return dx
    _, scale, matrix = core.preprocessing.scaling(core.statistics)
    if matrix is not None:
        dx = product(dx, matrix.T, core.dtype)
    return np.asarray((dx * scale).astype(core.dtype))


@quiet
def _pushed(core: Core, dx: Array) -> Array:
    """How what the preprocessing makes of the data moves where these move by dx."""
    if core.preprocessing is None:
        return dx
    _, scale, matrix = core.preprocessing.scaling(core.statistics)
    dx = (dx * scale).astype(core.dtype)
    return dx if matrix is None else product(dx, matrix, core.dtype)


def _like(name: str, value: Any, shape: tuple[int, ...], dtype: str) -> Array:
    """A finite array of a given shape, as the engine reads it."""
    array = numeric_array(name, value)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but {shape} is wanted here")
    all_finite(name, array, dtype)
    return engine_dtype(array, dtype)
