"""Derivatives of a model as it predicts: its scores by its inputs and by its weights, in the compiled engine.

They are of the network itself, as it predicts: without dropout, with running statistics. `Model` has them as methods.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastmlp import _engine, _targets, losses
from fastmlp._quiet import quiet
from fastmlp._validation import Array, all_finite, engine_dtype, numeric_array, own, samples
from fastmlp.preprocessing import product

if TYPE_CHECKING:
    from fastmlp.model import Model

Pairs = list[tuple[Array, ...]]
Pullback = Callable[..., tuple[Array | None, Pairs | None]]


def vjp(model: "Model", X: npt.ArrayLike) -> tuple[Array, Pullback]:
    """`Model.vjp`."""
    array, shape = _inputs(model, X)
    array = own(array, X)
    scores = model.scores(array)

    def pullback(
        dscores: npt.ArrayLike, inputs: bool = True, weights: bool = True
    ) -> tuple[Array | None, Pairs | None]:
        cotangents = _targets.moved(model, _like("dscores", dscores, scores.shape, model.dtype))
        dX, gradients = None, None
        if inputs:
            dX = np.empty(array.shape, model.dtype)
            model._with_run(lambda run: run.pull(dX), len(array), "derivatives", array, cotangents, loss=False)
            dX = _pulled(model, dX).reshape(shape)
        if weights:
            _, _, gradients = model._with_run(
                _engine.Run.gradients, len(array), "weight derivatives", array, cotangents, loss=False
            )
        return dX, gradients

    return scores, pullback


def jvp(
    model: "Model",
    X: npt.ArrayLike,
    dX: npt.ArrayLike | None = None,
    dweights: Sequence[Sequence[npt.ArrayLike]] | None = None,
) -> tuple[Array, Array]:
    """`Model.jvp`."""
    array, _ = _inputs(model, X)
    tangents = np.broadcast_to(np.zeros(1, model.dtype), array.shape)
    if dX is not None:
        tangents = _pushed(model, _like("dX", dX, np.shape(X), model.dtype).reshape(array.shape))
    pairs = None if dweights is None else model._gradients("dweights", dweights)
    scores, out = (np.empty((len(array), model.n_outputs), model.dtype) for _ in range(2))
    model._with_run(lambda run: run.push(tangents, out, scores, pairs), len(array), "derivatives", array)
    model._check_range(array, scores)
    return _targets.restored(model, scores), _targets.moved(model, out)


def jacobian(model: "Model", X: npt.ArrayLike) -> Array:
    """`Model.jacobian`."""
    array, shape = _inputs(model, X)
    out = np.empty((len(array), model.n_outputs, array.shape[1]), model.dtype)
    model._with_run(lambda run: run.jacobian(out), len(array), "derivatives", array)
    model._check_range(array, out)
    if model._targets is not None:
        out = _targets.moved(model, out.swapaxes(1, 2)).swapaxes(1, 2)
    return _pulled(model, out).reshape(len(array), model.n_outputs, *shape[1:])


def input_gradients(model: "Model", X: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """`Model.input_gradients`."""
    array, shape = _inputs(model, X)
    _, targets = model._data(array, y)
    if isinstance(model.loss, losses.Custom):
        scores, pullback = vjp(model, X)
        found = pullback(model.loss(scores, targets)[1], weights=False)[0]
        assert found is not None
        return found
    out = np.empty(array.shape, model.dtype)
    model._with_run(lambda run: run.pull(out), len(array), "derivatives", array, targets)
    model._check_range(array, out)
    return _pulled(model, out).reshape(shape)


def _inputs(model: "Model", X: npt.ArrayLike) -> tuple[Array, tuple[int, ...]]:
    """Samples as the engine reads them, and the shape in which they came."""
    model._ready()
    return samples("X", X, model._built().n_inputs, model.dtype), np.shape(X)


@quiet
def _pulled(model: "Model", dx: Array) -> Array:
    """Derivatives by the data, on the last axis, of those by what the preprocessing makes of them."""
    if model._preprocessing is None:
        return dx
    _, scale, matrix = model._preprocessing.scaling(model._statistics)
    if matrix is not None:
        dx = product(dx, matrix.T, model.dtype)
    return np.asarray((dx * scale).astype(model.dtype))


@quiet
def _pushed(model: "Model", dx: Array) -> Array:
    """How what the preprocessing makes of the data moves where these move by dx."""
    if model._preprocessing is None:
        return dx
    _, scale, matrix = model._preprocessing.scaling(model._statistics)
    dx = (dx * scale).astype(model.dtype)
    return dx if matrix is None else product(dx, matrix, model.dtype)


def _like(name: str, value: Any, shape: tuple[int, ...], dtype: str) -> Array:
    """A finite array of a given shape, as the engine reads it."""
    array = numeric_array(name, value)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but {shape} is wanted here")
    all_finite(name, array, dtype)
    return engine_dtype(array, dtype)
