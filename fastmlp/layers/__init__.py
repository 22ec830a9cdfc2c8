"""Layers: what a model is made of. They hold no weights; `Model.build` gives those to the engine.

``specs`` turns a stack of them into what the engine computes: an activation and a dropout belong to the layer before
them.
"""

from fastmlp.layers.activation import DEFAULT_ALPHA, Activation, PReLU, checked_activation
from fastmlp.layers.base import RUNNING, Layer
from fastmlp.layers.dense import Dense
from fastmlp.layers.dropout import Dropout
from fastmlp.layers.normalization import BatchNorm, LayerNorm
from fastmlp.layers.stack import Flatten, Residual, activations_behind, checked, specs, walk, widths

__all__ = [
    "DEFAULT_ALPHA",
    "RUNNING",
    "Activation",
    "BatchNorm",
    "Dense",
    "Dropout",
    "Flatten",
    "Layer",
    "LayerNorm",
    "PReLU",
    "Residual",
    "activations_behind",
    "checked",
    "checked_activation",
    "specs",
    "walk",
    "widths",
]
