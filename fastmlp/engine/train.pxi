# Training: where it stands, and the steps of one chunk.

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

cdef void shuffle_epoch(const Plan *p, ptrdiff_t epoch) noexcept nogil:
    """The order of the samples in an epoch."""
    cdef ptrdiff_t i
    fm_shuffle(p.n_samples, p.seed, epoch, p.index)
    if p.subset != NULL:
        for i in range(p.n_samples):
            p.index[i] = p.subset[p.index[i]]

cdef inline double loss_of_step(const Plan *p, ptrdiff_t rows) noexcept nogil:
    """Mean over its rows, with the layers' penalties."""
    cdef double mean_loss = p.k.sum(rows, p.row_losses) / rows if p.custom == NULL else p.custom.loss
    if p.has_penalty:
        mean_loss += sum_of_chunks(p)
    return mean_loss

cdef inline ptrdiff_t right_of_step(const Plan *p, int n_threads) noexcept nogil:
    """Right predictions of all threads."""
    cdef ptrdiff_t found = 0
    cdef int i
    for i in range(n_threads):
        found += p.right[i * COUNTER_SPACING]
    return found

cdef Progress run_steps(Plan *p, Progress at_start, ptrdiff_t n_steps, const double *rates, double *step_losses,
                        ptrdiff_t *step_right, int thread, int n_threads) noexcept nogil:
    """n_steps training steps as thread `thread` of a team; returns where training then stands.

    Ends before the update of a step whose loss is not finite, and after the step in which the deadline passes.
    """
    cdef Progress now = at_start, ahead
    cdef fm_hyper hyper = p.hyper, of_tiles
    cdef ptrdiff_t step, first_row, rows, n_batches = (p.n_samples + p.batch_rows - 1) // p.batch_rows
    cdef unsigned long long mode = fm_flush_subnormals()
    cdef double mean_loss, weight
    cdef bint is_last, due = True, follow
    cdef How how
    how.derivative, how.training = True, not p.inference
    if thread == 0 and p.custom != NULL:
        p.custom.mode = mode
    if thread == 0 and p.visit != NULL:
        p.visit.mode = mode
    now.begun = 0
    for step in range(n_steps):
        if now.batch == 0 and p.shuffle:
            if thread == 0:
                shuffle_epoch(p, now.epoch)
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
        p.right[thread * COUNTER_SPACING] = phase_1(p, first_row, rows, &how, thread, n_threads)
        if thread == 0 and step % p.steps_per_clock == 0 and fm_clock() > p.deadline:
            p.last_step = step
        if thread == 0 and p.visit != NULL:
            p.visit.stop = fm_flag_get(&p.visit.over)
        fm_barrier_wait(p.barrier, thread, n_threads)
        is_last = p.last_step == step  # read between two barriers, so that all threads read the same
        if p.visit != NULL and p.visit.stop:
            break
        mean_loss = loss_of_step(p, rows)
        if thread == 0:
            step_losses[step], step_right[step] = mean_loss, right_of_step(p, n_threads)
        now.begun = ahead.begun = step + 1
        if (p.update != NULL and not isfinite(mean_loss)) or (p.custom != NULL and p.custom.failed):
            break
        follow = isfinite(mean_loss) and rows > 1  # one row has no variance
        phase_2(p, rows, &of_tiles, follow, thread, n_threads)
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
