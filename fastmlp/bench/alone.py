"""fastmlp beside itself and beside this machine's peak: batch sizes, threads, updates, dtypes, calls from Python."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fastmlp import _engine, layers
from fastmlp.bench.comparison import repeated
from fastmlp.bench.machine import bandwidth, peak_fma
from fastmlp.bench.measure import Row, in_turn, quartiles
from fastmlp.bench.workloads import Workload
from fastmlp.config import cores
from fastmlp.history import finished


class EngineSteps:
    """Training steps of the engine itself, with no Python between them.

    Parameters
    ----------
    workload : Workload
    threads : int or None, default None
        None: what the work deserves.
    dtype : {"float32", "float64"}, default "float32"
    isa : str, optional
        Another instruction set than the active one.
    update : bool, default True
        False: each gradient is computed and forgotten.
    """

    def __init__(
        self,
        workload: Workload,
        threads: int | None = None,
        dtype: str = "float32",
        isa: str | None = None,
        update: bool = True,
    ) -> None:
        model = workload.model(dtype=dtype)
        self.X, y = workload.data()
        self.y = y.astype(np.int32)
        n_inputs = workload.widths[0]
        network = _engine.Network(n_inputs, layers.specs(model.layers, n_inputs), dtype, isa)
        network.set_weights(model.weights)
        network.set_optimizer(model.optimizer.kernel, model.optimizer.kernel_states)
        self.hyper, self.rate = model.optimizer.hyper() if update else None, workload.learning_rate
        n_threads = cores() if threads is None else threads
        kernel, exact = "softmax_cross_entropy_labels", threads is not None
        self.run = _engine.Run(network, workload.batch, n_threads, exact, True, kernel)
        self.run.bind(self.X, self.y)

    def __call__(self, steps: int) -> None:
        """Train so many."""
        self.run.train(np.full(steps, self.rate), self.hyper)


def shares(
    workloads: Iterable[Workload], rounds: int, seconds: float, isa: str | None = None, dtype: str = "float32"
) -> Iterator[Row]:
    """Floating-point operations a second of a training step, and their share of the peak probed in the same round.

    Yields
    ------
    dict
        workload, operations, batch, isa, dtype, us, gflops, share (quartiles), roof (share that traffic allows).
    """
    everyone = cores()
    rates_of_triad: dict[str, float] = {}
    for workload in workloads:
        steps = EngineSteps(workload, dtype=dtype, isa=isa)
        peaks: list[float] = []

        def probe(units: int, peaks: list[float] = peaks) -> None:
            peaks.append(max(peak_fma(isa, dtype, everyone, seconds) for _ in range(units)))

        timing = in_turn([steps, probe], rounds, seconds)[0]
        rates = workload.operations / timing.wall
        itemsize = np.dtype(dtype).itemsize
        if workload.network not in rates_of_triad:
            megabytes = max(1e-2, workload.weights * itemsize / 1e6)
            rates_of_triad[workload.network] = bandwidth(everyone, megabytes, seconds, isa, dtype)
        n_bytes = itemsize * (4 * workload.weights + workload.batch * workload.widths[0])
        fastest = workload.operations * rates_of_triad[workload.network] / n_bytes
        yield {
            "workload": str(workload),
            "operations": workload.operations,
            "batch": workload.batch,
            "isa": isa or _engine.isa,
            "dtype": dtype,
            "us": [1e6 * t for t in quartiles(timing.wall)],
            "gflops": [r / 1e9 for r in quartiles(rates)],
            "share": quartiles(rates / np.array(peaks[-rounds:])),
            "roof": min(1.0, fastest / float(np.median(peaks[-rounds:]))),
        }


def variants(
    workloads: Iterable[Workload], options: dict[str, dict[str, Any]], rounds: int, seconds: float
) -> Iterator[Row]:
    """Microseconds of a step under several options of `EngineSteps`, in turn, and their ratio to the first.

    ``options`` may also replace fields of the workload, as ``{"Adam": {"optimizer": "adam"}}``.

    Yields
    ------
    dict
        workload, operations, us and ratio by option (quartiles).
    """
    fields = {field.name for field in dataclasses.fields(Workload)}
    for workload in workloads:
        works = []
        for chosen in options.values():
            changed = dataclasses.replace(workload, **{k: v for k, v in chosen.items() if k in fields})
            works.append(EngineSteps(changed, **{k: v for k, v in chosen.items() if k not in fields}))
        timings = dict(zip(options, in_turn(works, rounds, seconds), strict=True))
        first = next(iter(timings.values()))
        yield {
            "workload": str(workload),
            "operations": workload.operations,
            "us": {name: [1e6 * t for t in quartiles(timing.wall)] for name, timing in timings.items()},
            "ratio": {name: quartiles(timing.wall / first.wall) for name, timing in timings.items()},
        }


def threads(workloads: Iterable[Workload], rounds: int, seconds: float) -> Iterator[Row]:
    """`variants` over the number of threads: one, each number up to all, and what fastmlp chooses by itself."""
    options: dict[str, dict[str, Any]] = {str(n): {"threads": n} for n in range(1, cores() + 1)}
    return variants(workloads, options | {"chosen": {}}, rounds, seconds)


def calls(workloads: Iterable[Workload], rounds: int, seconds: float) -> Iterator[Row]:
    """What a call from Python costs over the steps that it makes: `train_on_batch`, both on one thread and the same
    batch, and `fit` for one epoch.

    Yields
    ------
    dict
        workload, step_us, train_on_batch_us, fit_us: the last two over the steps alone (quartiles).
    """
    for workload in workloads:
        model, single_model, (X, y) = workload.model(), workload.model(n_threads=1), workload.data()
        batch = X[: workload.batch], y[: workload.batch]

        def fit(model: Any = model, X: Any = X, y: Any = y, size: int = workload.batch) -> None:
            finished(model.fit(X, y, batch_size=size, shuffle=False, verbose=0))

        one_batch = EngineSteps(dataclasses.replace(workload, batches=1), threads=1)
        works = [one_batch, repeated(single_model.train_on_batch, *batch), EngineSteps(workload), repeated(fit)]
        alone, single, step, whole = in_turn(works, rounds, seconds)
        yield {
            "workload": str(workload),
            "step_us": [1e6 * t for t in quartiles(step.wall)],
            "train_on_batch_us": [1e6 * t for t in quartiles(single.wall - alone.wall)],
            "fit_us": [1e6 * t for t in quartiles(whole.wall - workload.batches * step.wall)],
        }


def linearity(rows: list[Row]) -> Row:
    """Least squares of a + b * operations, relative, through the times of `variants`.

    Returns
    -------
    dict
        a_us, b_us_per_gigaoperation, worst: the largest relative deviation of a row from the line.
    """
    operations, us = np.array([(row["operations"], row["us"]["chosen"][1]) for row in rows]).T
    design = np.stack([1 / us, operations / us], axis=1)
    (a, b), *_ = np.linalg.lstsq(design, np.ones(len(us)), rcond=None)
    worst = float(np.max(np.abs((a + b * operations) / us - 1)))
    return {"a_us": float(a), "b_us_per_gigaoperation": float(1e9 * b), "worst": worst}
