# Rows into panels and back, and what is done to vectors, each kernel alone: included by _kernels.pyx.

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
