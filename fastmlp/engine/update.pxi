# Gradients of weights over the whole batch, and the update of the parameters by them.

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
