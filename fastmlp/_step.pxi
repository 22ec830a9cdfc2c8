# The plan of a training step and its two phases: C structs and nogil functions, included by _engine.pyx.
#
# `Plan` says what there is to do and where the buffers are; `run_steps` does it, in each thread of one parallel region
# for a whole chunk of steps. Offsets and strides are in elements unless their name says bytes.

cdef inline ptrdiff_t part(ptrdiff_t total, ptrdiff_t parts, ptrdiff_t i) noexcept nogil:
    """Start of part i where total is cut into equal parts."""
    return total * i // parts


# ---- the plan of a step ----

# Kinds of layers. All but the first have as many outputs as inputs, and at most one line of weights in each panel.
cdef enum:
    DENSE, ACTIVATION, LAYER_NORM, BATCH_NORM, PRELU, ADD

KINDS = ["dense", "activation", "layer_norm", "batch_norm", "prelu", "add"]

cdef struct Layer:
    int kind
    ptrdiff_t n_in, n_out
    ptrdiff_t panels            # of the outputs
    fm_activation *activation   # NULL: identity
    double alpha
    fm_mask mask                # of the dropout behind the activation; rate 0: none
    bint has_derivative         # of an activation or of dropout
    bint use_bias
    double epsilon, momentum    # of a normalisation, and of its running statistics
    int source                  # ADD: the layer whose outputs are added, -1 for the inputs
    bint frozen                 # neither weights nor states change
    double rate                 # factor of the learning rate
    double l1, l2               # penalty l1 sum |w| + l2 sum w^2
    double max_norm             # of the weights of each output; 0: any
    ptrdiff_t lines             # of w in a panel
    ptrdiff_t w, b              # bytes from the start of the parameters, and of each optimizer state
    ptrdiff_t running           # BATCH_NORM: bytes from the start of the running statistics, mean then variance
    char *y                     # outputs, then in the last layer the gradient of the scores
    char *dz                    # derivative of activation and dropout, then the gradient of what goes into them
    char *saved                 # as large as dz, where derivatives of the network are computed; and so is spare
    char *spare
    ptrdiff_t block, stride     # elements between blocks, and between the panels of a block, of y and dz
    char *statistics            # LAYER_NORM, of rows: mean, scale; BATCH_NORM, of columns: these, dgamma, dbeta
    ptrdiff_t statistics_bytes  # from one of these to the next

cdef struct Mode:               # of a forward pass
    bint derivative             # leave the derivatives in dz
    bint training               # draw masks, and normalise by the statistics of the batch
    uint64_t step               # whose masks

cdef struct Source:             # rows of a user's array
    const char *data
    ptrdiff_t n, row_bytes, column_bytes
    fm_gather *gather           # NULL: int32 labels
    const double *mean          # taken off each column, which is then multiplied by its scale; NULL: as they are
    const double *scale

# A loss in Python: called by thread 0, it finds the scores of the batch in y of the last layer, and leaves their
# gradient there.
ctypedef void (*CallLoss)(void *run, ptrdiff_t first_row, ptrdiff_t rows) noexcept nogil

cdef struct CustomLoss:
    CallLoss call
    void *run                   # the Run
    bint failed                 # it raised
    unsigned long long mode     # for subnormals, of the calling thread
    double loss                 # mean of the batch

# A look at Ctrl-C in the middle of a long step or block: thread 0 calls it, with the GIL.
ctypedef void (*CallVisit)(void *run) noexcept nogil

cdef struct Visit:
    CallVisit call
    void *run                   # the Run
    double next                 # of fm_clock
    double pause                # seconds from one to the next
    unsigned long long mode     # for subnormals, of the calling thread
    int over                    # a flag: what was begun is to be given up
    bint stop                   # the same as it was at the barrier between the phases of a step

cdef struct Plan:
    const fm_kernels *k
    Layer *layers
    int n_layers
    char *params
    ptrdiff_t n_bytes           # of the parameters
    char *running               # statistics of batch normalisation
    char *states[FM_MAX_STATES]  # of the optimizer, in the layout of the parameters
    int n_states
    char *average               # moving average of the parameters; NULL: not wanted
    char *gradients             # NULL: each tile is applied by `update` and forgotten
    fm_update *update           # NULL: gradients only
    fm_hyper hyper
    bint bias_correction, momentum_schedule
    bint adds                   # gradients are added to those that are there
    bint deferred               # and applied when all of them are known: for their norm, or at the last of some steps
    bint prepares               # they pass prepare_gradient
    bint by_array               # rate, penalty or decay differ between arrays
    bint penalised              # add the layers' penalties to the gradients
    bint decay_biases
    bint has_penalty, has_max_norm
    double clip_norm            # largest norm of all gradients together; 0: any
    double average_momentum
    ptrdiff_t accumulation      # steps whose gradients make one update
    ptrdiff_t n_chunks
    double *chunk_sums          # of each CHUNK_LINES lines of an array: of its penalty, or of squares of its gradient
    Source x, targets
    Source weights              # of the samples; its data NULL: all 1
    char *inputs                # gathered rows, targets and weights
    char *target_block
    char *weight_block
    char *input_gradients       # in panels as the inputs; NULL: not wanted
    char *zeros                 # a line of them
    char *ones                  # as many as the widest layer has outputs
    char *whitening             # matrix (n_inputs, n_inputs) in panels, then zeros for its columns; NULL: none
    char *whitened              # of each thread: a block of inputs before that product
    ptrdiff_t whitening_bytes   # of the matrix
    char *row_losses
    char *scratch               # of each thread: one tile of gradients, or some panels of transposed weights
    ptrdiff_t input_block, input_stride, target_stride, target_bytes, scratch_bytes
    ptrdiff_t n_samples, batch_rows, block_rows
    fm_loss *loss               # NULL: the targets are the gradient of the scores
    CustomLoss *custom          # instead of both; NULL: none
    Visit *visit                # NULL: not needed, as each step or block is short
    fm_loss_options loss_options
    bint inference              # masks and statistics are those of a prediction
    bint has_batch_norm, has_add
    int lowest                  # layer whose input gradient is the last that is wanted; all below are frozen
    double row_scale
    bint share_panels
    fm_barrier *barrier         # of each thread
    double deadline             # of fm_clock
    ptrdiff_t steps_per_clock   # how many pass between two looks at it
    ptrdiff_t last_step         # of this call, once the deadline has passed
    bint shuffle
    uint64_t seed
    int64_t *index              # order of the samples in this epoch; NULL: as they are
    int64_t *subset             # the samples that there are; NULL: all of the data
    ptrdiff_t *right            # right predictions of each thread, COUNTER_SPACING apart


cdef inline char *at(char *base, ptrdiff_t elements, const Plan *p) noexcept nogil:
    return base + elements * p.k.itemsize_bytes

cdef inline char *layer_input(const Plan *p, int i, ptrdiff_t block, ptrdiff_t *stride) noexcept nogil:
    if i == 0:
        stride[0] = p.input_stride
        return at(p.inputs, block * p.input_block, p)
    stride[0] = p.layers[i - 1].stride
    return at(p.layers[i - 1].y, block * p.layers[i - 1].block, p)

cdef inline bint interrupted(const Plan *p, int thread) noexcept nogil:
    """Whether Ctrl-C ends what was begun: then nobody wants it any more, but all threads go on to meet at the same
    barriers."""
    return p.visit != NULL and is_over(p, thread)

cdef bint is_over(const Plan *p, int thread) noexcept nogil:
    if thread == 0 and fm_clock() > p.visit.next:
        fm_restore_subnormals(p.visit.mode)
        p.visit.call(p.visit.run)
        p.visit.mode = fm_flush_subnormals()
        p.visit.next = fm_clock() + p.visit.pause
    return fm_flag_get(&p.visit.over)

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
                   char *d, const Mode *mode) noexcept nogil:
    """Activation and dropout of one panel of outputs."""
    cdef fm_mask mask
    if not mode.derivative:
        d = NULL
    if layer.activation != NULL:
        layer.activation(rows * p.k.line, y, y, d, layer.alpha)
    if layer.mask.rate > 0 and mode.training:
        mask = layer.mask
        mask.step = mode.step
        p.k.dropout(rows, batch_row, panel * p.k.line, &mask, layer.activation == NULL, y, d)
    elif layer.activation == NULL and d != NULL:
        p.k.activation[0](rows * p.k.line, y, y, d, 0)  # identity: derivative 1

cdef void forward(const Plan *p, int i, ptrdiff_t block, ptrdiff_t first_row, ptrdiff_t rows, ptrdiff_t first,
                  ptrdiff_t last, const Mode *mode) noexcept nogil:
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
                      mode.training)
    if layer.kind == ADD:
        other = at(layer_input(p, layer.source + 1, block, &other_stride), first_row * line, p)
        for panel in range(first, last):
            p.k.add(rows * line, at(other, panel * other_stride, p), at(y, (panel - first) * layer.stride, p))
    if layer.has_derivative:
        for panel in range(first, last):
            activate(p, layer, batch_row, rows, panel, y, d, mode)
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

cdef inline ptrdiff_t input_panels(const Plan *p, int i) noexcept nogil:
    """Panels of the inputs of layer i."""
    return p.layers[i - 1].panels if i > 0 else (p.layers[0].n_in + p.k.line - 1) // p.k.line

cdef inline char *output_gradient(const Plan *p, int i) noexcept nogil:
    """dz of layer i; the last layer's lies in place of its scores."""
    return p.layers[i].y if i == p.n_layers - 1 else p.layers[i].dz

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

cdef fm_blocks panel_inputs(const Plan *p, int i, ptrdiff_t panel) noexcept nogil:
    """One panel of the inputs of layer i, of the whole batch."""
    cdef fm_blocks x
    x.base = layer_input(p, i, 0, &x.stride)
    x.base = at(<char *>x.base, panel * x.stride, p)
    x.block = p.input_block if i == 0 else p.layers[i - 1].block
    return x

cdef fm_blocks panel_gradients(const Plan *p, int i, ptrdiff_t panel) noexcept nogil:
    """One panel of dz of layer i, of the whole batch."""
    cdef fm_blocks dz
    dz.base = at(output_gradient(p, i), panel * p.layers[i].stride, p)
    dz.block, dz.stride = p.layers[i].block, p.layers[i].stride
    return dz

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

cdef inline void apply(const Plan *p, ptrdiff_t offset_bytes, ptrdiff_t n, const char *g,
                       const fm_hyper *hyper) noexcept nogil:
    """Update n parameters at offset_bytes by their gradients g."""
    cdef void *states[FM_MAX_STATES]
    cdef int s
    for s in range(p.n_states):
        states[s] = p.states[s] + offset_bytes
    p.update(n, g, p.params + offset_bytes, states, hyper)

cdef inline void take(const Plan *p, ptrdiff_t offset_bytes, ptrdiff_t n, char *g,
                      const fm_hyper *hyper) noexcept nogil:
    """The gradients g of n parameters at offset_bytes: applied, added to others, or left where they are for later."""
    cdef fm_hyper weight
    if p.deferred:
        if p.adds:
            if hyper.share != 1:  # the weight of this step among those of one update
                weight = hyper[0]
                weight.l1 = weight.l2 = weight.clip_value = 0
                p.k.prepare_gradient(n, p.params + offset_bytes, g, &weight)
            p.k.add(n, g, p.gradients + offset_bytes)
        return
    if p.prepares:
        p.k.prepare_gradient(n, p.params + offset_bytes, g, hyper)
    apply(p, offset_bytes, n, g, hyper)

cdef inline const fm_hyper *hyper_of_array(const Plan *p, const Layer *layer, bint is_bias, const fm_hyper *hyper,
                                           fm_hyper *own) noexcept nogil:
    """Constants of the update of a layer's weights or biases: hyper itself, or own."""
    cdef bint is_bias_like = is_bias or layer.kind != DENSE
    if not p.by_array:
        return hyper
    own[0] = hyper[0]
    own.rate *= layer.rate
    if is_bias_like and not p.decay_biases:
        own.l2 = own.weight_decay = 0
    if p.penalised and not is_bias_like:
        own.l1 += layer.l1
        own.l2 += 2 * layer.l2
    return own

cdef enum:
    PENALTY, MEASURE, APPLY

cdef void over_chunks(const Plan *p, int what, const fm_hyper *hyper, int thread, int n_threads) noexcept nogil:
    """This thread's share of all parameters, in chunks that depend on nothing but sizes. PENALTY: of each chunk into
    chunk_sums. MEASURE: prepare the gradients, and their squares into chunk_sums. APPLY: update."""
    cdef const Layer *layer
    cdef const fm_hyper *h
    cdef fm_hyper own
    cdef ptrdiff_t first = 0, chunk, n_chunks, lines, offset, n, line = p.k.line
    cdef int i, is_bias
    for i in range(p.n_layers):
        layer = &p.layers[i]
        for is_bias in range(2):
            lines = (layer.panels if layer.use_bias else 0) if is_bias else layer.panels * layer.lines
            n_chunks = (lines + CHUNK_LINES - 1) // CHUNK_LINES
            h = hyper_of_array(p, layer, is_bias, hyper, &own)
            for chunk in range(part(n_chunks, n_threads, thread), part(n_chunks, n_threads, thread + 1)):
                offset = (layer.b if is_bias else layer.w) + chunk * CHUNK_LINES * 64
                n = min(<ptrdiff_t>CHUNK_LINES, lines - chunk * CHUNK_LINES) * line
                if what != APPLY:
                    p.chunk_sums[first + chunk] = 0
                if layer.frozen:
                    if what == APPLY and p.adds:
                        memset(p.gradients + offset, 0, n * p.k.itemsize_bytes)
                    continue
                if what == PENALTY:
                    if not is_bias and (layer.l1 > 0 or layer.l2 > 0):
                        p.chunk_sums[first + chunk] = p.k.penalty(n, p.params + offset, layer.l1, 2 * layer.l2)
                elif what == APPLY:
                    apply(p, offset, n, p.gradients + offset, h)
                    if p.adds:
                        memset(p.gradients + offset, 0, n * p.k.itemsize_bytes)
                else:
                    if p.prepares or h.share != 1:
                        p.k.prepare_gradient(n, p.params + offset, p.gradients + offset, h)
                    if p.clip_norm > 0:
                        p.chunk_sums[first + chunk] = p.k.penalty(n, p.gradients + offset, 0, 2)
            first += n_chunks

cdef double sum_of_chunks(const Plan *p) noexcept nogil:
    """In their order, the same for every number of threads."""
    cdef double found = 0
    cdef ptrdiff_t chunk
    for chunk in range(p.n_chunks):
        found += p.chunk_sums[chunk]
    return found

cdef void finish_update(const Plan *p, const fm_hyper *hyper, bint due, bint first, int thread,
                        int n_threads) noexcept nogil:
    """What has to wait for all gradients or for all updates. due: this step ends with an update; first: none came
    before."""
    cdef const Layer *layer
    cdef fm_hyper own
    cdef double norm
    cdef ptrdiff_t panel, offset, begin, end
    cdef int i
    if not due:
        return
    if p.deferred:
        fm_barrier_wait(p.barrier, thread, n_threads)
        over_chunks(p, MEASURE, hyper, thread, n_threads)
        fm_barrier_wait(p.barrier, thread, n_threads)
        own = hyper[0]
        if p.clip_norm > 0:
            norm = sqrt(sum_of_chunks(p))
            if norm > p.clip_norm:
                own.gradient_scale = p.clip_norm / norm
        over_chunks(p, APPLY, &own, thread, n_threads)
    if not p.has_max_norm and p.average == NULL:
        return
    fm_barrier_wait(p.barrier, thread, n_threads)
    for i in range(p.n_layers):
        layer = &p.layers[i]
        if layer.frozen or layer.lines == 0:
            continue
        begin, end = part(layer.panels, n_threads, thread), part(layer.panels, n_threads, thread + 1)
        offset = layer.w + begin * layer.lines * 64
        if layer.max_norm > 0:
            p.k.max_norm(layer.lines, end - begin, layer.max_norm, p.params + offset)
        if p.average != NULL:
            follow_average(p, offset, (end - begin) * layer.lines, first)
            if layer.use_bias:
                follow_average(p, layer.b + begin * 64, end - begin, first)

cdef void follow_average(const Plan *p, ptrdiff_t offset_bytes, ptrdiff_t lines, bint first) noexcept nogil:
    """The moving average of some lines of parameters; after the first update it is these."""
    p.k.running_average(lines * p.k.line, 0 if first else p.average_momentum, p.params + offset_bytes,
                        p.average + offset_bytes)

cdef fm_ahead what_apply_reads(const Plan *p, ptrdiff_t offset_bytes) noexcept nogil:
    """The parameters at offset_bytes and their states; nothing where there is no update."""
    cdef fm_ahead found
    cdef int s
    memset(&found, 0, sizeof(fm_ahead))
    if p.update != NULL and not p.deferred:
        found.base[0], found.n = p.params + offset_bytes, 1 + p.n_states
        for s in range(p.n_states):
            found.base[1 + s] = p.states[s] + offset_bytes
    return found

cdef void weight_tiles(const Plan *p, int i, ptrdiff_t rows, const fm_hyper *hyper, int thread,
                       int n_threads) noexcept nogil:
    """This thread's share of the tiles of layer i: gradient over the whole batch, update."""
    cdef const Layer *layer = &p.layers[i]
    cdef ptrdiff_t line = p.k.line, panel_elements = layer.n_in * line, bytes_per_line = line * p.k.itemsize_bytes
    cdef ptrdiff_t n_groups = (layer.panels + p.k.group - 1) // p.k.group
    cdef ptrdiff_t n_tiles = (layer.n_in + TILE_LINES - 1) // TILE_LINES, n_items = n_groups * n_tiles
    cdef ptrdiff_t item, group, first, last, first_in, n_in, panel, dw_stride, offset
    cdef char *scratch = p.scratch + thread * p.scratch_bytes
    cdef char *dw
    cdef fm_blocks x, dz
    cdef fm_ahead ahead
    cdef fm_hyper own, own_of_bias
    cdef const fm_hyper *hyper_of_bias = hyper_of_array(p, layer, True, hyper, &own_of_bias)
    hyper = hyper_of_array(p, layer, False, hyper, &own)
    if layer.frozen and p.update != NULL:
        return
    x = panel_inputs(p, i, 0)
    for item in range(part(n_items, n_threads, thread), part(n_items, n_threads, thread + 1)):
        if p.update == NULL and not p.has_batch_norm and interrupted(p, thread):
            return
        group = item // n_tiles
        first, last = part(layer.panels, n_groups, group), part(layer.panels, n_groups, group + 1)
        first_in = item % n_tiles * TILE_LINES
        n_in = min(<ptrdiff_t>TILE_LINES, layer.n_in - first_in)
        dz = panel_gradients(p, i, first)
        offset = layer.w + (first * layer.n_in + first_in) * bytes_per_line
        dw, dw_stride = scratch, TILE_LINES * line
        if p.gradients != NULL and not p.adds:
            dw, dw_stride = p.gradients + offset, panel_elements
        ahead = what_apply_reads(p, offset)
        ahead.stride = panel_elements
        p.k.dense_weight_gradient(rows, p.block_rows, first_in, n_in, last - first, &x, &dz, dw, dw_stride, &ahead)
        if p.update != NULL:
            for panel in range(last - first):
                take(p, offset + panel * panel_elements * p.k.itemsize_bytes, n_in * line,
                     at(dw, panel * dw_stride, p), hyper)
        if first_in == 0 and layer.use_bias:
            offset = layer.b + first * bytes_per_line
            dw = scratch if p.gradients == NULL or p.adds else p.gradients + offset
            p.k.dense_bias_gradient(rows, p.block_rows, last - first, &dz, dw)
            if p.update != NULL:
                take(p, offset, (last - first) * line, dw, hyper_of_bias)

cdef void column_gradients(const Plan *p, int i, ptrdiff_t rows, const fm_hyper *hyper, bint follow, int thread,
                           int n_threads) noexcept nogil:
    """This thread's share of the panels of a layer with a line of weights in each: gradient over the batch, update;
    running statistics where they are to follow."""
    cdef const Layer *layer = &p.layers[i]
    cdef ptrdiff_t panel, line = p.k.line, next = layer.panels * 64
    cdef char *dw = p.scratch + thread * p.scratch_bytes
    cdef char *db
    cdef fm_blocks x, dz
    cdef fm_hyper own
    hyper = hyper_of_array(p, layer, True, hyper, &own)
    if layer.lines == 0:
        return
    for panel in range(part(layer.panels, n_threads, thread), part(layer.panels, n_threads, thread + 1)):
        x, dz = panel_inputs(p, i, panel), panel_gradients(p, i, panel)
        db = dw + 64
        if layer.kind == LAYER_NORM:
            p.k.layer_norm_weight_gradient(rows, p.block_rows, &dz, &x, layer.statistics,
                                           layer.statistics + layer.statistics_bytes, dw, db)
        elif layer.kind == PRELU:
            p.k.prelu_weight_gradient(rows, p.block_rows, &dz, &x, dw)
        else:
            dw = layer.statistics + panel * 64 + 2 * next
            db = dw + next
            if follow and not p.inference and not layer.frozen and (p.update != NULL or p.gradients != NULL):
                p.k.running_average(line, layer.momentum, layer.statistics + panel * 64,
                                    p.running + layer.running + panel * 64)
                p.k.running_average(line, layer.momentum, layer.statistics + next + panel * 64,
                                    p.running + layer.running + next + panel * 64)
        if p.gradients != NULL and not p.adds:
            memcpy(p.gradients + layer.w + panel * 64, dw, 64)
            if layer.use_bias:
                memcpy(p.gradients + layer.b + panel * 64, db, 64)
        if p.update != NULL and not layer.frozen:
            take(p, layer.w + panel * 64, line, dw, hyper)
            if layer.use_bias:
                take(p, layer.b + panel * 64, line, db, hyper)

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

cdef ptrdiff_t phase_1_by_rows(const Plan *p, ptrdiff_t first_row, ptrdiff_t rows, const Mode *mode, int thread,
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
                forward(p, i, block, 0, n, 0, p.layers[i].panels, mode)
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

cdef ptrdiff_t phase_1_by_panels(const Plan *p, ptrdiff_t first_row, ptrdiff_t rows, const Mode *mode, int thread,
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
            forward(p, i, 0, first, n, 0, panels, mode)
        else:
            if p.layers[i].kind == BATCH_NORM:
                batch_statistics(p, i, rows, begin, end)
            forward(p, i, 0, 0, rows, begin, end, mode)
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

cdef struct Progress:           # where training stands; every thread advances its own copy
    ptrdiff_t begun             # steps of this call
    ptrdiff_t step              # since the first fit
    ptrdiff_t updates           # as many, unless gradients are accumulated
    ptrdiff_t pending           # steps whose gradients were added up since the last update
    double unit, weight         # rows of such a step that weighs 1, 0: every step does; their weights together
    ptrdiff_t epoch             # stream of the shuffle
    ptrdiff_t batch             # next batch of this epoch
    double momentum_power       # beta_1^updates and beta_2^updates by repeated multiplication: libm's pow differs
    double beta_2_power         # between machines
    double schedule_power       # 0.96^updates, and the product of the momentums of Nadam's schedule
    double schedule_product

cdef double weigh(Progress *now, ptrdiff_t rows) noexcept nogil:
    """The weight of the next step's gradients in the mean of those of one update: by their rows, so that it is a mean
    over all rows; 1 where nobody knows how many there are, rows 0."""
    cdef double weight
    if now.pending == 0:
        now.unit, now.weight = rows, 0
    weight = rows / now.unit if rows > 0 and now.unit > 0 else 1
    now.weight += weight
    return weight

cdef fm_hyper hyper_of_step(const Plan *p, Progress *now, double rate) noexcept nogil:
    """Advance to the next update, whose last step has been weighed, and give its constants."""
    cdef fm_hyper hyper = p.hyper
    cdef double momentum, next_momentum
    now.updates += 1
    hyper.rate = rate
    hyper.correction_1 = hyper.correction_2 = hyper.gradient_scale = 1
    hyper.share = 1 / now.weight
    now.pending = 0
    if p.bias_correction:
        now.momentum_power *= hyper.momentum
        now.beta_2_power *= hyper.beta_2
        hyper.correction_1 = 1 / (1 - now.momentum_power)
        hyper.correction_2 = 1 / sqrt(1 - now.beta_2_power)
    if p.momentum_schedule:  # u_t = beta_1 (1 - 0.96^t / 2)
        now.schedule_power *= 0.96
        now.beta_2_power *= hyper.beta_2
        momentum = hyper.momentum * (1 - 0.5 * now.schedule_power)
        next_momentum = hyper.momentum * (1 - 0.5 * now.schedule_power * 0.96)
        now.schedule_product *= momentum
        hyper.correction_1 = next_momentum / (1 - now.schedule_product * next_momentum)
        hyper.correction_2 = 1 / sqrt(1 - now.beta_2_power)
        hyper.correction_g = (1 - momentum) / (1 - now.schedule_product)
    return hyper

cdef Progress run_steps(Plan *p, Progress at_start, ptrdiff_t n_steps, const double *rates, double *step_losses,
                        ptrdiff_t *step_right, int thread, int n_threads) noexcept nogil:
    """n_steps training steps as thread `thread` of a team; returns where training then stands.

    Ends before the update of a step whose loss is not finite, and after the step in which the deadline passes.
    """
    cdef Progress now = at_start, ahead
    cdef fm_hyper hyper = p.hyper, of_tiles
    cdef ptrdiff_t step, first_row, rows, right, n_batches = (p.n_samples + p.batch_rows - 1) // p.batch_rows
    cdef unsigned long long mode = fm_flush_subnormals()
    cdef double mean_loss, weight
    cdef bint is_last, due = True, follow
    cdef int i
    cdef Mode how
    how.derivative, how.training = True, not p.inference
    if thread == 0 and p.custom != NULL:
        p.custom.mode = mode
    if thread == 0 and p.visit != NULL:
        p.visit.mode = mode
    now.begun = 0
    for step in range(n_steps):
        if now.batch == 0 and p.shuffle:
            if thread == 0:
                fm_shuffle(p.n_samples, p.seed, now.epoch, p.index)
                if p.subset != NULL:
                    for first_row in range(p.n_samples):
                        p.index[first_row] = p.subset[p.index[first_row]]
            fm_barrier_wait(p.barrier, thread, n_threads)
        first_row = now.batch * p.batch_rows
        rows = min(p.batch_rows, p.n_samples - first_row)
        ahead = now
        ahead.batch += 1
        if ahead.batch == n_batches:
            ahead.batch = 0
            ahead.epoch += 1
        how.step = <uint64_t>now.step
        ahead.step += 1
        due = now.pending + 1 >= p.accumulation
        weight = weigh(&ahead, rows)
        if due:
            hyper = hyper_of_step(p, &ahead, rates[step])
        else:
            ahead.pending += 1
        of_tiles = hyper
        if p.adds:
            of_tiles.share = weight
        if p.has_penalty:
            over_chunks(p, PENALTY, &p.hyper, thread, n_threads)
        if p.share_panels and n_threads > 1:
            right = phase_1_by_panels(p, first_row, rows, &how, thread, n_threads)
        else:
            right = phase_1_by_rows(p, first_row, rows, &how, thread, n_threads)
        p.right[thread * COUNTER_SPACING] = right
        if thread == 0 and step % p.steps_per_clock == 0 and fm_clock() > p.deadline:
            p.last_step = step
        if thread == 0 and p.visit != NULL:
            p.visit.stop = fm_flag_get(&p.visit.over)
        fm_barrier_wait(p.barrier, thread, n_threads)
        is_last = p.last_step == step  # read between two barriers, so that all threads read the same
        if p.visit != NULL and p.visit.stop:
            break
        mean_loss = p.k.sum(rows, p.row_losses) / rows if p.custom == NULL else p.custom.loss
        if p.has_penalty:
            mean_loss += sum_of_chunks(p)
        if thread == 0:
            step_losses[step] = mean_loss
            step_right[step] = 0
            for i in range(n_threads):
                step_right[step] += p.right[i * COUNTER_SPACING]
        now.begun = ahead.begun = step + 1
        if (p.update != NULL and not isfinite(mean_loss)) or (p.custom != NULL and p.custom.failed):
            break
        follow = isfinite(mean_loss) and rows > 1  # one row has no variance
        for i in range(p.n_layers):
            if p.layers[i].kind == DENSE:
                weight_tiles(p, i, rows, &of_tiles, thread, n_threads)
            else:
                column_gradients(p, i, rows, &of_tiles, follow, thread, n_threads)
        if p.update != NULL and (p.deferred or p.has_max_norm or p.average != NULL):
            finish_update(p, &hyper, due, now.updates == 0, thread, n_threads)
        now = ahead
        fm_barrier_wait(p.barrier, thread, n_threads)
        if is_last:
            break
    fm_restore_subnormals(mode)
    return now


cdef void run_as_member(Plan *p, Progress now, ptrdiff_t n_steps, const double *rates, double *losses,
                        ptrdiff_t *right, Progress *result) noexcept nogil:
    """As thread threadid() of the team that the parallel region really got."""
    cdef int thread = threadid()
    cdef Progress after = run_steps(p, now, n_steps, rates, losses, right, thread, fm_team_size())
    if thread == 0:
        result[0] = after


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
    cdef Mode how
    memset(&how, 0, sizeof(Mode))
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
