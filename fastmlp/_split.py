"""Which samples `Model.fit(validation_split=...)` holds out."""

import numpy as np

from fastmlp import _engine
from fastmlp._validation import Array, counted

# Streams of random numbers from here downwards, one a class and one for ties; epochs count theirs from 0 upwards.
_LAST_STREAM = 2**64 - 1


def split(labels: Array, share: float, seed: int) -> tuple[Array, Array]:
    """Rows to train on and rows held out, both ascending: of each class the share, drawn from the seed.

    ``floor(share * n + 0.5)`` of n samples are held out; of a class the whole part of its share, and one more of those
    with the largest fractions, drawn among equals, until the number is reached; a class of one sample comes last.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Classes; all the same: nothing is stratified.
    share : float
        In (0, 1).
    seed : int

    Returns
    -------
    training, held_out : ndarray of int64
    """
    n = len(labels)
    many = int(share * n + 0.5)
    if not 0 < many < n:
        raise ValueError(
            f"validation_split={share} of {counted(n, 'sample')} holds out {many}; choose it so that "
            "samples remain on both sides"
        )
    classes, counts = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    quotas = [share * count for count in counts.tolist()]
    held = [int(quota) for quota in quotas]
    ties = _engine.shuffle(len(held), seed, _LAST_STREAM - len(held)).tolist()
    order = sorted(ties, key=lambda i: (counts[i] < 2, held[i] - quotas[i]))
    for i in order[: many - sum(held)]:
        held[i] += 1
    is_held = np.zeros(n, bool)
    by_class = np.argsort(classes, kind="stable")
    for i, (count, last) in enumerate(zip(counts.tolist(), np.cumsum(counts).tolist(), strict=True)):
        rows = by_class[last - count : last]
        is_held[rows[_engine.shuffle(count, seed, _LAST_STREAM - i)[: held[i]]]] = True
    return np.flatnonzero(~is_held).astype(np.int64), np.flatnonzero(is_held).astype(np.int64)
