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

from fastmlp.initializers.base import Initializer
from fastmlp.initializers.drawing import BY_NAME, checked, default, initialize
from fastmlp.initializers.kinds import Constant, Given, Normal, Orthogonal, TruncatedNormal, Uniform, VarianceScaling

__all__ = [
    "BY_NAME",
    "Constant",
    "Given",
    "Initializer",
    "Normal",
    "Orthogonal",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "checked",
    "default",
    "initialize",
]
