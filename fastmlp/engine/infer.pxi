# Prediction and evaluation: blocks of rows, forward alone.

cdef double sum_by_tree(ptrdiff_t n, double *values) noexcept nogil:
    """Sum of at least one value, in their place, in the order of csrc/kernels/tree.inc.h."""
    cdef ptrdiff_t i
    while n > 1:
        for i in range(n // 2):
            values[i] = values[2 * i] + values[2 * i + 1]
        if n % 2:
            values[n // 2] = values[n - 1]
        n = (n + 1) // 2
    return values[0]

cdef void infer_blocks(const Plan *p, ptrdiff_t first_block, ptrdiff_t last_block, char *out, bint softmax,
                       fm_activation *link, double *losses, ptrdiff_t *right, int thread, int n_threads) noexcept nogil:
    """This thread's share of blocks first_block ... last_block-1, in its own buffers: forward, then either the loss,
    or the link and the scatter."""
    cdef const Layer *layer = &p.layers[p.n_layers - 1]
    cdef ptrdiff_t n_blocks = last_block - first_block, block, first, rows, panel
    cdef unsigned long long mode = fm_flush_subnormals()
    cdef char *y = at(layer.y, thread * layer.block, p)
    cdef int i
    cdef How how
    memset(&how, 0, sizeof(How))
    if thread == 0 and p.visit != NULL:
        p.visit.mode = mode
    # Thread 0, which looks at Ctrl-C, has the last share, which is the largest.
    for block in range(first_block + part(n_blocks, n_threads, n_threads - 1 - thread),
                       first_block + part(n_blocks, n_threads, n_threads - thread)):
        first = block * p.block_rows
        rows = min(p.block_rows, p.n_samples - first)
        gather_inputs(p, first, rows, at(p.inputs, thread * p.input_block, p), thread)
        for i in range(p.n_layers):
            if interrupted(p, thread):
                break
            forward(p, i, thread, 0, rows, 0, p.layers[i].panels, &how)
        if losses != NULL:
            gather_targets(p, first, rows, thread, 0)
            right[block] = loss(p, thread, 0, rows, 0, False)
            losses[block] = p.k.sum(rows, at(p.row_losses, thread * p.block_rows, p))
            continue
        if softmax:
            p.k.softmax(rows, layer.n_out, y, layer.stride)
        elif link != NULL:
            for panel in range(layer.panels):
                link(rows * p.k.line, at(y, panel * layer.stride, p), at(y, panel * layer.stride, p), NULL, 0)
        p.k.scatter(rows, layer.n_out, y, layer.stride, at(out, first * layer.n_out, p), layer.n_out)
    fm_restore_subnormals(mode)
