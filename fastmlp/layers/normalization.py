"""Normalisation of rows and of columns."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from fastmlp._validation import (
    Array,
    finite_number,
)

if TYPE_CHECKING:
    pass
from fastmlp.layers.base import Layer, check_training


@dataclasses.dataclass(frozen=True, repr=False)
class LayerNorm(Layer):
    """Each sample normalised over its n features [1]_: ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    gamma and beta, of shape (n,), are learned and start at 1 and 0; the variance is the mean of squares.

    Parameters
    ----------
    epsilon : float, default 1e-3
        Above 0.
    trainable : bool, default True
        As for `Dense`.
    learning_rate_factor : float, default 1.0
        As for `Dense`.

    Raises
    ------
    ValueError, TypeError
        Where epsilon is out of its range or no number.

    References
    ----------
    .. [1] Ba, Kiros, Hinton, "Layer normalization", 2016, arXiv:1607.06450, equations 3 and 4.

    Examples
    --------
    >>> import fastmlp as fm
    >>> stack = [fm.Dense(64), fm.LayerNorm(), fm.Activation("relu"), fm.Dense(10)]
    """

    epsilon: float = 1e-3
    _: dataclasses.KW_ONLY
    trainable: bool = True
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", finite_number("epsilon", self.epsilon, above=0))
        check_training(self)

    def weight_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        """gamma and beta."""
        return {"gamma": (n_in,), "beta": (n_in,)}

    def initial_weights(
        self, n_in: int, dtype: str, seed: int, position: int, activation: str | None = None
    ) -> list[Array]:
        """Ones and zeros."""
        return [np.ones(n_in, dtype), np.zeros(n_in, dtype)]


@dataclasses.dataclass(frozen=True, repr=False)
class BatchNorm(Layer):
    """Each feature normalised over the batch [1]_: ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    gamma and beta, of shape (n,), are learned and start at 1 and 0. In training mean and variance (the mean of squares)
    are those of the batch, summed in a fixed order; after each step the running ones follow,
    ``running = momentum * running + (1 - momentum) * of_batch``, from 0 and 1, but not a batch of one row, which has no
    variance. `predict` and `evaluate` use the running
    ones.

    Parameters
    ----------
    momentum : float, default 0.99
        In [0, 1]. Of fewer than a few hundred steps choose a smaller one, or the running statistics lag behind.
    epsilon : float, default 1e-3
        Above 0.
    trainable : bool, default True
        As for `Dense`; not trained it takes its running statistics, which stay, in training too.
    learning_rate_factor : float, default 1.0
        As for `Dense`.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of its range or no number.

    References
    ----------
    .. [1] Ioffe, Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
       shift", ICML 2015, arXiv:1502.03167, algorithm 1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> stack = [fm.Dense(64, use_bias=False), fm.BatchNorm(), fm.Activation("relu"), fm.Dense(10)]
    """

    momentum: float = 0.99
    epsilon: float = 1e-3
    _: dataclasses.KW_ONLY
    trainable: bool = True
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "momentum", finite_number("momentum", self.momentum, at_least=0, at_most=1))
        object.__setattr__(self, "epsilon", finite_number("epsilon", self.epsilon, above=0))
        check_training(self)

    def weight_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        """gamma and beta, and the running mean and variance."""
        return {"gamma": (n_in,), "beta": (n_in,), "mean": (n_in,), "variance": (n_in,)}

    def initial_weights(
        self, n_in: int, dtype: str, seed: int, position: int, activation: str | None = None
    ) -> list[Array]:
        """Ones and zeros, zeros and ones."""
        ones, zeros = np.ones(n_in, dtype), np.zeros(n_in, dtype)
        return [ones, zeros, zeros, ones]
