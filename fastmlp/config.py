"""What this installation of fastmlp is and which processors it may use."""

import os
import sys
import time

from fastmlp import _engine
from fastmlp._version import __version__

# How long `recent_threads` trusts what it found, and `cores` the quotas of control groups, which take 50 µs to read.
RECENT_SECONDS, QUOTA_SECONDS = 0.1, 1.0

_recent = (0.0, 1, False)  # until when, what `default_threads` was, and whether in a forked child
_quota: tuple[float, float | None] = (0.0, None)  # until when, and what `cgroup_quota` was


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
    global _quota
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    now = time.monotonic()
    if now >= _quota[0]:
        _quota = now + QUOTA_SECONDS, cgroup_quota()
    if _quota[1] is not None:
        found = min(found, max(1, int(_quota[1])))
    return max(1, min(found, _omp_num_threads() or found))


def default_threads() -> int:
    """Threads of a call with ``n_threads=None``, at most: `cores`; in a child process 1, unless OMP_NUM_THREADS is set.

    A child is a process that was forked or that multiprocessing started. It has siblings that compute at the same time,
    and nobody tells it how many. loky sets OMP_NUM_THREADS for its workers.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> 1 <= default_threads() <= cores()
    True
    """
    return 1 if _is_child() and not _omp_num_threads() else cores()


def recent_threads() -> int:
    """`default_threads`, at most a tenth of a second old: for calls that are shorter than it takes.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> recent_threads() >= 1
    True
    """
    global _recent
    until, threads, was_forked = _recent
    now, forked = time.monotonic(), _engine.is_forked()
    if now >= until or forked != was_forked:
        threads = default_threads()
        _recent = now + RECENT_SECONDS, threads, forked
    return threads


def is_crowded(n_threads: int, path: str = "/proc/loadavg") -> bool:
    """Whether so many threads of this process, one of which asks, would have to share the machine's processors with
    what else runs at this moment.

    Parameters
    ----------
    n_threads : int
    path : str
        Where the system tells how much runs.

    Returns
    -------
    bool
        False where it does not tell.

    Examples
    --------
    >>> is_crowded(2, "nowhere")
    False
    """
    try:
        with open(path, "rb") as file:
            running = int(file.read(100).split()[3].partition(b"/")[0])
    except (OSError, ValueError, IndexError):
        return False
    return running - 1 + n_threads > (os.cpu_count() or 1)


def _omp_num_threads() -> int:
    """The environment variable OMP_NUM_THREADS, 0 where it is not set or no number."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(wanted) if wanted.isdecimal() else 0  # "²" is a digit


def _is_child() -> bool:
    process = sys.modules.get("multiprocessing.process")  # there in all that it started
    return _engine.is_forked() or (process is not None and process.parent_process() is not None)


def cgroup_quota(proc: str = "/proc/self") -> float | None:
    """Processors that the control groups of this process grant, its own and those around it, of version 1 and 2.

    Parameters
    ----------
    proc : str
        Folder with ``cgroup`` and ``mountinfo`` of the process.

    Returns
    -------
    float or None
        None where there is no limit.

    Examples
    --------
    >>> cgroup_quota("nowhere") is None
    True
    """
    quotas = []
    for folder in _cgroup_folders(proc):
        try:  # without pathlib, which costs 5 ms of the import
            quotas.append(_quota_of(folder))
        except (OSError, ValueError, ZeroDivisionError):  # no limit, or none that can be read
            continue
    return min(quotas, default=None)


def _quota_of(folder: str) -> float:
    """Of one control group; ValueError where it has no limit."""
    if os.path.exists(f"{folder}/cpu.max"):
        with open(f"{folder}/cpu.max") as file:
            quota, period = map(float, file.read().split()[:2])  # "max 100000": no number
    else:
        with open(f"{folder}/cpu.cfs_quota_us") as file, open(f"{folder}/cpu.cfs_period_us") as of_period:
            quota, period = float(file.read()), float(of_period.read())
    if quota <= 0:  # -1 in version 1
        raise ValueError("no limit")
    return quota / period


def _cgroup_folders(proc: str) -> list[str]:
    """Folders of the groups that hold the process and may limit its processors, where they are mounted."""
    try:
        with open(f"{proc}/cgroup") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
        with open(f"{proc}/mountinfo") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return []
    found = []
    for group in groups:
        if len(group) != 3 or not (group[1] == "" or "cpu" in group[1].split(",")):
            continue
        for mount in mounts:
            if "-" not in mount or len(mount) < 10:
                continue
            kind, options = mount[mount.index("-") + 1], mount[-1].split(",")
            if kind != "cgroup2" if group[1] == "" else kind != "cgroup" or "cpu" not in options:
                continue
            root, point = mount[3].rstrip("/"), mount[4].replace("\\040", " ")
            inside = group[2][len(root) :] if group[2].startswith(root) else ""  # of what is mounted, or not seen
            names = [name for name in inside.split("/") if name not in ("", "..")]
            found += ["/".join([point, *names[:depth]]) for depth in range(len(names), -1, -1)]
    return found


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
        threads = default_threads()
        why = ", as in every child process (n_threads and OMP_NUM_THREADS set others)" if threads < cores() else ""
        print(f"  OpenMP             yes, up to {threads} thread{'s' * (threads > 1)} by default{why}")
    else:
        print("  OpenMP             no: this build computes on one thread (reinstall with a compiler that has OpenMP)")
