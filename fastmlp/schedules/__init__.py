"""Schedules: learning rates that change while a model trains. Every optimizer takes one for its ``learning_rate``.

A schedule is a function of the step alone, counted from 0 since the optimizer started: the same for `fit`,
`train_on_batch` and `apply_gradients`, saved with the model, and gone on with by the next `fit`. There are
``ceil(n_samples / batch_size)`` steps in an epoch. Rates have the same bits on every machine: they are made of IEEE
additions, multiplications and divisions (fastmlp/_portable.py), without the C library's pow and cos.
"""

from typing import Any

from fastmlp.schedules.base import Schedule, name_of, plain_rate
from fastmlp.schedules.cycles import CosineRestarts, OneCycle, Warmup
from fastmlp.schedules.decays import Constant, Exponential, InverseScaling, MultiStep, Polynomial, StepDecay

__all__ = [
    "BY_NAME",
    "Constant",
    "CosineRestarts",
    "Exponential",
    "InverseScaling",
    "MultiStep",
    "OneCycle",
    "Polynomial",
    "Schedule",
    "StepDecay",
    "Warmup",
    "from_config",
    "plain_rate",
]

BY_NAME: dict[str, type[Schedule]] = {
    name_of(kind): kind
    for kind in (
        Constant, StepDecay, MultiStep, Exponential, InverseScaling, Polynomial, CosineRestarts, OneCycle, Warmup,
    )
}  # fmt: skip


def from_config(config: dict[str, Any]) -> Schedule:
    """The schedule that `Schedule.get_config` described.

    Parameters
    ----------
    config : dict
        "name" and the arguments.

    Returns
    -------
    Schedule
    """
    arguments = dict(config)
    kind = BY_NAME[arguments.pop("name")]
    if kind is Warmup and arguments["then"]["name"] != "warmup":  # Warmup itself refuses the other
        arguments["then"] = from_config(arguments["then"])
    return kind(**arguments)
