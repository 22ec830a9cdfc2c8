"""Losses of a regression: of values, rates and quantiles."""

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from fastmlp._engine import LARGEST
from fastmlp._validation import (
    Array,
    finite_number,
)
from fastmlp.losses.base import Loss, Numbers, check_numbers, for_outputs, numbers_of, set_field

# Constants must not vanish in float32.
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True, repr=False)
class _Regression(Loss):
    """The mean over the outputs of what a kernel gives for each."""

    kernel_name: ClassVar[str]

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return self.kernel_name

    def row_scale(self, n_outputs: int) -> float:
        """1 / n_outputs."""
        return 1.0 / n_outputs


@dataclasses.dataclass(frozen=True, repr=False)
class MeanSquaredError(_Regression):
    """Squared error, mean over the outputs: ``mean_j (z_j - t_j)**2``.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.MeanSquaredError().row_scale(4)
    0.25
    """

    kernel_name = "squared_error"


@dataclasses.dataclass(frozen=True, repr=False)
class HalfSquaredError(Loss):
    """Half the squared error, summed over the outputs: ``0.5 * sum_j (z_j - t_j)**2``; its gradient is ``z - t``.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.HalfSquaredError().row_scale(4)
    0.5
    """

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return "squared_error"

    def row_scale(self, n_outputs: int) -> float:
        """One half."""
        return 0.5


@dataclasses.dataclass(frozen=True, repr=False)
class MeanAbsoluteError(_Regression):
    """Absolute error, mean over the outputs: ``mean_j abs(z_j - t_j)``; its derivative where they are equal is 0.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.MeanAbsoluteError().row_scale(4)
    0.25
    """

    kernel_name = "absolute_error"


@dataclasses.dataclass(frozen=True, repr=False)
class Huber(_Regression):
    """Huber's loss [1]_ of ``e = z - t``, mean over the outputs: ``e**2 / 2`` up to delta, its tangent from there.

    Parameters
    ----------
    delta : float, default 1.0
        Above 0: from ``abs(e) = delta`` on the loss is ``delta * (abs(e) - delta / 2)``.

    References
    ----------
    .. [1] Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.Huber(0.5).delta
    0.5
    """

    kernel_name = "huber"
    delta: float = 1.0

    def __post_init__(self) -> None:
        set_field(self, "delta", finite_number("delta", self.delta, at_least=_SMALLEST, at_most=LARGEST["float32"]))

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"delta": self.delta}


@dataclasses.dataclass(frozen=True, repr=False)
class LogCosh(_Regression):
    """Logarithm of the hyperbolic cosine, mean over the outputs: ``log(cosh(z - t))``, a smooth Huber loss.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.LogCosh().kernel_name
    'log_cosh'
    """

    kernel_name = "log_cosh"


@dataclasses.dataclass(frozen=True, repr=False)
class Poisson(_Regression):
    """Poisson regression on the logarithms z of rates, mean over the outputs: ``exp(z) - t z``.

    The negative log-likelihood without its term ``log(t!)``, which no weight changes. `Model.predict` gives the rates
    ``exp(z)``; targets are at least 0.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.Poisson().link
    'exp'
    """

    link = "exp"
    kernel_name = "poisson"
    bounds = (0.0, math.inf)


@dataclasses.dataclass(frozen=True, repr=False)
class Quantile(_Regression):
    """Quantile regression, mean over the outputs: ``max(q (t - z), (q - 1) (t - z))`` for the quantile q [1]_.

    Parameters
    ----------
    levels : float or tuple of float, default 0.5
        In (0, 1). A number: the quantile that every output predicts of a target of its own, so y has shape
        (n, n_outputs). A tuple: the quantiles of a single target, one for each output of the model, and y has shape
        (n,) or (n, 1).

    References
    ----------
    .. [1] Koenker, Bassett, "Regression quantiles", Econometrica 46, 1978, equation 2.1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> model = fm.Model([fm.Dense(16, "tanh"), fm.Dense(3)], loss=fm.losses.Quantile((0.1, 0.5, 0.9)))
    """

    kernel_name = "quantile"
    levels: Numbers = 0.5

    def __post_init__(self) -> None:
        set_field(self, "levels", numbers_of("levels", self.levels, above=0, below=1))

    def n_targets(self, n_outputs: int) -> int:
        """One, of which there are several quantiles, or one for each output."""
        return 1 if isinstance(self.levels, tuple) else n_outputs

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """An output for each level."""
        super().check_outputs(n_outputs, activation)
        check_numbers("levels", self.levels, n_outputs)

    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: str, name: str = "y") -> Array:
        """A single target is that of every level, without a copy."""
        array = super().targets(y, n_samples, n_outputs, dtype, name)
        return np.broadcast_to(array, (n_samples, n_outputs))

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"levels": for_outputs("levels", self.levels, n_outputs)}


@dataclasses.dataclass(frozen=True, repr=False)
class GaussianNLL(Loss):
    """Normal distribution with predicted variance: ``(s + (z - t)**2 * exp(-s)) / 2``, mean over the targets [1]_.

    For m targets the model has 2m outputs: first the means z, then the logarithms s of the variances. `Model.predict`
    gives both as they are, the variances as ``np.exp(out[:, m:])``. The constant ``log(2 pi) / 2`` is left out, as in
    PyTorch. The loss has no lower bound where targets are hit exactly.

    References
    ----------
    .. [1] Nix, Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994.

    Examples
    --------
    >>> import fastmlp as fm
    >>> model = fm.Model([fm.Dense(16, "tanh"), fm.Dense(2)], loss="gaussian_nll", n_inputs=3)
    """

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return "gaussian_nll"

    def row_scale(self, n_outputs: int) -> float:
        """1 / m."""
        return 2.0 / n_outputs

    def n_targets(self, n_outputs: int) -> int:
        """Half as many as outputs."""
        return n_outputs // 2

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """Means and variances, of one activation: none."""
        if n_outputs % 2:
            raise ValueError(
                f"GaussianNLL needs a mean and a variance for each target: an even number of outputs, not {n_outputs}"
            )
        if activation != "identity":
            raise ValueError(
                f"GaussianNLL takes means and logarithms of variances: the last layer must have no activation, not "
                f"{activation!r}"
            )
