"""Optimizers: how weights follow their gradients. Each names the C kernel (csrc/kernels/optimizers.inc.h) that applies
it to a tile of weights while the tile's gradient is still in the cache, and the constants that the kernel reads.

Conventions: g is the gradient of the mean loss of a batch, w a weight, t counts steps from 1. A learning rate is a
number, or a schedule from `fastmlp.schedules`.
"""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from fastmlp._validation import Array, OtherNames, finite_number
from fastmlp.schedules import Schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(OtherNames):
    """Base of all optimizers: constants that are checked at once and never change.

    To add one: a kernel and its line in csrc/fastmlp.h, its twin in _reference.py, and a subclass here with `kernel`,
    the number of states, and `hyper`.
    """

    # Bit 0: the kernel keeps a first state (m); bit 1: a second one (v).
    states: ClassVar[int] = 0

    other_names: ClassVar[dict[str, str]] = {"lr": "learning_rate", "eps": "epsilon", "betas": "beta_1 and beta_2"}

    learning_rate: float | Schedule = 0.01

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, Schedule) or type(self.learning_rate) is Schedule:
            finite_number("learning_rate", self.learning_rate, at_least=0)

    def rates(self, first: int, n: int) -> Array:
        """Learning rates of steps first, ..., first + n - 1, counted from 0, of shape (n,), float64."""
        if not isinstance(self.learning_rate, Schedule):
            return np.full(n, float(self.learning_rate))
        rates = np.ascontiguousarray(self.learning_rate.rates(first, n), np.float64)
        if rates.shape != (n,) or not ((rates >= 0) & (rates < np.inf)).all():
            raise ValueError(
                f"{self.learning_rate!r} gives the rates {rates} for {n} steps from {first}; they must be {n} finite "
                "numbers, at least 0"
            )
        return rates

    def rate(self, step: int) -> float:
        """Learning rate of one step, counted from 0."""
        return float(self.rates(step, 1)[0] if isinstance(self.learning_rate, Schedule) else self.learning_rate)

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        raise NotImplementedError

    @property
    def kernel_states(self) -> int:
        """Which states the kernel keeps."""
        return self.states

    def hyper(self) -> dict[str, Any]:
        """Constants of the kernel, by the names of fm_hyper in csrc/fastmlp.h; the rate is given step by step."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer."""
        config = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if isinstance(self.learning_rate, Schedule):
            config["learning_rate"] = self.learning_rate.get_config()
        return config


@dataclasses.dataclass(frozen=True)
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
    SGD(learning_rate=0.1, momentum=0.9, nesterov=False)
    """

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        finite_number("momentum", self.momentum, at_least=0, below=1)
        if not isinstance(self.nesterov, bool):
            raise TypeError(f"nesterov must be True or False, not {self.nesterov!r}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum above 0, for example momentum=0.9")

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "sgd" if self.momentum == 0 else "nesterov" if self.nesterov else "momentum"

    @property
    def kernel_states(self) -> int:
        """Velocity, where there is momentum."""
        return 0 if self.momentum == 0 else 1

    def hyper(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"momentum": self.momentum}


@dataclasses.dataclass(frozen=True)
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

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Tieleman, Hinton, "Lecture 6.5: rmsprop", Neural Networks for Machine Learning, 2012.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.RMSprop(rho=0.95).rho
    0.95
    """

    states = 2
    learning_rate: float | Schedule = 0.001
    rho: float = 0.9
    epsilon: float = 1e-7
    epsilon_in_root: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        finite_number("rho", self.rho, at_least=0, below=1)
        finite_number("epsilon", self.epsilon, above=0)
        if not isinstance(self.epsilon_in_root, bool):
            raise TypeError(f"epsilon_in_root must be True or False, not {self.epsilon_in_root!r}")

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "rmsprop"

    def hyper(self) -> dict[str, Any]:
        """Constants of the kernel."""
        inside = self.epsilon if self.epsilon_in_root else 0.0
        return {"beta_2": self.rho, "epsilon": self.epsilon - inside, "epsilon_in_root": inside}


@dataclasses.dataclass(frozen=True)
class Adam(Optimizer):
    """Adam [1]_, algorithm 1.

    ``m = beta_1 * m + (1 - beta_1) * g; v = beta_2 * v + (1 - beta_2) * g**2;
    w -= learning_rate * m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)``

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        At least 0.
    beta_1, beta_2 : float, default 0.9 and 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        Above 0.
    bias_correction : bool, default True
        Without it the two divisions by ``1 - beta**t`` are left out, as some texts write Adam.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv:1412.6980.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Adam(3e-4).learning_rate
    0.0003
    """

    states = 3
    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    bias_correction: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        finite_number("beta_1", self.beta_1, at_least=0, below=1)
        finite_number("beta_2", self.beta_2, at_least=0, below=1)
        finite_number("epsilon", self.epsilon, above=0)
        if not isinstance(self.bias_correction, bool):
            raise TypeError(f"bias_correction must be True or False, not {self.bias_correction!r}")

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "adam"

    def hyper(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {
            "momentum": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "bias_correction": self.bias_correction,
        }


@dataclasses.dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay [1]_: before each step of Adam ``w *= 1 - learning_rate * weight_decay``.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, bias_correction
        As for `Adam`.
    weight_decay : float, default 0.004
        At least 0; biases decay too.

    References
    ----------
    .. [1] Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101, algorithm 2.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.AdamW(weight_decay=0.01).weight_decay
    0.01
    """

    weight_decay: float = 0.004

    def __post_init__(self) -> None:
        super().__post_init__()
        finite_number("weight_decay", self.weight_decay, at_least=0)

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "adamw"

    def hyper(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {**super().hyper(), "weight_decay": self.weight_decay}


BY_NAME: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}


def get(optimizer: "str | Optimizer") -> Optimizer:
    """An optimizer from its name or from itself.

    Parameters
    ----------
    optimizer : {"sgd", "rmsprop", "adam", "adamw"} or Optimizer

    Returns
    -------
    Optimizer
    """
    if isinstance(optimizer, Optimizer) and type(optimizer) is not Optimizer:
        return optimizer
    if isinstance(optimizer, str) and optimizer in BY_NAME:
        return BY_NAME[optimizer]()
    if isinstance(optimizer, str):
        raise ValueError(f"optimizer {optimizer!r} is unknown; choose {', '.join(map(repr, BY_NAME))}")
    raise TypeError(f"optimizer must be a name or an optimizer such as fastmlp.Adam(), not {optimizer!r}")
