"""Losses, all on raw scores. Each says which targets it takes, which C kernel (csrc/kernels/losses.inc.h and
output_losses.inc.h) computes it with its gradient, and which link turns scores into predictions.

A model's loss is the mean over the samples of a batch of the loss of a sample, in nats for the cross-entropies.
Targets of a sample may be given for every output, of shape (n, n_outputs); for one output also of shape (n,).
"""

from collections.abc import Callable
from typing import Any

from fastmlp._names import resolved
from fastmlp._validation import scalar, shown
from fastmlp.losses.base import Loss
from fastmlp.losses.classes import BinaryCrossEntropy, BinaryFocal, Focal, Hinge, SoftmaxCrossEntropy
from fastmlp.losses.custom import Custom
from fastmlp.losses.values import (
    GaussianNLL,
    HalfSquaredError,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    Quantile,
)

__all__ = [
    "BY_NAME",
    "BinaryCrossEntropy",
    "BinaryFocal",
    "Custom",
    "Focal",
    "GaussianNLL",
    "HalfSquaredError",
    "Hinge",
    "Huber",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Poisson",
    "Quantile",
    "SoftmaxCrossEntropy",
    "get",
]

BY_NAME: dict[str, type[Loss]] = {
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "focal": Focal,
    "binary_focal": BinaryFocal,
    "hinge": Hinge,
    "mean_squared_error": MeanSquaredError,
    "half_squared_error": HalfSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "huber": Huber,
    "log_cosh": LogCosh,
    "quantile": Quantile,
    "poisson": Poisson,
    "gaussian_nll": GaussianNLL,
}


def get(loss: "str | Loss | Callable[..., Any]") -> Loss:
    """A loss from its name or from itself.

    Parameters
    ----------
    loss : str or Loss
        A name in `BY_NAME`, or an object; or a function, for `Custom`.

    Returns
    -------
    Loss
    """
    loss = scalar("loss", loss)
    if isinstance(loss, Loss) and type(loss) is not Loss:
        return loss
    if callable(loss) and not isinstance(loss, type | Loss):
        return Custom(loss)
    if isinstance(loss, str):
        return BY_NAME[resolved("loss", loss, BY_NAME)]()
    raise TypeError(f"loss must be a name or a loss such as fastmlp.losses.BinaryCrossEntropy(), not {shown(loss)}")
