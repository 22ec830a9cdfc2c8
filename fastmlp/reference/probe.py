"""The probes of the machine's peak, no part of a network: the twin of csrc/kernels/probe.inc.h."""

from typing import cast

from fastmlp.reference.base import Array


def probe_fma(x: Array, n: int) -> Array:
    """n rounds of a = s a + t in every column of x: x[0] holds s, x[1] t, and the rows below values a."""
    x = x.copy()
    for _ in range(n):
        x[2:] = x[0] * x[2:] + x[1]
    return x


def probe_triad(a: Array, b: Array) -> Array:
    """a + 3 b, the triad of STREAM: (n,)."""
    return cast(Array, a + 3 * b)
