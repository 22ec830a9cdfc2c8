"""Adam and its kin, and Lion: by running moments of the gradient."""

import dataclasses
from typing import Any

from fastmlp._validation import (
    finite_number,
    flag,
    keep,
)
from fastmlp.optimizers.base import Optimizer
from fastmlp.schedules import Schedule


@dataclasses.dataclass(frozen=True, repr=False)
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
    amsgrad : bool, default False
        The largest v so far in the place of v in the denominator [2]_.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv:1412.6980.
    .. [2] Reddi, Kale, Kumar, "On the convergence of Adam and beyond", ICLR 2018, arXiv:1904.09237, algorithm 2.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Adam(3e-4).learning_rate
    0.0003
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    bias_correction: bool = True
    amsgrad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, beta_1=finite_number("beta_1", self.beta_1, at_least=0, below=1))
        keep(self, beta_2=finite_number("beta_2", self.beta_2, at_least=0, below=1))
        keep(self, epsilon=finite_number("epsilon", self.epsilon, above=0))
        keep(self, bias_correction=flag("bias_correction", self.bias_correction))
        keep(self, amsgrad=flag("amsgrad", self.amsgrad))

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "amsgrad" if self.amsgrad else "adam"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {
            "momentum": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "bias_correction": self.bias_correction,
        }


@dataclasses.dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay [1]_: before each step of Adam ``w *= 1 - learning_rate * weight_decay``.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, bias_correction, amsgrad
        As for `Adam`.
    weight_decay : float, default 0.004
        At least 0; biases decay too, unless ``decay_biases=False``.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    References
    ----------
    .. [1] Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101, algorithm 2.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.AdamW(weight_decay=0.01).weight_decay
    0.01
    """

    weight_decay: float = dataclasses.field(default=0.004, kw_only=True)


@dataclasses.dataclass(frozen=True, repr=False)
class Nadam(Optimizer):
    """Adam with Nesterov's look ahead [1]_, and its schedule of the momentum, ``u_t = beta_1 * (1 - 0.5 * 0.96**t)``.

    m and v as in `Adam`, with U_t the product of u_1 ... u_t:
    ``m_hat = u_(t+1) * m / (1 - U_(t+1)) + (1 - u_t) * g / (1 - U_t);
    w -= learning_rate * m_hat / (sqrt(v / (1 - beta_2**t)) + epsilon)``. As Keras; PyTorch's NAdam is the same with
    ``momentum_decay=1``.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        At least 0.
    beta_1, beta_2 : float, default 0.9 and 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        Above 0.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop, algorithm 2.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Nadam(beta_1=0.8).beta_1
    0.8
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, beta_1=finite_number("beta_1", self.beta_1, at_least=0, below=1))
        keep(self, beta_2=finite_number("beta_2", self.beta_2, at_least=0, below=1))
        keep(self, epsilon=finite_number("epsilon", self.epsilon, above=0))

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "nadam"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"momentum": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon, "momentum_schedule": True}


@dataclasses.dataclass(frozen=True, repr=False)
class Lion(Optimizer):
    """Lion [1]_: ``w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g); m = beta_2 * m + (1 - beta_2) * g``.

    All weights move by the same amount: its learning rate is three to ten times smaller than Adam's.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        At least 0.
    beta_1, beta_2 : float, default 0.9 and 0.99
        In [0, 1).
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, arXiv:2302.06675, algorithm 2.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Lion(1e-4, weight_decay=1.0)
    Lion(learning_rate=0.0001, weight_decay=1.0)
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, beta_1=finite_number("beta_1", self.beta_1, at_least=0, below=1))
        keep(self, beta_2=finite_number("beta_2", self.beta_2, at_least=0, below=1))

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "lion"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"momentum": self.beta_1, "beta_2": self.beta_2}
