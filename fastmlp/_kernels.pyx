# cython: language_level=3
"""Every kernel of every instruction set as a function on NumPy arrays, for the tests and the benches.

Arrays are row-major; packing into panels happens here. Each function takes `isa` last, and where a bench needs it
`repeat`: the kernel runs so many times on the same buffers, without the GIL, and `stopwatch` knows when it began and
ended, packing not included. Here are the panels; the kernels are in kernels/, in files of the names that they have in
csrc/kernels/. Twins: fastmlp.reference.
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


include "kernels/dense.pxi"
include "kernels/rows.pxi"
include "kernels/layers.pxi"
include "kernels/activations.pxi"
include "kernels/losses.pxi"
include "kernels/optimizers.pxi"
include "kernels/probe.pxi"
