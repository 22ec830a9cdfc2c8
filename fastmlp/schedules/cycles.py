"""Rates that rise, too."""

import dataclasses
from typing import ClassVar

import numpy as np

from fastmlp._portable import cos_pi, log, power
from fastmlp._quiet import quiet
from fastmlp._validation import Array, choice, flag, keep
from fastmlp.schedules.base import Schedule, check_number, check_rate, check_steps, plain_rate
from fastmlp.schedules.decays import Constant

# In cycles, how early a restart may be found: above all roundings, and less than a step of 10^10.
_RESTART_TOLERANCE = 1e-11


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

    _other_names: ClassVar[dict[str, str]] = {
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
        check_rate(self, "initial_learning_rate")
        check_steps(self, "first_decay_steps")
        check_number(self, "t_mul", at_least=1, at_most=1e6)
        check_number(self, "m_mul", above=0, at_most=1)
        check_number(self, "alpha", at_least=0, at_most=1)
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

    _other_names: ClassVar[dict[str, str]] = {
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
        check_rate(self, "max_learning_rate")
        check_steps(self, "total_steps", at_least=2)
        check_number(self, "pct_start", above=0, below=1)
        keep(self, anneal_strategy=choice("anneal_strategy", self.anneal_strategy, ("cos", "linear")))
        check_number(self, "div_factor", at_least=1, at_most=1e12)
        check_number(self, "final_div_factor", at_least=1, at_most=1e12)

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

    _other_names: ClassVar[dict[str, str]] = {"warmup_steps": "steps", "total_iters": "steps", "schedule": "then"}

    steps: int
    then: float | Schedule

    def __post_init__(self) -> None:
        check_steps(self, "steps")
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
