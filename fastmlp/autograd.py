"""A model as a primitive of the library autograd (extra "autograd"): part of a NumPy program that is differentiated."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp import _vector
from fastmlp._validation import Array, all_finite, numeric_array
from fastmlp.core import Core, core_of
from fastmlp.model import Model


def flat_weights(model: Model) -> Array:
    """All weights that have a gradient, frozen or not, in one vector: what `primitive` takes as theta.

    Parameters
    ----------
    model : Model
        Built.

    Returns
    -------
    ndarray of shape (n_parameters,), of the model's dtype
        The arrays of ``model.weights``, or of ``model.average_weights`` where the optimizer keeps an average, which
        then predicts: one after the other, without running statistics and unused biases.
    """
    core = core_of(model)
    average = model.average_weights
    return _vector.joined(model.weights if average is None else average, _moved(core))


def set_flat_weights(model: Model, theta: npt.ArrayLike) -> None:
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
    core = core_of(model)
    core.built_network()
    vector, wanted = numeric_array("theta", theta), len(_vector.joined(model.weights, _moved(core)))
    if vector.shape != (wanted,):
        raise ValueError(f"theta has shape {vector.shape}, but the model has {wanted} parameters")
    all_finite("theta", vector, model.dtype, "give finite numbers")
    model.weights = _vector.replaced(model.weights, _moved(core), vector)


def _moved(core: Core) -> list[list[bool]]:
    """Which arrays have a gradient."""
    return [layer.has_gradient for layer in core.weighted]


def primitive(model: Model) -> Callable[..., Any]:
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
        those of the model. Derivatives of derivatives are not known to it.

    Raises
    ------
    ImportError
        Without the library autograd.
    NotImplementedError
        By autograd, where it is asked for a derivative of a derivative.

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
        from autograd.tracer import isbox
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "autograd":
            raise
        raise ImportError("differentiating NumPy programs needs autograd: pip install 'fastmlp[autograd]'") from None
    core_of(model)
    mine: Model = copy.deepcopy(model)
    core = core_of(mine)
    start = flat_weights(mine)

    def at(theta: Any) -> Model:
        set_flat_weights(mine, theta)
        return mine

    def as_vector(gradients: Any) -> Array:
        return _vector.joined(gradients, _moved(core))

    def as_weights(vector: Any) -> Any:
        zeros = [tuple(np.zeros(shape) for shape in shapes) for shapes in core.built_network().shapes(running=False)]
        return _vector.replaced(zeros, _moved(core), vector)

    def first_order(g: Any, X: Any, theta: Any) -> None:
        if any(map(isbox, (g, X, theta))):
            raise NotImplementedError("a model has first derivatives only: no hessian, no derivative of a derivative")

    @make_primitive  # type: ignore[untyped-decorator]  # autograd has no types
    def scores_at(X: Any, theta: Any) -> Array:
        return at(theta).scores(X)

    def vjp_of_inputs(_: Any, X: Any, theta: Any) -> Callable[[Any], Any]:
        def pull(g: Any) -> Any:
            first_order(g, X, theta)
            return at(theta).vjp(X)[1](g, weights=False)[0]

        return pull

    def vjp_of_weights(_: Any, X: Any, theta: Any) -> Callable[[Any], Any]:
        def pull(g: Any) -> Array:
            first_order(g, X, theta)
            return as_vector(at(theta).vjp(X)[1](g, inputs=False)[1])

        return pull

    def jvp_of_inputs(g: Any, _: Any, X: Any, theta: Any) -> Array:
        first_order(g, X, theta)
        return at(theta).jvp(X, g)[1]

    def jvp_of_weights(g: Any, _: Any, X: Any, theta: Any) -> Array:
        first_order(g, X, theta)
        return at(theta).jvp(X, dweights=as_weights(g))[1]

    defvjp(scores_at, vjp_of_inputs, vjp_of_weights)
    defjvp(scores_at, jvp_of_inputs, jvp_of_weights)

    def scores(X: Any, theta: Any = None) -> Any:
        return scores_at(X, start if theta is None else theta)

    return scores
