# Normalisations, PReLU and dropout, each kernel alone: included by _kernels.pyx.

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


def batch_statistics(x, block_rows=None, isa=None, ptrdiff_t repeat=1):
    """(mean, variance) of the columns, the rows in blocks of block_rows."""
    return column_sums("statistics", x, x, None, None, 0, block_rows, isa, repeat)


def batch_norm(x, mean, variance, double epsilon, gamma, beta, isa=None, ptrdiff_t repeat=1):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta."""
    return columns("batch_norm", x, x, [mean, variance, gamma, beta], epsilon, None, isa, repeat)


def batch_norm_input_gradient(dz, x, mean, variance, double epsilon, gamma, dgamma, dbeta, derivative=None, isa=None,
                              ptrdiff_t repeat=1):
    """dx, times the derivative where one is given."""
    vectors = [mean, variance, gamma, dgamma, dbeta]
    return columns("batch_norm_input_gradient", dz, x, vectors, epsilon, derivative, isa, repeat)


def batch_norm_weight_gradient(dz, x, mean, variance, double epsilon, block_rows=None, isa=None, ptrdiff_t repeat=1):
    """(dgamma, dbeta), the rows in blocks of block_rows."""
    return column_sums("batch_norm", dz, x, mean, variance, epsilon, block_rows, isa, repeat)


def prelu(x, slope, isa=None, ptrdiff_t repeat=1):
    """x above 0, slope x elsewhere."""
    return columns("prelu", x, x, [slope], 0, None, isa, repeat)


def prelu_input_gradient(dz, x, slope, derivative=None, isa=None, ptrdiff_t repeat=1):
    """dx, times the derivative where one is given."""
    return columns("prelu_input_gradient", dz, x, [slope], 0, derivative, isa, repeat)


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
