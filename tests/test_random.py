"""csrc/random.c: the order of an epoch."""

import itertools

import numpy as np
import pytest
import scipy.stats

from fastmlp import _engine, reference


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 17, 100, 1001])
@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (0, 1), (1, 0), (2**64 - 1, 2**63), (1234567, 89)])
def test_shuffle_is_the_twins(n, seed, stream):
    order = _engine.shuffle(n, seed, stream)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(order, reference.shuffle(n, seed, stream))


def test_shuffle_of_nothing():
    assert _engine.shuffle(0, 1, 2).shape == reference.shuffle(0, 1, 2).shape == (0,)


@pytest.mark.parametrize("n", [2, 10, 4097, 100_000])
def test_shuffle_is_a_permutation(n):
    order = _engine.shuffle(n, 7, 3)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    assert (order != np.arange(n)).any() or n == 2


def test_seed_and_stream_give_different_orders():
    orders = {_engine.shuffle(50, seed, stream).tobytes() for seed, stream in itertools.product(range(10), range(10))}
    assert len(orders) == 100


def test_every_order_is_as_likely():
    """Chi-square over the 24 orders of 4; the seeds are fixed, so this passes always or never."""
    counts = dict.fromkeys(itertools.permutations(range(4)), 0)
    for seed, stream in itertools.product(range(60), range(200)):
        counts[tuple(_engine.shuffle(4, seed, stream).tolist())] += 1
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 0.001


def test_every_place_is_as_likely():
    """Chi-square over element x place of an order of 20."""
    table = np.zeros((20, 20))
    for stream in range(5000):
        table[np.arange(20), _engine.shuffle(20, 3, stream)] += 1
    statistic = ((table - 250) ** 2 / 250).sum()
    assert 0.001 < scipy.stats.chi2(19 * 19).sf(statistic) < 0.999
