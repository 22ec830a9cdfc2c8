"""fastmlp beside each peer, for training and for prediction."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fastmlp.bench import peers
from fastmlp.bench.measure import Row, Timing, in_turn, quartiles
from fastmlp.bench.peer import FastMLP
from fastmlp.bench.workloads import Workload


def row_of(ours: Timing, theirs: Timing) -> Row:
    """Times of both, and how many times ours is theirs."""
    return {
        "fastmlp_us": [1e6 * t for t in quartiles(ours.wall)],
        "peer_us": [1e6 * t for t in quartiles(theirs.wall)],
        "fastmlp_cpu_us": 1e6 * float(np.median(ours.cpu)),
        "peer_cpu_us": 1e6 * float(np.median(theirs.cpu)),
        "times_as_fast": quartiles(theirs.wall / ours.wall),
        "times_as_fast_cpu": quartiles(theirs.cpu / np.maximum(ours.cpu, 1e-12)),
    }


def training(workloads: Iterable[Workload], names: Iterable[str], rounds: int, seconds: float) -> Iterator[Row]:
    """Microseconds of a training step of fastmlp and of each peer, in turn.

    Each peer must first come to fastmlp's loss.

    Yields
    ------
    dict
        workload, operations, peer, and the entries of `row_of`; of a peer that computes something else workload, peer,
        and as "refused" what it found.
    """
    names = list(names)
    for workload in workloads:
        for name in names:
            try:
                peer = peers.agree(name, workload)
            except Exception as error:  # whatever another library raises must not end the others' run
                yield {"workload": str(workload), "peer": name, "refused": refusal(error, name, workload)}
                continue
            works = [FastMLP(workload).train, peer.train]
            ours, theirs = (timing.scaled(1 / workload.batches) for timing in in_turn(works, rounds, seconds))
            yield {
                "workload": str(workload),
                "operations": workload.operations,
                "peer": name,
                **row_of(ours, theirs),
            }


def prediction(
    workloads: Iterable[Workload], names: Iterable[str], n_rows: Iterable[int], rounds: int, seconds: float
) -> Iterator[Row]:
    """Microseconds of one call of predict, NumPy to NumPy, of fastmlp and of each peer, in turn.

    Yields
    ------
    dict
        network, rows, peer, and the entries of `row_of`.
    """
    names, n_rows = list(names), list(n_rows)
    for workload in workloads:
        data = workload.data()[0]
        for name in names:
            try:
                peer = peers.agree_on_prediction(name, workload)
            except Exception as error:  # as above
                yield {"network": workload.network, "peer": name, "refused": refusal(error, name, workload)}
                continue
            for rows in n_rows:
                X = np.resize(data, (rows, data.shape[1]))
                works = [repeated(predictor.predict, X) for predictor in (FastMLP(workload), peer)]
                ours, theirs = in_turn(works, rounds, seconds)
                yield {"network": workload.network, "rows": rows, "peer": name, **row_of(ours, theirs)}


def refusal(error: Exception, name: str, workload: Workload) -> str:
    """Why a peer cannot be timed: it computes something else, or does not run."""
    if isinstance(error, AssertionError):
        return str(error)
    return f"{workload}: {name} does not run: {type(error).__name__}: {error}"


def repeated(function: Any, *arguments: Any) -> Any:
    """The function as a work: so many calls."""

    def work(units: int) -> None:
        for _ in range(units):
            function(*arguments)

    return work
