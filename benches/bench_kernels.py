"""Every kernel by itself, in cache, on one thread. The lists of the engine say which there are, so that a new kernel of
a known kind is measured with no line here; tests/test_benches.py fails where one is not.

A case repeats its kernel on the same buffers, so many times that packing them into panels does not count.
"""

import numpy as np
import pytest

from fastmlp import _engine, _kernels

REPEAT = 200
ROWS, N_IN, N_OUT = 96, 256, 192
ELEMENTS = 4096
HYPER = {
    "rate": 1e-3, "momentum": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "epsilon_in_root": 0.0, "correction_1": 1.0,
    "correction_2": 1.0, "weight_decay": 0.01,
}  # fmt: skip
SOURCES = {"f32": "float32", "f64": "float64", "u8": "uint8"}


def numbers(*shape, dtype):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def dense_forward(dtype, **options):
    x, w, b = (numbers(*shape, dtype=dtype) for shape in ((ROWS, N_IN), (N_IN, N_OUT), (N_OUT,)))
    return _kernels.dense_forward(x, w, b, **options)


def dense_input_gradient(dtype, **options):
    return _kernels.dense_input_gradient(
        numbers(ROWS, N_OUT, dtype=dtype), numbers(N_IN, N_OUT, dtype=dtype), **options
    )


def dense_weight_gradient(dtype, **options):
    return _kernels.dense_weight_gradient(
        numbers(ROWS, N_IN, dtype=dtype), numbers(ROWS, N_OUT, dtype=dtype), **options
    )


def dense_bias_gradient(dtype, **options):
    return _kernels.dense_bias_gradient(numbers(ROWS, N_OUT, dtype=dtype), **options)


def transpose(dtype, **options):
    return _kernels.transpose(numbers(N_IN, N_OUT, dtype=dtype), **options)


def scatter(dtype, **options):
    return _kernels.scatter(numbers(ROWS, N_OUT, dtype=dtype), **options)


def multiply(dtype, **options):
    signs = np.sign(numbers(ELEMENTS, dtype=dtype))  # repeated in place, so factors of size 1
    return _kernels.multiply(signs, numbers(ELEMENTS, dtype=dtype), **options)


def sum(dtype, **options):
    return _kernels.sum(numbers(ELEMENTS, dtype=dtype), **options)


def softmax(dtype, **options):
    return _kernels.softmax(numbers(ROWS, 10, dtype=dtype), **options)


def activation(name):
    return lambda dtype, **options: _kernels.activation(name, numbers(ELEMENTS, dtype=dtype), 0.5, **options)


def loss(name):
    def case(dtype, **options):
        rng = np.random.default_rng(1)
        targets = rng.integers(0, 10, ROWS) if name.endswith("_labels") else rng.dirichlet(np.ones(10), ROWS)
        return _kernels.loss(name, numbers(ROWS, 10, dtype=dtype), targets, **options)

    return case


def update(name):
    def case(dtype, **options):
        g, w, m, v = np.abs(numbers(4, ELEMENTS, dtype=dtype))
        return _kernels.update(name, g, w, m, v, HYPER, **options)

    return case


def gather(name):
    def case(dtype, **options):
        source = np.random.default_rng(2).integers(0, 255, (4 * ROWS, N_IN)).astype(SOURCES[name])
        return _kernels.gather(source, dtype, index=np.random.default_rng(3).permutation(4 * ROWS)[:ROWS], **options)

    return case


# Functions of _kernels that run one kernel, and those that run each of a list.
SINGLE = [
    dense_forward, dense_input_gradient, dense_weight_gradient, dense_bias_gradient, transpose, scatter, multiply, sum,
    softmax,
]  # fmt: skip
FAMILIES = {
    activation: _engine.activations, loss: _engine.losses, update: _engine.optimizers, gather: _engine.gathers,
}  # fmt: skip
CASES = {f.__name__: f for f in SINGLE} | {
    f"{family.__name__} {name}": family(name) for family, names in FAMILIES.items() for name in names
}
OPERATIONS = dict.fromkeys(("dense_forward", "dense_input_gradient", "dense_weight_gradient"), 2 * ROWS * N_IN * N_OUT)


@pytest.mark.parametrize("case", CASES)
def bench_kernel(case, isa, dtype, benchmark):
    """One kernel, REPEAT times."""
    benchmark.group = f"{case} {dtype}"
    benchmark.extra_info.update(isa=isa, repeat=REPEAT, operations=REPEAT * OPERATIONS.get(case, 0))
    found = benchmark(CASES[case], dtype, isa=isa, repeat=REPEAT)
    for part in found if isinstance(found, tuple) else (found,):
        assert np.isfinite(part).all()
