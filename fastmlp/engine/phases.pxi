# The two phases of a step: what threads share by rows or by panels, and where they wait for each other.

cdef inline int next_batch_norm(const Plan *p, int i) noexcept nogil:
    """The first BATCH_NORM from layer i on; n_layers where there is none."""
    while i < p.n_layers and p.layers[i].kind != BATCH_NORM:
        i += 1
    return i

cdef inline int last_batch_norm(const Plan *p, int i) noexcept nogil:
    """The last BATCH_NORM up to layer i; -1 where there is none."""
    while i >= 0 and p.layers[i].kind != BATCH_NORM:
        i -= 1
    return i

cdef void descend(const Plan *p, int top, int stop, ptrdiff_t block, ptrdiff_t rows, ptrdiff_t batch_rows,
                  int thread) noexcept nogil:
    """The gradients of one block from dz of layer `top` down to that of layer `stop`, or as far as any is wanted."""
    cdef int i
    for i in range(top, max(stop, p.lowest - 1), -1):
        if interrupted(p, thread):
            return
        backward(p, i, block, 0, rows, 0, input_panels(p, i), batch_rows, thread)

cdef bint call_loss(const Plan *p, ptrdiff_t first_row, ptrdiff_t rows, int thread, int n_threads) noexcept nogil:
    """A loss in Python, between two barriers, in the caller's mode for subnormals; whether it succeeded."""
    fm_barrier_wait(p.barrier, thread, n_threads)
    if thread == 0:
        if interrupted(p, thread):
            p.custom.failed = True
        else:
            fm_restore_subnormals(p.custom.mode)
            p.custom.call(p.custom.run, first_row, rows)
            p.custom.mode = fm_flush_subnormals()
    fm_barrier_wait(p.barrier, thread, n_threads)
    return not p.custom.failed

cdef ptrdiff_t phase_1_by_rows(const Plan *p, ptrdiff_t first_row, ptrdiff_t rows, const How *how, int thread,
                               int n_threads) noexcept nogil:
    """Whole blocks of rows, from the gather to the input gradients. Only a batch normalisation, whose statistics are
    shared by panels, stops at a barrier, once on the way up and once on the way down."""
    cdef ptrdiff_t n_blocks = (rows + p.block_rows - 1) // p.block_rows, block, n, right = 0
    cdef ptrdiff_t first_block = part(n_blocks, n_threads, thread), last_block = part(n_blocks, n_threads, thread + 1)
    cdef double gradient_scale = p.row_scale / rows
    cdef int i, begin = 0, end = next_batch_norm(p, 0) if p.has_batch_norm else p.n_layers
    cdef int stop = last_batch_norm(p, p.n_layers - 1) if p.has_batch_norm else -1
    cdef bint gathered = False
    cdef ptrdiff_t panels, first, last
    while True:
        for block in range(first_block, last_block):
            n = min(p.block_rows, rows - block * p.block_rows)
            if not gathered:
                gather_inputs(p, first_row + block * p.block_rows, n, at(p.inputs, block * p.input_block, p), thread)
                gather_targets(p, first_row + block * p.block_rows, n, block, 0)
            for i in range(begin, end):
                if interrupted(p, thread):
                    break
                forward(p, i, block, 0, n, 0, p.layers[i].panels, how)
            if end == p.n_layers and p.custom == NULL:
                right += loss(p, block, 0, n, gradient_scale, True)
                descend(p, p.n_layers - 1, stop, block, n, rows, thread)
        gathered = True
        if end == p.n_layers:
            break
        panels = p.layers[end].panels
        fm_barrier_wait(p.barrier, thread, n_threads)
        batch_statistics(p, end, rows, part(panels, n_threads, thread), part(panels, n_threads, thread + 1))
        fm_barrier_wait(p.barrier, thread, n_threads)
        begin, end = end, next_batch_norm(p, end + 1)
    if p.custom != NULL:
        if not call_loss(p, first_row, rows, thread, n_threads):
            return 0
        for block in range(first_block, last_block):
            n = min(p.block_rows, rows - block * p.block_rows)
            descend(p, p.n_layers - 1, stop, block, n, rows, thread)
    while stop >= 0:
        first, last = part(p.layers[stop].panels, n_threads, thread), part(p.layers[stop].panels, n_threads, thread + 1)
        fm_barrier_wait(p.barrier, thread, n_threads)
        batch_sums(p, stop, rows, first, last)
        fm_barrier_wait(p.barrier, thread, n_threads)
        end, stop = stop, last_batch_norm(p, stop - 1)
        for block in range(first_block, last_block):
            n = min(p.block_rows, rows - block * p.block_rows)
            descend(p, end, stop, block, n, rows, thread)
    return right

cdef ptrdiff_t phase_1_by_panels(const Plan *p, ptrdiff_t first_row, ptrdiff_t rows, const How *how, int thread,
                                 int n_threads) noexcept nogil:
    """One block of few rows: each layer is shared by panels, so that a core streams only its part of the weights; a
    layer normalisation, which wants whole rows, by rows."""
    cdef ptrdiff_t first = part(rows, n_threads, thread), n = part(rows, n_threads, thread + 1) - first, right
    cdef ptrdiff_t line = p.k.line, panels, begin, end
    cdef int i
    gather_inputs(p, first_row + first, n, at(p.inputs, first * line, p), thread)
    gather_targets(p, first_row + first, n, 0, first)
    fm_barrier_wait(p.barrier, thread, n_threads)
    for i in range(p.n_layers):
        panels = p.layers[i].panels
        begin, end = part(panels, n_threads, thread), part(panels, n_threads, thread + 1)
        if interrupted(p, thread):
            pass
        elif p.layers[i].kind == LAYER_NORM:
            forward(p, i, 0, first, n, 0, panels, how)
        else:
            if p.layers[i].kind == BATCH_NORM:
                batch_statistics(p, i, rows, begin, end)
            forward(p, i, 0, 0, rows, begin, end, how)
        fm_barrier_wait(p.barrier, thread, n_threads)
    if p.custom == NULL:
        right = loss(p, 0, first, n, p.row_scale / rows, True)
        fm_barrier_wait(p.barrier, thread, n_threads)
    elif call_loss(p, first_row, rows, thread, n_threads):
        right = 0
    else:
        return 0
    for i in range(p.n_layers - 1, -1, -1):
        if p.layers[i].kind == BATCH_NORM:  # as many panels below as above: a thread needs its own sums only
            panels = p.layers[i].panels
            batch_sums(p, i, rows, part(panels, n_threads, thread), part(panels, n_threads, thread + 1))
        if i < p.lowest:
            break
        panels = input_panels(p, i)
        if interrupted(p, thread):
            pass
        elif p.layers[i].kind == LAYER_NORM:
            backward(p, i, 0, first, n, 0, panels, rows, thread)
        else:
            backward(p, i, 0, 0, rows, part(panels, n_threads, thread), part(panels, n_threads, thread + 1), rows,
                     thread)
        if i > p.lowest or p.has_batch_norm:
            fm_barrier_wait(p.barrier, thread, n_threads)
    return right

cdef inline ptrdiff_t phase_1(const Plan *p, ptrdiff_t first_row, ptrdiff_t rows, const How *how, int thread,
                              int n_threads) noexcept nogil:
    """Losses and input gradients of a batch; right predictions of this thread's share."""
    if p.share_panels and n_threads > 1:
        return phase_1_by_panels(p, first_row, rows, how, thread, n_threads)
    return phase_1_by_rows(p, first_row, rows, how, thread, n_threads)

cdef inline void phase_2(const Plan *p, ptrdiff_t rows, const fm_hyper *hyper, bint follow, int thread,
                         int n_threads) noexcept nogil:
    """This thread's share of the gradients of all layers, each of which is applied, or left for later."""
    cdef int i
    for i in range(p.n_layers):
        if p.layers[i].kind == DENSE:
            weight_tiles(p, i, rows, hyper, thread, n_threads)
        else:
            column_gradients(p, i, rows, hyper, follow, thread, n_threads)
