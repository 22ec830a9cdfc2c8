"""Schedules: learning rates that change while a model trains. Every optimizer takes one for its ``learning_rate``.

A schedule is a function of the step alone, counted from 0 since the optimizer started: the same for `fit`,
`train_on_batch` and `apply_gradients`, saved with the model, and gone on with by the next `fit`. There are
``ceil(n_samples / batch_size)`` steps in an epoch. Rates have the same bits on every machine: they are made of IEEE
additions, multiplications and divisions (fastmlp/_portable.py), without the C library's pow and cos.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastmlp._portable import cos_pi, exp, log, power
from fastmlp._quiet import quiet
from fastmlp._validation import Array, OtherNames, bounded_integer, choice, finite_number, flag, keep, shown

# Above all steps that anybody trains, so that all of them are exact in float64.
_MOST_STEPS = 2**53
# In cycles, how early a restart may be found: above all roundings, and less than a step of 10^10.
_RESTART_TOLERANCE = 1e-11


def plain_rate(name: str, value: Any) -> float:
    """A learning rate that is no schedule."""
    try:
        return finite_number(name, value, at_least=0)
    except TypeError:
        wanted = "a number or a schedule such as fastmlp.schedules.OneCycle(0.1, total_steps=1000)"
        raise TypeError(f"{name} must be {wanted}, not {shown(value)}") from None


@dataclasses.dataclass(frozen=True, repr=False)
class Schedule(OtherNames):
    """Base of all schedules: constants that are checked at once and never change.

    One of your own overrides `rates`; a model with it can be pickled, but not saved.

    Examples
    --------
    >>> import fastmlp as fm
    >>> class Sawtooth(fm.schedules.Schedule):
    ...     def rates(self, first, n):
    ...         return 0.1 * (1 - np.arange(first, first + n) % 100 / 100)
    >>> round(Sawtooth()(150), 3)
    0.05
    """

    other_names: ClassVar[dict[str, str]] = {
        "lr": "initial_learning_rate", "learning_rate": "initial_learning_rate", "base_lr": "initial_learning_rate",
        "gamma": "decay_rate", "step_size": "it is called decay_steps here", "end_lr": "end_learning_rate",
        "optimizer": "give the schedule to the optimizer, as its learning_rate",
        "last_epoch": "a schedule follows the steps of its optimizer", "staircase": "choose StepDecay or Exponential",
    }  # fmt: skip

    def rates(self, first: int, n: int) -> Array:
        """Learning rates of steps first, ..., first + n - 1.

        Parameters
        ----------
        first : int
            From 0.
        n : int
            Steps, at least 1.

        Returns
        -------
        ndarray of shape (n,), float64
        """
        return self._at(np.arange(first, first + n).astype(np.float64))

    @quiet
    def _at(self, steps: Array) -> Array:
        raise NotImplementedError

    def __call__(self, step: int) -> float:
        return float(self.rates(step, 1)[0])

    def get_config(self) -> dict[str, Any]:
        """The name and the arguments that make an equal schedule, see ``from_config``."""
        if BY_NAME.get(_name(type(self))) is not type(self):
            raise ValueError(f"{self!r} cannot be saved: a file names only what fastmlp has itself")
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values = {name: value.get_config() if isinstance(value, Schedule) else value for name, value in fields.items()}
        return {"name": _name(type(self)), **values}


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
        _rate(self, "learning_rate")

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
        _rate(self, "initial_learning_rate")
        _steps(self, "decay_steps")
        _number(self, "decay_rate", above=0, at_most=1)

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
        _rate(self, "initial_learning_rate")
        if isinstance(self.milestones, str) or not isinstance(self.milestones, Sequence | np.ndarray):
            raise TypeError(f"milestones must be a list of steps such as [1000, 2000], not {self.milestones!r}")
        steps = tuple(bounded_integer("a milestone", step, below=_MOST_STEPS) for step in self.milestones)
        if list(steps) != sorted(set(steps)):
            raise ValueError(f"milestones must ascend, not {list(steps)}")
        object.__setattr__(self, "milestones", steps)
        _number(self, "decay_rate", above=0, at_most=1)

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
        _rate(self, "initial_learning_rate")
        _steps(self, "decay_steps")
        _number(self, "decay_rate", above=0, at_most=1)

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
        _rate(self, "initial_learning_rate")
        _number(self, "power", at_least=0, at_most=10)
        _steps(self, "decay_steps")
        _number(self, "decay_rate", at_least=0, at_most=1e12)

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
        _rate(self, "initial_learning_rate")
        _steps(self, "decay_steps")
        _rate(self, "end_learning_rate")
        _number(self, "power", above=0, at_most=100)
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


@dataclasses.dataclass(frozen=True, repr=False)
class CosineRestarts(Schedule):
    """Half a cosine wave from the initial rate downwards, again and again [1]_, equation 5, as Keras's
    CosineDecayRestarts; a single one with ``restarts=False``, as Keras's CosineDecay.

    In cycle i, of ``first_decay_steps * t_mul**i`` steps and with t from 0 to 1 in it, the rate is
    ``initial * (alpha + (1 - alpha) * m_mul**i * (1 + cos(pi * t)) / 2)``.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    first_decay_steps : int
        Steps of the first cycle, at least 1.
    t_mul : float, default 2.0
        How much longer each cycle is than the one before, at least 1.
    m_mul : float, default 1.0
        How much lower each begins, in (0, 1].
    alpha : float, default 0.0
        The lowest rate, as a share of the initial one, in [0, 1].
    restarts : bool, default True
        False: stay at the lowest rate after the first cycle.

    References
    ----------
    .. [1] Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, arXiv:1608.03983.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.schedules.CosineRestarts(0.8, first_decay_steps=2, t_mul=2).rates(0, 7)
    array([0.8       , 0.4       , 0.8       , 0.68284271, 0.4       ,
           0.11715729, 0.8       ])
    """

    other_names: ClassVar[dict[str, str]] = {
        "decay_steps": "first_decay_steps", "T_0": "first_decay_steps", "T_max": "first_decay_steps", "T_mult": "t_mul",
        "eta_min": "it is called alpha here, a share of initial_learning_rate",
    }  # fmt: skip

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    restarts: bool = True

    def __post_init__(self) -> None:
        _rate(self, "initial_learning_rate")
        _steps(self, "first_decay_steps")
        _number(self, "t_mul", at_least=1, at_most=1e6)
        _number(self, "m_mul", above=0, at_most=1)
        _number(self, "alpha", at_least=0, at_most=1)
        keep(self, restarts=flag("restarts", self.restarts))

    @quiet
    def _at(self, steps: Array) -> Array:
        first, ratio = float(self.first_decay_steps), float(self.t_mul)
        if not self.restarts:
            height, t = np.ones(len(steps)), np.minimum(steps / first, 1.0)
        else:
            if ratio == 1:
                cycle = np.floor(steps / first)
                begin, length = cycle * first, np.full(len(steps), first)
            else:  # cycle i begins at first (ratio^i - 1) / (ratio - 1), and not a step later by roundings
                cycle = np.floor(log(1 + steps / first * (ratio - 1)) / log(np.array([ratio])) + _RESTART_TOLERANCE)
                longer = power(ratio, cycle)
                begin, length = first * (longer - 1) / (ratio - 1), first * longer
            height, t = power(self.m_mul, cycle), np.clip((steps - begin) / length, 0, 1)
        wave = 0.5 * height * (1 + cos_pi(t))
        rates: Array = self.initial_learning_rate * ((1 - self.alpha) * wave + self.alpha)
        return rates


@dataclasses.dataclass(frozen=True, repr=False)
class OneCycle(Schedule):
    """Up from ``max / div_factor`` to max, then down to ``max / div_factor / final_div_factor``, all in one training
    [1]_, as PyTorch's OneCycleLR; after the last step the lowest rate stays.

    Parameters
    ----------
    max_learning_rate : float
        At least 0.
    total_steps : int
        At least 2.
    pct_start : float, default 0.3
        The share of the steps in which the rate rises, in (0, 1).
    anneal_strategy : {"cos", "linear"}, default "cos"
        Half a cosine wave, or straight lines.
    div_factor : float, default 25.0
        At least 1.
    final_div_factor : float, default 1e4
        At least 1.

    References
    ----------
    .. [1] Smith, Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018,
       arXiv:1708.07120.

    Examples
    --------
    >>> import fastmlp as fm
    >>> rates = fm.schedules.OneCycle(1.0, total_steps=10, pct_start=0.5, anneal_strategy="linear").rates(0, 10)
    >>> rates[[0, 4, 9]].tolist()
    [0.04, 1.0, 4e-06]
    """

    other_names: ClassVar[dict[str, str]] = {
        "max_lr": "max_learning_rate", "initial_learning_rate": "max_learning_rate",
        **dict.fromkeys(("epochs", "steps_per_epoch"), "give total_steps=epochs * steps_per_epoch"),
    }  # fmt: skip

    max_learning_rate: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        _rate(self, "max_learning_rate")
        _steps(self, "total_steps", at_least=2)
        _number(self, "pct_start", above=0, below=1)
        keep(self, anneal_strategy=choice("anneal_strategy", self.anneal_strategy, ("cos", "linear")))
        _number(self, "div_factor", at_least=1, at_most=1e12)
        _number(self, "final_div_factor", at_least=1, at_most=1e12)

    @quiet
    def _at(self, steps: Array) -> Array:
        low, high = self.max_learning_rate / self.div_factor, self.max_learning_rate
        last, peak = self.total_steps - 1.0, max(0.0, self.pct_start * self.total_steps - 1)
        rise = np.clip(steps / peak, 0, 1) if peak > 0 else np.ones(len(steps))
        fall = np.clip((steps - peak) / (last - peak), 0, 1)
        up, down = self._between(low, high, rise), self._between(high, low / self.final_div_factor, fall)
        return np.where(steps <= peak, up, down)

    def _between(self, start: float, end: float, t: Array) -> Array:
        if self.anneal_strategy == "linear":
            return start * (1 - t) + end * t
        return end + (start - end) / 2 * (1 + cos_pi(t))


@dataclasses.dataclass(frozen=True, repr=False)
class Warmup(Schedule):
    """A straight rise to the first rate of another schedule, then that schedule, which starts when it is reached:
    ``then(0) * (step + 1) / steps`` in the first steps, ``then(step - steps)`` afterwards.

    Parameters
    ----------
    steps : int
        Of the rise, at least 1.
    then : float or Schedule
        A number is a constant rate.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.schedules.Warmup(4, then=0.8).rates(0, 6)
    array([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    """

    other_names: ClassVar[dict[str, str]] = {"warmup_steps": "steps", "total_iters": "steps", "schedule": "then"}

    steps: int
    then: float | Schedule

    def __post_init__(self) -> None:
        _steps(self, "steps")
        if isinstance(self.then, Warmup):
            raise TypeError("then must be another schedule than Warmup; add up their steps")
        if isinstance(self.then, Schedule):
            return
        object.__setattr__(self, "then", Constant(plain_rate("then", self.then)))

    def rates(self, first: int, n: int) -> Array:
        """Learning rates of steps first, ..., first + n - 1, of shape (n,), float64."""
        assert isinstance(self.then, Schedule)
        rising = min(n, max(0, self.steps - first))
        start = self.then.rates(0, 1)[0] if rising else 0.0
        with np.errstate(all="ignore"):
            rise = start * (np.arange(first + 1, first + 1 + rising) / self.steps)
        if rising == n:
            return rise
        return np.concatenate([rise, self.then.rates(first + rising - self.steps, n - rising)])


def _rate(schedule: Schedule, name: str) -> None:
    _number(schedule, name, at_least=0)


def _number(schedule: Schedule, name: str, **bounds: float) -> None:
    object.__setattr__(schedule, name, finite_number(name, getattr(schedule, name), **bounds))


def _steps(schedule: Schedule, name: str, at_least: int = 1) -> None:
    number = bounded_integer(name, getattr(schedule, name), at_least=at_least, below=_MOST_STEPS)
    object.__setattr__(schedule, name, number)


def _name(kind: type[Schedule]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


BY_NAME: dict[str, type[Schedule]] = {
    _name(kind): kind
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
