# What bench/machine.py measures, each kernel alone: included by _kernels.pyx.

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
