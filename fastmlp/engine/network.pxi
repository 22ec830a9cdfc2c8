# Weights and optimizer state: included by _engine.pyx.

cdef class Network(Layout):
    """Weights and optimizer state of a stack of layers, in panels. Parameters: those of `Layout`."""

    cdef readonly str optimizer
    cdef Memory params
    cdef readonly dict states  # of the optimizer: name -> Memory in the layout of the parameters
    cdef Memory gradients  # where an update waits for all of them, None where none has
    cdef Memory chunk_memory
    cdef Memory scaling, whitening  # of the inputs, None where they are read as they are
    cdef readonly dict statistics  # that they were made of
    cdef Memory target_scaling  # of the targets, None where they are read as they are
    cdef readonly dict target_statistics
    cdef Memory running  # statistics of batch normalisation, None where there is none
    cdef ptrdiff_t n_chunks
    cdef bint by_layer, has_penalty, has_max_norm
    cdef Progress progress
    cdef bint in_step  # whether buffers are in the hands of a training step, in which a loss in Python may call
    cdef fm_update *update
    cdef dict copies  # of the last snapshot, written over by the next: fresh memory costs more than the copy

    def __init__(self, n_inputs, specs, dtype, isa=None, uint64_t seed=0):
        Layout.__init__(self, n_inputs, specs, dtype, isa, seed)
        cdef const Layer *layer
        cdef int i
        for i in range(self.n_layers):
            layer = &self.layers[i]
            self.by_layer = self.by_layer or layer.rate != 1
            if not layer.frozen:
                self.has_penalty = self.has_penalty or layer.l1 > 0 or layer.l2 > 0
                self.has_max_norm = self.has_max_norm or layer.max_norm > 0
            self.n_chunks += (layer.panels * layer.lines + CHUNK_LINES - 1) // CHUNK_LINES
            self.n_chunks += (layer.panels + CHUNK_LINES - 1) // CHUNK_LINES if layer.use_bias else 0
        self.statistics, self.target_statistics = {}, {}
        self.params = Memory(self.n_bytes)
        self.running = Memory(self.running_bytes) if self.running_bytes else None
        self.chunk_memory = Memory(self.n_chunks * sizeof(double))
        self.set_optimizer("sgd")

    def refuse_in_step(self):
        """RuntimeError in the middle of a training step."""
        if self.in_step:
            raise RuntimeError(IN_STEP)

    cdef void begin_step(self) except *:
        """From here until `in_step` is False again nothing that a step uses is changed from outside."""
        self.refuse_in_step()
        self.in_step = True

    def set_optimizer(self, str name, names=None):
        """Start afresh with an optimizer whose states have these names: zero states, step 0. The shuffles go on, and an
        average that was there.

        After the states of the kernel may come "average", the moving average of the parameters, and "accumulated", the
        sum of gradients that wait for an update.
        """
        self.refuse_in_step()
        cdef fm_update *update = self.k.update[position(optimizers, name)]
        names = tuple(names) if names is not None else tuple(map(str, range(n_states[name])))
        if len(names) - len({"average", "accumulated"} & set(names)) != n_states[name]:
            raise ValueError(f"{name} keeps {n_states[name]} states, not {names}")
        average = self.states.get("average") if self.states else None  # it is not the optimizer's, and goes on
        states = {state: Memory(self.n_bytes) for state in names if state != "average"}
        if "average" in names:
            states["average"] = Memory(self.n_bytes) if average is None else average
        self.optimizer, self.update, self.states = name, update, {state: states[state] for state in names}
        self.progress.step = self.progress.pending = 0
        if average is None:
            self.progress.updates = 0
        self.progress.momentum_power = self.progress.beta_2_power = 1
        self.progress.schedule_power = self.progress.schedule_product = 1
        if average is None:
            self.start_average()

    def keep_optimizer(self, names):
        """Go on with the same kernel, with or without "average" and "accumulated"."""
        self.refuse_in_step()
        states = {state: self.states.get(state) for state in names}
        cdef list fresh = []
        for state in names:
            if states[state] is None:
                fresh.append(state)
                states[state] = Memory(self.n_bytes)
        self.states = states
        if "average" in fresh:
            self.start_average()
        if "accumulated" not in states or "accumulated" in fresh:
            self.progress.pending = 0

    cdef void start_average(self) except *:
        if "average" in self.states:
            copy(self.states["average"], self.params)

    @property
    def step(self):
        """Training steps since the optimizer started."""
        return self.progress.step

    def snapshot(self, bint states):
        """A copy of the weights and of their average, and with `states` of all of the optimizer's, for `restore`, until
        the next snapshot."""
        cdef dict copies = {}
        buffers = {"params": self.params, "running": self.running, "average": self.states.get("average")}
        for name, buffer in (buffers | self.states if states else buffers).items():
            if buffer is not None:
                copies[name] = self.copies.get(name) if self.copies else None
                if copies[name] is None:
                    copies[name] = np.empty_like((<Memory>buffer).owner)
                np.copyto(copies[name], (<Memory>buffer).owner)
        self.copies = copies
        return self.progress, self.optimizer if states else None

    def forget(self, ptrdiff_t most_bytes):
        """Let go of the last snapshot, and of the buffer of gradients, where that is larger."""
        self.refuse_in_step()
        cdef ptrdiff_t n_bytes = 0
        for array in (self.copies or {}).values():
            n_bytes += array.nbytes
        if n_bytes > most_bytes:
            self.copies = None
        if self.gradients is not None and self.gradients.n_bytes > most_bytes:
            self.gradients = None

    def restore(self, tuple snapshot):
        """Go back to a snapshot. With its states also in the order of the epochs; without them, which spares a copy of
        them, or where a callback has chosen another optimizer, that starts afresh but for the number of steps, which
        schedules and masks follow: its present states may be what diverged."""
        self.refuse_in_step()
        cdef Progress then = snapshot[0]
        cdef bint afresh = snapshot[1] != self.optimizer or not self.states.keys() <= self.copies.keys()
        cdef Memory memory
        sources = {"params": self.params, "running": self.running, **self.states}
        cdef list moves = []
        for name, memory in sources.items():
            if memory is not None:
                source = self.copies.get("params" if name == "average" and "average" not in self.copies else name)
                moves.append((memory, source, afresh and name in self.states and name != "average"))
        # From here on nothing needs memory.
        for memory, source, is_zeroed in moves:
            if is_zeroed:
                memset(memory.data, 0, memory.n_bytes)
            else:
                memcpy(memory.data, cnp.PyArray_DATA(<cnp.ndarray>source), memory.n_bytes)
        if afresh:
            then.batch, then.epoch = self.progress.batch, self.progress.epoch
            then.begun, then.pending = self.progress.begun, 0
            then.updates = self.progress.updates if "average" in self.states else 0
            then.momentum_power = then.beta_2_power = then.schedule_power = then.schedule_product = 1
        self.progress = then

    def is_finite(self):
        """Whether weights and optimizer states hold neither NaN nor infinity."""
        cdef Memory memory
        cdef double most = LARGEST[self.dtype]
        cdef ptrdiff_t n
        cdef const char *data
        cdef bint found = True
        for memory in (self.params, self.running, *self.states.values()):
            if found and memory is not None:
                data, n = memory.data, memory.owner.size // self.k.itemsize_bytes
                with nogil:
                    found = self.k.within(n, data, -most, most)
        return found

    def get_weights(self):
        """[(W, b), ...]: copies of the arrays of each layer that has any. Dense: W of shape (n_in, n_out), b;
        layer_norm: gamma, beta; batch_norm: these, running mean and variance; prelu: slopes."""
        return self.unpack(self.params, self.running)

    def set_weights(self, layer_arrays):
        """Pairs as of `get_weights`, from any iterable."""
        self.refuse_in_step()
        self.pack(self.params, layer_arrays, self.running)
        self.start_average()

    def set_scaling(self, mean, scale, matrix=None, dict statistics=None):
        """How inputs are read: (x - mean) * scale in float64, rounded once, and that times the matrix (n_inputs,
        n_inputs), where given. And of which statistics that was made: kept here, so that Ctrl-C finds both changed or
        neither."""
        self.refuse_in_step()
        cdef ptrdiff_t line = self.k.line, panels = (self.n_inputs + line - 1) // line
        cdef Memory of_columns = self.padded(mean, scale), whitening = None
        if matrix is not None:
            padded = np.zeros((self.n_inputs, panels * line), self.dtype)
            padded[:, :self.n_inputs] = matrix
            whitening = Memory(padded.nbytes + panels * 64)
            stored = whitening.owner[:padded.nbytes].view(self.dtype).reshape(panels, self.n_inputs, line)
            stored[...] = padded.reshape(self.n_inputs, panels, line).transpose(1, 0, 2)
        self.scaling, self.whitening, self.statistics = of_columns, whitening, statistics or {}

    def set_target_scaling(self, dict statistics):
        """Targets are read as (y - mean) * (1 / scale), in float64 and rounded once; scores stay as they are."""
        self.refuse_in_step()
        self.target_scaling, self.target_statistics = (
            self.padded(statistics["mean"], 1 / statistics["scale"]), statistics)

    cdef Memory padded(self, mean, scale):
        """Both, float64, as a gather reads them."""
        cdef ptrdiff_t n = len(mean), line = self.k.line
        both = np.zeros((2, (n + line - 1) // line * line))
        both[:, :n] = mean, scale
        cdef Memory found = Memory(both.nbytes)
        found.owner[...] = both.view(np.uint8).ravel()
        return found

    def get_average(self):
        """The moving average of the weights, as `get_weights`; None where there is none."""
        return self.unpack(self.states["average"], self.running) if "average" in self.states else None

    cdef tuple bind(self, Plan *p):
        """The parameters as a plan sees them. Gives the buffers beside the weights, which the caller holds meanwhile:
        `model.optimizer` or `model.adapt` of another thread may give the network others."""
        cdef ptrdiff_t panels = (self.n_inputs + self.k.line - 1) // self.k.line
        cdef Memory scaling = self.scaling, whitening = self.whitening, of_targets = self.target_scaling
        cdef dict states = self.states
        held = scaling, whitening, of_targets, states
        if scaling is not None:
            p.x.mean = <const double *>scaling.data
            p.x.scale = p.x.mean + panels * self.k.line
        p.targets.mean = p.targets.scale = NULL
        if of_targets is not None and p.loss != NULL:  # or they are gradients of the scores
            p.targets.mean = <const double *>of_targets.data
            p.targets.scale = p.targets.mean + (self.n_outputs + self.k.line - 1) // self.k.line * self.k.line
        p.whitening = NULL
        if whitening is not None:
            p.whitening, p.whitening_bytes = whitening.data, panels * 64 * self.n_inputs
        p.k, p.n_layers, p.params, p.n_bytes = self.k, self.n_layers, self.params.data, self.n_bytes
        p.running = self.running.data if self.running is not None else NULL
        cdef Memory memory
        p.n_states = 0
        p.average = p.gradients = NULL
        p.adds = False
        for name, memory in states.items():
            if name == "average":
                p.average = memory.data
            elif name == "accumulated":
                p.gradients, p.adds = memory.data, True
            else:
                p.states[p.n_states] = memory.data
                p.n_states += 1
        p.n_chunks, p.chunk_sums = self.n_chunks, <double *>self.chunk_memory.data
        p.has_penalty, p.has_max_norm, p.penalised = self.has_penalty, self.has_max_norm, True
        p.update = self.update
        return held

    def work(self, ptrdiff_t rows, bint training):
        """Multiply-adds of one training step, or of one prediction, of so many rows."""
        cdef double found = 0 if self.whitening is None else <double>self.n_inputs * self.n_inputs
        cdef int i
        cdef ptrdiff_t inputs
        for i in range(self.n_layers):
            inputs = self.layers[i].n_in if self.layers[i].kind == DENSE else 2
            found += <double>inputs * self.layers[i].panels * self.k.line * (1 if not training else 2 if i == 0 else 3)
        return found * rows

    def get_state(self):
        """Everything but the weights that the next training step depends on, as plain Python and NumPy. In the middle
        of a step they belong to different steps; a forked child may have no thread that would ever end it."""
        if not fm_is_forked:
            self.refuse_in_step()
        epoch = self.progress.epoch + (self.progress.batch != 0)  # as Run.start_epoch counts
        return {"optimizer": self.optimizer, "step": self.progress.step, "epoch": epoch,
                "updates": self.progress.updates, "pending": self.progress.pending,
                "weights": (self.progress.unit, self.progress.weight),
                "powers": (self.progress.momentum_power, self.progress.beta_2_power, self.progress.schedule_power,
                           self.progress.schedule_product),
                "states": {name: self.unpack(memory) for name, memory in self.states.items()}}

    def set_state(self, dict state):
        self.refuse_in_step()
        self.set_optimizer(state["optimizer"], state["states"])
        self.progress.step, self.progress.epoch = state["step"], state["epoch"]
        self.progress.updates, self.progress.pending = state["updates"], state["pending"]
        # Of what was saved before there were weights: each waiting step has the same.
        self.progress.unit, self.progress.weight = state.get("weights", (0.0, state["pending"]))
        (self.progress.momentum_power, self.progress.beta_2_power, self.progress.schedule_power,
         self.progress.schedule_product) = state["powers"]
        for name, memory in self.states.items():
            self.pack(memory, state["states"][name])

    def apply_gradients(self, list gradients, dict hyper, double rate):
        """One step of the optimizer with gradients [(dW, db), ...], which hold the layers' penalties already."""
        cdef Memory g = Memory(self.n_bytes)
        self.pack(g, gradients)
        self.begin_step()
        try:
            self.apply(g, hyper, rate)
        finally:
            self.in_step = False

    cdef void apply(self, Memory g, dict hyper, double rate) except *:
        """The step, with gradients in the layout of the parameters."""
        cdef int i
        for i in range(self.n_layers):
            if self.layers[i].frozen and self.layers[i].lines:  # nor do they wait for an update
                memset(g.data + self.layers[i].w, 0, self.layers[i].panels * self.layers[i].lines * 64)
                if has_b(&self.layers[i]):
                    memset(g.data + self.layers[i].b, 0, self.layers[i].panels * 64)
        cdef Plan p
        memset(&p, 0, sizeof(Plan))
        cdef Progress next_progress = self.progress
        cdef fm_hyper h
        held = self.bind(&p), self.set_hyper(&p, hyper)
        p.layers = self.layers
        p.penalised, p.deferred = False, True  # all gradients are in memory, if not those of other steps
        next_progress.step += 1
        cdef bint due = next_progress.pending + 1 >= p.accumulation, first = next_progress.updates == 0
        weigh(&next_progress, 0)
        if due:
            h = hyper_of_step(&p, &next_progress, rate)
        else:
            next_progress.pending += 1
        cdef unsigned long long mode
        with nogil:
            mode = fm_flush_subnormals()
            if p.adds:
                p.k.add(p.n_bytes // p.k.itemsize_bytes, g.data, p.gradients)
            else:
                p.gradients = g.data
            finish_update(&p, &h, due, first, 0, 1)
            fm_restore_subnormals(mode)
        self.progress = next_progress

    def penalty(self):
        """Of the layers, at the weights that predict."""
        cdef Plan p
        if not self.has_penalty:
            return 0.0
        cdef Memory sums = Memory(self.n_chunks * sizeof(double))  # another thread may train, or ask for the same
        memset(&p, 0, sizeof(Plan))
        held = self.bind(&p)
        p.layers, p.chunk_sums = self.layers, <double *>sums.data
        if p.average != NULL:
            p.params = p.average
        with nogil:
            over_chunks(&p, PENALTY, &p.hyper, 0, 1)
        return sum_of_chunks(&p)

    cdef void add_penalties(self, Memory gradients) except *:
        """The derivatives of the layers' penalties at the weights that are trained."""
        cdef Plan p
        if not self.has_penalty:
            return
        memset(&p, 0, sizeof(Plan))
        held = self.bind(&p)
        set_constants(&p, {})
        cdef Memory sums = Memory(self.n_chunks * sizeof(double))
        p.chunk_sums = <double *>sums.data
        p.layers, p.gradients, p.prepares, p.by_array = self.layers, gradients.data, True, True
        with nogil:
            over_chunks(&p, MEASURE, &p.hyper, 0, 1)

    cdef Memory set_hyper(self, Plan *p, dict hyper):
        """The constants of an optimizer: those of its kernel, and "options" where there are any. Gives the buffer of
        gradients, if one is wanted, which the caller holds like those of `bind`."""
        set_constants(p, hyper)
        options = hyper.get("options")
        if options is not None:
            p.hyper.weight_decay, p.hyper.l2 = options["weight_decay"], options["l2"]
            p.hyper.clip_value, p.clip_norm = options["clip_value"], options["clip_norm"]
            p.decay_biases, p.average_momentum = options["decay_biases"], options["average_momentum"]
            p.accumulation = options["accumulation"]
        p.deferred = p.adds or p.clip_norm > 0
        if not p.deferred:
            self.gradients = None
        elif not p.adds:
            if self.gradients is None:
                self.gradients = Memory(self.n_bytes)
            p.gradients = self.gradients.data
        p.prepares = p.hyper.l2 > 0 or p.hyper.clip_value > 0 or (self.has_penalty and p.penalised)
        p.by_array = self.by_layer or self.has_penalty
        if not p.decay_biases and (p.hyper.l2 > 0 or p.hyper.weight_decay > 0):
            p.by_array = True
        return self.gradients


cdef void set_constants(Plan *p, dict hyper) except *:
    p.accumulation, p.clip_norm, p.average_momentum, p.decay_biases = 1, 0, 0, True
    p.hyper.share, p.hyper.gradient_scale = 1, 1
    p.hyper.correction_g = p.hyper.l1 = p.hyper.l2 = p.hyper.clip_value = p.hyper.weight_decay = 0
    p.hyper.momentum = hyper.get("momentum", 0.0)
    p.hyper.beta_2 = hyper.get("beta_2", 0.0)
    p.hyper.epsilon = hyper.get("epsilon", 0.0)
    p.hyper.epsilon_in_root = hyper.get("epsilon_in_root", 0.0)
    p.bias_correction = hyper.get("bias_correction", False)
    p.momentum_schedule = hyper.get("momentum_schedule", False)
