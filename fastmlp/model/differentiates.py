"""The verbs of a model that are derivatives of the network as it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from fastmlp import derivatives
from fastmlp._validation import Array
from fastmlp.core import Core


class Differentiates:
    """What differentiates."""

    _core: Core

    def vjp(self, X: npt.ArrayLike) -> tuple[Array, derivatives.Pullback]:
        """Scores, and a function that pulls gradients of them back to inputs and weights: reverse mode.

        Of the network as it predicts, without dropout and with running statistics.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)

        Returns
        -------
        scores : ndarray of shape (n_samples, n_outputs)
        pullback : callable
            ``pullback(dscores, inputs=True, weights=True)`` gives ``(dX, gradients)``, the derivatives of
            ``sum(scores * dscores)``: dX of the shape of X, gradients as of `loss_and_gradients`; None for what is not
            wanted. It differentiates at X as it was, of which it keeps a copy, and at the weights that the model has
            then.

        Raises
        ------
        ValueError, TypeError
            X does not suit the model, or the model was never built; ``pullback`` for a dscores of another shape.

        Examples
        --------
        >>> import fastmlp as fm
        >>> model = fm.Model([fm.Dense(8, "tanh"), fm.Dense(2)], n_inputs=3)
        >>> scores, pullback = model.vjp([[0.1, 0.2, 0.3]])
        >>> dX, gradients = pullback([[1.0, 0.0]])
        >>> dX.shape
        (1, 3)
        """
        return derivatives.vjp(self._core, X)

    def jvp(
        self,
        X: npt.ArrayLike,
        dX: npt.ArrayLike | None = None,
        dweights: Sequence[Sequence[npt.ArrayLike]] | None = None,
    ) -> tuple[Array, Array]:
        """Scores, and how they change along a direction: forward mode.

        Of the network as it predicts, without dropout and with running statistics.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        dX : array_like of the shape of X or None, default None
            Direction of the inputs; None: they stay.
        dweights : list of tuples or None, default None
            Direction of the weights, in the shapes of the gradients of `loss_and_gradients`; None: they stay.

        Returns
        -------
        scores, dscores : ndarray of shape (n_samples, n_outputs)

        Raises
        ------
        ValueError, TypeError
            X or a direction has another shape, or is not finite.
        """
        return derivatives.jvp(self._core, X, dX, dweights)

    def jacobian(self, X: npt.ArrayLike) -> Array:
        """The derivative of each score by each input.

        Of the network as it predicts, without dropout and with running statistics.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_samples, n_outputs, ...)

        Raises
        ------
        ValueError, TypeError
            X does not suit the model, or the model was never built.
        """
        return derivatives.jacobian(self._core, X)

    def input_gradients(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Array:
        """The gradient of the mean loss by the inputs, of the network as it predicts.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        y : array_like
            Targets, as for `fit`.

        Returns
        -------
        ndarray of the shape of X

        Raises
        ------
        ValueError, TypeError
            X or y do not suit the model, or it was never built.
        """
        return derivatives.input_gradients(self._core, X, y)
