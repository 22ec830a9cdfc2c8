"""`fastmlp bench`: measure, print, keep."""

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fastmlp import _engine, _figures, _writing, config
from fastmlp.bench import alone, comparison, machine, peers, pictures, report
from fastmlp.bench.measure import Result, Row
from fastmlp.bench.workloads import BATCHES, BY_BATCH, PREDICTIONS, WORKLOADS, Workload

# Turns of a comparison, and seconds of a turn.
ROUNDS, SECONDS = 15, 0.06
QUICK_ROUNDS, QUICK_SECONDS = 5, 0.02

DTYPES = ("float32", "float64")
UPDATES: dict[str, dict[str, Any]] = {"none": {"update": False}, "SGD": {}, "Adam": {"optimizer": "adam"}}

# What tells a row from the others.
LABELS = ("probe", "workload", "network", "rows", "peer")


def select(names: list[str] | None) -> list[Workload]:
    """The workloads whose names contain one of the texts; all where there is none."""
    return [w for w in WORKLOADS if names is None or any(name in str(w) for name in names)]


def shares_workloads(quick: bool) -> list[Workload]:
    """The networks whose share of the peak is measured, at every batch size."""
    return [Workload(widths, batch, 4) for widths in BY_BATCH for batch in BATCHES[:: 4 if quick else 1]]


def peaks() -> Iterable[Row]:
    """What the machine can do, one thread and all: multiply-adds by instruction set and dtype, and memory traffic.

    Yields
    ------
    dict
        probe, threads, giga (operations or bytes a second, in 10^9).
    """
    for threads in sorted({1, config.cores()}):
        for isa in (name for name, missing in _engine.isas().items() if missing is None):
            for dtype in DTYPES:
                rate = machine.peak_fma(isa, dtype, threads)
                yield {"probe": f"multiply-adds, {isa}, {dtype}", "threads": threads, "giga": rate / 1e9}
        yield {"probe": "triad, bytes", "threads": threads, "giga": machine.bandwidth(threads) / 1e9}


def measure(
    workloads: list[Workload],
    names: list[str],
    rounds: int,
    seconds: float,
    quick: bool,
    tell: Callable[[str], None],
) -> Result:
    """Everything, in the order of the report.

    Parameters
    ----------
    workloads : list of Workload
    names : list of str
        Peers that are installed.
    rounds : int
    seconds : float
    quick : bool
        Fewer sizes.
    tell : callable
        Takes a line of progress.

    Returns
    -------
    dict
        By section, what JSON can hold.
    """

    def collect(title: str, rows: Iterable[Row]) -> list[Row]:
        found = []
        for row in rows:
            if "refused" in row:
                refused.append(row["refused"])
            else:
                found.append(row)
            tell(f"{title}: {' '.join(str(row[key]) for key in LABELS if key in row)}{row.get('refused', '')}")
        return found

    refused: list[str] = []
    trainers = [name for name in names if name in peers.TRAINERS]
    predictors = [name for name in names if name in peers.PREDICTORS]
    predicted = [workload for workload in PREDICTIONS if workload in workloads]
    adam = [dataclasses.replace(w, optimizer="adam") for w in workloads]
    widths = range(32, 129, 32) if quick else sorted([*range(32, 129, 8), 45, 46])
    by_width = [Workload((10, width, width, 10), 128, 50) for width in widths]
    result: Result = {
        "machine": machine.describe(),
        "versions": peers.versions(),
        "command": shlex.join(["fastmlp", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "rounds": rounds,
        "seconds": seconds,
        "refused": refused,
        "peaks": collect("peaks", peaks()),
        "training": collect("SGD", comparison.training(workloads, trainers, rounds, seconds)),
        "adam": [] if quick else collect("Adam", comparison.training(adam, trainers, rounds, seconds)),
        "prediction": collect("prediction", comparison.prediction(predicted, predictors, (1, 1000), rounds, seconds)),
        "shares": collect("share of the peak", alone.shares(shares_workloads(quick), rounds, seconds)),
        "shares_of_workloads": collect("share of the peak", alone.shares(workloads, rounds, seconds)),
        "threads": collect("threads", alone.threads([*workloads, *by_width], rounds, seconds)),
        "updates": collect("updates", alone.variants(workloads, UPDATES, rounds, seconds)),
        "dtypes": collect("dtypes", alone.variants(workloads, {d: {"dtype": d} for d in DTYPES}, rounds, seconds)),
        "calls": collect("calls", alone.calls(workloads, rounds, seconds)),
    }
    if _engine.isa == "avx512" and _engine.isas()["avx2"] is None:
        result["avx2"] = collect("AVX2", alone.shares(workloads, rounds, seconds, isa="avx2"))
    sizes = [Workload((784, 512, 512, 10), batch, 4) for batch in (64, 128, 256, 400, 1000, 2000, 4000)]
    result["linearity"] = collect("linearity", alone.variants(sizes, {"chosen": {}}, rounds, seconds))
    return result


def run(options: argparse.Namespace) -> int:
    """Compare fastmlp with every peer that is installed, print the report, write it with JSON and pictures.

    Parameters
    ----------
    options : argparse.Namespace
        quick, rounds, peers, workloads, out.

    Returns
    -------
    int
        Exit code 0.
    """
    wanted = options.peers or [name for name in peers.PEERS if name != "fastmlp"]
    known = [name for name in peers.PEERS if name != "fastmlp"]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"--peers {shlex.join(unknown)}: none of {shlex.join(known)}")
    workloads = select(options.workloads)
    if not workloads:
        raise ValueError(f"--workloads {' '.join(options.workloads)}: none of {', '.join(map(str, WORKLOADS))}")
    absent = {name: why for name in wanted if (why := peers.missing(name))}
    for name, why in absent.items():
        print(f"without {name}: {why}", file=sys.stderr)
    try:
        _figures.pyplot()
        drawn = True
    except ImportError as error:
        print(f"without pictures: {error}", file=sys.stderr)
        drawn = False
    folder = _writing.output_folder(options.out)
    began = time.monotonic()

    def tell(line: str) -> None:
        if not options.silent:
            print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if options.quick else (ROUNDS, SECONDS)
    names = [name for name in wanted if name not in absent]
    result = measure(workloads, names, options.rounds or rounds, seconds, options.quick, tell)
    result["absent"] = absent
    result["verdicts"] = [dict(zip(("target", "measured", "kept"), v, strict=True)) for v in report.verdicts(result)]
    text = report.markdown(result)
    for name, content in (("results.json", json.dumps(result, indent=1)), ("report.md", text)):
        with _writing.replacing(folder / name) as temporary:
            Path(temporary).write_text(content + "\n", encoding="utf-8")
    written = "results.json, report.md"
    if drawn:
        pictures.draw(result, folder)
        written += ", ratios.png, roofline.png, threads.png"
    print(text)
    print(f"written to {folder}: {written}", file=sys.stderr)
    return 0
