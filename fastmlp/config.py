"""What this installation of fastmlp is and which processors it may use."""

import os

from fastmlp import _engine
from fastmlp._version import __version__


def cores() -> int:
    """Processors that this process may use: its affinity, its control group's quota, OMP_NUM_THREADS.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> cores() >= 1
    True
    """
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    if quota is not None:
        found = min(found, max(1, int(quota)))
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdigit() and int(wanted) > 0:
        found = min(found, int(wanted))
    return max(1, found)


def _cgroup_quota() -> float | None:
    """Processors that the control group grants, or None where there is no limit."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:  # without pathlib, which costs 5 ms of the import
            quota, period = file.read().split()[:2]
        return None if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError):
        return None


def show_config() -> None:
    """Print version, instruction sets, threads and libraries: what a report of a problem should hold.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.show_config()  # doctest: +ELLIPSIS
    fastmlp ...
    """
    import platform

    import numpy as np

    print(f"fastmlp {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, {platform.platform()}")
    for name, missing in _engine.isas().items():
        state = missing or ("active" if name == _engine.isa else "available")
        print(f"  instruction set {name:9} {state}")
    if _engine.has_openmp:
        print(f"  OpenMP             yes, up to {cores()} threads by default")
    else:
        print("  OpenMP             no: this build computes on one thread (reinstall with a compiler that has OpenMP)")
