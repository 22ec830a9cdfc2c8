"""Optimizers: how weights follow their gradients. Each names the C kernel (csrc/kernels/optimizers.inc.h) that applies
it to a tile of weights while the tile's gradient is still in the cache, and the constants that the kernel reads.

Conventions: g is the gradient of the mean loss of a batch, w a weight, t counts updates from 1. A learning rate is a
number, or a schedule from `fastmlp.schedules`. The options that all optimizers share are in `Optimizer`.
"""

from fastmlp._names import resolved
from fastmlp._validation import scalar, shown
from fastmlp.optimizers.adam import Adam, AdamW, Lion, Nadam
from fastmlp.optimizers.base import STATES, Optimizer
from fastmlp.optimizers.descent import SGD, Adagrad, RMSprop
from fastmlp.optimizers.minimiser import LBFGS

__all__ = [
    "BY_NAME",
    "LBFGS",
    "SGD",
    "STATES",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
]

BY_NAME: dict[str, type[Optimizer]] = {
    "sgd": SGD, "rmsprop": RMSprop, "adagrad": Adagrad, "adam": Adam, "adamw": AdamW, "nadam": Nadam, "lion": Lion,
    "lbfgs": LBFGS,
}  # fmt: skip


def get(optimizer: "str | Optimizer") -> Optimizer:
    """An optimizer from its name or from itself.

    Parameters
    ----------
    optimizer : {"sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam", "lion", "lbfgs"} or Optimizer

    Returns
    -------
    Optimizer
    """
    optimizer = scalar("optimizer", optimizer)
    if isinstance(optimizer, Optimizer) and type(optimizer) is not Optimizer:
        return optimizer
    if isinstance(optimizer, str):
        return BY_NAME[resolved("optimizer", optimizer, BY_NAME)]()
    raise TypeError(f"optimizer must be a name or an optimizer such as fastmlp.Adam(), not {shown(optimizer)}")
