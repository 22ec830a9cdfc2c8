# A pass over data, training, evaluation or prediction: included by _engine.pyx.

cdef void call_python_loss(void *run, ptrdiff_t first_row, ptrdiff_t rows) noexcept with gil:
    """What `CustomLoss.call` is; an error waits in the Run until the threads are back."""
    cdef Run caller = <Run>run
    cdef bint was_alone = fm_is_alone
    try:
        caller.call_function(first_row, rows)
    except BaseException as error:
        caller.error, caller.custom.failed = error, True
    end_a_child(was_alone)

cdef void look_at_signals(void *run) noexcept with gil:
    """What `Visit.call` is; an error waits in the Run until the threads are back."""
    cdef Run caller = <Run>run
    cdef bint was_alone = fm_is_alone
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        caller.error = error
        fm_flag_set(&caller.visit.over)
    end_a_child(was_alone)

cdef void end_a_child(bint was_alone) noexcept:
    """End this process if Python forked it within a parallel region: its other threads, which are not there, would be
    waited for without end."""
    if not fm_is_alone or was_alone:
        return
    try:
        os.write(2, b"fastmlp: a process that was forked within a loss function, or by a signal handler in the middle "
                    b"of a long step, cannot go on with it; end it there\n")
    finally:  # also where nobody hears it
        os._exit(1)


cdef class Run:
    """Buffers and plan for passes over data: training, evaluation or prediction.

    Parameters
    ----------
    network : Network
    batch_rows : int
        Rows of a training step; for evaluation and prediction any number, of which blocks are made.
    n_threads : int
        At most so many threads; what the work deserves unless exact_threads.
    training : bool
        Makes room for gradients.
    loss : str or callable, optional
        Name of the loss kernel; or ``loss(scores, targets)`` that gives the mean loss of the batch and its gradient,
        C-contiguous of the network's dtype. Without, the targets are the gradient of the scores.
    row_scale : float
        Factor of each row's loss.
    inference : bool
        `gradients` of the network as it predicts: without dropout, batches normalised by running statistics.
    options : dict, optional
        Constants of the loss, as `fastmlp.losses.Loss.options` gives them.
    derivatives : bool
        Makes room for derivatives of the network as it predicts, instead of training.
    """

    cdef readonly Network network
    cdef readonly ptrdiff_t batch_rows
    cdef readonly int n_threads
    cdef readonly bint training, exact_threads
    cdef public int most_threads  # of the next calls
    cdef public bint paced  # whether somebody chose these, or the work of the call counts
    cdef public double seconds_per_visit  # between two looks at Ctrl-C within a long step, or block of rows
    cdef Plan plan
    cdef Memory layer_memory, buffers, index_memory, barrier, gradient_memory, weight_memory
    cdef ptrdiff_t n_blocks
    cdef LossOptions loss_options
    cdef object x, targets, weights, subset
    cdef readonly object function  # a loss in Python
    cdef object error
    cdef CustomLoss custom
    cdef Visit visit
    cdef readonly int offered_threads  # of which n_threads are worth their barriers
    cdef readonly bint deserves_several
    cdef bint whitens, derivatives  # whether there is room for that

    def __init__(self, Network network, ptrdiff_t batch_rows, int n_threads, bint exact_threads=False,
                 bint training=False, loss=None, double row_scale=1, bint inference=False, dict options=None,
                 bint derivatives=False):
        cdef Plan *p = &self.plan
        cdef ptrdiff_t n_blocks
        cdef double work
        self.network, self.batch_rows, self.training = network, batch_rows, training
        self.exact_threads, self.offered_threads = exact_threads, n_threads
        self.seconds_per_visit = SECONDS_PER_VISIT
        if not exact_threads:
            work = network.work(batch_rows, training)
            self.deserves_several = work >= 2 * WORK_PER_THREAD
            n_threads = <int>min(<double>n_threads, work / WORK_PER_THREAD)
        self.n_threads = self.most_threads = max(1, min(n_threads, <int>MAX_THREADS)) if has_openmp else 1
        memset(p, 0, sizeof(Plan))
        p.batch_rows, p.row_scale, p.inference = batch_rows, row_scale, inference or derivatives
        self.loss_options = LossOptions(network.dtype, options or {})
        p.loss_options = self.loss_options.c
        if callable(loss):
            self.function, self.custom.call, self.custom.run = loss, call_python_loss, <void *>self
            p.custom = &self.custom
        elif loss is not None:
            p.loss = network.k.loss[position(losses, loss)]
        if training:
            p.share_panels = self.n_threads > 1 and batch_rows < MIN_ROWS_PER_THREAD * self.n_threads
            n_blocks = 1  # whatever the rows: phase_1_by_panels knows one block
            if not p.share_panels:
                n_blocks = self.n_threads
                n_blocks *= max(1, (batch_rows + n_blocks * BLOCK_ROWS - 1) // (n_blocks * BLOCK_ROWS))
            p.block_rows = (batch_rows + n_blocks - 1) // n_blocks
        else:  # one block of buffers for each thread, of a size that does not depend on the number of threads
            p.block_rows = min(batch_rows, <ptrdiff_t>BLOCK_ROWS)
            if derivatives and batch_rows >= 8 * BLOCK_ROWS:  # transposed weights serve more rows
                p.block_rows = 2 * BLOCK_ROWS
            n_blocks = self.n_threads
        self.allocate(n_blocks, derivatives)

    cdef void allocate(self, ptrdiff_t n_blocks, bint derivatives) except *:
        """All buffers of the pass in one allocation."""
        cdef Plan *p = &self.plan
        cdef Network network = self.network
        cdef ptrdiff_t line = network.k.line, item = network.k.itemsize_bytes, n_bytes, matrix_bytes
        # An odd number of lines between panels spreads them over the sets of the caches.
        cdef ptrdiff_t stride = (p.block_rows | 1) * line
        cdef int i, kind, matrices = 4 if derivatives else 2 if self.training else 1
        cdef ptrdiff_t widest = 0, whitened_bytes = 0
        self.n_blocks = n_blocks
        p.input_stride = p.target_stride = stride
        p.input_block = (network.n_inputs + line - 1) // line * stride
        p.target_bytes = (network.n_outputs + line - 1) // line * stride * item
        p.scratch_bytes = network.k.group * TILE_LINES * line * item
        for i in range(network.n_layers):
            widest = max(widest, network.layers[i].panels * line)
            if derivatives or (self.training and i > 0):
                p.scratch_bytes = max(p.scratch_bytes, TRANSPOSED_PANELS * network.layers[i].n_out * line * item)
        self.whitens, self.derivatives = network.whitening is not None, derivatives
        if self.whitens:
            whitened_bytes = self.n_threads * p.input_block * item
        n_bytes = n_blocks * ((1 + derivatives) * p.input_block * item + p.target_bytes + p.block_rows * item + 64)
        n_bytes += 64 + derivatives * widest * item + whitened_bytes
        n_bytes += self.n_threads * (p.scratch_bytes + COUNTER_SPACING * <ptrdiff_t>sizeof(ptrdiff_t))
        for i in range(network.n_layers):
            n_bytes += matrices * network.layers[i].panels * stride * item * n_blocks
            n_bytes += 4 * self.statistics_bytes(i, n_blocks)
        self.buffers = Memory(n_bytes)
        self.layer_memory = Memory(network.n_layers * sizeof(Layer))
        p.layers = <Layer *>self.layer_memory.data
        self.barrier = Memory(self.n_threads * sizeof(fm_barrier))
        p.barrier = <fm_barrier *>self.barrier.data

        cdef char *free = self.buffers.data
        p.zeros, p.ones = free, free + 64
        p.whitened = free + 64 + derivatives * widest * item
        p.inputs = p.whitened + whitened_bytes
        if derivatives:
            self.buffers.owner[64:64 + widest * item].view(network.dtype)[:] = 1
        p.target_block = p.inputs + n_blocks * p.input_block * item
        if derivatives:
            p.input_gradients = p.target_block
            p.target_block += n_blocks * p.input_block * item
        p.scratch = p.target_block + n_blocks * p.target_bytes
        free = p.scratch + self.n_threads * p.scratch_bytes
        for i in range(network.n_layers):
            p.layers[i] = network.layers[i]
            p.layers[i].stride, p.layers[i].block = stride, network.layers[i].panels * stride
            matrix_bytes = n_blocks * p.layers[i].block * item
            kind = network.layers[i].kind
            p.has_batch_norm, p.has_add = p.has_batch_norm or kind == BATCH_NORM, p.has_add or kind == ADD
            p.layers[i].statistics, p.layers[i].statistics_bytes = free, self.statistics_bytes(i, n_blocks)
            free += 4 * p.layers[i].statistics_bytes
            p.layers[i].y = free
            p.layers[i].dz = free + (matrices > 1) * matrix_bytes  # not used in inference, but never NULL
            p.layers[i].saved = free + (matrices > 2) * 2 * matrix_bytes
            p.layers[i].spare = free + (matrices > 2) * 3 * matrix_bytes
            free += matrices * matrix_bytes
        p.right = <ptrdiff_t *>free
        p.row_losses = free + self.n_threads * COUNTER_SPACING * <ptrdiff_t>sizeof(ptrdiff_t)

    cdef tuple bind_network(self):
        """The network as it is now, whose buffers the caller holds; it may whiten its inputs since the last time."""
        cdef tuple held = self.network.bind(&self.plan)
        while self.plan.whitening != NULL and not self.whitens:
            self.allocate(self.n_blocks, self.derivatives)
            held = self.network.bind(&self.plan)
        return held

    cdef ptrdiff_t statistics_bytes(self, int i, ptrdiff_t n_blocks):
        """Of each of the four statistics of a normalisation."""
        cdef Layer *layer = &self.network.layers[i]
        cdef ptrdiff_t rows_bytes = n_blocks * self.plan.block_rows * self.network.k.itemsize_bytes
        if layer.kind == LAYER_NORM:
            return (rows_bytes + 63) // 64 * 64
        return layer.panels * 64 if layer.kind == BATCH_NORM else 0

    def bind(self, cnp.ndarray x, cnp.ndarray targets=None, cnp.ndarray weights=None, cnp.ndarray subset=None):
        """The data of the calls that follow: x of shape (n, n_inputs); targets of shape (n, n_outputs), or int32
        labels of shape (n,); weights of the samples, of shape (n, 1). Of these the rows that subset, contiguous int64,
        names, or all."""
        self.x, self.targets, self.weights, self.subset = x, targets, weights, subset
        self.plan.n_samples = cnp.PyArray_DIM(x if subset is None else subset, 0)
        self.plan.subset = NULL if subset is None else <int64_t *>cnp.PyArray_DATA(subset)
        set_source(&self.plan.x, self.network.k, x)
        self.plan.targets.data = NULL
        if targets is not None and self.function is None:
            set_source(&self.plan.targets, self.network.k, targets)
        self.plan.weights.data = NULL
        if weights is not None:
            if self.weight_memory is None:
                self.weight_memory = Memory(self.n_blocks * self.plan.block_rows * 64)
                self.plan.weight_block = self.weight_memory.data
            set_source(&self.plan.weights, self.network.k, weights)

    @property
    def n_bytes(self):
        """Of all its buffers."""
        cdef Memory memory
        cdef ptrdiff_t found = 0
        for memory in (self.buffers, self.index_memory, self.gradient_memory, self.weight_memory):
            if memory is not None:
                found += memory.n_bytes
        return found

    def mapped(self):
        """The bound arrays behind which a map of a file may lie."""
        return mapped(self.x, self.targets, self.weights)

    def release(self):
        """Let go of the bound arrays."""
        self.x = self.targets = self.weights = self.subset = None

    def start_epoch(self):
        """Begin with the first batch: an epoch that was interrupted is over."""
        if self.network.progress.batch != 0:
            self.network.progress.batch = 0
            self.network.progress.epoch += 1

    def train(self, double[::1] rates, hyper, bint shuffle=False, uint64_t seed=0, int most_threads=MAX_THREADS,
              double seconds=INFINITY):
        """One training step for each rate, up to the one in which so many seconds have passed, or to the first whose
        loss is not finite: that one changes nothing. Nor does any with hyper None, which computes every gradient in
        vain.

        Returns (losses, right), float64 and int64, one entry for each step that was begun.
        """
        cdef Plan *p = &self.plan
        cdef ptrdiff_t n_steps = rates.shape[0]
        losses, right = np.empty(n_steps), np.empty(n_steps, np.intp)
        if n_steps == 0:
            return losses, right
        cdef double[::1] losses_view = losses
        cdef ptrdiff_t[::1] right_view = right
        self.network.begin_step()
        try:
            held = self.prepare(hyper)
            p.shuffle, p.seed = shuffle, seed
            if shuffle:
                if self.index_memory is None or self.index_memory.n_bytes != p.n_samples * <ptrdiff_t>sizeof(int64_t):
                    self.index_memory = Memory(p.n_samples * sizeof(int64_t))
                p.index = <int64_t *>self.index_memory.data
            p.deadline = fm_clock() + seconds
            self.network.progress = self.run(self.network.progress, n_steps, &rates[0], &losses_view[0], &right_view[0],
                                             most_threads)
        finally:
            self.network.in_step = False
        self.check()
        cdef ptrdiff_t begun = self.network.progress.begun
        return losses[:begun], right[:begun]

    def step(self, double rate, dict hyper):
        """The loss of one training step on all bound rows; not finite: nothing has changed."""
        cdef double loss = 0
        cdef ptrdiff_t right = 0
        self.network.begin_step()
        try:
            self.start_epoch()
            held = self.prepare(hyper)
            self.plan.shuffle = False
            self.network.progress = self.run(self.network.progress, 1, &rate, &loss, &right, MAX_THREADS)
        finally:
            self.network.in_step = False
        self.check()
        return loss

    cdef tuple prepare(self, dict hyper):
        """The plan of the steps to come, whose buffers the caller holds."""
        cdef Plan *p = &self.plan
        cdef tuple held = self.bind_network()
        p.index, p.deadline, p.last_step = p.subset, INFINITY, -1
        self.watch(self.network.work(self.batch_rows, True))
        p.steps_per_clock = max(1, <ptrdiff_t>(WORK_PER_CLOCK / self.network.work(self.batch_rows, True)))
        p.lowest = 1
        while hyper is not None and p.lowest < p.n_layers and (
                p.layers[p.lowest - 1].lines == 0 or p.layers[p.lowest - 1].frozen):
            p.lowest += 1
        if hyper is None:
            p.update, p.gradients, p.adds, p.deferred, p.accumulation = NULL, NULL, False, False, 1
            if p.inference and p.average != NULL:
                p.params = p.average
            return held
        return held, self.network.set_hyper(p, hyper)

    cdef void watch(self, double work) except *:
        """Have a step, or a block of rows, of so many multiply-adds look at Ctrl-C, if that is long and the one thread
        to which Python tells of it computes it."""
        self.plan.visit = NULL
        if work < WORK_PER_VISIT or threading.current_thread() is not threading.main_thread():
            return
        self.visit.call, self.visit.run, self.visit.over, self.visit.stop = look_at_signals, <void *>self, 0, False
        self.visit.pause, self.visit.next = self.seconds_per_visit, fm_clock() + self.seconds_per_visit
        self.plan.visit = &self.visit

    cdef int team(self, double work):
        """Threads of a call with so many multiply-adds."""
        if fm_is_alone or (work < WORK_PER_REGION and not self.exact_threads and not self.paced):
            return 1
        return self.most_threads

    cdef Progress run(self, Progress now, ptrdiff_t n_steps, const double *rates, double *losses, ptrdiff_t *right,
                      int most_threads) noexcept:
        cdef Plan *p = &self.plan
        cdef Progress after
        cdef int n_threads = min(most_threads, self.team(n_steps * self.network.work(self.batch_rows, True)))
        cdef Progress *result = &after
        cdef bint was_in_region
        with nogil:
            if n_threads == 1:
                after = run_steps(p, now, n_steps, rates, losses, right, 0, 1)
            else:
                memset(p.barrier, 0, n_threads * sizeof(fm_barrier))
                was_in_region = fm_enter_region()
                with parallel(num_threads=n_threads):
                    run_as_member(p, now, n_steps, rates, losses, right, result)
                fm_end_region(was_in_region, n_threads)
        return after

    cdef void check(self) except *:
        """Raise what a loss in Python raised, or the handler of a signal; the step in which it did has changed
        nothing."""
        error, self.error, self.custom.failed = self.error, None, False
        if error is not None:
            raise error

    cdef void call_function(self, ptrdiff_t first_row, ptrdiff_t rows) except *:
        """The loss in Python of some rows: scores of the last layer, blocks of panels, become their gradient."""
        cdef Plan *p = &self.plan
        cdef Layer *layer = &p.layers[p.n_layers - 1]
        cdef ptrdiff_t block, n, first, panel, n_out = layer.n_out, item = p.k.itemsize_bytes
        cdef cnp.ndarray scores = np.empty((rows, n_out), self.network.dtype), index, dscores
        cdef char *y
        cdef char *d
        for block in range((rows + p.block_rows - 1) // p.block_rows):
            first, n = block * p.block_rows, min(p.block_rows, rows - block * p.block_rows)
            p.k.scatter(n, n_out, at(layer.y, block * layer.block, p), layer.stride,
                        <char *>cnp.PyArray_DATA(scores) + first * n_out * item, n_out)
        if p.index == NULL:
            targets = self.targets[first_row:first_row + rows]
        else:
            index = np.empty(rows, np.int64)
            memcpy(cnp.PyArray_DATA(index), p.index + first_row, rows * sizeof(int64_t))
            targets = self.targets[index]
        self.custom.loss, dscores = self.function(scores, targets)
        for block in range((rows + p.block_rows - 1) // p.block_rows):
            first, n = block * p.block_rows, min(p.block_rows, rows - block * p.block_rows)
            y, d = at(layer.y, block * layer.block, p), at(layer.dz, block * layer.block, p)
            p.k.gather[gather_of(dscores)](n, n_out, <char *>cnp.PyArray_DATA(dscores) + first * n_out * item,
                                           n_out * item, item, NULL, NULL, NULL, y, layer.stride)
            for panel in range(layer.panels if layer.has_derivative else 0):
                p.k.multiply(n * p.k.line, at(d, panel * layer.stride, p), at(y, panel * layer.stride, p))

    def gradients(self):
        """Loss and gradients of all bound rows as one batch, the layers' penalties included: (loss, right, [(dW, db),
        ...])."""
        cdef Plan *p = &self.plan
        cdef double rate = 0, loss = 0
        cdef ptrdiff_t right = 0
        if self.gradient_memory is None:  # kept: all of it is written each time, but for what stays zero
            self.gradient_memory = Memory(self.network.n_bytes)
        cdef Memory memory = self.gradient_memory
        cdef Progress now = self.network.progress
        if not p.inference:  # which takes turns; the others may compute while another thread trains
            self.network.begin_step()
        try:
            held = self.prepare(None)
            now.batch = 0
            p.shuffle, p.gradients = False, memory.data
            p.has_penalty = p.has_penalty and (p.loss != NULL or p.custom != NULL)
            self.run(now, 1, &rate, &loss, &right, MAX_THREADS)
        finally:
            p.gradients = NULL
            if not p.inference:
                self.network.in_step = False
        self.check()
        if p.loss != NULL or p.custom != NULL:
            self.network.add_penalties(memory)
        return loss, right, self.network.unpack(memory)

    def pull(self, cnp.ndarray out, cnp.ndarray scores=None):
        """The gradient of the inputs into out (n, n_inputs): of the mean loss of the bound rows; or without a loss of
        the sum of scores times targets."""
        self.derive(PULL, out, scores, None, None)

    def push(self, cnp.ndarray dx, cnp.ndarray out, cnp.ndarray scores=None, list dweights=None):
        """The tangent of the scores into out (n, n_outputs), from those of the inputs and of the weights, as [(dW, db),
        ...]."""
        cdef Memory memory = None
        if dweights is not None:
            memory = Memory(self.network.n_bytes)
            self.network.pack(memory, dweights)
        self.derive(PUSH, out, scores, dx, memory)

    def jacobian(self, cnp.ndarray out, cnp.ndarray scores=None):
        """The derivative of each score by each input into out (n, n_outputs, n_inputs)."""
        self.derive(JACOBIAN, out, scores, None, None)

    cdef void derive(self, int what, cnp.ndarray out, cnp.ndarray scores, cnp.ndarray dx, Memory memory) except *:
        """All blocks of rows, some tens of milliseconds of them between two looks at Ctrl-C."""
        cdef Plan *p = &self.plan
        cdef Derivation wanted
        cdef bint was_in_region
        cdef ptrdiff_t n_blocks = (p.n_samples + p.block_rows - 1) // p.block_rows, first = 0, last
        cdef double times = 2 * self.network.n_outputs if what == JACOBIAN else 3
        cdef int n_threads = <int>min(<ptrdiff_t>self.team(times * self.network.work(p.n_samples, False)), n_blocks)
        cdef double block_work = times * self.network.work(p.block_rows, False)
        cdef ptrdiff_t at_a_time = max(n_threads, <ptrdiff_t>(WORK_PER_VISIT / block_work))
        memset(&wanted, 0, sizeof(Derivation))
        wanted.what, wanted.out = what, <char *>cnp.PyArray_DATA(out)
        if scores is not None:
            wanted.scores = <char *>cnp.PyArray_DATA(scores)
        if dx is not None:
            set_source(&wanted.dx, self.network.k, dx)
        if memory is not None:
            wanted.dparams = memory.data
        held = self.bind_network()
        if p.average != NULL:
            p.params = p.average
        p.index = p.subset
        self.watch(block_work)
        while first < n_blocks:
            last = min(n_blocks, first + at_a_time)
            with nogil:
                if n_threads == 1:
                    derive_blocks(p, &wanted, first, last, 0, 1)
                else:
                    was_in_region = fm_enter_region()
                    with parallel(num_threads=n_threads):
                        derive_blocks(p, &wanted, first, last, threadid(), fm_team_size())
                    fm_end_region(was_in_region, n_threads)
            self.check()
            PyErr_CheckSignals()
            first = last

    def predict(self, cnp.ndarray out, str link):
        """Scores of the bound rows into out, C-contiguous (n, n_outputs) of the network's dtype; link: identity,
        softmax, exp, or the name of an activation."""
        cdef fm_activation *activation = NULL
        cdef bint softmax = link == "softmax"
        if link == "exp":
            activation = self.network.k.exp
        elif link not in ("identity", "softmax"):
            activation = self.network.k.activation[position(activations, link)]
        self.inference(<char *>cnp.PyArray_DATA(out), softmax, activation, NULL, NULL)

    def evaluate(self):
        """(mean loss with the layers' penalties, right) over the bound rows."""
        cdef ptrdiff_t n_blocks = (self.plan.n_samples + self.plan.block_rows - 1) // self.plan.block_rows
        cdef double[::1] losses = np.zeros(n_blocks)
        cdef ptrdiff_t[::1] right = np.zeros(n_blocks, np.intp)
        self.inference(NULL, False, NULL, &losses[0], &right[0])
        cdef ptrdiff_t block, total_right = 0
        for block in range(n_blocks):
            total_right += right[block]
        return sum_by_tree(n_blocks, &losses[0]) / self.plan.n_samples + self.network.penalty(), total_right

    cdef void inference(self, char *out, bint softmax, fm_activation *link, double *losses,
                        ptrdiff_t *right) except *:
        """All blocks of rows, some tens of milliseconds of them between two looks at Ctrl-C."""
        cdef Plan *p = &self.plan
        cdef bint was_in_region
        cdef ptrdiff_t n_blocks = (p.n_samples + p.block_rows - 1) // p.block_rows, first = 0, last
        cdef int n_threads = <int>min(<ptrdiff_t>self.team(self.network.work(p.n_samples, False)), n_blocks)
        cdef ptrdiff_t at_a_time = max(n_threads, <ptrdiff_t>(WORK_PER_VISIT / self.network.work(p.block_rows, False)))
        held = self.bind_network()
        if p.average != NULL:
            p.params = p.average
        p.index = p.subset
        self.watch(self.network.work(p.block_rows, False))
        while first < n_blocks:
            last = min(n_blocks, first + at_a_time)
            with nogil:
                if n_threads == 1:
                    infer_blocks(p, first, last, out, softmax, link, losses, right, 0, 1)
                else:
                    was_in_region = fm_enter_region()
                    with parallel(num_threads=n_threads):
                        infer_blocks(p, first, last, out, softmax, link, losses, right, threadid(), fm_team_size())
                    fm_end_region(was_in_region, n_threads)
            self.check()
            PyErr_CheckSignals()
            first = last
