"""Dropout."""

import dataclasses
from typing import TYPE_CHECKING

from fastmlp._validation import (
    finite_number,
)

if TYPE_CHECKING:
    pass
from fastmlp.layers.base import Layer

# Of the rate of a dropout: masks have 16 bits (csrc/kernels/layers.inc.h).
_MASK_STEPS = 1 << 16


@dataclasses.dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training every element is dropped with probability ``rate``, and the others are divided by ``1 - rate`` [1]_.

    The mask is drawn by a counter-based generator from the model's seed, the layer, the step, the row in the batch and
    the column: it is the same for every number of threads. `predict` and `evaluate` drop nothing.

    Parameters
    ----------
    rate : float
        In [0, 1); masks round it to a multiple of 2**-16, of which 0 and 1 are refused unless they were meant.

    Raises
    ------
    ValueError, TypeError
        Where the rate is out of its range or no number.

    References
    ----------
    .. [1] Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: a simple way to prevent neural networks
       from overfitting", JMLR 15 (2014); inverted, so that predictions need no factor.

    Examples
    --------
    >>> import fastmlp as fm
    >>> stack = [fm.Dropout(0.2), fm.Dense(1024, "relu"), fm.Dropout(0.5), fm.Dense(10)]
    """

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", finite_number("rate", self.rate, at_least=0, below=1))
        if self.rate and not 1 <= int(self.rate * _MASK_STEPS + 0.5) < _MASK_STEPS:
            raise ValueError(
                f"rate={self.rate!r} drops nothing, or everything: masks have {_MASK_STEPS} steps; it must be 0, or "
                f"from {1 / _MASK_STEPS:.3g} to {1 - 1 / _MASK_STEPS:.6f}"
            )
