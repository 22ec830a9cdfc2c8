# Weights and optimizer state in panels: included by _engine.pyx.

cdef class Network:
    """Weights and optimizer state of a stack of dense layers, in panels.

    Parameters
    ----------
    n_inputs : int
    layers : list of (n_outputs, activation name, alpha, use_bias)
    dtype : {"float32", "float64"}
    isa : str, optional
        For tests: another instruction set than the one chosen at import.
    """

    cdef readonly str dtype, isa
    cdef readonly ptrdiff_t n_inputs, n_outputs
    cdef readonly list layers
    cdef readonly str optimizer
    cdef const fm_kernels *k
    cdef Memory layer_memory, params, m, v
    cdef Layer *layer
    cdef int n_layers
    cdef readonly ptrdiff_t n_bytes  # of the weights
    cdef Progress progress
    cdef fm_update *update
    cdef dict kept  # of the last snapshot, written over by the next: fresh memory costs more than the copy

    def __init__(self, n_inputs, layers, dtype, isa=None):
        self.isa = isa or globals()["isa"]
        self.dtype = dtype
        self.k = table_of(self.isa, dtype)
        self.n_inputs = n_inputs
        self.layers = list(layers)
        self.n_layers = len(self.layers)
        self.n_outputs = self.layers[self.n_layers - 1][0]
        self.layer_memory = Memory(self.n_layers * sizeof(Layer))
        self.layer = <Layer *>self.layer_memory.data
        cdef ptrdiff_t n_in = n_inputs, line = self.k.line, line_bytes = 64
        cdef Layer *layer
        cdef int i
        for i in range(self.n_layers):
            layer = &self.layer[i]
            n_out, activation, layer.alpha, layer.use_bias = self.layers[i]
            layer.n_in, layer.n_out = n_in, n_out
            layer.panels = (layer.n_out + line - 1) // line
            layer.activation = NULL
            if activation != "identity":
                layer.activation = self.k.activation[position(activations, activation)]
            layer.w = self.n_bytes
            layer.b = layer.w + layer.panels * n_in * line_bytes
            self.n_bytes = layer.b + layer.panels * line_bytes
            n_in = layer.n_out
        self.params = Memory(self.n_bytes)
        self.set_optimizer("sgd", 0)

    def set_optimizer(self, str name, int n_states):
        """Start afresh with an optimizer of n_states states: zero states, step 0. The shuffles go on."""
        cdef fm_update *update = self.k.update[position(optimizers, name)]
        m = Memory(self.n_bytes) if n_states & 1 else None
        v = Memory(self.n_bytes) if n_states & 2 else None
        self.optimizer, self.update, self.m, self.v = name, update, m, v
        self.progress.step = 0
        self.progress.momentum_power = self.progress.beta_2_power = 1

    cdef list unpack(self, Memory memory):
        """Copies [(W, b), ...] of a buffer in the layout of the parameters."""
        cdef list found = []
        cdef int i
        for i in range(self.n_layers):
            w, b = self.views(memory, i)
            n_in, n_out = self.layer[i].n_in, self.layer[i].n_out
            W = w.transpose(1, 0, 2).reshape(n_in, self.layer[i].panels * self.k.line)[:, :n_out]
            found.append((np.array(W, order="C"), b[:n_out].copy()))
        return found

    cdef tuple views(self, Memory memory, int i):
        cdef Layer *layer = &self.layer[i]
        elements = memory.owner.view(self.dtype)
        cdef ptrdiff_t item = self.k.itemsize_bytes
        w = elements[layer.w // item:layer.b // item].reshape(layer.panels, layer.n_in, self.k.line)
        return w, elements[layer.b // item:layer.b // item + layer.panels * self.k.line]

    cdef void pack(self, Memory memory, list pairs) except *:
        cdef int i
        cdef ptrdiff_t panel, line = self.k.line
        for i, (W, b) in enumerate(pairs):
            w_view, b_view = self.views(memory, i)
            for panel in range(self.layer[i].panels):  # padding stays zero
                columns = W[:, panel * line:(panel + 1) * line]
                w_view[panel, :, :columns.shape[1]] = columns
            b_view[:self.layer[i].n_out] = b

    @property
    def step(self):
        """Training steps since the optimizer started."""
        return self.progress.step

    def shapes(self):
        """Shapes of `get_weights`."""
        return [((self.layer[i].n_in, self.layer[i].n_out), (self.layer[i].n_out,)) for i in range(self.n_layers)]

    def snapshot(self, bint states):
        """A copy of the weights, and with `states` of the optimizer's, for `restore`, until the next snapshot."""
        cdef dict kept = {}
        buffers = {"params": self.params} | ({"m": self.m, "v": self.v} if states else {})
        for name, buffer in buffers.items():
            if buffer is not None:
                kept[name] = self.kept.get(name) if self.kept else None
                if kept[name] is None:
                    kept[name] = np.empty_like((<Memory>buffer).owner)
                np.copyto(kept[name], (<Memory>buffer).owner)
        self.kept = kept
        return self.progress, bool(states)

    def restore(self, tuple snapshot):
        """Go back to a snapshot. With its states also in the order of the epochs; without them, which spares a copy of
        them, the optimizer starts afresh: its present states may be what diverged."""
        progress, states = snapshot
        self.params.owner[...] = self.kept["params"]
        if not states:
            self.set_optimizer(self.optimizer, (self.m is not None) + 2 * (self.v is not None))
            return
        self.progress = progress
        for name, memory in (("m", self.m), ("v", self.v)):
            if memory is not None:
                (<Memory>memory).owner[...] = self.kept[name]

    def is_finite(self):
        """Whether weights and optimizer states hold neither NaN nor infinity."""
        cdef Memory memory
        cdef double most = LARGEST[self.dtype]
        cdef ptrdiff_t n = self.n_bytes // self.k.itemsize_bytes
        cdef const char *data
        cdef bint found = True
        for memory in (self.params, self.m, self.v):
            if found and memory is not None:
                data = memory.data
                with nogil:
                    found = self.k.within(n, data, -most, most)
        return found

    def get_weights(self):
        """[(W, b), ...]: copies, W of shape (n_in, n_out)."""
        return self.unpack(self.params)

    def set_weights(self, list pairs):
        self.pack(self.params, pairs)

    cdef void bind(self, Plan *p) noexcept:
        """The parameters as a plan sees them."""
        p.k, p.n_layers, p.params, p.n_bytes = self.k, self.n_layers, self.params.data, self.n_bytes
        p.m = self.m.data if self.m is not None else NULL
        p.v = self.v.data if self.v is not None else NULL
        p.update = self.update

    def work(self, ptrdiff_t rows, bint training):
        """Multiply-adds of one training step, or of one prediction, of so many rows."""
        cdef double found = 0
        cdef int i
        for i in range(self.n_layers):
            found += <double>self.layer[i].n_in * self.layer[i].panels * self.k.line * (
                1 if not training else 2 if i == 0 else 3)
        return found * rows

    def get_state(self):
        """Everything but the weights that the next training step depends on, as plain Python and NumPy."""
        return {"optimizer": self.optimizer, "step": self.progress.step, "epoch": self.progress.epoch,
                "powers": (self.progress.momentum_power, self.progress.beta_2_power),
                "m": None if self.m is None else self.unpack(self.m),
                "v": None if self.v is None else self.unpack(self.v)}

    def set_state(self, dict state):
        self.set_optimizer(state["optimizer"], (state["m"] is not None) + 2 * (state["v"] is not None))
        self.progress.step, self.progress.epoch = state["step"], state["epoch"]
        self.progress.momentum_power, self.progress.beta_2_power = state["powers"]
        if self.m is not None:
            self.pack(self.m, state["m"])
        if self.v is not None:
            self.pack(self.v, state["v"])

    def apply_gradients(self, list gradients, dict hyper, double rate):
        """One update of all weights from gradients [(dW, db), ...]."""
        cdef Memory g = Memory(self.n_bytes)
        self.pack(g, gradients)
        cdef Plan p
        memset(&p, 0, sizeof(Plan))
        cdef Progress next_progress = self.progress
        cdef fm_hyper h
        self.bind(&p)
        set_hyper(&p, hyper)
        h = hyper_of_step(&p, &next_progress, rate)
        cdef unsigned long long mode
        with nogil:
            mode = fm_flush_subnormals()
            apply(&p, 0, p.n_bytes // p.k.itemsize_bytes, g.data, &h)
            fm_restore_subnormals(mode)
        self.progress = next_progress


cdef void set_hyper(Plan *p, dict hyper) except *:
    p.hyper.momentum = hyper.get("momentum", 0.0)
    p.hyper.beta_2 = hyper.get("beta_2", 0.0)
    p.hyper.epsilon = hyper.get("epsilon", 0.0)
    p.hyper.epsilon_in_root = hyper.get("epsilon_in_root", 0.0)
    p.hyper.weight_decay = hyper.get("weight_decay", 0.0)
    p.bias_correction = hyper.get("bias_correction", False)
