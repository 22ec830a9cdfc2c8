# The products of a dense layer, each kernel alone: included by _kernels.pyx.

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
