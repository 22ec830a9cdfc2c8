# Updates, and what is done to gradients and weights, each kernel alone: included by _kernels.pyx.

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
