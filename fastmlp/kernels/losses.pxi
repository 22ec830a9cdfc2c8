# Losses, and what makes predictions of scores, each kernel alone: included by _kernels.pyx.

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
