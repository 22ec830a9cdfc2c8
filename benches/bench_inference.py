"""Prediction from NumPy arrays to NumPy arrays: one sample, whose cost is all overhead, and a thousand."""

import numpy as np
import peers
import pytest


@pytest.mark.parametrize("rows", [1, 1000])
@pytest.mark.parametrize("widths", [(30, 16, 2), (784, 512, 512, 10)], ids=lambda widths: "-".join(map(str, widths)))
def bench_predict(widths, rows, peer, benchmark):
    """Probabilities of some rows."""
    shape = peers.Shape(widths, 32, 1)
    X = shape.data()[0]
    X = np.resize(X, (rows, widths[0]))
    expected = peers.FastMLP(shape).predict(X)
    benchmark.group = f"prediction {'-'.join(map(str, widths))} of {rows}"
    benchmark.extra_info.update(peer=peer, rows=rows)
    found = benchmark(peers.PEERS[peer](shape).predict, X)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
