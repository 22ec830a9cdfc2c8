# The plan of a training step and its two phases: C structs and nogil functions, included by _engine.pyx.
#
# `Plan` says what there is to do and where the buffers are; `run_steps` does it, in each thread of one parallel region
# for a whole chunk of steps. Offsets and strides are in elements unless their name says bytes.

cdef inline ptrdiff_t part(ptrdiff_t total, ptrdiff_t parts, ptrdiff_t i) noexcept nogil:
    """Start of part i where total is cut into equal parts."""
    return total * i // parts


# ---- the plan of a step ----

cdef struct Layer:
    ptrdiff_t n_in, n_out
    ptrdiff_t panels            # of the outputs
    fm_activation *activation   # NULL: identity
    double alpha
    bint use_bias
    ptrdiff_t w, b              # bytes from the start of the parameters, and of each optimizer state
    char *y                     # outputs, then in the last layer the gradient of the scores
    char *dz                    # derivative of the activation, then the gradient of its input
    ptrdiff_t block, stride     # elements between blocks, and between the panels of a block, of y and dz

cdef struct Source:             # rows of a user's array
    const char *data
    ptrdiff_t n, row_bytes, column_bytes
    fm_gather *gather           # NULL: int32 labels

cdef struct Plan:
    const fm_kernels *k
    Layer *layers
    int n_layers
    char *params
    ptrdiff_t n_bytes           # of the parameters
    char *m                     # optimizer states in the layout of the parameters; NULL where there are none
    char *v
    char *gradients             # NULL: each tile is applied by `update` and forgotten
    fm_update *update           # NULL: gradients only
    fm_hyper hyper
    bint bias_correction
    Source x, targets
    char *inputs                # gathered rows, and targets
    char *target_block
    char *row_losses
    char *scratch               # of each thread: one tile of gradients, or some panels of transposed weights
    ptrdiff_t input_block, input_stride, target_stride, target_bytes, scratch_bytes
    ptrdiff_t n_samples, batch_rows, block_rows
    fm_loss *loss
    double row_scale
    bint share_panels
    fm_barrier *barrier         # of each thread
    double deadline             # of fm_clock
    ptrdiff_t steps_per_clock   # how many pass between two looks at it
    ptrdiff_t last_step         # of this call, once the deadline has passed
    bint shuffle
    uint64_t seed
    int64_t *index              # order of the samples in this epoch; NULL: as they are
    ptrdiff_t *right            # right predictions of each thread, COUNTER_SPACING apart


cdef inline char *at(char *base, ptrdiff_t elements, const Plan *p) noexcept nogil:
    return base + elements * p.k.itemsize_bytes

cdef inline char *layer_input(const Plan *p, int i, ptrdiff_t block, ptrdiff_t *stride) noexcept nogil:
    if i == 0:
        stride[0] = p.input_stride
        return at(p.inputs, block * p.input_block, p)
    stride[0] = p.layers[i - 1].stride
    return at(p.layers[i - 1].y, block * p.layers[i - 1].block, p)

cdef void gather(const Plan *p, const Source *source, ptrdiff_t first, ptrdiff_t rows, char *to,
                 ptrdiff_t stride) noexcept nogil:
    """Rows `first` ... of the epoch's order into panels, or labels into a vector."""
    cdef const char *data = source.data
    cdef const int64_t *index = NULL
    cdef ptrdiff_t r
    if p.index != NULL:
        index = p.index + first
    else:
        data = data + first * source.row_bytes
    if source.gather != NULL:
        source.gather(rows, source.n, data, source.row_bytes, source.column_bytes, index, NULL, NULL, to, stride)
    else:
        for r in range(rows):
            (<int32_t *>to)[r] = (<const int32_t *>(data + (index[r] if index != NULL else r) * source.row_bytes))[0]

cdef void forward(const Plan *p, int i, ptrdiff_t block, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t last,
                  bint derivative) noexcept nogil:
    """Panels first ... last-1 of layer i for one block of rows."""
    cdef const Layer *layer = &p.layers[i]
    cdef ptrdiff_t x_stride, line = p.k.line, panel
    cdef char *x = layer_input(p, i, block, &x_stride)
    cdef char *y = at(layer.y, block * layer.block + first * layer.stride, p)
    cdef char *d = at(layer.dz, block * layer.block + first * layer.stride, p)
    if last <= first:
        return
    p.k.dense_forward(rows, layer.n_in, last - first, x, x_stride,
                      at(p.params + layer.w, first * layer.n_in * line, p), at(p.params + layer.b, first * line, p),
                      y, layer.stride)
    if layer.activation != NULL:
        for panel in range(last - first):
            layer.activation(rows * line, y, y, d if derivative else NULL, layer.alpha)
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
    right = p.loss(rows, layer.n_out, y, layer.stride, targets, p.target_stride, p.row_scale, gradient_scale,
                   at(p.row_losses, at_row, p), y if gradient else NULL)
    if gradient and layer.activation != NULL:
        for panel in range(layer.panels):
            p.k.multiply(rows * line, at(d, panel * layer.stride, p), at(y, panel * layer.stride, p))
    return right

cdef inline char *output_gradient(const Plan *p, int i) noexcept nogil:
    """dz of layer i; the last layer's lies in place of its scores."""
    return p.layers[i].y if i == p.n_layers - 1 else p.layers[i].dz

cdef void input_gradient(const Plan *p, int i, ptrdiff_t block, ptrdiff_t rows, ptrdiff_t first,
                         ptrdiff_t last, int thread) noexcept nogil:
    """Panels first ... last-1 of dz of layer i - 1 from dz of layer i, by weights transposed some panels at a time."""
    cdef const Layer *layer = &p.layers[i]
    cdef const Layer *below = &p.layers[i - 1]
    cdef ptrdiff_t line = p.k.line, groups = (last - first + TRANSPOSED_PANELS - 1) // TRANSPOSED_PANELS
    cdef ptrdiff_t group, panel, end, columns
    cdef char *wt = p.scratch + thread * p.scratch_bytes
    for group in range(groups):
        panel, end = first + part(last - first, groups, group), first + part(last - first, groups, group + 1)
        columns = min(end * line, layer.n_in) - panel * line
        p.k.transpose(columns, layer.n_out, at(p.params + layer.w, panel * line * line, p), layer.n_in * line, wt)
        p.k.dense_input_gradient(rows, layer.n_out, end - panel, at(output_gradient(p, i), block * layer.block, p),
                                 layer.stride, wt, below.activation != NULL,
                                 at(below.dz, block * below.block + panel * below.stride, p), below.stride)

cdef void apply(const Plan *p, ptrdiff_t offset_bytes, ptrdiff_t n, const char *g,
                const fm_hyper *hyper) noexcept nogil:
    """Update n parameters at offset_bytes by their gradients g."""
    p.update(n, g, p.params + offset_bytes, p.m + offset_bytes if p.m != NULL else NULL,
             p.v + offset_bytes if p.v != NULL else NULL, hyper)

cdef fm_ahead what_apply_reads(const Plan *p, ptrdiff_t offset_bytes) noexcept nogil:
    """The parameters at offset_bytes and their states; nothing where there is no update."""
    cdef fm_ahead found
    memset(&found, 0, sizeof(fm_ahead))
    if p.update != NULL:
        found.base[0], found.n = p.params + offset_bytes, 1
    if p.update != NULL and p.m != NULL:
        found.base[found.n] = p.m + offset_bytes
        found.n += 1
    if p.update != NULL and p.v != NULL:
        found.base[found.n] = p.v + offset_bytes
        found.n += 1
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
    x.base = layer_input(p, i, 0, &x.stride)
    x.block = p.input_block if i == 0 else p.layers[i - 1].block
    dz.block, dz.stride = layer.block, layer.stride
    for item in range(part(n_items, n_threads, thread), part(n_items, n_threads, thread + 1)):
        group = item // n_tiles
        first, last = part(layer.panels, n_groups, group), part(layer.panels, n_groups, group + 1)
        first_in = item % n_tiles * TILE_LINES
        n_in = min(<ptrdiff_t>TILE_LINES, layer.n_in - first_in)
        dz.base = at(output_gradient(p, i), first * layer.stride, p)
        offset = layer.w + (first * layer.n_in + first_in) * bytes_per_line
        dw, dw_stride = scratch, TILE_LINES * line
        if p.gradients != NULL:
            dw, dw_stride = p.gradients + offset, panel_elements
        ahead = what_apply_reads(p, offset)
        ahead.stride = panel_elements
        p.k.dense_weight_gradient(rows, p.block_rows, first_in, n_in, last - first, &x, &dz, dw, dw_stride, &ahead)
        if p.update != NULL:
            for panel in range(last - first):
                apply(p, offset + panel * panel_elements * p.k.itemsize_bytes, n_in * line,
                      at(dw, panel * dw_stride, p), hyper)
        if first_in == 0 and layer.use_bias:
            offset = layer.b + first * bytes_per_line
            dw = scratch if p.gradients == NULL else p.gradients + offset
            p.k.dense_bias_gradient(rows, p.block_rows, last - first, &dz, dw)
            if p.update != NULL:
                apply(p, offset, (last - first) * line, dw, hyper)

cdef ptrdiff_t phase_1_by_rows(const Plan *p, ptrdiff_t first_row, ptrdiff_t rows, int thread,
                               int n_threads) noexcept nogil:
    """Whole blocks of rows, from the gather to the input gradients, with no barrier."""
    cdef ptrdiff_t n_blocks = (rows + p.block_rows - 1) // p.block_rows, block, n, right = 0
    cdef double gradient_scale = p.row_scale / rows
    cdef int i
    for block in range(part(n_blocks, n_threads, thread), part(n_blocks, n_threads, thread + 1)):
        n = min(p.block_rows, rows - block * p.block_rows)
        gather(p, &p.x, first_row + block * p.block_rows, n, at(p.inputs, block * p.input_block, p), p.input_stride)
        gather(p, &p.targets, first_row + block * p.block_rows, n, p.target_block + block * p.target_bytes,
               p.target_stride)
        for i in range(p.n_layers):
            forward(p, i, block, n, 0, p.layers[i].panels, True)
        right += loss(p, block, 0, n, gradient_scale, True)
        for i in range(p.n_layers - 1, 0, -1):
            input_gradient(p, i, block, n, 0, p.layers[i - 1].panels, thread)
    return right

cdef ptrdiff_t phase_1_by_panels(const Plan *p, ptrdiff_t first_row, ptrdiff_t rows, int thread,
                                 int n_threads) noexcept nogil:
    """One block of few rows: each layer is shared by panels, so that a core streams only its part of the weights."""
    cdef ptrdiff_t first = part(rows, n_threads, thread), n = part(rows, n_threads, thread + 1) - first, right
    cdef ptrdiff_t line = p.k.line, panels
    cdef int i
    gather(p, &p.x, first_row + first, n, at(p.inputs, first * line, p), p.input_stride)
    gather(p, &p.targets, first_row + first, n,
           at(p.target_block, first * line, p) if p.targets.gather != NULL
           else p.target_block + first * sizeof(int32_t), p.target_stride)
    fm_barrier_wait(p.barrier, thread, n_threads)
    for i in range(p.n_layers):
        panels = p.layers[i].panels
        forward(p, i, 0, rows, part(panels, n_threads, thread), part(panels, n_threads, thread + 1), True)
        fm_barrier_wait(p.barrier, thread, n_threads)
    right = loss(p, 0, first, n, p.row_scale / rows, True)
    fm_barrier_wait(p.barrier, thread, n_threads)
    for i in range(p.n_layers - 1, 0, -1):
        panels = p.layers[i - 1].panels
        input_gradient(p, i, 0, rows, part(panels, n_threads, thread), part(panels, n_threads, thread + 1), thread)
        if i > 1:
            fm_barrier_wait(p.barrier, thread, n_threads)
    return right

cdef struct Progress:           # where training stands; every thread advances its own copy
    ptrdiff_t begun             # steps of this call
    ptrdiff_t step              # since the first fit
    ptrdiff_t epoch             # stream of the shuffle
    ptrdiff_t batch             # next batch of this epoch
    double momentum_power       # beta_1^step and beta_2^step by repeated multiplication: libm's pow differs between
    double beta_2_power         # machines

cdef fm_hyper hyper_of_step(const Plan *p, Progress *now, double rate) noexcept nogil:
    """Advance to the next update and give its constants."""
    cdef fm_hyper hyper = p.hyper
    now.step += 1
    hyper.rate = rate
    hyper.correction_1 = hyper.correction_2 = 1
    if p.bias_correction:
        now.momentum_power *= hyper.momentum
        now.beta_2_power *= hyper.beta_2
        hyper.correction_1 = 1 / (1 - now.momentum_power)
        hyper.correction_2 = 1 / sqrt(1 - now.beta_2_power)
    return hyper

cdef Progress run_steps(Plan *p, Progress at_start, ptrdiff_t n_steps, const double *rates, double *step_losses,
                        ptrdiff_t *step_right, int thread, int n_threads) noexcept nogil:
    """n_steps training steps as thread `thread` of a team; returns where training then stands.

    Ends before the update of a step whose loss is not finite, and after the step in which the deadline passes.
    """
    cdef Progress now = at_start, ahead
    cdef fm_hyper hyper
    cdef ptrdiff_t step, first_row, rows, right, n_batches = (p.n_samples + p.batch_rows - 1) // p.batch_rows
    cdef unsigned long long mode = fm_flush_subnormals()
    cdef double mean_loss
    cdef bint is_last
    cdef int i
    now.begun = 0
    for step in range(n_steps):
        if now.batch == 0 and p.shuffle:
            if thread == 0:
                fm_shuffle(p.n_samples, p.seed, now.epoch, p.index)
            fm_barrier_wait(p.barrier, thread, n_threads)
        first_row = now.batch * p.batch_rows
        rows = min(p.batch_rows, p.n_samples - first_row)
        ahead = now
        ahead.batch += 1
        if ahead.batch == n_batches:
            ahead.batch = 0
            ahead.epoch += 1
        hyper = hyper_of_step(p, &ahead, rates[step])
        if p.share_panels and n_threads > 1:
            right = phase_1_by_panels(p, first_row, rows, thread, n_threads)
        else:
            right = phase_1_by_rows(p, first_row, rows, thread, n_threads)
        p.right[thread * COUNTER_SPACING] = right
        if thread == 0 and step % p.steps_per_clock == 0 and fm_clock() > p.deadline:
            p.last_step = step
        fm_barrier_wait(p.barrier, thread, n_threads)
        is_last = p.last_step == step  # read between two barriers, so that all threads read the same
        mean_loss = p.k.sum(rows, p.row_losses) / rows
        if thread == 0:
            step_losses[step] = mean_loss
            step_right[step] = 0
            for i in range(n_threads):
                step_right[step] += p.right[i * COUNTER_SPACING]
        now.begun = ahead.begun = step + 1
        if p.update != NULL and not isfinite(mean_loss):
            break
        for i in range(p.n_layers):
            weight_tiles(p, i, rows, &hyper, thread, n_threads)
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


cdef void infer_blocks(const Plan *p, ptrdiff_t first_block, ptrdiff_t last_block, char *out, bint softmax,
                       fm_activation *link, double *losses, ptrdiff_t *right, int thread, int n_threads) noexcept nogil:
    """This thread's share of blocks first_block ... last_block-1, in its own buffers: forward, then either the loss,
    or the link and the scatter."""
    cdef const Layer *layer = &p.layers[p.n_layers - 1]
    cdef ptrdiff_t n_blocks = last_block - first_block, block, first, rows, panel
    cdef unsigned long long mode = fm_flush_subnormals()
    cdef char *y = at(layer.y, thread * layer.block, p)
    cdef int i
    for block in range(first_block + part(n_blocks, n_threads, thread),
                       first_block + part(n_blocks, n_threads, thread + 1)):
        first = block * p.block_rows
        rows = min(p.block_rows, p.n_samples - first)
        gather(p, &p.x, first, rows, at(p.inputs, thread * p.input_block, p), p.input_stride)
        for i in range(p.n_layers):
            forward(p, i, thread, rows, 0, p.layers[i].panels, False)
        if losses != NULL:
            gather(p, &p.targets, first, rows, p.target_block + thread * p.target_bytes, p.target_stride)
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
