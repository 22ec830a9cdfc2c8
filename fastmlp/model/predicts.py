"""The verbs of a model that use its weights as they are."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import numpy.typing as npt

from fastmlp import _evaluation
from fastmlp._iterables import check_iterable
from fastmlp._validation import Array, bounded_integer, flag, verbosity
from fastmlp.core import Core


class Predicts:
    """What predicts and evaluates."""

    _core: Core

    def predict(self, X: npt.ArrayLike, batch_size: int | None = None, verbose: int | str = 0) -> Array:
        """Probabilities for a classification loss, rates for "poisson", values otherwise; ``model(X)`` is the same.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        batch_size, verbose
            As Keras has them: they change nothing, and nothing is shown.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), of the model's dtype
            float64 where ``targets="standardize"`` found a mean so far from 0, in deviations, that the dtype cannot
            hold the units of y: beyond 16,777 in float32.

        Raises
        ------
        ValueError, TypeError
            X does not suit the model, or holds what its preprocessing makes too large for the dtype; or the model was
            never built.
        """
        _check_habits(batch_size, verbose)
        return _evaluation.forward(self._core, X, self._core.loss.link)

    def __call__(self, X: npt.ArrayLike, training: bool | None = False) -> Array:
        """`predict`.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        training : False or None, default False
            As Keras has it; True is a ValueError.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), of the model's dtype
        """
        if training is not None and flag("training", training):
            raise ValueError(
                "a model that is called predicts, so training=True has no meaning; leave it out, and use "
                "model.loss_and_gradients for a pass as in training"
            )
        return self.predict(X)

    def scores(self, X: npt.ArrayLike) -> Array:
        """Outputs of the last layer, before softmax or sigmoid; in the targets' units with ``targets="standardize"``.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), of the model's dtype
            float64 where ``targets="standardize"`` found a mean so far from 0, in deviations, that the dtype cannot
            hold the units of y: beyond 16,777 in float32.

        Raises
        ------
        ValueError, TypeError
            X does not suit the model, or holds what its preprocessing makes too large for the dtype; or the model was
            never built.
        """
        return _evaluation.forward(self._core, X, "identity")

    def evaluate(
        self,
        X: npt.ArrayLike | Iterable[Any],
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        return_dict: bool = True,
    ) -> dict[str, float]:
        """Loss and metrics on some data.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...), or iterable of batches
            Without y: batches (X, y) or (X, y, sample_weight), read one after the other. The loss is the mean over all
            samples (of a loss of one's own the mean of the batches' losses by their rows); metrics are of all
            predictions together.
        y : array_like
            Targets, as for `fit`.
        sample_weight : array_like of shape (n_samples,) or None, default None
            As for `fit`: of the loss, not of the accuracy.
        batch_size, verbose
            As Keras has them: they change nothing, and nothing is shown.
        steps : int or None, default None
            How many batches of an iterable to read; None: all.
        return_dict : True
            As Keras has it; False is a ValueError.

        Returns
        -------
        dict
            "loss", "accuracy" for a classification, and the model's metrics by their names. With
            ``targets="standardize"`` the loss is in deviations of the targets, the metrics in their units.

        Raises
        ------
        ValueError, TypeError
            X, y or the weights do not suit the model, or it was never built.
        """
        core = self._core
        n_inputs = core.built_network().n_inputs
        _check_habits(batch_size, verbose)
        if not flag("return_dict", return_dict):
            raise ValueError(
                "evaluate always returns a dictionary; leave out return_dict=False, and take [*found.values()]"
            )
        if isinstance(sample_weight, numbers.Integral):
            raise TypeError(
                f"the third argument of evaluate is sample_weight, not {sample_weight!r}; the size of batches is "
                f"batch_size={sample_weight!r}"
            )
        steps = None if steps is None else bounded_integer("steps", steps)
        if y is None:
            check_iterable("evaluate", X, sample_weight)
            return _evaluation.Batches(core, X, "X", n_inputs, steps).evaluate()
        if steps is not None:
            raise ValueError("steps is for an iterable of batches; of arrays give the rows that count")
        X, targets = core.data(X, y)
        return _evaluation.evaluate(core, X, targets, core.sample_weights(sample_weight, targets))


def _check_habits(batch_size: Any, verbose: Any) -> None:
    """Arguments that are taken for Keras's sake."""
    if batch_size is not None:
        bounded_integer("batch_size", batch_size)
    verbosity(verbose)
