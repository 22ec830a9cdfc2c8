# Rows of the user's arrays, as the network wants them.

cdef void gather(const Plan *p, const Source *source, ptrdiff_t first, ptrdiff_t rows, char *to,
                 ptrdiff_t stride) noexcept nogil:
    """Rows `first` ... of the epoch's order into panels, or labels into a vector."""
    cdef const char *data = source.data
    cdef const int64_t *index = NULL
    cdef ptrdiff_t r
    if data == NULL:  # the targets of a loss in Python
        return
    if p.index != NULL:
        index = p.index + first
    else:
        data = data + first * source.row_bytes
    if source.gather != NULL:
        source.gather(rows, source.n, data, source.row_bytes, source.column_bytes, index, source.mean, source.scale,
                      to, stride)
    else:
        for r in range(rows):
            (<int32_t *>to)[r] = (<const int32_t *>(data + (index[r] if index != NULL else r) * source.row_bytes))[0]

cdef void gather_targets(const Plan *p, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t block,
                         ptrdiff_t block_row) noexcept nogil:
    """Targets, and weights if any, of rows `first` ... of the epoch's order into a block, from its row block_row on."""
    cdef char *to = p.target_block + block * p.target_bytes
    if p.targets.gather != NULL:
        to = at(to, block_row * p.k.line, p)
    else:
        to = to + block_row * sizeof(int32_t)
    gather(p, &p.targets, first, rows, to, p.target_stride)
    if p.weights.data != NULL:
        gather(p, &p.weights, first, rows, p.weight_block + (block * p.block_rows + block_row) * 64, 0)

cdef void gather_inputs(const Plan *p, ptrdiff_t first, ptrdiff_t rows, char *to, int thread) noexcept nogil:
    """Rows `first` ... of the epoch's order as the network wants them: less the mean, scaled, whitened."""
    cdef char *x = to if p.whitening == NULL else p.whitened + thread * p.input_block * p.k.itemsize_bytes
    gather(p, &p.x, first, rows, x, p.input_stride)
    if p.whitening != NULL:  # without a bias
        p.k.dense_forward(rows, p.x.n, (p.x.n + p.k.line - 1) // p.k.line, x, p.input_stride, p.whitening,
                          p.whitening + p.whitening_bytes, to, p.input_stride)
