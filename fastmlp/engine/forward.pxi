# Forward: layers, from the inputs to the scores, and the loss.

cdef inline char *column_statistics(const Plan *p, const Layer *layer, bint training) noexcept nogil:
    """Mean of each column, and `panels` lines further on the variance: of the batch, or, in a prediction and of a
    frozen layer, running."""
    return layer.statistics if training and not layer.frozen else p.running + layer.running

cdef void map_panel(const Plan *p, const Layer *layer, ptrdiff_t panel, ptrdiff_t rows, const char *x, char *y,
                    bint training) noexcept nogil:
    """One panel of a layer that works column by column."""
    cdef char *w = p.params + layer.w + panel * 64
    cdef char *mean
    if layer.kind == BATCH_NORM:
        mean = column_statistics(p, layer, training) + panel * 64
        p.k.batch_norm(rows, x, mean, mean + layer.panels * 64, layer.epsilon, w, p.params + layer.b + panel * 64, y)
    elif layer.kind == PRELU:
        p.k.prelu(rows, x, w, y)
    else:
        memcpy(y, x, rows * 64)

cdef void activate(const Plan *p, const Layer *layer, ptrdiff_t batch_row, ptrdiff_t rows, ptrdiff_t panel, char *y,
                   char *d, const How *how) noexcept nogil:
    """Activation and dropout of one panel of outputs."""
    cdef fm_mask mask
    if not how.derivative:
        d = NULL
    if layer.activation != NULL:
        layer.activation(rows * p.k.line, y, y, d, layer.alpha)
    if layer.mask.rate > 0 and how.training:
        mask = layer.mask
        mask.step = how.step
        p.k.dropout(rows, batch_row, panel * p.k.line, &mask, layer.activation == NULL, y, d)
    elif layer.activation == NULL and d != NULL:
        p.k.activation[0](rows * p.k.line, y, y, d, 0)  # identity: derivative 1

cdef void forward(const Plan *p, int i, ptrdiff_t block, ptrdiff_t first_row, ptrdiff_t rows, ptrdiff_t first,
                  ptrdiff_t last, const How *how) noexcept nogil:
    """Panels first ... last-1 of layer i for some rows of one block; LAYER_NORM wants all panels at once."""
    cdef const Layer *layer = &p.layers[i]
    cdef ptrdiff_t x_stride, line = p.k.line, panel, batch_row = block * p.block_rows + first_row
    cdef char *x = at(layer_input(p, i, block, &x_stride), first_row * line, p)
    cdef char *y = at(layer.y, block * layer.block + first * layer.stride + first_row * line, p)
    cdef char *d = at(layer.dz, block * layer.block + first * layer.stride + first_row * line, p)
    cdef char *other
    cdef ptrdiff_t other_stride
    if last <= first or rows <= 0:
        return
    if layer.kind == DENSE:
        p.k.dense_forward(rows, layer.n_in, last - first, x, x_stride,
                          at(p.params + layer.w, first * layer.n_in * line, p), p.params + layer.b + first * 64, y,
                          layer.stride)
    elif layer.kind == LAYER_NORM:
        p.k.layer_norm(rows, layer.n_in, x, x_stride, p.params + layer.w, p.params + layer.b, layer.epsilon,
                       at(layer.statistics, batch_row, p),
                       at(layer.statistics + layer.statistics_bytes, batch_row, p), y, layer.stride)
    else:
        for panel in range(first, last):
            map_panel(p, layer, panel, rows, at(x, panel * x_stride, p), at(y, (panel - first) * layer.stride, p),
                      how.training)
    if layer.kind == ADD:
        other = at(layer_input(p, layer.source + 1, block, &other_stride), first_row * line, p)
        for panel in range(first, last):
            p.k.add(rows * line, at(other, panel * other_stride, p), at(y, (panel - first) * layer.stride, p))
    if layer.has_derivative:
        for panel in range(first, last):
            activate(p, layer, batch_row, rows, panel, y, d, how)
            y = at(y, layer.stride, p)
            d = at(d, layer.stride, p)

cdef ptrdiff_t loss(const Plan *p, ptrdiff_t block, ptrdiff_t first, ptrdiff_t rows, double gradient_scale,
                    bint gradient) noexcept nogil:
    """Loss of rows first ... of one block, and its gradient in place of the scores."""
    cdef const Layer *layer = &p.layers[p.n_layers - 1]
    cdef ptrdiff_t line = p.k.line, at_row = block * p.block_rows + first, panel, right
    cdef char *y = at(layer.y, block * layer.block + first * line, p)
    cdef char *d = at(layer.dz, block * layer.block + first * line, p)
    cdef char *targets = p.target_block + block * p.target_bytes
    if p.targets.gather != NULL:
        targets = at(targets, first * line, p)
    else:
        targets = targets + first * sizeof(int32_t)
    if p.loss != NULL:
        right = p.loss(rows, layer.n_out, y, layer.stride, targets, p.target_stride, p.row_scale, gradient_scale,
                       &p.loss_options, at(p.row_losses, at_row, p), y if gradient else NULL)
        if p.weights.data != NULL:
            p.k.scale_rows(rows, layer.n_out, p.weight_block + at_row * 64, at(p.row_losses, at_row, p),
                           y if gradient else NULL, layer.stride)
    else:
        right = 0
        for panel in range(layer.panels):
            memcpy(at(y, panel * layer.stride, p), at(targets, panel * p.target_stride, p), rows * 64)
    if gradient and layer.has_derivative:
        for panel in range(layer.panels):
            p.k.multiply(rows * line, at(d, panel * layer.stride, p), at(y, panel * layer.stride, p))
    return right

cdef void batch_statistics(const Plan *p, int i, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t last) noexcept nogil:
    """Mean and variance over the batch of some panels of the inputs of a BATCH_NORM."""
    cdef const Layer *layer = &p.layers[i]
    cdef ptrdiff_t panel
    cdef char *mean
    cdef fm_blocks x
    if p.inference or layer.frozen:
        return
    for panel in range(first, last):
        x = panel_inputs(p, i, panel)
        mean = layer.statistics + panel * 64
        p.k.batch_statistics(rows, p.block_rows, &x, mean, mean + layer.panels * 64)
