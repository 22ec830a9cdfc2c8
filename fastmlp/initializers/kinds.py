"""The initialisers."""

from __future__ import annotations  # numpy.random costs 4 ms: not before a weight is drawn

import dataclasses
import math
from typing import Any

import numpy as np

from fastmlp._quiet import quiet
from fastmlp._validation import (
    Array,
    choice,
    counted,
    finite_number,
    keep,
    numeric_array,
)
from fastmlp.initializers.base import Initializer
from fastmlp.initializers.orthonormal import orthonormal
from fastmlp.initializers.random import TRUNCATED_DEVIATION, normal_quantile, truncated_normal_quantile


@dataclasses.dataclass(frozen=True, repr=False)
class VarianceScaling(Initializer):
    """Values of mean 0 and variance ``scale / fan``, which keeps the variance of signals from layer to layer.

    "glorot_*" are ``VarianceScaling(1, "fan_avg", ...)`` [1]_, equations 12 and 16, "he_*" ``(2, "fan_in", ...)``
    [2]_, equation 10, and "lecun_*" ``(1, "fan_in", ...)`` [3]_, section 4.6. PyTorch's default for W and b is
    ``VarianceScaling(1 / 3, "fan_in", "uniform")``.

    Parameters
    ----------
    scale : float, default 1.0
        Above 0.
    mode : {"fan_in", "fan_out", "fan_avg"}, default "fan_in"
        fan is n_in, n_out or their mean; those of W for b too.
    distribution : {"uniform", "normal", "truncated_normal"}, default "uniform"
        Uniform in (-a, a) with a**2 = 3 * variance; normal; or a normal that is cut at two of its standard deviations,
        of which ``sqrt(variance)`` is what remains.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of its range or of the wrong type.

    References
    ----------
    .. [1] Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
    .. [2] He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852.
    .. [3] LeCun, Bottou, Orr, Mueller, "Efficient BackProp", 1998.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Dense(64, "relu", initializer=fm.initializers.VarianceScaling(2.0, "fan_out")).units
    64
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "uniform"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", finite_number("scale", self.scale, above=0))
        keep(self, mode=choice("mode", self.mode, ("fan_in", "fan_out", "fan_avg")))
        keep(self, distribution=choice("distribution", self.distribution, ("uniform", "normal", "truncated_normal")))

    def _values(self, uniform: Array, n_in: int, n_out: int) -> Array:
        fan = {"fan_in": n_in, "fan_out": n_out, "fan_avg": (n_in + n_out) / 2}[self.mode]
        deviation = math.sqrt(self.scale / fan)
        if self.distribution == "uniform":
            return deviation * (math.sqrt(3.0) * (2 * uniform - 1))
        if self.distribution == "normal":
            return deviation * normal_quantile(uniform)
        return deviation / TRUNCATED_DEVIATION * truncated_normal_quantile(uniform)


@dataclasses.dataclass(frozen=True, repr=False)
class Orthogonal(Initializer):
    """A random matrix with orthonormal columns, or rows where there are fewer, times gain [1]_, section 3.

    The matrix Q of the decomposition QR of normal variables, R with a positive diagonal: every such Q is as likely as
    every other. By Gram and Schmidt in blocks, each twice, in float64; the columns are orthonormal to about 1e-15
    (measured up to 1024 x 1024). Drawing takes five times the memory of the matrix in float64.

    Parameters
    ----------
    gain : float, default 1.0
        Above 0; ``sqrt(2)`` is usual before a relu.

    Raises
    ------
    ValueError, TypeError
        Where gain is out of its range or no number; in `Dense` where it is the bias_initializer.

    References
    ----------
    .. [1] Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
       networks", ICLR 2014, arXiv:1312.6120.

    Examples
    --------
    >>> import fastmlp as fm
    >>> W, b = fm.Model([fm.Dense(3, initializer="orthogonal")], n_inputs=5).weights[0]
    >>> bool(np.abs(W.T @ W - np.eye(3)).max() < 1e-6)
    True
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", finite_number("gain", self.gain, above=0))

    @quiet
    def draw(self, shape: tuple[int, ...], n_in: int, n_out: int, dtype: str, key: tuple[int, int]) -> Array:
        """Values for W of shape (n_in, n_out), from the generator of (seed, stream)."""
        n, length = sorted(shape)
        rows = self.gain * orthonormal(super().draw((n, length), n_in, n_out, "float64", key))
        return np.ascontiguousarray(rows if shape == rows.shape else rows.T, dtype)

    def _values(self, uniform: Array, n_in: int, n_out: int) -> Array:
        return normal_quantile(uniform)


@dataclasses.dataclass(frozen=True, repr=False)
class Normal(Initializer):
    """Normal variables of mean 0.

    Parameters
    ----------
    stddev : float, default 0.05
        Standard deviation, at least 0.

    Raises
    ------
    ValueError, TypeError
        Where stddev is out of its range or no number.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Dense(10, initializer=fm.initializers.Normal(0.01)).units
    10
    """

    stddev: float = 0.05

    def __post_init__(self) -> None:
        object.__setattr__(self, "stddev", finite_number("stddev", self.stddev, at_least=0))

    def _values(self, uniform: Array, n_in: int, n_out: int) -> Array:
        return self.stddev * normal_quantile(uniform)


@dataclasses.dataclass(frozen=True, repr=False)
class TruncatedNormal(Initializer):
    """Normal variables of mean 0, none beyond two standard deviations: as if drawn again until they lie within.

    Parameters
    ----------
    stddev : float, default 0.05
        Standard deviation of the whole normal distribution, at least 0; that of the values is 0.8796 times as much.

    Raises
    ------
    ValueError, TypeError
        Where stddev is out of its range or no number.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Dense(10, initializer=fm.initializers.TruncatedNormal(0.01)).units
    10
    """

    stddev: float = 0.05

    def __post_init__(self) -> None:
        object.__setattr__(self, "stddev", finite_number("stddev", self.stddev, at_least=0))

    def _values(self, uniform: Array, n_in: int, n_out: int) -> Array:
        return self.stddev * truncated_normal_quantile(uniform)


@dataclasses.dataclass(frozen=True, repr=False)
class Uniform(Initializer):
    """Variables uniform between -limit and limit.

    Parameters
    ----------
    limit : float, default 0.05
        At least 0.

    Raises
    ------
    ValueError, TypeError
        Where limit is out of its range or no number.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Dense(10, bias_initializer=fm.initializers.Uniform(0.1)).units
    10
    """

    limit: float = 0.05

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit", finite_number("limit", self.limit, at_least=0))

    def _values(self, uniform: Array, n_in: int, n_out: int) -> Array:
        return self.limit * (2 * uniform - 1)


@dataclasses.dataclass(frozen=True, repr=False)
class Constant(Initializer):
    """All values the same. "zeros" is ``Constant(0)``, "ones" ``Constant(1)``.

    Parameters
    ----------
    value : float

    Raises
    ------
    ValueError, TypeError
        Where value is not finite or no number.

    Examples
    --------
    >>> import fastmlp as fm
    >>> layer = fm.Dense(3, "relu", bias_initializer=fm.initializers.Constant(0.1))
    >>> fm.Model([layer], n_inputs=5, dtype="float64").weights[0][1]
    array([0.1, 0.1, 0.1])
    """

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", finite_number("value", self.value))

    @quiet
    def draw(self, shape: tuple[int, ...], n_in: int, n_out: int, dtype: str, key: tuple[int, int]) -> Array:
        """Values for W or b."""
        return np.full(shape, self.value, dtype)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Given(Initializer):
    """The values of an array. `Dense` makes one of any array that it is given.

    A saved model holds the weights that became of it, not the array: the layer that is loaded has the default
    initializer. A pickle or copy keeps it.

    Parameters
    ----------
    array : array_like of shape (n_in, n_out), or (n_out,) for a bias
        Finite; copied.

    Raises
    ------
    ValueError, TypeError
        Where it holds anything but finite real numbers; in `Model.build` where its shape is not that of the layer.

    Examples
    --------
    >>> import fastmlp as fm
    >>> model = fm.Model([fm.Dense(2, initializer=[[1.0, 0.0], [0.0, 1.0]])], n_inputs=2)
    >>> model.predict([[3.0, 4.0]])
    array([[3., 4.]], dtype=float32)
    """

    array: Any

    def __post_init__(self) -> None:
        array = np.array(numeric_array("the array of an initializer", self.array))
        if not np.isfinite(array).all():
            where = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            raise ValueError(f"the array of an initializer holds {array[where]} at index {where}; give finite numbers")
        array.flags.writeable = False
        object.__setattr__(self, "array", array)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash((self.array.shape, self.array.astype(np.float64).tobytes()))

    def __repr__(self) -> str:
        return f"Given(array of shape {self.array.shape})"

    @quiet
    def draw(self, shape: tuple[int, ...], n_in: int, n_out: int, dtype: str, key: tuple[int, int]) -> Array:
        """The array as dtype, where its shape is right."""
        if self.array.shape != shape:
            raise ValueError(
                f"the array given as initializer has shape {self.array.shape}, but the layer has "
                f"{counted(n_in, 'input')} and {counted(n_out, 'output')} and wants {shape}"
            )
        found: Array = self.array.astype(dtype)
        return found
