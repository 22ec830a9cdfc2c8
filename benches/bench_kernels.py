"""Every kernel by itself, with its share of what the machine can do. The lists of the engine say which there are, so
that a new kernel of a known kind is measured with no line here; tests/test_benches.py fails where one is not.

Products are measured in floating-point operations a second beside multiply-adds in registers (`peak_fma`), everything
else in bytes a second beside STREAM's triad over as many bytes (`bandwidth`), which the same caches serve. Peak and
kernel use the same instruction set, dtype and number of threads. Of the triad more than 100 % is possible: what is
updated in place needs no line fetched before it is written.

A case repeats its kernel on the same buffers. Only the kernel is timed: packing its buffers into panels is not, and
several threads start theirs together (`machine.at_once`). The table at the end of the run is from conftest.py.
"""

import functools

import numpy as np
import pytest

from fastmlp import _engine, _kernels, optimizers
from fastmlp.bench import machine
from fastmlp.config import cores

ROUNDS = 15
ROUND_SECONDS = 5e-3  # of a kernel, in each round
N_CLASSES = 10  # of the losses: a line of 16 in each row, whose padding is read and written, too
ROW = 256  # elements of a row where a kernel works on a matrix
HYPER = {
    "rate": 1e-3, "momentum": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "epsilon_in_root": 0.0, "correction_1": 1.0,
    "correction_2": 1.0, "correction_g": 0.1, "weight_decay": 0.0, "gradient_scale": 1.0, "share": 1.0, "l1": 0.0,
    "l2": 1e-4, "clip_value": 1.0,
}  # fmt: skip
SOURCES = {"f32": "float32", "f64": "float64", "u8": "uint8"}

# Rows, inputs and outputs of a product: all of it in the first cache, in the second, in neither.
PRODUCT_SIZES = {"32x64x64": (32, 64, 64), "96x256x192": (96, 256, 192), "128x1024x1024": (128, 1024, 1024)}
# Elements of the other kernels: in a cache of this core, and in one shared with others or in memory.
ELEMENT_SIZES = {"4096": 4096, "1M": 1 << 20}


@functools.lru_cache(maxsize=8)
def numbers(*shape, dtype):
    """Normal random numbers, shared by the cases of a size: _kernels copies what a kernel writes to."""
    found = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    found.flags.writeable = False
    return found


# ---- products: the size is (rows, n_in, n_out), and 2 rows n_in n_out operations are computed ----


def dense_forward(size, dtype, **options):
    rows, n_in, n_out = size
    x, w, b = (numbers(*shape, dtype=dtype) for shape in ((rows, n_in), (n_in, n_out), (n_out,)))
    return _kernels.dense_forward(x, w, b, **options)


def dense_input_gradient(size, dtype, **options):
    rows, n_in, n_out = size
    return _kernels.dense_input_gradient(
        numbers(rows, n_out, dtype=dtype), numbers(n_in, n_out, dtype=dtype), **options
    )


def dense_weight_gradient(size, dtype, **options):
    rows, n_in, n_out = size
    return _kernels.dense_weight_gradient(
        numbers(rows, n_in, dtype=dtype), numbers(rows, n_out, dtype=dtype), **options
    )


# ---- the others: the size is in elements; beside each case the buffers that it reads and those that it writes ----


def traffic(read, written="", itemsizes=None):
    """Mark a case with the buffers that its kernel must read and write once for each element. Those of one number a row
    or column (labels, row losses, sums, scales) are left out: a sixteenth at most."""

    def mark(case):
        case.read, case.written, case.itemsizes = read.split(), written.split(), itemsizes or {}
        return case

    return mark


@traffic("dz")
def dense_bias_gradient(n, dtype, **options):
    return _kernels.dense_bias_gradient(numbers(n // ROW, ROW, dtype=dtype), **options)


@traffic("w", "wt")
def transpose(n, dtype, **options):
    return _kernels.transpose(numbers(n // ROW, ROW, dtype=dtype), **options)


@traffic("x", "target")
def scatter(n, dtype, **options):
    return _kernels.scatter(numbers(n // ROW, ROW, dtype=dtype), **options)


@traffic("a b", "b")
def multiply(n, dtype, **options):
    signs = np.sign(numbers(n, dtype=dtype))  # repeated in place, so factors of size 1
    return _kernels.multiply(signs, numbers(n, dtype=dtype), **options)


@traffic("a b", "b")
def add(n, dtype, **options):
    small = 1e-6 * numbers(n, dtype=dtype)  # repeated in place
    return _kernels.add(small, numbers(n, dtype=dtype), **options)


@traffic("now average", "average")
def running_average(n, dtype, **options):
    return _kernels.running_average(numbers(n, dtype=dtype), numbers(n, dtype=dtype), 0.9, **options)


# ---- layers without a product, on rows of ROW elements ----


def rows_of(n, dtype):
    return numbers(n // ROW, ROW, dtype=dtype)


@traffic("x", "y")
def layer_norm(n, dtype, **options):
    return _kernels.layer_norm(rows_of(n, dtype), *numbers(2, ROW, dtype=dtype), 1e-3, **options)


@traffic("dz x", "dx")
def layer_norm_input_gradient(n, dtype, **options):
    x = rows_of(n, dtype)
    return _kernels.layer_norm_input_gradient(x, x, numbers(ROW, dtype=dtype), x[:, 0], x[:, 1], **options)


@traffic("dz x")
def layer_norm_weight_gradient(n, dtype, **options):
    x = rows_of(n, dtype)
    return _kernels.layer_norm_weight_gradient(x, x, x[:, 0], x[:, 1], **options)


@traffic("x")
def batch_statistics(n, dtype, **options):
    return _kernels.batch_statistics(rows_of(n, dtype), **options)


def columns_of(many, dtype):
    return np.abs(numbers(many, ROW, dtype=dtype))


@traffic("x", "y")
def batch_norm(n, dtype, **options):
    mean, variance, gamma, beta = columns_of(4, dtype)
    return _kernels.batch_norm(rows_of(n, dtype), mean, variance, 1e-3, gamma, beta, **options)


@traffic("dz x", "dx")
def batch_norm_input_gradient(n, dtype, **options):
    mean, variance, gamma, dgamma, dbeta = columns_of(5, dtype)
    x = rows_of(n, dtype)
    return _kernels.batch_norm_input_gradient(x, x, mean, variance, 1e-3, gamma, dgamma, dbeta, **options)


@traffic("dz x")
def batch_norm_weight_gradient(n, dtype, **options):
    x = rows_of(n, dtype)
    return _kernels.batch_norm_weight_gradient(x, x, *columns_of(2, dtype), 1e-3, **options)


@traffic("x", "y")
def prelu(n, dtype, **options):
    return _kernels.prelu(rows_of(n, dtype), numbers(ROW, dtype=dtype), **options)


@traffic("dz x", "dx")
def prelu_input_gradient(n, dtype, **options):
    return _kernels.prelu_input_gradient(rows_of(n, dtype), rows_of(n, dtype), numbers(ROW, dtype=dtype), **options)


@traffic("dz x")
def prelu_weight_gradient(n, dtype, **options):
    return _kernels.prelu_weight_gradient(rows_of(n, dtype), rows_of(n, dtype), **options)


@traffic("y", "y d")
def dropout(n, dtype, **options):
    return _kernels.dropout(rows_of(n, dtype), None, 1, 2, 3, 0.0, **options)  # repeated in place: rate 0


# ---- what a loss, an activation and the engine itself need ----


@traffic("x")
def sum(n, dtype, **options):
    return _kernels.sum(numbers(n, dtype=dtype), **options)


@traffic("x")
def within(n, dtype, **options):
    return _kernels.within(numbers(n, dtype=dtype), -1e3, 1e3, **options)


@traffic("scores", "scores")
def softmax(n, dtype, **options):
    return _kernels.softmax(numbers(n // 16, N_CLASSES, dtype=dtype), **options)


@traffic("z", "y")
def exp(n, dtype, **options):
    return _kernels.exp(numbers(n, dtype=dtype), **options)


@traffic("dscores", "dscores")
def scale_rows(n, dtype, **options):
    ones = np.ones(n // ROW)  # repeated in place
    return _kernels.scale_rows(ones, numbers(n // ROW, dtype=dtype), numbers(n // ROW, ROW, dtype=dtype), **options)


@traffic("a b", "c")
def probe_triad(n, dtype, **options):
    return _kernels.probe_triad(numbers(n, dtype=dtype), numbers(n, dtype=dtype), **options)


def probe_fma(n, dtype, isa, repeat):
    """n rounds. No memory is read, and the share of the peak is 1 by definition."""
    table = _kernels.table(isa, dtype)
    return _kernels.probe_fma(np.full((table["chains"] + 2, table["lanes"]), 0.5, dtype), n, isa, repeat)


def activation(name):
    @traffic("z", "y d")
    def case(n, dtype, **options):
        return _kernels.activation(name, numbers(n, dtype=dtype), 0.5, **options)

    return case


@functools.lru_cache(maxsize=4)
def targets_of(rows, labels):
    rng = np.random.default_rng(1)
    return rng.integers(0, N_CLASSES, rows) if labels else rng.dirichlet(np.ones(N_CLASSES), rows)


def loss(name):
    labels = name.endswith("_labels")

    @traffic("scores" if labels else "scores targets", "dscores")
    def case(n, dtype, **options):
        rows = n // 16
        return _kernels.loss(name, numbers(rows, N_CLASSES, dtype=dtype), targets_of(rows, labels), **options)

    return case


def update(name):
    states = " ".join(optimizers.STATES[name])

    @traffic(f"g w {states}", f"w {states}")
    def case(n, dtype, **options):
        g, w = np.abs(numbers(2, n, dtype=dtype))
        return _kernels.update(name, g, w, [np.abs(numbers(n, dtype=dtype))] * _engine.n_states[name], HYPER, **options)

    return case


@traffic("g w", "g")
def prepare_gradient(n, dtype, **options):
    return _kernels.prepare_gradient(*numbers(2, n, dtype=dtype), HYPER, **options)


@traffic("x")
def penalty(n, dtype, **options):
    return _kernels.penalty(numbers(n, dtype=dtype), 0.0, 2.0, **options)


@traffic("w", "w")
def max_norm(n, dtype, **options):
    w = numbers(n // ROW, ROW, dtype=dtype)
    return _kernels.max_norm(w, 0.5 * (n // ROW) ** 0.5, **options)


def gather(name):
    @traffic("source", "x", {"source": np.dtype(SOURCES[name]).itemsize})
    def case(n, dtype, **options):
        rows = n // ROW
        source = np.random.default_rng(2).integers(0, 255, (rows, ROW), np.uint8).astype(SOURCES[name])
        return _kernels.gather(source, dtype, index=np.random.default_rng(3).permutation(rows), **options)

    return case


# Functions of _kernels that run one kernel, and those that run each of a list.
PRODUCTS = [dense_forward, dense_input_gradient, dense_weight_gradient]
SINGLE = [
    *PRODUCTS, dense_bias_gradient, transpose, scatter, multiply, add, sum, within, softmax, exp, scale_rows, probe_fma,
    probe_triad,
    layer_norm, layer_norm_input_gradient, layer_norm_weight_gradient, batch_statistics, batch_norm,
    batch_norm_input_gradient, batch_norm_weight_gradient, running_average, prelu, prelu_input_gradient,
    prelu_weight_gradient, dropout, prepare_gradient, penalty, max_norm,
]  # fmt: skip
FAMILIES = {
    activation: _engine.activations, loss: _engine.losses, update: _engine.optimizers, gather: _engine.gathers,
}  # fmt: skip
CASES = {f.__name__: f for f in SINGLE} | {
    f"{family.__name__} {name}": family(name) for family, names in FAMILIES.items() for name in names
}
SIZES = {name: PRODUCT_SIZES if case in PRODUCTS else ELEMENT_SIZES for name, case in CASES.items()}


def operations(case, size, isa, dtype):
    """Floating-point operations of a case whose measure they are, otherwise 0. A multiply-add counts as two."""
    if case is probe_fma:
        table = _kernels.table(isa, dtype)
        return 2 * table["chains"] * table["lanes"] * size
    return 2 * size[0] * size[1] * size[2] if case in PRODUCTS else 0


def bytes_of(case, buffers, n, dtype):
    """Bytes of some buffers of a case of n elements."""
    return n * np.sum([case.itemsizes.get(name, np.dtype(dtype).itemsize) for name in buffers], dtype=int)


def moved_bytes(case, n, dtype):
    """Bytes that a case of n elements must read, and those that it must write."""
    return int(bytes_of(case, case.read + case.written, n, dtype))


def resident_bytes(case, n, dtype):
    """Bytes of all its buffers, those that it updates counted once."""
    return int(bytes_of(case, {*case.read, *case.written}, n, dtype))


def measurements():
    """(case, isa, dtype, threads, size): products in full, of the others the active and one narrower set, several
    threads only where they might share a cache or the memory."""
    available = [isa for isa, missing in _engine.isas().items() if missing is None]
    narrower = [isa for isa in available if isa in (_engine.isa, "avx2")]
    for name, case in CASES.items():
        full = case in PRODUCTS
        for size in SIZES[name]:
            for isa in available if full else narrower:
                for dtype in ("float32", "float64"):
                    for threads in sorted({1, cores()} if full or size == "1M" else {1}):
                        yield name, isa, dtype, threads, size


class Peaks:
    """The best rate of the machine for each instruction set, dtype, number of threads and footprint that was asked for.

    Probed beside each case that needs it, and the best of all counts: a short probe can meet a busy machine.
    """

    def __init__(self):
        self.best = {}

    def probe(self, case, isa, dtype, threads, size):
        """Probe what case is compared with; its key in `best`."""
        if operations(case, size, isa, dtype):
            key = isa, dtype, threads, None
            found = machine.peak_fma(isa, dtype, threads)
        else:
            key = isa, dtype, threads, threads * resident_bytes(case, size, dtype) / 1e6
            found = machine.bandwidth(threads, key[-1], 0.05, isa, dtype)
        self.best[key] = max(found, self.best.get(key, 0))
        return key


@pytest.fixture(scope="session")
def record(rates):
    """Function (extra_info, rate, *what Peaks.probe takes) that notes a rate; shares follow when all is measured."""
    peaks, keys = Peaks(), []

    def note(extra_info, rate, *what):
        keys.append(peaks.probe(*what))
        rates.append(extra_info)
        extra_info["rate"] = rate / 1e9

    yield note
    for row, key in zip(rates, keys, strict=True):
        row.update(peak=peaks.best[key] / 1e9, share=1e9 * row["rate"] / peaks.best[key])


class Timer:
    """The clock that pytest-benchmark reads: it runs only while kernels do."""

    now = 0.0

    def __call__(self):
        return self.now


timer = Timer()


@pytest.mark.benchmark(timer=timer)
@pytest.mark.parametrize(("name", "isa", "dtype", "threads", "size"), list(measurements()))
def bench_kernel(name, isa, dtype, threads, size, benchmark, record):
    """One kernel, so often that a round takes ROUND_SECONDS."""
    case, amount = CASES[name], SIZES[name][size]
    found = [None] * threads

    def seconds(repeat):
        def work(i):
            found[i] = case(amount, dtype, isa=isa, repeat=repeat)

        return machine.at_once(work, threads)

    def run(repeat):
        timer.now += seconds(repeat)

    repeat = 2 if benchmark.disabled else machine.repeats(seconds, ROUND_SECONDS)
    benchmark.group = f"{name} {size}"
    benchmark.pedantic(run, (repeat,), rounds=ROUNDS)
    for result in found:
        for part in result if isinstance(result, tuple) else (result,):
            assert part is None or np.isfinite(part).all()
    if benchmark.disabled:
        return
    work, unit = operations(case, amount, isa, dtype), "GFLOP/s"
    if not work:
        work, unit = moved_bytes(case, amount, dtype), "GB/s"
    best = benchmark.stats.stats.min / repeat  # as the peak is the best of several runs
    benchmark.extra_info.update(
        case=name, isa=isa, dtype=dtype, threads=threads, size=size, repeat=repeat, seconds=best, unit=unit
    )
    record(benchmark.extra_info, threads * work / best, case, isa, dtype, threads, amount)
