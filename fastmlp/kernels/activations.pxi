# Activations, each kernel alone: included by _kernels.pyx.

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
