"""Training: epochs of every peer from the same weights to the same loss, and single steps of fastmlp by batch size and
threads. `fastmlp bench` compares in turn, which a benchmark after another cannot."""

import dataclasses

import numpy as np
import pytest

from fastmlp.bench import alone, peers
from fastmlp.bench.workloads import BATCHES, BY_BATCH, WORKLOADS, Workload
from fastmlp.config import cores


@pytest.mark.parametrize("peer", peers.TRAINERS, indirect=True)
@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def bench_epoch(workload, optimizer, peer, sized, benchmark):
    """An epoch; divide by `steps` for the time of a step."""
    workload = sized(dataclasses.replace(workload, optimizer=optimizer))
    trainer = peers.agree(peer, workload)
    benchmark.group = f"epoch {workload}"
    benchmark.extra_info.update(peer=peer, steps=workload.batches, operations=workload.batches * workload.operations)
    first = trainer.epoch()
    assert benchmark(trainer.epoch) < first


@pytest.mark.parametrize("threads", range(1, cores() + 1))
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("network", BY_BATCH, ids=lambda widths: "-".join(map(str, widths)))
def bench_step(network, batch, optimizer, threads, sized, benchmark):
    """A step of the engine, with no Python between steps."""
    workload = sized(Workload(network, batch, 4, optimizer))
    steps = alone.EngineSteps(workload, threads)
    benchmark.group = f"step {workload.network} {optimizer}"
    benchmark.extra_info.update(threads=threads, operations=workload.operations)
    benchmark(steps, 1)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def bench_train_on_batch(workload, sized, benchmark):
    """A step called from Python."""
    workload = sized(workload)
    model, (X, y) = workload.model(), workload.data()
    benchmark.group = f"call {workload}"
    assert np.isfinite(benchmark(model.train_on_batch, X[: workload.batch], y[: workload.batch]))
