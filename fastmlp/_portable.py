"""Elementary functions of arrays in float64, the same bits on every machine: the C library's and NumPy's own differ.

Only additions, multiplications, divisions, comparisons and scaling by powers of two of IEEE arithmetic are used, number
by number: an element's result depends on no other element.
"""

import math

import numpy as np

from fastmlp._validation import Array

_LN2 = 0.6931471805599453
# The same in two parts (Cody and Waite, "Software manual for the elementary functions", 1980), the first of so few bits
# that its product with an exponent is exact.
_LN2_HIGH, _LN2_LOW = 0.693145751953125, 1.42860682030941723212e-6


def log(x: Array) -> Array:
    """Natural logarithm of positive numbers by ``2 atanh((m - 1) / (m + 1))`` of the mantissa m."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < math.sqrt(0.5)
    mantissa, exponent = np.where(small, 2 * mantissa, mantissa), exponent - small
    t: Array = (mantissa - 1) / (mantissa + 1)
    square, series = t * t, np.zeros_like(t)
    for k in range(21, 0, -2):  # |t| < 0.172: the next term is below 2^-58
        series = series * square + 1.0 / k
    found: Array = exponent * _LN2 + 2 * t * series
    return found


def exp(x: Array) -> Array:
    """Exponential of numbers between -700 and 700: Taylor's series within half of ln 2 around 0, times a power of two.

    Relative error at most 2**-51.
    """
    k = np.rint(x * (1 / _LN2))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    series = np.zeros_like(r)
    for n in range(14, -1, -1):  # |r| < 0.347: the next term is below 2^-63
        series = series * r + 1.0 / math.factorial(n)
    found: Array = np.ldexp(series, k.astype(np.int32))
    return found


def power(base: float, exponent: Array) -> Array:
    """``base**exponent`` for one base in (0, 1e300) and exponents that are at least 0.

    The whole part by repeated squaring (exact where the powers are, those of one half for example), the rest by
    ``exp(rest * log(base))``.
    """
    whole = np.floor(np.minimum(exponent, 2.0**62))
    rest = np.where(exponent < 2.0**62, exponent - whole, 0.0)
    found = np.where(rest > 0, exp(rest * log(np.array([base]))), 1.0)
    bits, square = whole.astype(np.int64), base
    while bits.any():
        found = np.where(bits & 1, found * square, found)
        bits >>= 1
        square = square * square  # 0 or infinity in the end
    return found


def cos_pi(t: Array) -> Array:
    """``cos(pi * t)`` for t in [0, 1]: Taylor's series within a quarter of pi around 0 and pi / 2; error at most
    2**-51."""
    far = t > 0.5
    u = np.where(far, 1 - t, t)  # exact
    sine = u > 0.25
    x = math.pi * np.where(sine, 0.5 - u, u)
    square, cosines, sines = x * x, np.zeros_like(x), np.zeros_like(x)
    for n in range(18, -1, -2):  # the next terms are below 2^-68
        sign = 1 - n % 4
        cosines = cosines * square + sign / math.factorial(n)
        sines = sines * square + sign / math.factorial(n + 1)
    found: Array = np.where(sine, x * sines, cosines)
    return np.where(far, -found, found)
