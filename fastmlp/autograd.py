"""A model as a primitive of the library autograd (extra "autograd"): part of a NumPy program that is differentiated."""

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastmlp._validation import Array, all_finite, numeric_array

if TYPE_CHECKING:
    from fastmlp.model import Model


def flat_weights(model: "Model") -> Array:
    """All that training moves, in one vector: what `primitive` takes as theta.

    Parameters
    ----------
    model : Model
        Built.

    Returns
    -------
    ndarray of shape (n_parameters,), of the model's dtype
        The arrays of ``model.weights``, or of ``model.average_weights`` where the optimizer keeps an average, which
        then predicts: one after the other, running statistics left out.
    """
    shapes = model._built().shapes(running=False)
    average = model.average_weights
    weights = model.weights if average is None else average
    arrays = (a for arrays, kept in zip(weights, shapes, strict=True) for a in arrays[: len(kept)])
    return np.concatenate([a.ravel() for a in arrays])


def set_flat_weights(model: "Model", theta: npt.ArrayLike) -> None:
    """Give a model the weights of a vector; running statistics stay.

    Parameters
    ----------
    model : Model
        Built.
    theta : array_like of shape (n_parameters,)
        As from `flat_weights`.

    Raises
    ------
    ValueError
        Where the length does not fit, or a number is not finite.
    """
    shapes = model._built().shapes(running=False)
    vector, wanted = numeric_array("theta", theta), sum(math.prod(s) for kept in shapes for s in kept)
    if vector.shape != (wanted,):
        raise ValueError(f"theta has shape {vector.shape}, but the model has {wanted} parameters")
    all_finite("theta", vector, model.dtype)
    weights, first = [], 0
    for arrays, kept in zip(model.weights, shapes, strict=True):
        found = []
        for shape in kept:
            found.append(vector[first : first + math.prod(shape)].reshape(shape))
            first += math.prod(shape)
        weights.append((*found, *arrays[len(kept) :]))
    model.weights = weights


def primitive(model: "Model") -> Callable[..., Any]:
    """The scores of a model as a function that autograd differentiates, in reverse and in forward mode.

    Parameters
    ----------
    model : Model
        Built. A copy is taken: the model is not changed, and what it learns later is not seen.

    Returns
    -------
    callable
        ``scores(X, theta=None)`` of shape (n_samples, n_outputs), as the model predicts (without dropout, with running
        statistics); X of shape (n_samples, n_inputs), theta the weights as one vector from `flat_weights`, None for
        those of the model. Derivatives of derivatives are not known to it. Slopes of a `PReLU` have no forward mode.

    Raises
    ------
    ImportError
        Without the library autograd.

    Examples
    --------
    >>> import autograd
    >>> import autograd.numpy as anp
    >>> import fastmlp as fm
    >>> model = fm.Model([fm.Dense(8, "tanh"), fm.Dense(1)], n_inputs=2, dtype="float64")
    >>> scores = fm.autograd.primitive(model)
    >>> def energy(X):
    ...     return anp.sum(scores(anp.sin(X)) ** 2)
    >>> autograd.grad(energy)(anp.ones((3, 2))).shape
    (3, 2)
    """
    try:
        from autograd.extend import defjvp, defvjp
        from autograd.extend import primitive as make_primitive
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "autograd":
            raise
        raise ImportError("differentiating NumPy programs needs autograd: pip install 'fastmlp[autograd]'") from None
    mine = copy.deepcopy(model)
    start = flat_weights(mine)

    def at(theta: Any) -> "Model":
        set_flat_weights(mine, theta)
        return mine

    def as_vector(gradients: Any) -> Array:
        return np.concatenate([a.ravel() for arrays in gradients for a in arrays])

    def as_weights(vector: Any) -> Any:
        other = copy.deepcopy(mine)
        set_flat_weights(other, vector)
        shapes = other._network.shapes(running=False)
        return [arrays[: len(kept)] for arrays, kept in zip(other.weights, shapes, strict=True)]

    @make_primitive  # type: ignore[untyped-decorator]
    def scores_at(X: Any, theta: Any) -> Array:
        return at(theta).scores(X)

    def vjp_of_inputs(_: Any, X: Any, theta: Any) -> Callable[[Any], Any]:
        return lambda g: at(theta).vjp(X)[1](g, weights=False)[0]

    def vjp_of_weights(_: Any, X: Any, theta: Any) -> Callable[[Any], Any]:
        return lambda g: as_vector(at(theta).vjp(X)[1](g, inputs=False)[1])

    def jvp_of_inputs(g: Any, _: Any, X: Any, theta: Any) -> Array:
        return at(theta).jvp(X, g)[1]

    def jvp_of_weights(g: Any, _: Any, X: Any, theta: Any) -> Array:
        return at(theta).jvp(X, dweights=as_weights(g))[1]

    defvjp(scores_at, vjp_of_inputs, vjp_of_weights)
    defjvp(scores_at, jvp_of_inputs, jvp_of_weights)

    def scores(X: Any, theta: Any = None) -> Any:
        return scores_at(X, start if theta is None else theta)

    return scores
