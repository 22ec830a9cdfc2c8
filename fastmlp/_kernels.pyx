# cython: language_level=3
"""Every kernel of every instruction set as a function on NumPy arrays, for the tests and the benches.

Arrays are row-major; packing into panels happens here. Each function takes `isa` last, and where a bench needs it
`repeat`: the kernel runs so many times on the same buffers, without the GIL, and `stopwatch` knows when it began and
ended, packing not included. Twins: fastmlp.reference.
"""

import threading
import time

import numpy as np

cimport numpy as cnp

from fastmlp._engine cimport *

from fastmlp import _engine

cnp.import_array()


class Stopwatch(threading.local):
    """When this thread's last kernel began and ended, in seconds of time.perf_counter; the kernel first waits for
    `start`, a threading.Barrier, where there is one."""

    start = None
    began = ended = 0.0

    def __enter__(self):
        if self.start is not None:
            self.start.wait()
        self.began = time.perf_counter()

    def __exit__(self, *error):
        self.ended = time.perf_counter()


stopwatch = Stopwatch()


cdef void *pointer(array) except? NULL:
    return NULL if array is None else cnp.PyArray_DATA(array)


def aligned(shape, dtype):
    """Zeros that start at a cache line."""
    cdef ptrdiff_t n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return Memory(max(n_bytes, 64)).owner[:n_bytes].view(dtype).reshape(shape)


def copied(array):
    """A copy that starts at a cache line."""
    found = aligned(array.shape, array.dtype)
    found[...] = array
    return found


def line_of(dtype):
    """Elements of a cache line."""
    return 64 // np.dtype(dtype).itemsize


def table(isa, dtype):
    """What a table of kernels says of itself; sizes in elements."""
    cdef const fm_kernels *k = table_of(isa, np.dtype(dtype).name)
    return {"isa": k.isa.decode(), "dtype": k.dtype.decode(), "line": k.line, "lanes": k.lanes,
            "itemsize_bytes": k.itemsize_bytes, "group": k.group, "chains": k.chains}


cdef spaced(shape, dtype):
    """Zeros of shape (..., rows, line) with a spare line before each panel. There is none behind the last, where a tool
    like AddressSanitizer sees who reads or writes a line too many."""
    *outer, rows, line = shape
    return aligned((*outer, rows + 1, line), dtype)[..., 1:, :]


def to_panels(a, bint spare=False):
    """A matrix (rows, n) as panels (ceil(n / line), rows, line), padding zero; on request `spaced`."""
    rows, n = a.shape
    line = line_of(a.dtype)
    shape = -(-n // line), rows, line
    panels = spaced(shape, a.dtype) if spare else aligned(shape, a.dtype)
    for p in range(panels.shape[0]):
        part = a[:, p * line:(p + 1) * line]
        panels[p, :, :part.shape[1]] = part
    return panels


cdef padding_of(panels, n):
    """The columns of panels behind the n that a matrix has."""
    return panels[-1:, :, (n - 1) % panels.shape[2] + 1:]


def from_panels(panels, rows, n):
    """The matrix (rows, n) of some panels."""
    return panels.transpose(1, 0, 2).reshape(rows, -1)[:, :n].copy()


def padded(vector):
    """A vector with zeros up to a multiple of a line."""
    found = aligned(-(-len(vector) // line_of(vector.dtype)) * line_of(vector.dtype), vector.dtype)
    found[:len(vector)] = vector
    return found


def dense_forward(x, w, b, isa=None, ptrdiff_t repeat=1):
    """b + x w."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    cdef ptrdiff_t rows = x.shape[0], n_in = x.shape[1], _i
    xp, wp, bp = to_panels(x, True), to_panels(w), padded(b)
    y = spaced((wp.shape[0], rows, k.line), x.dtype)
    cdef ptrdiff_t n_panels = wp.shape[0], stride = (rows + 1) * k.line
    cdef void *px = pointer(xp)
    cdef void *pw = pointer(wp)
    cdef void *pb = pointer(bp)
    cdef void *py = pointer(y)
    with stopwatch, nogil:
        for _i in range(repeat):
            k.dense_forward(rows, n_in, n_panels, px, stride, pw, pb, py, stride)
    return from_panels(y, rows, w.shape[1])


def dense_input_gradient(dz, w, isa=None, derivative=None, ptrdiff_t repeat=1):
    """dz w^T, times the derivative where one is given."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, dz.dtype.name)
    cdef ptrdiff_t rows = dz.shape[0], n_out = w.shape[1], n_panels, _i, stride = (rows + 1) * k.line
    cdef bint multiply = derivative is not None
    dzp, wt = to_panels(dz, True), to_panels(np.ascontiguousarray(w.T))
    n_panels = wt.shape[0]
    dx = to_panels(derivative, True) if multiply else spaced((n_panels, rows, k.line), dz.dtype)
    cdef void *pdz = pointer(dzp)
    cdef void *pwt = pointer(wt)
    cdef void *pdx = pointer(dx)
    with stopwatch, nogil:
        for _i in range(repeat):
            k.dense_input_gradient(rows, n_out, n_panels, pdz, stride, pwt, multiply, pdx, stride)
    return from_panels(dx, rows, w.shape[0])


cdef tuple blocks_of(a, ptrdiff_t block_rows):
    """Rows in blocks of panels, one panel line apart from the next block's, and the distances."""
    cdef ptrdiff_t n_blocks = -(-a.shape[0] // block_rows)
    cdef ptrdiff_t line = line_of(a.dtype), n_panels = -(-a.shape[1] // line), stride = (block_rows + 1) * line
    found = spaced((n_blocks, n_panels, block_rows, line), a.dtype)
    for i in range(n_blocks):
        part = to_panels(a[i * block_rows:(i + 1) * block_rows])
        found[i, :, :part.shape[1]] = part
    return found, n_panels * stride, stride


def dense_weight_gradient(x, dz, block_rows=None, isa=None, ptrdiff_t repeat=1):
    """x^T dz, the rows in blocks of block_rows."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    cdef ptrdiff_t rows = x.shape[0], n_in = x.shape[1], per_block = block_rows or max(rows, 1), n_panels, _i
    cdef fm_blocks xb, dzb
    x_blocks, xb.block, xb.stride = blocks_of(x, per_block)
    dz_blocks, dzb.block, dzb.stride = blocks_of(dz, per_block)
    xb.base, dzb.base = pointer(x_blocks), pointer(dz_blocks)
    n_panels = dz_blocks.shape[1]
    dw = aligned((n_panels, n_in, k.line), x.dtype)
    cdef void *pdw = pointer(dw)
    with stopwatch, nogil:
        for _i in range(repeat):
            k.dense_weight_gradient(rows, per_block, 0, n_in, n_panels, &xb, &dzb, pdw, n_in * k.line, NULL)
    return from_panels(dw, n_in, dz.shape[1])


def dense_bias_gradient(dz, block_rows=None, isa=None, ptrdiff_t repeat=1):
    """Sum of dz over its rows."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, dz.dtype.name)
    cdef ptrdiff_t rows = dz.shape[0], per_block = block_rows or max(rows, 1), n_panels, _i
    cdef fm_blocks dzb
    dz_blocks, dzb.block, dzb.stride = blocks_of(dz, per_block)
    dzb.base = pointer(dz_blocks)
    n_panels = dz_blocks.shape[1]
    db = aligned(n_panels * k.line, dz.dtype)
    cdef void *pdb = pointer(db)
    with stopwatch, nogil:
        for _i in range(repeat):
            k.dense_bias_gradient(rows, per_block, n_panels, &dzb, pdb)
    return db[:dz.shape[1]].copy()


def transpose(w, isa=None, bint padding=False, ptrdiff_t repeat=1):
    """w^T, on request with the padding of its panels."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, w.dtype.name)
    cdef ptrdiff_t n_in = w.shape[0], n_out = w.shape[1], _i
    wp = to_panels(w)
    wt = aligned((-(-n_in // k.line), n_out, k.line), w.dtype)
    wt[...] = np.nan  # as scratch may hold anything
    cdef void *pw = pointer(wp)
    cdef void *pwt = pointer(wt)
    with stopwatch, nogil:
        for _i in range(repeat):
            k.transpose(n_in, n_out, pw, n_in * k.line, pwt)
    return from_panels(wt, n_out, wt.shape[0] * k.line if padding else n_in)


def gather(source, dtype, index=None, mean=None, scale=None, isa=None, ptrdiff_t repeat=1):
    """Rows of an array of float32, float64 or uint8 as dtype, less mean and times scale where given."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, np.dtype(dtype).name)
    cdef ptrdiff_t rows = len(source) if index is None else len(index), n = source.shape[1], _i
    cdef ptrdiff_t row_bytes = source.strides[0], column_bytes = source.strides[1], stride = (rows + 1) * k.line
    cdef fm_gather *kernel = k.gather[position(_engine.gathers, _engine.GATHER_OF_DTYPE[source.dtype.name])]
    if index is not None:
        index = np.ascontiguousarray(index, np.int64)
    if mean is not None:  # in float64, but padded to a line of the dtype
        mean, scale = (padded(np.pad(np.asarray(a, np.float64), (0, -n % k.line))) for a in (mean, scale))
    x = spaced((-(-n // k.line), rows, k.line), dtype)
    x[...] = -1
    cdef void *pointers[5]
    pointers[0], pointers[1], pointers[2] = pointer(source), pointer(index), pointer(mean)
    pointers[3], pointers[4] = pointer(scale), pointer(x)
    with stopwatch, nogil:
        for _i in range(repeat):
            kernel(rows, n, pointers[0], row_bytes, column_bytes, <const int64_t *>pointers[1],
                   <const double *>pointers[2], <const double *>pointers[3], pointers[4], stride)
    if padding_of(x, n).any():
        raise AssertionError("gather left something in the padding")
    return from_panels(x, rows, n)


def scatter(x, isa=None, ptrdiff_t repeat=1):
    """x by way of panels."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    cdef ptrdiff_t rows = x.shape[0], n = x.shape[1], _i
    xp, out = to_panels(x, True), np.empty(x.shape, x.dtype)
    cdef void *px = pointer(xp)
    cdef void *pout = pointer(out)
    with stopwatch, nogil:
        for _i in range(repeat):
            k.scatter(rows, n, px, (rows + 1) * k.line, pout, n)
    return out


def multiply(a, b, isa=None, ptrdiff_t repeat=1):
    """a * b."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, a.dtype.name)
    pa, pb = padded(a), padded(b)
    cdef void *va = pointer(pa)
    cdef void *vb = pointer(pb)
    cdef ptrdiff_t n = len(pa), _i
    with stopwatch, nogil:
        for _i in range(repeat):
            k.multiply(n, va, vb)
    return pb[:len(a)].copy()


def add(a, b, isa=None, ptrdiff_t repeat=1):
    """a + b."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, a.dtype.name)
    pa, pb = padded(a), padded(b)
    cdef void *va = pointer(pa)
    cdef void *vb = pointer(pb)
    cdef ptrdiff_t n = len(pa), _i
    with stopwatch, nogil:
        for _i in range(repeat):
            k.add(n, va, vb)
    return pb[:len(a)].copy()


def running_average(now, average, double momentum, isa=None, ptrdiff_t repeat=1):
    """momentum * average + (1 - momentum) * now."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, now.dtype.name)
    pn, pa = padded(now), padded(average)
    cdef void *vn = pointer(pn)
    cdef void *va = pointer(pa)
    cdef ptrdiff_t n = len(pn), _i
    with stopwatch, nogil:
        for _i in range(repeat):
            k.running_average(n, momentum, vn, va)
    return pa[:len(now)].copy()


def layer_norm(x, gamma, beta, double epsilon, isa=None, ptrdiff_t repeat=1):
    """(y, mean, scale) of the rows."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    cdef ptrdiff_t rows = x.shape[0], n = x.shape[1], _i, stride = (rows + 1) * k.line
    xp, y, g, b = to_panels(x, True), to_panels(x, True), padded(gamma), padded(beta)
    padding_of(xp, n)[...] = np.nan  # is not read
    mean, scale = aligned(rows, x.dtype), aligned(rows, x.dtype)
    cdef void *p[6]
    p[0], p[1], p[2], p[3], p[4], p[5] = (
        pointer(xp), pointer(g), pointer(b), pointer(mean), pointer(scale), pointer(y))
    with stopwatch, nogil:
        for _i in range(repeat):
            k.layer_norm(rows, n, p[0], stride, p[1], p[2], epsilon, p[3], p[4], p[5], stride)
    return from_panels(y, rows, n), mean.copy(), scale.copy()


def layer_norm_input_gradient(dz, x, gamma, mean, scale, derivative=None, isa=None, ptrdiff_t repeat=1):
    """dx, times the derivative where one is given."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    cdef ptrdiff_t rows = x.shape[0], n = x.shape[1], _i, stride = (rows + 1) * k.line
    cdef bint multiply = derivative is not None
    dzp, xp, g, m, s = to_panels(dz, True), to_panels(x, True), padded(gamma), copied(mean), copied(scale)
    dx = to_panels(derivative if multiply else np.full_like(x, -1), True)
    padding_of(xp, n)[...] = padding_of(dx, n)[...] = 3  # must not stay, nor come from x
    cdef void *p[6]
    p[0], p[1], p[2], p[3], p[4], p[5] = pointer(dzp), pointer(xp), pointer(g), pointer(m), pointer(s), pointer(dx)
    with stopwatch, nogil:
        for _i in range(repeat):
            k.layer_norm_input_gradient(rows, n, p[0], stride, p[1], stride, p[2], p[3], p[4], multiply, p[5], stride)
    if padding_of(dx, n).any():
        raise AssertionError("layer_norm_input_gradient left something in the padding")
    return from_panels(dx, rows, n)


def layer_norm_weight_gradient(dz, x, mean, scale, block_rows=None, isa=None, ptrdiff_t repeat=1):
    """(dgamma, dbeta), the rows in blocks of block_rows."""
    return column_sums("layer_norm", dz, x, mean, scale, 0, block_rows, isa, repeat)


def batch_norm_weight_gradient(dz, x, mean, variance, double epsilon, block_rows=None, isa=None, ptrdiff_t repeat=1):
    """(dgamma, dbeta), the rows in blocks of block_rows."""
    return column_sums("batch_norm", dz, x, mean, variance, epsilon, block_rows, isa, repeat)


def batch_statistics(x, block_rows=None, isa=None, ptrdiff_t repeat=1):
    """(mean, variance) of the columns, the rows in blocks of block_rows."""
    return column_sums("statistics", x, x, None, None, 0, block_rows, isa, repeat)


def prelu_weight_gradient(dz, x, block_rows=None, isa=None, ptrdiff_t repeat=1):
    """Gradient of the slopes, the rows in blocks of block_rows."""
    return column_sums("prelu", dz, x, None, None, 0, block_rows, isa, repeat)[0]


cdef tuple column_sums(str name, dz, x, first, second, double epsilon, block_rows, isa, ptrdiff_t repeat):
    """Two results for each column, panel by panel, of the kernels that sum over a batch."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    cdef ptrdiff_t rows = x.shape[0], n = x.shape[1], per_block = block_rows or max(rows, 1), panel, n_panels, _i
    cdef ptrdiff_t kind = ["layer_norm", "batch_norm", "statistics", "prelu"].index(name), stride, at
    cdef fm_blocks xb, dzb, x_panel, dz_panel
    x_blocks, xb.block, xb.stride = blocks_of(x, per_block)
    dz_blocks, dzb.block, dzb.stride = blocks_of(dz, per_block)
    x_panel.block, dz_panel.block, n_panels = xb.block, dzb.block, x_blocks.shape[1]
    x_panel.stride, dz_panel.stride = xb.stride, dzb.stride
    stride = xb.stride * k.itemsize_bytes
    arrays = [None if a is None else copied(a) if name == "layer_norm" else padded(a) for a in (first, second)]
    one, two = aligned(n_panels * k.line, x.dtype), aligned(n_panels * k.line, x.dtype)
    cdef char *p[6]
    for i, array in enumerate((x_blocks, dz_blocks, arrays[0], arrays[1], one, two)):
        p[i] = <char *>pointer(array)
    with stopwatch, nogil:
        for _i in range(repeat):
            for panel in range(n_panels):
                x_panel.base, dz_panel.base, at = p[0] + panel * stride, p[1] + panel * stride, panel * 64
                if kind == 0:
                    k.layer_norm_weight_gradient(rows, per_block, &dz_panel, &x_panel, p[2], p[3], p[4] + at, p[5] + at)
                elif kind == 1:
                    k.batch_norm_weight_gradient(rows, per_block, &dz_panel, &x_panel, p[2] + at, p[3] + at, epsilon,
                                                 p[4] + at, p[5] + at)
                elif kind == 2:
                    k.batch_statistics(rows, per_block, &x_panel, p[4] + at, p[5] + at)
                else:
                    k.prelu_weight_gradient(rows, per_block, &dz_panel, &x_panel, p[4] + at)
    return one[:n].copy(), two[:n].copy()


def batch_norm(x, mean, variance, double epsilon, gamma, beta, isa=None, ptrdiff_t repeat=1):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta."""
    return columns("batch_norm", x, x, [mean, variance, gamma, beta], epsilon, None, isa, repeat)


def batch_norm_input_gradient(dz, x, mean, variance, double epsilon, gamma, dgamma, dbeta, derivative=None, isa=None,
                              ptrdiff_t repeat=1):
    """dx, times the derivative where one is given."""
    vectors = [mean, variance, gamma, dgamma, dbeta]
    return columns("batch_norm_input_gradient", dz, x, vectors, epsilon, derivative, isa, repeat)


def prelu(x, slope, isa=None, ptrdiff_t repeat=1):
    """x above 0, slope x elsewhere."""
    return columns("prelu", x, x, [slope], 0, None, isa, repeat)


def prelu_input_gradient(dz, x, slope, derivative=None, isa=None, ptrdiff_t repeat=1):
    """dx, times the derivative where one is given."""
    return columns("prelu_input_gradient", dz, x, [slope], 0, derivative, isa, repeat)


cdef columns(str name, dz, x, list vectors, double epsilon, derivative, isa, ptrdiff_t repeat):
    """The kernels that map a panel with vectors of columns, panel by panel."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    cdef ptrdiff_t rows = x.shape[0], n = x.shape[1], panel, n_panels, _i, stride = (rows + 1) * 64, at
    cdef ptrdiff_t kind = ["batch_norm", "batch_norm_input_gradient", "prelu", "prelu_input_gradient"].index(name)
    cdef bint multiply = derivative is not None
    xp, dzp, padded_vectors = to_panels(x, True), to_panels(dz, True), [padded(a) for a in vectors]
    out = to_panels(derivative if multiply else np.full_like(x, -1), True)
    n_panels = len(xp)
    cdef char *p[3]
    cdef char *v[5]
    p[0], p[1], p[2] = <char *>pointer(xp), <char *>pointer(dzp), <char *>pointer(out)
    for i, array in enumerate(padded_vectors):
        v[i] = <char *>pointer(array)
    with stopwatch, nogil:
        for _i in range(repeat):
            for panel in range(n_panels):
                at = panel * 64
                if kind == 0:
                    k.batch_norm(rows, p[0] + panel * stride, v[0] + at, v[1] + at, epsilon, v[2] + at, v[3] + at,
                                 p[2] + panel * stride)
                elif kind == 1:
                    k.batch_norm_input_gradient(rows, rows, p[1] + panel * stride, p[0] + panel * stride, v[0] + at,
                                                v[1] + at, epsilon, v[2] + at, v[3] + at, v[4] + at, multiply,
                                                p[2] + panel * stride)
                elif kind == 2:
                    k.prelu(rows, p[0] + panel * stride, v[0] + at, p[2] + panel * stride)
                else:
                    k.prelu_input_gradient(rows, p[1] + panel * stride, p[0] + panel * stride, v[0] + at, multiply,
                                           p[2] + panel * stride)
    return from_panels(out, rows, n)


def dropout(y, d, uint64_t seed, uint32_t layer, uint64_t step, double rate, ptrdiff_t first_row=0,
            ptrdiff_t column=0, isa=None, ptrdiff_t repeat=1):
    """(y, d) times the factors of a mask; d None: the factors themselves. `column` a multiple of a line."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, y.dtype.name)
    cdef ptrdiff_t rows = y.shape[0], panel, n_panels, _i, stride = (rows + 1) * 64
    cdef bint fresh = d is None
    cdef fm_mask mask
    mask.seed, mask.layer, mask.step, mask.rate = seed, layer, step, rate
    yp, dp = to_panels(y, True), to_panels(y if fresh else d, True)
    n_panels = len(yp)
    cdef char *py = <char *>pointer(yp)
    cdef char *pd = <char *>pointer(dp)
    with stopwatch, nogil:
        for _i in range(repeat):
            for panel in range(n_panels):
                k.dropout(rows, first_row, column + panel * k.line, &mask, fresh, py + panel * stride,
                          pd + panel * stride)
    return from_panels(yp, rows, y.shape[1]), from_panels(dp, rows, y.shape[1])


def sum(x, isa=None, ptrdiff_t repeat=1):
    """Sum of a vector as float64."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    xp = copied(x)
    cdef void *px = pointer(xp)
    cdef ptrdiff_t n = len(x), _i
    cdef double found = 0
    with stopwatch, nogil:
        for _i in range(repeat):
            found = k.sum(n, px)
    return found


def within(x, double low, double high, isa=None, ptrdiff_t repeat=1):
    """Whether low <= x <= high for all of a contiguous vector, at any address."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    cdef void *px = pointer(x)
    cdef ptrdiff_t n = len(x), _i
    cdef bint found = False
    with stopwatch, nogil:
        for _i in range(repeat):
            found = k.within(n, px, low, high)
    return bool(found)


def activation(str name, z, double alpha=0, isa=None, derivative=True, ptrdiff_t repeat=1):
    """(y, derivative or None) of a vector."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, z.dtype.name)
    cdef fm_activation *kernel = k.activation[position(_engine.activations, name)]
    zp = padded(z)
    y, d = aligned(zp.shape, z.dtype), aligned(zp.shape, z.dtype) if derivative else None
    cdef void *pz = pointer(zp)
    cdef void *py = pointer(y)
    cdef void *pd = pointer(d)
    cdef ptrdiff_t n = len(zp), _i
    with stopwatch, nogil:
        for _i in range(repeat):
            kernel(n, pz, py, pd, alpha)
    return y[:len(z)].copy(), d[:len(z)].copy() if derivative else None


def softmax(scores, isa=None, ptrdiff_t repeat=1):
    """Softmax of each row."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, scores.dtype.name)
    cdef ptrdiff_t rows = scores.shape[0], n = scores.shape[1], _i
    panels = to_panels(scores, True)
    cdef void *pz = pointer(panels)
    with stopwatch, nogil:
        for _i in range(repeat):
            k.softmax(rows, n, pz, (rows + 1) * k.line)
    return from_panels(panels, rows, n)


def exp(z, isa=None, ptrdiff_t repeat=1):
    """e^z of a vector."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, z.dtype.name)
    zp = padded(z)
    y = aligned(zp.shape, z.dtype)
    cdef void *pz = pointer(zp)
    cdef void *py = pointer(y)
    cdef ptrdiff_t n = len(zp), _i
    with stopwatch, nogil:
        for _i in range(repeat):
            k.exp(n, pz, py, NULL, 0)
    return y[:len(z)].copy()


def loss(str name, scores, targets, double row_scale=1, double gradient_scale=1, isa=None, gradient=True,
         in_place=False, dict options=None, ptrdiff_t repeat=1):
    """(losses of the rows, right predictions, gradient or None)."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, scores.dtype.name)
    cdef LossOptions constants = LossOptions(scores.dtype.name, options or {})
    cdef const fm_loss_options *po = &constants.c
    cdef fm_loss *kernel = k.loss[position(_engine.losses, name)]
    cdef ptrdiff_t rows = scores.shape[0], n = scores.shape[1], _i, right = 0, stride = (rows + 1) * k.line
    z = to_panels(scores, True)
    t = np.ascontiguousarray(targets, np.int32) if name.endswith("_labels") else to_panels(
        np.asarray(targets, scores.dtype), True)
    dz = z if in_place else spaced(z.shape, scores.dtype)
    row_losses = aligned(rows, scores.dtype)
    if not in_place:
        dz[...] = -1
    cdef void *pz = pointer(z)
    cdef void *pt = pointer(t)
    cdef void *pl = pointer(row_losses)
    cdef void *pd = pointer(dz) if gradient else NULL
    with stopwatch, nogil:
        for _i in range(repeat):
            right = kernel(rows, n, pz, stride, pt, stride, row_scale, gradient_scale, po, pl, pd)
    if gradient and padding_of(dz, n)[:, ~np.isnan(row_losses)].any():
        raise AssertionError(f"{name} left something in the padding of its gradient")
    return row_losses.copy(), right, from_panels(dz, rows, n) if gradient else None


def scale_rows(weights, losses, dscores=None, isa=None, ptrdiff_t repeat=1):
    """(losses, dscores or None), each row times its weight."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, losses.dtype.name)
    cdef ptrdiff_t rows = len(losses), n = 0 if dscores is None else dscores.shape[1], _i
    w, found = to_panels(np.asarray(weights, losses.dtype)[:, None]), copied(losses)
    panels = None if dscores is None else to_panels(dscores, True)
    cdef void *pw = pointer(w)
    cdef void *pl = pointer(found)
    cdef void *pd = pointer(panels)
    with stopwatch, nogil:
        for _i in range(repeat):
            k.scale_rows(rows, n, pw, pl, pd, (rows + 1) * k.line)
    return found, None if dscores is None else from_panels(panels, rows, n)


def update(str name, g, w, states, dict hyper, isa=None, ptrdiff_t repeat=1):
    """(w, states) after one update."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, w.dtype.name)
    cdef fm_update *kernel = k.update[position(_engine.optimizers, name)]
    if len(states) != _engine.n_states[name]:
        raise ValueError(f"{name} keeps {_engine.n_states[name]} states, not {len(states)}")
    cdef fm_hyper h = hyper
    arrays = [padded(a) for a in (g, w, *states)]
    cdef void *pointers[2 + FM_MAX_STATES]
    cdef ptrdiff_t n = len(arrays[0]), i, _i
    for i in range(len(arrays)):
        pointers[i] = pointer(arrays[i])
    with stopwatch, nogil:
        for _i in range(repeat):
            kernel(n, pointers[0], pointers[1], &pointers[2], &h)
    w, *states = (a[:len(w)].copy() for a in arrays[1:])
    return w, tuple(states)


def prepare_gradient(g, w, dict hyper, isa=None, ptrdiff_t repeat=1):
    """The gradient with penalties, clipped by value."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, w.dtype.name)
    cdef fm_hyper h = hyper
    found, weights = padded(g), padded(w)
    cdef void *pg = pointer(found)
    cdef void *pw = pointer(weights)
    cdef ptrdiff_t n = len(found), _i
    with stopwatch, nogil:
        for _i in range(repeat):
            k.prepare_gradient(n, pw, pg, &h)
    return found[:len(g)].copy()


def penalty(x, double l1, double l2, isa=None, ptrdiff_t repeat=1):
    """l1 sum |x| + l2 / 2 sum x^2."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    x = padded(x)
    cdef void *px = pointer(x)
    cdef ptrdiff_t n = len(x), _i
    cdef double found = 0
    with stopwatch, nogil:
        for _i in range(repeat):
            found = k.penalty(n, px, l1, l2)
    return found


def max_norm(w, double limit, isa=None, ptrdiff_t repeat=1):
    """Columns of w (n_in, n_out) of at most that norm."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, w.dtype.name)
    panels = to_panels(w)
    cdef void *pw = pointer(panels)
    cdef ptrdiff_t n_in = w.shape[0], n_panels = panels.shape[0], _i
    with stopwatch, nogil:
        for _i in range(repeat):
            k.max_norm(n_in, n_panels, limit, pw)
    return from_panels(panels, w.shape[0], w.shape[1])


def probe_fma(x, ptrdiff_t n, isa=None, ptrdiff_t repeat=1):
    """x (chains + 2, lanes) after n rounds of x[2:] = x[0] x[2:] + x[1]; chains and lanes are in `table`."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, x.dtype.name)
    if x.shape != (k.chains + 2, k.lanes):
        raise ValueError(f"x has the shape {x.shape}; probe_fma keeps ({k.chains + 2}, {k.lanes}) in registers")
    found = copied(x)
    cdef void *px = pointer(found)
    cdef ptrdiff_t _i
    with stopwatch, nogil:
        for _i in range(repeat):
            k.probe_fma(n, px)
    return found


def probe_triad(a, b, isa=None, out=None, ptrdiff_t repeat=1):
    """a + 3 b. With `out`, all three are used where they lie: from `aligned`, of whole lines."""
    cdef const fm_kernels *k = table_of(isa or _engine.isa, a.dtype.name)
    arrays = [padded(a), padded(b), padded(a)] if out is None else [a, b, out]
    cdef void *pointers[3]
    cdef ptrdiff_t n = len(arrays[0]), i, _i
    for i in range(3):
        pointers[i] = pointer(arrays[i])
        if len(arrays[i]) != n or n % k.line or <size_t>pointers[i] % 64 or arrays[i].dtype != a.dtype:
            raise ValueError(f"probe_triad works on aligned arrays of one length, a multiple of {k.line} elements")
    with stopwatch, nogil:
        for _i in range(repeat):
            k.probe_triad(n, pointers[0], pointers[1], pointers[2])
    return arrays[2][:len(a)]
