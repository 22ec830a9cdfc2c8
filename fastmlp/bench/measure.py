"""Timing in turn: A B A B, so that a machine whose speed drifts favours nobody."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastmlp._validation import Array

# Does so many units of some work.
Work = Callable[[int], Any]

# What was measured of one case, as JSON holds it; and of all, by section.
Row = dict[str, Any]
Result = dict[str, Any]

# Idle threads of another library's pool spin before they sleep, those of OpenBLAS for more than 0.08 s, and whoever
# computes meanwhile has a core less.
PAUSE_SECONDS = 0.25


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of one unit of work in each round: of the clock, and of the processors over all threads."""

    wall: Array
    cpu: Array

    def scaled(self, factor: float) -> "Timing":
        """Of another unit."""
        return Timing(self.wall * factor, self.cpu * factor)


def quartiles(values: Array) -> list[float]:
    """First quartile, median, third quartile."""
    return [float(v) for v in np.percentile(values, [25, 50, 75])]


def once(work: Work, units: int) -> tuple[float, float]:
    """Wall and CPU seconds of one unit."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(units)
    return (time.perf_counter() - wall) / units, (time.process_time() - cpu) / units


def units_for(work: Work, seconds: float) -> int:
    """How many units last so long; warms up."""
    units = 1
    work(1)
    while True:
        took = once(work, units)[0] * units
        if took >= seconds / 2:
            return max(1, round(units * seconds / took))
        units = max(2 * units, min(50 * units, int(units * seconds / max(took, 1e-9))))


def in_turn(works: Sequence[Work], rounds: int, seconds: float) -> list[Timing]:
    """Time each work once in every round.

    Parameters
    ----------
    works : sequence of callable
        Each takes a number of units and does them.
    rounds : int
    seconds : float
        A turn does as many units as take about so long, at least one.

    Returns
    -------
    list of Timing
        In the order of the works; entry i of a timing belongs to round i.
    """
    units = [units_for(work, seconds) for work in works]

    def turn(work: Work, n: int) -> tuple[float, float]:
        time.sleep(PAUSE_SECONDS)
        return once(work, n)

    found = np.array([[turn(work, n) for work, n in zip(works, units, strict=True)] for _ in range(rounds)])
    return [Timing(found[:, i, 0], found[:, i, 1]) for i in range(len(works))]
