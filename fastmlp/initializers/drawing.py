"""Which one a layer takes, and its weights."""

from __future__ import annotations  # numpy.random costs 4 ms: not before a weight is drawn

import numbers
from typing import Any

import numpy as np

from fastmlp._engine import LARGEST
from fastmlp._names import resolved
from fastmlp._validation import (
    Array,
    refuse_masked,
    scalar,
)
from fastmlp.initializers.base import Initializer
from fastmlp.initializers.kinds import Constant, Given, Normal, Orthogonal, TruncatedNormal, Uniform, VarianceScaling

# Streams of the generator from here on belong to the layers' weights, from _FIRST_BIAS_STREAM to their biases; those
# below to the epochs' shuffles.
_FIRST_STREAM = 1 << 63
_FIRST_BIAS_STREAM = _FIRST_STREAM + (1 << 62)
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
