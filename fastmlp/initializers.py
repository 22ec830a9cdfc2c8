"""Initial weights, from counter-based random numbers: they depend on the seed and the layer alone.

Only additions, multiplications, divisions and square roots of IEEE arithmetic are used, in an order that the shape
fixes, so that every machine and every NumPy version draws the same bits. ``n_in`` and ``n_out`` are the fan-in and
fan-out of a layer.

A layer takes a name, an object or an array:

>>> import fastmlp as fm
>>> layers = [fm.Dense(64, "tanh", initializer=fm.initializers.Orthogonal(gain=1.6)), fm.Dense(1, initializer="zeros")]
>>> bool(fm.Model(layers, n_inputs=64).weights[1][0].any())
False
"""

from __future__ import annotations  # numpy.random costs 4 ms: not before a weight is drawn

import dataclasses
import math
import numbers
from typing import Any, ClassVar

import numpy as np

from fastmlp._engine import LARGEST
from fastmlp._names import resolved
from fastmlp._portable import log
from fastmlp._quiet import quiet
from fastmlp._validation import (
    Array,
    OtherNames,
    choice,
    counted,
    finite_number,
    keep,
    numeric_array,
    refuse_masked,
    scalar,
)

# Streams of the generator from here on belong to the layers' weights, from _FIRST_BIAS_STREAM to their biases; those
# below to the epochs' shuffles.
_FIRST_STREAM = 1 << 63
_FIRST_BIAS_STREAM = _FIRST_STREAM + (1 << 62)

# Weights drawn at a time: the temporaries in float64 stay small beside a layer's weights.
_AT_A_TIME = 1 << 11

# Probability of a standard normal variable below -2.
_BELOW_MINUS_2 = 0.022750131948179207

# Standard deviation of a standard normal variable that is drawn again beyond +-2.
_TRUNCATED_DEVIATION = 0.8796256610342398


@dataclasses.dataclass(frozen=True, repr=False)
class Initializer(OtherNames):
    """Base of all initializers. One of your own overrides `draw`; a model with it can be pickled, but not saved."""

    other_names: ClassVar[dict[str, str]] = {
        "std": "stddev", "mean": "it is 0 here", "seed": "it is an argument of Model",
        **dict.fromkeys(("minval", "maxval", "a", "b", "low", "high"), "it is called limit here: from -limit to limit"),
        "val": "value", "scale": "it is called stddev, limit, gain or value here", "nonlinearity": "the names say it: "
        "'he_normal' is for relu, 'glorot_normal' for tanh",
    }  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal initializer."""
        return dataclasses.asdict(self)

    @quiet
    def draw(self, shape: tuple[int, ...], n_in: int, n_out: int, dtype: str, key: tuple[int, int]) -> Array:
        """Values for W of shape (n_in, n_out) or b of shape (n_out,), from the generator of (seed, stream)."""
        generator = np.random.Philox(key=np.array(key, np.uint64))
        found = np.empty(math.prod(shape), dtype)
        for first in range(0, len(found), _AT_A_TIME):
            part = found[first : first + _AT_A_TIME]
            part[:] = self._values(_uniform(generator, len(part)), n_in, n_out)
        return found.reshape(shape)

    def _values(self, uniform: Array, n_in: int, n_out: int) -> Array:
        """From variables uniform in (0, 1)."""
        raise NotImplementedError


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
            return deviation * _normal_quantile(uniform)
        return deviation / _TRUNCATED_DEVIATION * _truncated_normal_quantile(uniform)


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
        rows = self.gain * _orthonormal(super().draw((n, length), n_in, n_out, "float64", key))
        return np.ascontiguousarray(rows if shape == rows.shape else rows.T, dtype)

    def _values(self, uniform: Array, n_in: int, n_out: int) -> Array:
        return _normal_quantile(uniform)


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
        return self.stddev * _normal_quantile(uniform)


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
        return self.stddev * _truncated_normal_quantile(uniform)


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
                f"the array given as initializer has shape {self.array.shape}, but the layer has {n_in} inputs and "
                f"{counted(n_out, 'output')} and wants {shape}"
            )
        found: Array = self.array.astype(dtype)
        return found


BY_NAME: dict[str, Initializer] = {
    f"{family}_{distribution}": VarianceScaling(scale, mode, distribution)
    for family, scale, mode in (("glorot", 1.0, "fan_avg"), ("he", 2.0, "fan_in"), ("lecun", 1.0, "fan_in"))
    for distribution in ("uniform", "normal")
} | {
    "orthogonal": Orthogonal(),
    "normal": Normal(),
    "truncated_normal": TruncatedNormal(),
    "uniform": Uniform(),
    "zeros": Constant(0),
    "ones": Constant(1),
}


def default(activation: str) -> str:
    """The initializer that keeps the variance of an activation's outputs near that of its inputs.

    Parameters
    ----------
    activation : str

    Returns
    -------
    str
        One of the names in BY_NAME.
    """
    if activation == "selu":
        return "lecun_uniform"
    if activation in ("identity", "tanh", "sigmoid", "hard_sigmoid", "hard_tanh"):
        return "glorot_uniform"
    return "he_uniform"


def checked(name: str, initializer: Any, units: int, bias: bool) -> str | Initializer:
    """What a layer keeps of an initializer that it is given: a name, an object, or `Given` of an array.

    Parameters
    ----------
    name : str
        Of the argument, for an error.
    initializer : str, Initializer or array_like
    units : int
        Of the layer.
    bias : bool
        Whether it is for b.

    Returns
    -------
    str or Initializer
    """
    initializer = scalar(name, initializer)
    if isinstance(initializer, str):
        initializer = resolved("initializer", initializer, BY_NAME, name)
    if isinstance(initializer, numbers.Real):
        raise TypeError(f"{name} must be fastmlp.initializers.Constant({float(initializer)!r}), not the number itself")
    if isinstance(initializer, list | tuple) or hasattr(initializer, "__array__"):
        initializer = Given(initializer)
    if isinstance(initializer, Given):
        shape = initializer.array.shape
        if len(shape) != 2 - bias or shape[-1] != units:
            wanted = f"({units},)" if bias else f"(n_in, {units})"
            raise ValueError(f"{name} has shape {shape}, but a layer of {units} units wants {wanted}")
    chosen = BY_NAME[initializer] if isinstance(initializer, str) else initializer
    if bias and isinstance(chosen, Orthogonal):
        raise ValueError(f"{name} may not be Orthogonal, which makes matrices; choose another, 'zeros' for example")
    if isinstance(chosen, Initializer) and type(chosen) is not Initializer:
        named: str | Initializer = initializer
        return named
    raise TypeError(
        f"{name} must be a name such as 'he_uniform', an array, or an object such as "
        f"fastmlp.initializers.Normal(0.05), not {initializer!r}"
    )


def initialize(
    initializer: str | Initializer, n_in: int, n_out: int, dtype: str, seed: int, layer: int, bias: bool = False
) -> Array:
    """Weights or biases of one layer.

    Parameters
    ----------
    initializer : str or Initializer
        A string is a name in BY_NAME.
    n_in, n_out : int
    dtype : {"float32", "float64"}
    seed : int
        In [0, 2**64).
    layer : int
        Position in the model, from 0.
    bias : bool, default False

    Returns
    -------
    ndarray of shape (n_in, n_out), or (n_out,) for a bias

    Raises
    ------
    ValueError
        Where dtype cannot hold the values, or the initializer does not suit the layer.

    Examples
    --------
    >>> initialize("he_uniform", 6, 4, "float32", seed=0, layer=0).shape
    (6, 4)
    """
    chosen = BY_NAME[initializer] if isinstance(initializer, str) else initializer
    shape = (n_out,) if bias else (n_in, n_out)
    with np.errstate(over="ignore"):
        found = chosen.draw(shape, n_in, n_out, dtype, (seed, (_FIRST_BIAS_STREAM if bias else _FIRST_STREAM) + layer))
    if not isinstance(found, np.ndarray) or found.shape != shape or found.dtype != dtype:
        what = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
        raise ValueError(f"{chosen!r} draws {what}; it must be an array of {dtype} {shape}")
    refuse_masked(f"what {chosen!r} draws", found)
    flat, some = found.reshape(-1), 1 << 16  # at a time: no temporary as large as a part of the weights
    if not all(np.isfinite(flat[i : i + some]).all() for i in range(0, flat.size, some)):
        raise ValueError(f"{chosen!r} gives values that {dtype} cannot hold (beyond {LARGEST[dtype]:.3g})")
    return found


# ---- orthonormal rows ----

# Rows that are made orthonormal one by one; between such blocks the work is matrix products.
_BLOCK = 32

# Parts of a number in a product: each has 53 bits less log2 of the length, halved, so 63 together at 1024.
_PARTS = 3


def _orthonormal(rows: Array) -> Array:
    """Rows (n, length), n <= length, of float64 made orthonormal, in place, in the order of Gram and Schmidt.

    Each block of rows loses its components along the blocks before it, then its own rows are made orthonormal one by
    one; and again, which repairs what cancellation left ("twice is enough": Giraud, Langou, Rozloznik 2005).
    """
    bits = (53 - (rows.shape[1] - 1).bit_length()) // 2
    parts = np.empty((_PARTS, *rows.shape))  # of the rows that are finished
    for first in range(0, len(rows), _BLOCK):
        block, done = rows[first : first + _BLOCK], parts[:, :first]
        for _ in range(2):
            if first:
                along = _product(_split(block, bits), done.transpose(0, 2, 1))
                block -= _product(_split(along, bits), done)
            for i, row in enumerate(block):
                row /= np.sqrt(_sums(row[None] * row[None]))
                block[i + 1 :] -= _sums(block[i + 1 :] * row)[:, None] * row
        parts[:, first : first + _BLOCK] = _split(block, bits, 1.0)
    return rows


def _sums(x: Array) -> Array:
    """Sum of each row of x (rows, n): the second half onto the first, again and again. NumPy's order is its own."""
    while x.shape[1] > 1:
        half = (x.shape[1] + 1) // 2
        rest, x = x[:, half:], x[:, :half].copy()
        x[:, : rest.shape[1]] += rest
    return x[:, 0]


def _split(x: Array, bits: int, largest: float | None = None) -> Array:
    """Parts (_PARTS, ...) that add up to x: integers of at most so many bits times a power of 2, one for each part.

    `largest` is a power of 2 that no |x| exceeds, by default the next one.
    """
    unit = math.ldexp(1.0, math.frexp(np.abs(x).max())[1] - bits) if largest is None else math.ldexp(largest, -bits)
    parts = np.empty((_PARTS, *x.shape))
    for part in parts:
        np.multiply(np.rint(x / unit), unit, out=part)
        x, unit = x - part, math.ldexp(unit, -bits)
    return parts


def _product(a: Array, b: Array) -> Array:
    """Matrix product of what `_split` made of two matrices, the same bits on every machine.

    Of n terms of 2 * bits + log2(n) <= 53 bits every partial sum is exact, so that no order of them, nor fused
    multiply-add, changes a product of two parts [1]_. The products of small parts that would not matter are left out.

    .. [1] Ozaki, Ogita, Oishi, Rump, "Error-free transformations of matrix multiplication by using fast routines of
       matrix multiplication and its applications", Numerical Algorithms 59 (2012).
    """
    found: Array = np.zeros((a.shape[1], b.shape[2]))
    for order in range(_PARTS - 1, -1, -1):
        for i in range(order + 1):
            found += a[i] @ b[order - i]
    return found


# ---- random variables ----


def _uniform(generator: np.random.Philox, n: int) -> Array:
    """The next n midpoints of 2**53 equal parts of (0, 1) that the generator chooses."""
    return ((generator.random_raw(n) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


# Rational approximations of the normal quantile: Wichura, "Algorithm AS 241: the percentage points of the normal
# distribution", Applied Statistics 37 (1988), PPND16; relative accuracy about 1e-16.
_CENTRE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
_SHOULDER = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_TAIL = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    above, below = (np.zeros_like(x), np.zeros_like(x))
    for a, b in zip(reversed(coefficients[0]), reversed(coefficients[1]), strict=True):
        above, below = above * x + a, below * x + b
    return above / below


def _normal_quantile(p: Array) -> Array:
    """Values that a standard normal variable stays below with probabilities p in (0, 1)."""
    q = p - 0.5
    tail = np.sqrt(-log(np.where(q < 0, p, 1 - p)))
    outer = np.where(tail <= 5, _ratio(_SHOULDER, tail - 1.6), _ratio(_TAIL, tail - 5))
    return np.where(np.abs(q) <= 0.425, q * _ratio(_CENTRE, 0.180625 - q * q), np.copysign(outer, q))


def _truncated_normal_quantile(p: Array) -> Array:
    """The same for a standard normal variable that is drawn again until it lies within +-2."""
    return _normal_quantile(_BELOW_MINUS_2 + (1 - 2 * _BELOW_MINUS_2) * p)
