"""What all initialisers have in common."""

from __future__ import annotations  # numpy.random costs 4 ms: not before a weight is drawn

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from fastmlp._quiet import quiet
from fastmlp._validation import (
    Array,
    OtherNames,
)
from fastmlp.initializers.random import uniform

# Weights drawn at a time: the temporaries in float64 stay small beside a layer's weights.
_AT_A_TIME = 1 << 11


@dataclasses.dataclass(frozen=True, repr=False)
class Initializer(OtherNames):
    """Base of all initializers. One of your own overrides `draw`; a model with it can be pickled, but not saved."""

    _other_names: ClassVar[dict[str, str]] = {
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
            part[:] = self._values(uniform(generator, len(part)), n_in, n_out)
        return found.reshape(shape)

    def _values(self, uniform: Array, n_in: int, n_out: int) -> Array:
        """From variables uniform in (0, 1)."""
        raise NotImplementedError(
            f"{type(self).__name__} draws nothing: derive from another class of fastmlp.initializers, or give an array"
        )
