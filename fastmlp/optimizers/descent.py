"""Gradient descent with one rate for all weights, and with a rate for each by its past gradients."""

import dataclasses
from typing import Any, ClassVar

from fastmlp._validation import (
    finite_number,
    flag,
    keep,
)
from fastmlp.optimizers.base import Optimizer
from fastmlp.schedules import Schedule


@dataclasses.dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent.

    Without momentum ``w -= learning_rate * g``; with it ``m = momentum * m + learning_rate * g; w -= m``, and with
    Nesterov's ``w -= momentum * m + learning_rate * g`` after the same update of m [1]_.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.01
        At least 0.
    momentum : float, default 0.0
        In [0, 1).
    nesterov : bool, default False
        Look ahead; needs a momentum.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning",
       ICML 2013, equations 3 and 4.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9)
    """

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, momentum=finite_number("momentum", self.momentum, at_least=0, below=1))
        keep(self, nesterov=flag("nesterov", self.nesterov))
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum above 0, for example momentum=0.9")

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "sgd" if self.momentum == 0 else "nesterov" if self.nesterov else "momentum"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"momentum": self.momentum}


@dataclasses.dataclass(frozen=True, repr=False)
class RMSprop(Optimizer):
    """RMSprop [1]_: ``v = rho * v + (1 - rho) * g**2; w -= learning_rate * g / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        At least 0.
    rho : float, default 0.9
        In [0, 1).
    epsilon : float, default 1e-7
        Above 0.
    epsilon_in_root : bool, default False
        Divide by ``sqrt(v + epsilon)`` instead: the field has both conventions.
    centered : bool, default False
        Divide by an estimate of the standard deviation [2]_: ``m = rho * m + (1 - rho) * g``, and ``v - m**2`` in the
        place of v below the root.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Tieleman, Hinton, "Lecture 6.5: rmsprop", Neural Networks for Machine Learning, 2012.
    .. [2] Graves, "Generating sequences with recurrent neural networks", 2013, arXiv:1308.0850, equations 38 to 41.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.RMSprop(rho=0.95).rho
    0.95
    """

    _other_names: ClassVar[dict[str, str]] = {"alpha": "rho", "decay_rate": "rho", "momentum": "it has none here"}

    learning_rate: float | Schedule = 0.001
    rho: float = 0.9
    epsilon: float = 1e-7
    epsilon_in_root: bool = False
    centered: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, rho=finite_number("rho", self.rho, at_least=0, below=1))
        keep(self, epsilon=finite_number("epsilon", self.epsilon, above=0))
        keep(self, epsilon_in_root=flag("epsilon_in_root", self.epsilon_in_root))
        keep(self, centered=flag("centered", self.centered))

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "rmsprop_centered" if self.centered else "rmsprop"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel."""
        inside = self.epsilon if self.epsilon_in_root else 0.0
        return {"beta_2": self.rho, "epsilon": self.epsilon - inside, "epsilon_in_root": inside}


@dataclasses.dataclass(frozen=True, repr=False)
class Adagrad(Optimizer):
    """Adagrad [1]_: ``v = v + g**2; w -= learning_rate * g / (sqrt(initial_accumulator_value + v) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        At least 0.
    initial_accumulator_value : float, default 0.1
        At least 0.
    epsilon : float, default 1e-7
        Above 0.
    epsilon_in_root : bool, default False
        Divide by ``sqrt(initial_accumulator_value + v + epsilon)`` instead, as Keras does.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12
       (2011), figure 1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Adagrad(0.01).initial_accumulator_value
    0.1
    """

    learning_rate: float | Schedule = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7
    epsilon_in_root: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        start = finite_number("initial_accumulator_value", self.initial_accumulator_value, at_least=0)
        keep(self, initial_accumulator_value=start)
        keep(self, epsilon=finite_number("epsilon", self.epsilon, above=0))
        keep(self, epsilon_in_root=flag("epsilon_in_root", self.epsilon_in_root))

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "adagrad"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel, whose v starts at zero."""
        inside = self.epsilon if self.epsilon_in_root else 0.0
        return {"epsilon": self.epsilon - inside, "epsilon_in_root": self.initial_accumulator_value + inside}
