"""What all schedules have in common."""

import dataclasses
import re
from typing import Any, ClassVar

import numpy as np

from fastmlp._quiet import quiet
from fastmlp._validation import Array, OtherNames, bounded_integer, finite_number, shown

# Above all steps that anybody trains, so that all of them are exact in float64.
MOST_STEPS = 2**53


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

    _other_names: ClassVar[dict[str, str]] = {
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
        raise NotImplementedError(
            f"{type(self).__name__} must define rates(first, n), an array of the rates of n steps"
        )

    def __call__(self, step: int) -> float:
        return float(self.rates(step, 1)[0])

    def get_config(self) -> dict[str, Any]:
        """The name and the arguments that make an equal schedule, see ``from_config``."""
        if type(self).__module__.rpartition(".")[0] != __package__:
            raise ValueError(f"{self!r} cannot be saved: a file names only what fastmlp has itself")
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values = {name: value.get_config() if isinstance(value, Schedule) else value for name, value in fields.items()}
        return {"name": name_of(type(self)), **values}


def check_rate(schedule: Schedule, name: str) -> None:
    """Let a schedule's field be a learning rate."""
    check_number(schedule, name, at_least=0)


def check_number(schedule: Schedule, name: str, **bounds: float) -> None:
    """Let a schedule's field be a number within bounds."""
    object.__setattr__(schedule, name, finite_number(name, getattr(schedule, name), **bounds))


def check_steps(schedule: Schedule, name: str, at_least: int = 1) -> None:
    """Let a schedule's field be a number of steps."""
    number = bounded_integer(name, getattr(schedule, name), at_least=at_least, below=MOST_STEPS)
    object.__setattr__(schedule, name, number)


def name_of(kind: type[Schedule]) -> str:
    """The name of a kind of schedule in a file: "step_decay" of StepDecay."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
