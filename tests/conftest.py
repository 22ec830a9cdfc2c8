"""What all tests share: the instruction sets that run here, the dtypes, and the one table of tolerances.

A test that asks for `isa` runs once on every instruction set of this architecture. One that this machine or build does
not have is skipped with the reason, and fails instead where FASTMLP_REQUIRE_ISAS="avx512,avx2,baseline" names it.
"""

import dataclasses
import gc
import os
import signal

import numpy as np
import pytest

from fastmlp import _engine, _kernels

ISAS = _engine.isas()
REQUIRED = [name for name in os.environ.get("FASTMLP_REQUIRE_ISAS", "").split(",") if name]


def pytest_configure(config):
    unknown = sorted(set(REQUIRED) - set(ISAS))
    if unknown:
        raise pytest.UsageError(f"FASTMLP_REQUIRE_ISAS names {unknown}; this architecture has {list(ISAS)}")


def pytest_report_header(config):
    runs = [name + (" (active)" if name == _engine.isa else "") for name, missing in ISAS.items() if missing is None]
    lines = [f"fastmlp: kernels tested here: {', '.join(runs)}; OpenMP: {'yes' if _engine.has_openmp else 'no'}"]
    lines += [f"fastmlp: {name} NOT TESTED: {missing}" for name, missing in ISAS.items() if missing is not None]
    return lines


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Many thousand tests are objects which stay: a search of garbage among them would find none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(autouse=True, scope="module")
def what_stays():
    """Neither is it looked for among those, nor among the libraries that modules before this one imported: it would
    take tenths of a second, in some tests at each step."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def ctrl_c():
    """Ctrl-C as Python takes it: a shell that is not interactive has what it starts with & ignore it, children too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if before is not None:  # a handler that was not set by Python cannot be put back
        signal.signal(signal.SIGINT, before)


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far a result may be from its twin's, in units of the dtype's epsilon and relative to `of` (see `reason`)."""

    float32: float
    float64: float
    reason: str


# The twin is evaluated in float64 and rounded once, so what float64 may differ includes the twin's own rounding.
TOLERANCES = {
    "product": Tolerance(
        1.0, 2.0, "of sqrt(n) sum |x w|, n terms in a chain of roundings: a random walk of errors of epsilon / 2 each"
    ),
    "activation": Tolerance(2, 3, "of |y| + |z y'|: a rounding in z besides those of the result"),
    "activation derivative": Tolerance(
        8, 16, "of max(|d|, 0.1): near a change of sign only the absolute error is small"
    ),
    "accuracy": Tolerance(2, 2, "of |y|, exact values in 50 digits: the measured bound of activations.inc.h"),
    "accuracy of mish": Tolerance(2.5, 2.5, "the same: measured 2.3"),
    "accuracy of gelu": Tolerance(3.5, 3.5, "the same: measured 3.3"),
    "accuracy of gelu, unfused": Tolerance(8, 8, "the same where z^2 / 2 is rounded before exp: measured 7.1"),
    "accuracy of far gelu, unfused": Tolerance(0.35, 0.35, "of |y z^2|: that rounding; measured 0.33"),
    "accuracy of gelu_tanh": Tolerance(4, 4, "the same for |z| < 1: measured 2.3"),
    "accuracy of far gelu_tanh": Tolerance(
        1.6, 1.6, "of |y v|, v the sigmoid's argument, rounded thrice: measured 1.5"
    ),
    "exponential": Tolerance(2.5, 2.5, "of a ratio of two products: exp itself 1, each product and 1 / sum half"),
    "accuracy of derivatives": Tolerance(2.6, 2.6, "of |d|, or of 1 where d changes its sign: activations.inc.h"),
    "softmax": Tolerance(4, 8, "of p (1 + max - z): exp, the sum and its inverse, a product; z - max is rounded"),
    "loss": Tolerance(2, 4, "of log n + 1 + 2 max |z| with a softmax, else of the loss (+ |z|): sums of such terms"),
    "loss gradient": Tolerance(3, 6, "of the target's and the probability's scale, 1; or of |z - t|"),
    "update": Tolerance(3, 6, "of |w| + |step|, or the same for a state: about five roundings"),
    "training": Tolerance(40, 100, "of the largest weight, or of the loss: measured below 8 and 16 after nine steps"),
    "normalisation": Tolerance(8, 16, "of the size of the terms: sums of at most 130 of them, a division, a root"),
    "sum": Tolerance(0.0, 4.0, "of sum |x|: in float64 for both dtypes, where sums of float32 test data are exact"),
    "gather": Tolerance(0.5, 0.5, "of |x scale| + |shift|: one fused rounding, where the twin rounds twice"),
}


def skip_or_fail(name):
    """End a test that needs an instruction set which is missing here."""
    if name in REQUIRED:
        pytest.fail(f"FASTMLP_REQUIRE_ISAS names {name}, but {ISAS[name]}")
    pytest.skip(f"{name}: {ISAS.get(name, 'not of this architecture')}")


@pytest.fixture(params=list(ISAS))
def isa(request):
    """Name of an instruction set."""
    if ISAS[request.param] is not None:
        skip_or_fail(request.param)
    return request.param


@pytest.fixture
def fused_isas():
    """The instruction sets with fused multiply-add that can be compared with each other: both of x86-64."""
    for name in ("avx512", "avx2"):
        if ISAS.get(name, "absent") is not None:
            skip_or_fail(name)
    return ["avx512", "avx2"]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Name of a dtype."""
    return request.param


@pytest.fixture
def tolerance(dtype):
    """Function of a name in TOLERANCES: the tolerance in absolute numbers, to be multiplied by what it is `of`."""
    return lambda name: getattr(TOLERANCES[name], dtype) * float(np.finfo(dtype).eps)


@pytest.fixture
def sizes(isa, dtype):
    """Lengths around a register, a cache line and their multiples, and primes."""
    table = _kernels.table(isa, dtype)
    edges = {a * b + c for a in (table["lanes"], table["line"]) for b in (1, 2, 4) for c in (-1, 0, 1)}
    return sorted((edges | {1, 2, 3, 37, 101}) - {0})
