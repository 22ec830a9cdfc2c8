"""Losses of a regression in the target's own units: those of its epochs are of the standardised target."""

import numpy as np

import fastmlp
from fastmlp import losses
from fastmlp._validation import Array
from fastmlp.programs._streams import say

# What the losses of a regression's epochs are of.
STANDARDISED = "standardised target"


def loss_in_units(model: fastmlp.Model) -> losses.Loss:
    """A model's loss, of predictions in the target's own units: Huber's has its corner where it was in deviations."""
    if model.targets is None or not isinstance(model.loss, losses.Huber):
        return model.loss
    return losses.Huber(model.loss.delta * float(model.target_statistics["scale"][0]))


def evaluate(model: fastmlp.Model, X: Array, y: Array) -> dict[str, float]:
    """`Model.evaluate`, but for the loss of a regression, which is one of predictions in the target's own units."""
    if model.targets is None:
        return model.evaluate(X, y)
    # A model of one weight, 1, that gives back what it gets: its loss is that of the predictions.
    same = fastmlp.Model([fastmlp.Dense(1)], loss_in_units(model), n_inputs=1, dtype="float64")
    same.weights = [(np.ones((1, 1)), np.zeros(1))]
    return same.evaluate(model.predict(X), y)


def tell_units(loss: losses.Loss, target: str) -> None:
    """Which losses the lines that follow tell, those of predictions in the target's own units."""
    what = ""
    if isinstance(loss, losses.Huber):
        what = f", huber with delta {loss.delta:.6g}, the standard deviation"
    if isinstance(loss, losses.LogCosh):
        what = f", log_cosh, which is another function there than of the {STANDARDISED}"
    say(f"in units of {target!r}{what}:")
