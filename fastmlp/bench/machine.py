"""What this machine can do at most, in arithmetic and in memory traffic, and what it is.

A measured share of the peak says more than a rate: how much a better kernel could still win. The peaks are those of the
probes in csrc/kernels/probe.inc.h, on the same instruction set, dtype and number of threads.
"""

import os
import platform
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp import _engine, _kernels
from fastmlp._version import __version__
from fastmlp.config import cores

# A peak is the best of this many runs. Whatever disturbs one (another process, a clock not yet raised) can only make
# it slower, so the best is the closest to what the machine can do; STREAM reports its best run, too.
RUNS = 5

SETTINGS = ("OMP_", "OPENBLAS_", "MKL_", "FASTMLP_")


def at_once(work: Callable[[int], object], threads: int = 1) -> float:
    """Seconds of one kernel in several threads that start together, from the first start to the last end.

    Parameters
    ----------
    work : callable
        Called as ``work(i)`` in thread i. It calls one function of `fastmlp._kernels`, once; what it does before that
        is not timed, as all threads meet at a barrier where the kernel begins.
    threads : int, default 1
        One stays in the calling thread.

    Returns
    -------
    float
    """
    start = threading.Barrier(threads)
    times: list[tuple[float, float]] = []
    errors: list[BaseException] = []

    def run(i: int) -> None:
        stopwatch = _kernels.stopwatch
        stopwatch.start = start
        try:
            work(i)
            times.append((stopwatch.began, stopwatch.ended))
        except BaseException as error:
            errors.append(error)
            start.abort()  # or the others would wait for this thread
        finally:
            stopwatch.start = None

    others = [threading.Thread(target=run, args=(i,)) for i in range(1, threads)]
    for thread in others:
        thread.start()
    run(0)
    for thread in others:
        thread.join()
    if errors:  # rather the one that broke the barrier than those to whom it was broken
        raise min(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError))
    return max(ended for _, ended in times) - min(began for began, _ in times)


def repeats(timed: Callable[[int], float], seconds: float) -> int:
    """How often to repeat what takes ``timed(n)`` seconds for n repetitions, so that it takes about `seconds`."""
    n = 1
    while (found := min(timed(n), timed(n))) < seconds / 4:  # of one alone, another process may have taken its time
        n = n * 8 if found < seconds / 64 else int(n * seconds / found / 2) + 1
    return max(1, round(n * seconds / found))


def _best(timed: Callable[[int], float], seconds: float) -> float:
    """Seconds of one repetition, from the best of RUNS runs of `seconds` in all."""
    n = repeats(timed, seconds / RUNS)
    return min(timed(n) for _ in range(RUNS)) / n


def peak_fma(isa: str | None = None, dtype: str = "float32", threads: int = 1, seconds: float = 0.05) -> float:
    """Floating-point operations a second of multiply-adds held in registers: no product can be faster.

    Parameters
    ----------
    isa : str, optional
        Instruction set. Default: the active one.
    dtype : {"float32", "float64"}, default "float32"
    threads : int, default 1
        So many at once; the result is their sum.
    seconds : float, default 0.05
        For the measurement, about.

    Returns
    -------
    float
        A multiply-add counts as two operations. The best of 5 runs.
    """
    table = _kernels.table(isa or _engine.isa, dtype)
    x = np.full((table["chains"] + 2, table["lanes"]), 0.5, dtype)  # a = 0.5 a + 0.5 goes to 1
    operations = 2.0 * float(table["chains"] * table["lanes"])
    return threads * operations / _best(lambda n: at_once(lambda i: _kernels.probe_fma(x, n, isa), threads), seconds)


def last_level_cache() -> int:
    """Bytes of the largest cache that processor 0 uses, as far as Linux knows it; otherwise 32 MiB."""
    sizes = [32 << 20]
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        if text.endswith("K") and text[:-1].isdigit():
            sizes.append(int(text[:-1]) << 10)
    return max(sizes)


def bandwidth(
    threads: int = 1,
    megabytes: float | None = None,
    seconds: float = 0.2,
    isa: str | None = None,
    dtype: str = "float32",
) -> float:
    """Bytes a second that STREAM's triad ``c = a + 3 b`` moves: no kernel that waits for memory can be faster.

    Parameters
    ----------
    threads : int, default 1
        So many at once, each on arrays of its own; the result is their sum.
    megabytes : float, optional
        Of the three arrays of all threads together. Default: four times the last-level cache, at most 1024. Less than
        the cache measures the cache.
    seconds : float, default 0.2
        For the measurement, about; at least 5 passes over the arrays.
    isa : str, optional
        Instruction set. Default: the active one.
    dtype : {"float32", "float64"}, default "float32"

    Returns
    -------
    float
        Three elements moved for each of the triad. The best of 5 runs.
    """
    n_bytes = min(4 * last_level_cache(), 1 << 30) if megabytes is None else megabytes * 1e6
    line, itemsize = _kernels.line_of(dtype), np.dtype(dtype).itemsize
    n = max(1, int(n_bytes / (3 * threads * itemsize * line))) * line
    arrays = [[_kernels.aligned(n, dtype) for _ in range(3)] for _ in range(threads)]
    for a, b, c in arrays:  # written, so that each has pages of its own
        a[:], b[:], c[:] = 1, 2, 0

    def timed(repeat: int) -> float:
        def triad(i: int) -> None:
            a, b, c = arrays[i]
            _kernels.probe_triad(a, b, isa, c, repeat)

        return at_once(triad, threads)

    return threads * 3 * n * itemsize / _best(timed, seconds)


def processor() -> str:
    """Name of the processor: from /proc/cpuinfo where that has one, otherwise what ``platform`` knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def blas() -> str:
    """The BLAS that NumPy was built with, and its version, as far as NumPy says."""
    try:
        found: Any = np.show_config(mode="dicts")  # NumPy 1.25 and later
        library = found["Build Dependencies"]["blas"]
        return f"{library['name']} {library['version']}"
    except (TypeError, KeyError):
        return "unknown"


def describe() -> dict[str, Any]:
    """Processor, system and versions: what a measurement depends on.

    Returns
    -------
    dict
        Of strings, but ``cores``, an int, and ``environment``, a dict of the variables that are set and that threads
        or fastmlp obey.

    Examples
    --------
    >>> describe()["cores"] >= 1
    True
    """
    return {
        "processor": processor(),
        "cores": cores(),
        "isa": _engine.isa,
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "blas": blas(),
        "fastmlp": __version__,
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)},
    }
