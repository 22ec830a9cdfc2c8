# Backward: gradients of inputs, layer by layer from the scores down.

cdef void dense_backward(const Plan *p, const Layer *layer, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t last,
                         char *dz, bint multiply, char *dx, ptrdiff_t dx_stride, char *wt) noexcept nogil:
    """Panels first ... last-1 of the gradient of a dense layer's inputs, by weights transposed some panels at a
    time."""
    cdef ptrdiff_t line = p.k.line, groups = (last - first + TRANSPOSED_PANELS - 1) // TRANSPOSED_PANELS
    cdef ptrdiff_t group, panel, end, columns
    for group in range(groups):
        panel, end = first + part(last - first, groups, group), first + part(last - first, groups, group + 1)
        columns = min(end * line, layer.n_in) - panel * line
        p.k.transpose(columns, layer.n_out, at(p.params + layer.w, panel * line * line, p), layer.n_in * line, wt)
        p.k.dense_input_gradient(rows, layer.n_out, end - panel, dz, layer.stride, wt, multiply,
                                 at(dx, panel * dx_stride, p), dx_stride)

cdef void map_panel_backward(const Plan *p, const Layer *layer, ptrdiff_t panel, ptrdiff_t rows, ptrdiff_t batch_rows,
                             const char *dz, const char *x, bint multiply, char *dx) noexcept nogil:
    """The gradient of one panel of inputs of a layer that works column by column."""
    cdef char *w = p.params + layer.w + panel * 64
    cdef char *mean
    cdef char *sums
    cdef ptrdiff_t next = layer.panels * 64
    if layer.kind == BATCH_NORM:
        mean = column_statistics(p, layer, not p.inference) + panel * 64
        sums = layer.statistics + panel * 64 + 2 * next
        if p.inference or layer.frozen:  # mean and variance are constants
            sums, next = p.zeros, 0
        p.k.batch_norm_input_gradient(rows, batch_rows, dz, x, mean, mean + layer.panels * 64, layer.epsilon, w, sums,
                                      sums + next, multiply, dx)
    elif layer.kind == PRELU:
        p.k.prelu_input_gradient(rows, dz, x, w, multiply, dx)
    elif multiply:
        p.k.multiply(rows * p.k.line, dz, dx)
    else:
        memcpy(dx, dz, rows * 64)

cdef void backward(const Plan *p, int i, ptrdiff_t block, ptrdiff_t first_row, ptrdiff_t rows, ptrdiff_t first,
                   ptrdiff_t last, ptrdiff_t batch_rows, int thread) noexcept nogil:
    """Panels first ... last-1 of dz of layer i - 1, or of the gradient of the inputs, from dz of layer i; LAYER_NORM
    wants all panels at once."""
    cdef const Layer *layer = &p.layers[i]
    cdef ptrdiff_t line = p.k.line, panel, x_stride, dx_stride = p.input_stride, skipped = first_row * line
    cdef char *dz = at(output_gradient(p, i), block * layer.block + skipped, p)
    cdef char *x = at(layer_input(p, i, block, &x_stride), skipped, p)
    cdef char *dx
    cdef bint multiply = False
    cdef ptrdiff_t batch_row = block * p.block_rows + first_row
    if last <= first or rows <= 0:
        return
    if i == 0:
        dx = at(p.input_gradients, block * p.input_block + skipped, p)
    else:
        dx, dx_stride = at(p.layers[i - 1].dz, block * p.layers[i - 1].block + skipped, p), p.layers[i - 1].stride
        multiply = p.layers[i - 1].has_derivative
    if p.has_add and multiply:
        skip_gradients(p, i - 1, block, first_row, rows, first, last, dx, dx_stride, False)
    if layer.kind == DENSE:
        dense_backward(p, layer, rows, first, last, dz, multiply, dx, dx_stride, p.scratch + thread * p.scratch_bytes)
    elif layer.kind == LAYER_NORM:
        p.k.layer_norm_input_gradient(rows, layer.n_in, dz, layer.stride, x, x_stride, p.params + layer.w,
                                      at(layer.statistics, batch_row, p),
                                      at(layer.statistics + layer.statistics_bytes, batch_row, p), multiply, dx,
                                      dx_stride)
    else:
        for panel in range(first, last):
            map_panel_backward(p, layer, panel, rows, batch_rows, at(dz, panel * layer.stride, p),
                               at(x, panel * x_stride, p), multiply, at(dx, panel * dx_stride, p))
    if p.has_add:
        skip_gradients(p, i - 1, block, first_row, rows, first, last, dx, dx_stride, True)

cdef void skip_gradients(const Plan *p, int source, ptrdiff_t block, ptrdiff_t first_row, ptrdiff_t rows,
                         ptrdiff_t first, ptrdiff_t last, char *dx, ptrdiff_t dx_stride, bint add) noexcept nogil:
    """What comes to the outputs of layer `source` past the layers in between: first times the derivative that still
    lies in dx, then added to dx."""
    cdef const Layer *layer
    cdef ptrdiff_t panel
    cdef char *skip
    cdef int i
    for i in range(source + 2, p.n_layers):
        layer = &p.layers[i]
        if layer.kind != ADD or layer.source != source:
            continue
        for panel in range(first, last):
            skip = at(output_gradient(p, i), block * layer.block + panel * layer.stride + first_row * p.k.line, p)
            if add:
                p.k.add(rows * p.k.line, skip, at(dx, panel * dx_stride, p))
            else:
                p.k.multiply(rows * p.k.line, at(dx, panel * dx_stride, p), skip)

cdef void batch_sums(const Plan *p, int i, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t last) noexcept nogil:
    """The gradients of gamma and beta of some panels of a BATCH_NORM, which its input gradient wants too."""
    cdef const Layer *layer = &p.layers[i]
    cdef ptrdiff_t panel, next = layer.panels * 64
    cdef char *found
    cdef char *mean
    cdef fm_blocks x, dz
    if i < p.lowest - 1:  # no gradient comes down to it, and none is wanted
        return
    for panel in range(first, last):
        x, dz = panel_inputs(p, i, panel), panel_gradients(p, i, panel)
        found = layer.statistics + panel * 64 + 2 * next
        mean = column_statistics(p, layer, not p.inference) + panel * 64
        p.k.batch_norm_weight_gradient(rows, p.block_rows, &dz, &x, mean, mean + next, layer.epsilon, found,
                                       found + next)
