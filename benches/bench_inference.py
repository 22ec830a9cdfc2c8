"""Prediction from NumPy arrays to NumPy arrays: one sample, whose cost is all overhead, and batches."""

import numpy as np
import pytest

from fastmlp.bench import peers
from fastmlp.bench.workloads import PREDICTIONS


@pytest.mark.parametrize("peer", peers.PREDICTORS, indirect=True)
@pytest.mark.parametrize("rows", [1, 32, 1000])
@pytest.mark.parametrize("workload", PREDICTIONS, ids=lambda w: w.network)
def bench_predict(workload, rows, peer, sized, benchmark):
    """Probabilities of some rows."""
    workload = sized(workload)
    predictor = peers.agree_on_prediction(peer, workload)
    X = np.resize(workload.data()[0], (rows, workload.widths[0]))
    benchmark.group = f"predict {workload.network} of {rows}"
    benchmark.extra_info.update(peer=peer, rows=rows)
    assert benchmark(predictor.predict, X).shape == (rows, workload.widths[-1])
