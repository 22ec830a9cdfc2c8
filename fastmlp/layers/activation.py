"""Activations, of a layer of its own or of another's: fixed ones, and PReLU's slopes."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from fastmlp import _engine
from fastmlp._names import resolved
from fastmlp._validation import (
    Array,
    choice,
    finite_number,
    scalar,
)

if TYPE_CHECKING:
    pass
from fastmlp.layers.base import Layer, check_training

# The activations with a parameter, and its default.
DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0}


def checked_activation(activation: str | None) -> str:
    """The name of an activation that there is; None is "identity"."""
    name = "identity" if activation is None else scalar("activation", activation)
    if isinstance(name, str):
        return resolved("activation", name, _engine.activations)
    return choice("activation", name, tuple(_engine.activations))


def checked_alpha(alpha: float | None, activation: str) -> float | None:
    """The alpha of an activation that has one, checked; None where it is left out."""
    if alpha is None:
        return None
    if activation not in DEFAULT_ALPHA:
        raise ValueError(f"alpha={alpha!r} has no meaning for activation {activation!r}; leave it out")
    return finite_number("alpha", alpha, at_least=0)


def slope_of(activation: str | None, alpha: float | None) -> float:
    """The alpha that the engine gets."""
    return DEFAULT_ALPHA.get(activation or "", 0.0) if alpha is None else alpha


@dataclasses.dataclass(frozen=True, repr=False)
class Activation(Layer):
    """An activation by itself, for instance behind a normalisation: ``f(x)``.

    Parameters
    ----------
    activation : str
        A name as for `Dense`.
    alpha : float or None, default None
        As for `Dense`.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of its range or of the wrong type.

    Examples
    --------
    >>> import fastmlp as fm
    >>> stack = [fm.Dense(64), fm.BatchNorm(), fm.Activation("relu"), fm.Dense(10)]
    """

    activation: str
    alpha: float | None = None

    def __post_init__(self) -> None:
        activation = checked_activation(self.activation)
        object.__setattr__(self, "activation", activation)
        object.__setattr__(self, "alpha", checked_alpha(self.alpha, activation))


@dataclasses.dataclass(frozen=True, repr=False)
class PReLU(Layer):
    """``x`` above 0, ``alpha * x`` elsewhere, alpha of shape (n,) learned [1]_; the derivative at 0 is alpha.

    Parameters
    ----------
    alpha : float, default 0.25
        All slopes at first.
    trainable : bool, default True
        As for `Dense`.
    learning_rate_factor : float, default 1.0
        As for `Dense`.

    Raises
    ------
    ValueError, TypeError
        Where alpha is not finite or no number.

    References
    ----------
    .. [1] He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852, equation 1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> stack = [fm.Dense(64), fm.PReLU(), fm.Dense(10)]
    """

    alpha: float = 0.25
    _: dataclasses.KW_ONLY
    trainable: bool = True
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", finite_number("alpha", self.alpha))
        check_training(self)

    def weight_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        """The slopes."""
        return {"alpha": (n_in,)}

    def initial_weights(
        self, n_in: int, dtype: str, seed: int, position: int, activation: str | None = None
    ) -> list[Array]:
        """All alpha."""
        return [np.full(n_in, self.alpha, dtype)]
