# Derivatives of the scores of a network as it predicts: included by _engine.pyx.
#
# Without dropout and with running statistics no row depends on another, so each thread takes whole blocks, with buffers
# of its own, as in a prediction. On the way up dz of each layer keeps the derivative of its activation; then a gradient
# comes down through it (`backward`), once or for each output, or a tangent goes up.

cdef enum:
    PULL, PUSH, JACOBIAN

cdef struct Derivation:
    int what
    Source dx                   # PUSH: tangents of the inputs, in rows like x
    char *dparams               # PUSH: tangents of the parameters, in their layout; NULL: none
    char *scores                # scores wanted here, C-contiguous (n, n_outputs); NULL: not
    char *out                   # PULL: (n, n_inputs); PUSH: (n, n_outputs); JACOBIAN: (n, n_outputs, n_inputs)


cdef void negative_part(const Plan *p, ptrdiff_t rows, const char *x, const char *slopes, char *out) noexcept nogil:
    """slopes x where x is not above 0, else 0, of one panel: how a prelu moves with its slopes."""
    cdef ptrdiff_t k, n = rows * p.k.line
    for k in range(n):
        if p.k.itemsize_bytes == sizeof(float):
            (<float *>out)[k] = min((<const float *>x)[k], 0) * (<const float *>slopes)[k % p.k.line]
        else:
            (<double *>out)[k] = min((<const double *>x)[k], 0) * (<const double *>slopes)[k % p.k.line]

cdef void push_weights(const Plan *p, int i, ptrdiff_t block, ptrdiff_t rows, const char *dparams) noexcept nogil:
    """What the tangents of the weights of layer i add: in `spare` of that layer."""
    cdef const Layer *layer = &p.layers[i]
    cdef ptrdiff_t x_stride, panel
    cdef char *x = layer_input(p, i, block, &x_stride)
    cdef char *more = at(layer.spare, block * layer.block, p)
    cdef const char *dw = dparams + layer.w
    cdef const char *db = dparams + layer.b
    cdef char *mean
    if layer.kind == DENSE:
        p.k.dense_forward(rows, layer.n_in, layer.panels, x, x_stride, dw, db, more, layer.stride)
    elif layer.kind == LAYER_NORM:
        p.k.layer_norm(rows, layer.n_in, x, x_stride, dw, db, layer.epsilon,
                       at(layer.statistics, block * p.block_rows, p),
                       at(layer.statistics + layer.statistics_bytes, block * p.block_rows, p), more, layer.stride)
    elif layer.kind == PRELU:
        for panel in range(layer.panels):
            negative_part(p, rows, at(x, panel * x_stride, p), dw + panel * 64, at(more, panel * layer.stride, p))
    else:
        for panel in range(layer.panels):
            mean = column_statistics(p, layer, False) + panel * 64
            p.k.batch_norm(rows, at(x, panel * x_stride, p), mean, mean + layer.panels * 64, layer.epsilon,
                           dw + panel * 64, db + panel * 64, at(more, panel * layer.stride, p))

cdef void push(const Plan *p, int i, ptrdiff_t block, ptrdiff_t rows, const char *dparams) noexcept nogil:
    """The tangent of the outputs of layer i, in dz, from those of its inputs and of its weights."""
    cdef const Layer *layer = &p.layers[i]
    cdef ptrdiff_t x_stride, t_stride, panel, n = rows * p.k.line
    cdef char *x = layer_input(p, i, block, &x_stride)
    cdef char *t = input_tangent(p, i, block, &t_stride)
    cdef char *to = at(layer.saved, block * layer.block, p)
    cdef char *more = at(layer.spare, block * layer.block, p)
    cdef char *dz = at(layer.dz, block * layer.block, p)
    cdef char *w = p.params + layer.w
    cdef bint weights_move = dparams != NULL and layer.lines > 0
    if layer.kind == DENSE:  # t W, a product like that of an input gradient
        p.k.dense_input_gradient(rows, layer.n_in, layer.panels, t, t_stride, w, False, to, layer.stride)
    elif layer.kind == LAYER_NORM:  # its derivative is symmetric but for gamma, which comes last here
        p.k.layer_norm_input_gradient(rows, layer.n_in, t, t_stride, x, x_stride, p.ones,
                                      at(layer.statistics, block * p.block_rows, p),
                                      at(layer.statistics + layer.statistics_bytes, block * p.block_rows, p), False, to,
                                      layer.stride)
        for panel in range(layer.panels):  # gamma (t - 0) / sqrt(0 + 1) + 0
            t = at(to, panel * layer.stride, p)
            p.k.batch_norm(rows, t, p.zeros, p.zeros, 1, w + panel * 64, p.zeros, t)
    else:
        for panel in range(layer.panels):
            map_panel_backward(p, layer, panel, rows, 1, at(t, panel * t_stride, p), at(x, panel * x_stride, p), False,
                               at(to, panel * layer.stride, p))
    if layer.kind == ADD:
        t = input_tangent(p, layer.source + 1, block, &t_stride)
        for panel in range(layer.panels):
            p.k.add(n, at(t, panel * t_stride, p), at(to, panel * layer.stride, p))
    if weights_move:
        push_weights(p, i, block, rows, dparams)
    for panel in range(layer.panels):
        if weights_move:
            p.k.add(n, at(more, panel * layer.stride, p), at(to, panel * layer.stride, p))
        if layer.has_derivative:
            p.k.multiply(n, at(to, panel * layer.stride, p), at(dz, panel * layer.stride, p))
        else:
            memcpy(at(dz, panel * layer.stride, p), at(to, panel * layer.stride, p), rows * 64)

cdef inline char *input_tangent(const Plan *p, int i, ptrdiff_t block, ptrdiff_t *stride) noexcept nogil:
    """Tangents of the inputs of layer i."""
    if i == 0:
        stride[0] = p.input_stride
        return at(p.input_gradients, block * p.input_block, p)
    stride[0] = p.layers[i - 1].stride
    return at(p.layers[i - 1].dz, block * p.layers[i - 1].block, p)

cdef void copy_derivatives(const Plan *p, int n_layers, ptrdiff_t block, bint back) noexcept nogil:
    """Keep the derivatives of the first layers beside dz, which a gradient on its way down is multiplied into; or put
    them back."""
    cdef const Layer *layer
    cdef int i
    cdef char *dz
    cdef char *saved
    for i in range(n_layers):
        layer = &p.layers[i]
        dz, saved = at(layer.dz, block * layer.block, p), at(layer.saved, block * layer.block, p)
        if layer.has_derivative:
            memcpy(dz if back else saved, saved if back else dz, layer.block * p.k.itemsize_bytes)

cdef inline bint is_linear_above(const Plan *p) noexcept nogil:
    """Whether the scores are those of a plain dense layer above an activation: then the gradient of one output is a
    column of its weights times that derivative."""
    cdef const Layer *layer = &p.layers[p.n_layers - 1]
    return (p.n_layers > 1 and layer.kind == DENSE and not layer.has_derivative and not p.has_add
            and p.layers[p.n_layers - 2].has_derivative)

cdef void pull_column(const Plan *p, ptrdiff_t block, ptrdiff_t rows, ptrdiff_t output) noexcept nogil:
    """The gradient of one output in dz of the layer below the last one, where that `is_linear_above`."""
    cdef const Layer *layer = &p.layers[p.n_layers - 1]
    cdef const Layer *below = &p.layers[p.n_layers - 2]
    cdef ptrdiff_t item = p.k.itemsize_bytes, panel, i
    cdef char *w = at(p.params + layer.w, output // p.k.line * layer.n_in * p.k.line + output % p.k.line, p)
    cdef char *column = at(below.spare, block * below.block, p)
    memset(column, 0, below.panels * 64)
    for i in range(layer.n_in):
        memcpy(column + i * item, w + i * 64, item)
    for panel in range(below.panels):  # column (derivative - 0) / sqrt(0 + 1) + 0
        p.k.batch_norm(rows, at(below.saved, block * below.block + panel * below.stride, p), p.zeros, p.zeros, 1,
                       column + panel * 64, p.zeros, at(below.dz, block * below.block + panel * below.stride, p))

cdef void pull_output(const Plan *p, ptrdiff_t block, ptrdiff_t rows, ptrdiff_t output, int thread) noexcept nogil:
    """The gradient of one output, down to the inputs."""
    cdef const Layer *layer = &p.layers[p.n_layers - 1]
    cdef char *y = at(layer.y, block * layer.block, p)
    cdef char *d = at(layer.dz, block * layer.block, p)
    cdef ptrdiff_t panel, r
    cdef int i, top = p.n_layers
    if is_linear_above(p):
        top -= 2
        copy_derivatives(p, top, block, True)
        pull_column(p, block, rows, output)
        top += 1
    else:
        copy_derivatives(p, top, block, True)
        memset(y, 0, layer.block * p.k.itemsize_bytes)
        for r in range(rows):
            memcpy(at(y, output // p.k.line * layer.stride + r * p.k.line + output % p.k.line, p), p.ones,
                   p.k.itemsize_bytes)
        if layer.has_derivative:
            for panel in range(layer.panels):
                p.k.multiply(rows * p.k.line, at(d, panel * layer.stride, p), at(y, panel * layer.stride, p))
    for i in range(top - 1, -1, -1):
        backward(p, i, block, 0, rows, 0, input_panels(p, i), 1, thread)

cdef void derive_blocks(const Plan *p, const Derivation *wanted, ptrdiff_t first_block, ptrdiff_t last_block,
                        int thread, int n_threads) noexcept nogil:
    """This thread's share of blocks first_block ... last_block-1, in its own buffers."""
    cdef const Layer *layer = &p.layers[p.n_layers - 1]
    cdef ptrdiff_t n_blocks = last_block - first_block, block, first, rows, output, n_in = p.layers[0].n_in
    cdef unsigned long long mode = fm_flush_subnormals()
    cdef char *y = at(layer.y, thread * layer.block, p)
    cdef char *dx = at(p.input_gradients, thread * p.input_block, p)
    cdef int i
    cdef How how
    memset(&how, 0, sizeof(How))
    how.derivative = True
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
        if wanted.scores != NULL:
            p.k.scatter(rows, layer.n_out, y, layer.stride, at(wanted.scores, first * layer.n_out, p), layer.n_out)
        if wanted.what == PULL:
            gather_targets(p, first, rows, thread, 0)
            loss(p, thread, 0, rows, p.row_scale / p.n_samples, True)
            for i in range(p.n_layers - 1, -1, -1):
                if interrupted(p, thread):
                    break
                backward(p, i, thread, 0, rows, 0, input_panels(p, i), 1, thread)
            p.k.scatter(rows, n_in, dx, p.input_stride, at(wanted.out, first * n_in, p), n_in)
        elif wanted.what == PUSH:
            gather(p, &wanted.dx, first, rows, dx, p.input_stride)
            for i in range(p.n_layers):
                if interrupted(p, thread):
                    break
                push(p, i, thread, rows, wanted.dparams)
            p.k.scatter(rows, layer.n_out, at(layer.dz, thread * layer.block, p), layer.stride,
                        at(wanted.out, first * layer.n_out, p), layer.n_out)
        else:
            copy_derivatives(p, p.n_layers, thread, False)
            for output in range(layer.n_out):
                if interrupted(p, thread):
                    break
                pull_output(p, thread, rows, output, thread)
                p.k.scatter(rows, n_in, dx, p.input_stride,
                            at(wanted.out, (first * layer.n_out + output) * n_in, p), layer.n_out * n_in)
    fm_restore_subnormals(mode)
