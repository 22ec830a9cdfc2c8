"""Rates that stay or fall."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from fastmlp._portable import exp, log, power
from fastmlp._quiet import quiet
from fastmlp._validation import Array, bounded_integer, flag, keep
from fastmlp.schedules.base import MOST_STEPS, Schedule, check_number, check_rate, check_steps


@dataclasses.dataclass(frozen=True, repr=False)
class Constant(Schedule):
    """The same rate at every step; what a plain number stands for.

    Parameters
    ----------
    learning_rate : float
        At least 0.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.schedules.Constant(0.1).rates(0, 2)
    array([0.1, 0.1])
    """

    learning_rate: float

    def __post_init__(self) -> None:
        check_rate(self, "learning_rate")

    @quiet
    def _at(self, steps: Array) -> Array:
        return np.full(len(steps), self.learning_rate)


@dataclasses.dataclass(frozen=True, repr=False)
class StepDecay(Schedule):
    """Multiplied by a factor every so many steps: ``initial * decay_rate**floor(step / decay_steps)``, as PyTorch's
    StepLR and Keras's ExponentialDecay with staircase=True.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : int
        At least 1; steps, not epochs: every 30 epochs are ``30 * steps_per_epoch``.
    decay_rate : float, default 0.1
        In (0, 1].

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.schedules.StepDecay(0.8, decay_steps=2, decay_rate=0.5).rates(0, 5)
    array([0.8, 0.8, 0.4, 0.4, 0.2])
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float = 0.1

    def __post_init__(self) -> None:
        check_rate(self, "initial_learning_rate")
        check_steps(self, "decay_steps")
        check_number(self, "decay_rate", above=0, at_most=1)

    @quiet
    def _at(self, steps: Array) -> Array:
        return self.initial_learning_rate * power(self.decay_rate, np.floor(steps / self.decay_steps))


@dataclasses.dataclass(frozen=True, repr=False)
class MultiStep(Schedule):
    """Multiplied by a factor at each of some steps: ``initial * decay_rate**(milestones at or before the step)``, as
    PyTorch's MultiStepLR.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    milestones : sequence of int
        Steps, ascending, at least 1; not epochs: after 30 and 60 of these ``[30 * steps_per_epoch, 60 *
        steps_per_epoch]``.
    decay_rate : float, default 0.1
        In (0, 1].

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.schedules.MultiStep(0.8, [1, 3], decay_rate=0.5).rates(0, 4)
    array([0.8, 0.4, 0.4, 0.2])
    """

    initial_learning_rate: float
    milestones: Sequence[int]
    decay_rate: float = 0.1

    def __post_init__(self) -> None:
        check_rate(self, "initial_learning_rate")
        if isinstance(self.milestones, str) or not isinstance(self.milestones, Sequence | np.ndarray):
            raise TypeError(f"milestones must be a list of steps such as [1000, 2000], not {self.milestones!r}")
        steps = tuple(bounded_integer("a milestone", step, below=MOST_STEPS) for step in self.milestones)
        if list(steps) != sorted(set(steps)):
            raise ValueError(f"milestones must ascend, not {list(steps)}")
        object.__setattr__(self, "milestones", steps)
        check_number(self, "decay_rate", above=0, at_most=1)

    @quiet
    def _at(self, steps: Array) -> Array:
        passed = np.searchsorted(np.array(self.milestones, np.float64), steps, side="right")
        return self.initial_learning_rate * power(self.decay_rate, passed.astype(np.float64))


@dataclasses.dataclass(frozen=True, repr=False)
class Exponential(Schedule):
    """Falling by a factor in every so many steps, smoothly: ``initial * decay_rate**(step / decay_steps)``, as Keras's
    ExponentialDecay.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : int
        At least 1.
    decay_rate : float
        In (0, 1].

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.schedules.Exponential(0.8, decay_steps=2, decay_rate=0.25).rates(0, 3)
    array([0.8, 0.4, 0.2])
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float

    def __post_init__(self) -> None:
        check_rate(self, "initial_learning_rate")
        check_steps(self, "decay_steps")
        check_number(self, "decay_rate", above=0, at_most=1)

    @quiet
    def _at(self, steps: Array) -> Array:
        return self.initial_learning_rate * power(self.decay_rate, steps / self.decay_steps)


@dataclasses.dataclass(frozen=True, repr=False)
class InverseScaling(Schedule):
    """``initial / (1 + decay_rate * floor(step / decay_steps))**power``.

    scikit-learn's learning_rate="invscaling" counts samples, epoch by epoch: ``power=power_t``, decay_steps the steps
    of an epoch, decay_rate its samples. Keras's InverseTimeDecay with staircase=True has ``power=1``.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    power : float, default 0.5
        At least 0.
    decay_steps : int, default 1
        At least 1.
    decay_rate : float, default 1.0
        At least 0.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.schedules.InverseScaling(0.8).rates(0, 4)
    array([0.8       , 0.56568542, 0.46188022, 0.4       ])
    """

    initial_learning_rate: float
    power: float = 0.5
    decay_steps: int = 1
    decay_rate: float = 1.0

    def __post_init__(self) -> None:
        check_rate(self, "initial_learning_rate")
        check_number(self, "power", at_least=0, at_most=10)
        check_steps(self, "decay_steps")
        check_number(self, "decay_rate", at_least=0, at_most=1e12)

    @quiet
    def _at(self, steps: Array) -> Array:
        scale = 1 + self.decay_rate * np.floor(steps / self.decay_steps)
        if self.power == 1:
            return self.initial_learning_rate / scale
        if self.power == 0.5:  # correctly rounded everywhere
            return self.initial_learning_rate / np.sqrt(scale)
        return self.initial_learning_rate * exp(-self.power * log(scale))


@dataclasses.dataclass(frozen=True, repr=False)
class Polynomial(Schedule):
    """From one rate to another: ``end + (initial - end) * (1 - step / decay_steps)**power``, then end, as Keras's
    PolynomialDecay.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : int
        At least 1.
    end_learning_rate : float, default 0.0001
        At least 0.
    power : float, default 1.0
        Above 0; 1 is a straight line.
    cycle : bool, default False
        Instead of staying at the end, begin again with decay_steps twice, three times, ... as long.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.schedules.Polynomial(0.4, decay_steps=4, end_learning_rate=0.0).rates(0, 6)
    array([0.4, 0.3, 0.2, 0.1, 0. , 0. ])
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def __post_init__(self) -> None:
        check_rate(self, "initial_learning_rate")
        check_steps(self, "decay_steps")
        check_rate(self, "end_learning_rate")
        check_number(self, "power", above=0, at_most=100)
        keep(self, cycle=flag("cycle", self.cycle))

    @quiet
    def _at(self, steps: Array) -> Array:
        length = np.full(len(steps), float(self.decay_steps))
        if self.cycle:
            length *= np.maximum(1, np.ceil(steps / self.decay_steps))
        left = 1 - np.minimum(steps, length) / length
        if self.power != 1:  # of numbers in [0, 1], each with the same exponent
            left = np.where(left > 0, exp(np.maximum(-700, self.power * log(np.maximum(left, 1e-300)))), 0.0)
        rates: Array = self.end_learning_rate + (self.initial_learning_rate - self.end_learning_rate) * left
        return rates
