"""Constants of layers, losses and optimizers: whether the dtype of a model can hold them.

The kernels round each one to the dtype, and flush what is subnormal: one that vanishes, becomes infinite, or is rounded
to 1 where 1 is another rule, would silently compute something else.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastmlp._engine import LARGEST

# Those that have to stay below 1 in the dtype: as factors of what is remembered 1 would forget nothing.
_BELOW_ONE = {"momentum", "ema_momentum", "rho", "beta_1", "beta_2", "label_smoothing", "levels"}
# Those that no kernel of the model's dtype sees: of LBFGS, and in the variance of an initializer, which is drawn in
# float64.
_ELSEWHERE = {"tolerance", "scale"}


def check_constants(described: Any, dtype: str) -> None:
    """Raise where a dtype cannot hold a constant of a layer, a loss, an optimizer, or of what these have in turn.

    Parameters
    ----------
    described : Layer, Loss or Optimizer
    dtype : {"float32", "float64"}

    Raises
    ------
    ValueError
        Where a constant would vanish, overflow or be rounded to 1.
    """
    least, most = float(np.finfo(dtype).tiny), LARGEST[dtype]
    for name, value in _constants(described):
        whose = f"{name}={value!r} of {type(described).__name__}"
        if 0 < abs(value) < least:
            raise ValueError(f"{whose} vanishes in {dtype}; it must be at least {least:.3g}" + _remedy(value, dtype))
        if abs(value) > most:
            raise ValueError(f"{whose} is too large for {dtype}; it must be at most {most:.3g}" + _remedy(value, dtype))
        below_one = name.partition("[")[0] in _BELOW_ONE or (name, type(described).__name__) == ("alpha", "BinaryFocal")
        if below_one and value < 1 and np.dtype(dtype).type(value) == 1:
            largest = 1 - float(np.finfo(dtype).epsneg)
            raise ValueError(
                f"{whose} is rounded to 1 in {dtype}; it must be at most {largest!r}" + _remedy(value, dtype)
            )


def _remedy(value: float, dtype: str) -> str:
    held = dtype == "float32" and np.finfo(np.float64).tiny <= abs(value) <= LARGEST["float64"]
    return ", or the model of dtype='float64'" if held else ""


def _constants(described: Any) -> Iterator[tuple[str, float]]:
    """Names and values of the constants that are floats."""
    if not dataclasses.is_dataclass(described):  # a class of the user's own
        return
    for field in dataclasses.fields(described):
        name, value = field.name, getattr(described, field.name)
        if isinstance(value, float) and math.isfinite(value) and name not in _ELSEWHERE:
            yield name, value
        elif isinstance(value, tuple) and all(isinstance(number, float) for number in value):
            yield from ((f"{name}[{i}]", number) for i, number in enumerate(value))
        elif name in ("initializer", "bias_initializer"):
            yield from ((f"{name}.{inner}", number) for inner, number in _constants(value))
        elif name in ("learning_rate", "then"):  # of a schedule what it begins with, as it may well end with nothing
            rates = ("learning_rate", "initial_learning_rate", "max_learning_rate")
            yield from (
                (f"{name}.{inner}", number) for inner, number in _constants(value) if inner.rpartition(".")[2] in rates
            )
