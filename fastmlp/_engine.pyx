# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The engine: weights in panels, the training step, prediction. model.py has validated everything that comes here.

A training step has two phases. Phase 1 works on blocks of rows: gather, forward, loss, input gradients. Phase 2 works
on tiles of the weights: sum the gradient over the whole batch, update, refresh the transposed weights. Between them
lies the only barrier of a step, unless the batch has too few rows to share; then every layer is shared by panels.
_step.pxi holds that step; here are the Python-visible classes `Network` (weights and optimizer state) and `Run` (the
buffers of one kind of pass over data).
"""

import os

import numpy as np

cimport numpy as cnp
from cython.parallel cimport parallel, threadid
from libc.math cimport isfinite, sqrt
from libc.string cimport memset

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define FM_OPENMP 1
    static void fm_barrier(void) { _Pragma("omp barrier") }
    static int fm_team_size(void) { return omp_get_num_threads(); }
    #else
    #define FM_OPENMP 0
    static void fm_barrier(void) {}
    static int fm_team_size(void) { return 1; }
    #endif
    """
    const bint FM_OPENMP
    void fm_barrier() nogil
    int fm_team_size() nogil

cnp.import_array()

# Rows of a block: its activations stay in the second-level cache from the first layer to the last.
cdef enum:
    BLOCK_ROWS = 128
    # Lines of one phase-2 tile: its gradient stays in the first-level cache until the update has used it.
    TILE_LINES = 64
    # Counters of two threads must not share a cache line.
    COUNTER_SPACING = 8
    MAX_THREADS = 1024

# With fewer rows for each thread, sharing the panels beats sharing the rows.
cdef ptrdiff_t MIN_ROWS_PER_THREAD = 32

# Multiply-adds below which a step, or a block of prediction, is not worth a second thread: about 5 µs of work.
cdef double WORK_PER_THREAD = 5e5


# ---- instruction sets ----

def isas():
    """Every ISA fastmlp knows on this architecture, best first: {name: None if available, else why not}."""
    cdef dict found = {}
    cdef int i = 0
    while fm_isa_name(i) != NULL:
        missing = fm_isa_missing(fm_isa_name(i))
        found[fm_isa_name(i).decode()] = None if missing == NULL else missing.decode()
        i += 1
    return found


def _chosen_isa():
    wanted = os.environ.get("FASTMLP_ISA")
    available = [name for name, missing in isas().items() if missing is None]
    if wanted is None:
        return available[0]
    if wanted not in available:
        why = isas().get(wanted, "fastmlp has no instruction set of this name")
        raise ImportError(f"FASTMLP_ISA={wanted!r}: {why}. Available here: {', '.join(available)}")
    return wanted


isa = _chosen_isa()
has_openmp = bool(FM_OPENMP)

cdef list names_of(const char *const *names):
    cdef list found = []
    cdef int i = 0
    while names[i] != NULL:
        found.append(names[i].decode())
        i += 1
    return found

activations = names_of(fm_activation_names)
losses = names_of(fm_loss_names)
optimizers = names_of(fm_optimizer_names)
gathers = names_of(fm_gather_names)

cdef const fm_kernels *table_of(str isa, str dtype) except NULL:
    cdef const fm_kernels *table = fm_kernels_of(isa.encode(), dtype == "float64")
    if table == NULL:
        raise ValueError(f"instruction set {isa!r} is not available: {fm_isa_missing(isa.encode()).decode()}")
    return table

cdef int position(list known, str name) except -1:
    if name not in known:
        raise ValueError(f"no kernel named {name!r}; there are {', '.join(known)}")
    return known.index(name)


# ---- memory ----

cdef class Memory:
    """Zeroed bytes that start at a cache line, owned by a NumPy array: MemoryError and release come with it."""

    def __cinit__(self, ptrdiff_t n_bytes):
        whole = np.zeros(n_bytes + 64, np.uint8)
        cdef ptrdiff_t skip = -<ptrdiff_t>cnp.PyArray_DATA(whole) & 63
        self.owner = whole[skip:skip + n_bytes]
        self.data = <char *>cnp.PyArray_DATA(self.owner)


include "_step.pxi"


def shuffle(ptrdiff_t n, uint64_t seed, uint64_t stream):
    """The order in which an epoch visits n samples."""
    index = np.empty(n, np.int64)
    fm_shuffle(n, seed, stream, <int64_t *>cnp.PyArray_DATA(index))
    return index


# ---- weights ----

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
    cdef readonly ptrdiff_t n_inputs, n_outputs, n_parameters
    cdef readonly list layers
    cdef readonly str optimizer
    cdef const fm_kernels *k
    cdef Memory layer_memory, params, transposed, m, v
    cdef Layer *layer
    cdef int n_layers
    cdef ptrdiff_t n_bytes
    cdef Progress progress

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
        cdef ptrdiff_t n_in = n_inputs, line = self.k.line, transposed_bytes = 0, line_bytes = 64
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
            self.n_parameters += (n_in + 1) * layer.n_out
            if i > 0:
                transposed_bytes += (n_in + line - 1) // line * layer.n_out * line_bytes
            n_in = layer.n_out
        self.params = Memory(self.n_bytes)
        self.transposed = Memory(transposed_bytes)
        transposed_bytes = 0
        for i in range(1, self.n_layers):
            layer = &self.layer[i]
            layer.wt = self.transposed.data + transposed_bytes
            transposed_bytes += (layer.n_in + line - 1) // line * layer.n_out * line_bytes
        self.set_optimizer("sgd", 0)

    def set_optimizer(self, str name, int n_states):
        """Start afresh with an optimizer of n_states states: zero states, step 0. The shuffles go on."""
        position(optimizers, name)
        m = Memory(self.n_bytes) if n_states & 1 else None
        v = Memory(self.n_bytes) if n_states & 2 else None
        self.optimizer, self.m, self.v = name, m, v
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
            found.append((np.ascontiguousarray(W), b[:n_out].copy()))
        return found

    cdef tuple views(self, Memory memory, int i):
        cdef Layer *layer = &self.layer[i]
        elements = memory.owner.view(self.dtype)
        cdef ptrdiff_t item = self.k.itemsize_bytes
        w = elements[layer.w // item:layer.b // item].reshape(layer.panels, layer.n_in, self.k.line)
        return w, elements[layer.b // item:layer.b // item + layer.panels * self.k.line]

    cdef void pack(self, Memory memory, list pairs) except *:
        cdef int i
        for i, (W, b) in enumerate(pairs):
            w_view, b_view = self.views(memory, i)
            padded = np.zeros((self.layer[i].n_in, w_view.shape[0] * self.k.line), self.dtype)
            padded[:, :self.layer[i].n_out] = W
            w_view[...] = padded.reshape(self.layer[i].n_in, w_view.shape[0], self.k.line).transpose(1, 0, 2)
            b_view[:self.layer[i].n_out] = b

    @property
    def step(self):
        """Training steps since the optimizer started."""
        return self.progress.step

    def shapes(self):
        """Shapes of `get_weights`."""
        return [((self.layer[i].n_in, self.layer[i].n_out), (self.layer[i].n_out,)) for i in range(self.n_layers)]

    def snapshot(self):
        """Everything that training changes, for `restore`."""
        return self.progress, [buffer.copy() for buffer in self.changing()]

    def restore(self, tuple snapshot):
        """Go back to a snapshot; the order of the epochs goes on."""
        epoch = self.progress.epoch
        self.progress, copies = snapshot
        self.progress.epoch = epoch
        for buffer, copy in zip(self.changing(), copies):
            buffer[...] = copy

    cdef list changing(self):
        cdef list buffers = [self.params.owner, self.transposed.owner]
        if self.m is not None:
            buffers.append(self.m.owner)
        if self.v is not None:
            buffers.append(self.v.owner)
        return buffers

    def get_weights(self):
        """[(W, b), ...]: copies, W of shape (n_in, n_out)."""
        return self.unpack(self.params)

    def set_weights(self, list pairs):
        self.pack(self.params, pairs)
        self.refresh()

    cdef void refresh(self) noexcept:
        cdef Plan p
        cdef int i
        p.k, p.params = self.k, self.params.data
        for i in range(self.n_layers):
            refresh_transposed(&p, &self.layer[i], 0, self.layer[i].panels, 0, self.layer[i].n_in)

    cdef void bind(self, Plan *p) except *:
        """The parameters as a plan sees them."""
        p.k, p.n_layers, p.params, p.n_bytes = self.k, self.n_layers, self.params.data, self.n_bytes
        p.m = self.m.data if self.m is not None else NULL
        p.v = self.v.data if self.v is not None else NULL
        p.update = self.k.update[position(optimizers, self.optimizer)]

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
        self.refresh()


cdef void set_hyper(Plan *p, dict hyper) except *:
    p.hyper.momentum = hyper.get("momentum", 0.0)
    p.hyper.beta_2 = hyper.get("beta_2", 0.0)
    p.hyper.epsilon = hyper.get("epsilon", 0.0)
    p.hyper.epsilon_in_root = hyper.get("epsilon_in_root", 0.0)
    p.hyper.weight_decay = hyper.get("weight_decay", 0.0)
    p.bias_correction = hyper.get("bias_correction", False)


# ---- a pass over data ----

cdef void set_source(Source *source, const fm_kernels *k, cnp.ndarray array) except *:
    """Where the rows of an array of float32, float64 or uint8 (n, columns), or of int32 labels (n,), lie."""
    source.data = <const char *>cnp.PyArray_DATA(array)
    source.row_bytes = cnp.PyArray_STRIDE(array, 0)
    if array.ndim == 1:
        source.gather = NULL
        return
    source.n, source.column_bytes = cnp.PyArray_DIM(array, 1), cnp.PyArray_STRIDE(array, 1)
    source.gather = k.gather[position(gathers, GATHER_OF_DTYPE[array.dtype.name])]

GATHER_OF_DTYPE = {"float32": "f32", "float64": "f64", "uint8": "u8"}


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
    loss : str, optional
        Name of the loss kernel.
    row_scale : float
        Factor of each row's loss.
    """

    cdef readonly Network network
    cdef readonly ptrdiff_t batch_rows
    cdef readonly int n_threads
    cdef readonly bint training
    cdef Plan plan
    cdef Memory layer_memory, buffers, index_memory
    cdef object x, targets

    def __init__(self, Network network, ptrdiff_t batch_rows, int n_threads, bint exact_threads=False,
                 bint training=False, loss=None, double row_scale=1):
        cdef Plan *p = &self.plan
        cdef ptrdiff_t n_blocks
        self.network, self.batch_rows, self.training = network, batch_rows, training
        if not exact_threads:
            n_threads = min(n_threads, <int>min(1024., network.work(batch_rows, training) / WORK_PER_THREAD))
        self.n_threads = max(1, min(n_threads, <int>MAX_THREADS)) if has_openmp else 1
        memset(p, 0, sizeof(Plan))
        p.batch_rows, p.row_scale = batch_rows, row_scale
        if loss is not None:
            p.loss = network.k.loss[position(losses, loss)]
        if training:
            p.share_panels = self.n_threads > 1 and batch_rows < MIN_ROWS_PER_THREAD * self.n_threads
            n_blocks = 1 if p.share_panels else self.n_threads
            n_blocks *= max(1, (batch_rows + n_blocks * BLOCK_ROWS - 1) // (n_blocks * BLOCK_ROWS))
            p.block_rows = (batch_rows + n_blocks - 1) // n_blocks
        else:  # one block of buffers for each thread, of a size that does not depend on the number of threads
            p.block_rows = min(batch_rows, <ptrdiff_t>BLOCK_ROWS)
            n_blocks = self.n_threads
        self.allocate(n_blocks)

    cdef void allocate(self, ptrdiff_t n_blocks) except *:
        """All buffers of the pass in one allocation."""
        cdef Plan *p = &self.plan
        cdef Network network = self.network
        cdef ptrdiff_t line = network.k.line, item = network.k.itemsize_bytes, n_bytes, matrix_bytes
        # An odd number of lines between panels spreads them over the sets of the caches.
        cdef ptrdiff_t stride = (p.block_rows | 1) * line
        cdef int i, matrices = 2 if self.training else 1
        p.input_stride = p.target_stride = stride
        p.input_block = (network.n_inputs + line - 1) // line * stride
        p.target_bytes = (network.n_outputs + line - 1) // line * stride * item
        p.scratch_bytes = network.k.group * TILE_LINES * line * item
        n_bytes = n_blocks * (p.input_block * item + p.target_bytes + p.block_rows * item + 64)
        n_bytes += self.n_threads * (p.scratch_bytes + COUNTER_SPACING * <ptrdiff_t>sizeof(ptrdiff_t))
        for i in range(network.n_layers):
            n_bytes += matrices * network.layer[i].panels * stride * item * n_blocks
        self.buffers = Memory(n_bytes)
        self.layer_memory = Memory(network.n_layers * sizeof(Layer))
        p.layers = <Layer *>self.layer_memory.data

        cdef char *free = self.buffers.data
        p.inputs = free
        p.target_block = p.inputs + n_blocks * p.input_block * item
        p.scratch = p.target_block + n_blocks * p.target_bytes
        free = p.scratch + self.n_threads * p.scratch_bytes
        for i in range(network.n_layers):
            p.layers[i] = network.layer[i]
            p.layers[i].stride, p.layers[i].block = stride, network.layer[i].panels * stride
            matrix_bytes = n_blocks * p.layers[i].block * item
            p.layers[i].y = free
            p.layers[i].dz = free + matrix_bytes if self.training else NULL
            free += matrices * matrix_bytes
        p.right = <ptrdiff_t *>free
        p.row_losses = free + self.n_threads * COUNTER_SPACING * <ptrdiff_t>sizeof(ptrdiff_t)

    def bind(self, cnp.ndarray x, cnp.ndarray targets=None):
        """The data of the calls that follow: x of shape (n, n_inputs); targets of shape (n, n_outputs), or int32
        labels of shape (n,)."""
        self.x, self.targets = x, targets
        self.plan.n_samples = cnp.PyArray_DIM(x, 0)
        set_source(&self.plan.x, self.network.k, x)
        if targets is not None:
            set_source(&self.plan.targets, self.network.k, targets)

    def release(self):
        """Let go of the bound arrays."""
        self.x = self.targets = None

    def start_epoch(self):
        """Begin with the first batch: an epoch that was interrupted is over."""
        if self.network.progress.batch != 0:
            self.network.progress.batch = 0
            self.network.progress.epoch += 1

    def train(self, double[::1] rates, dict hyper, bint shuffle=False, uint64_t seed=0):
        """One training step for each rate, up to the first whose loss is not finite: that one changes nothing.

        Returns (losses, right), float64 and int64, one entry for each step that was begun.
        """
        cdef Plan *p = &self.plan
        cdef ptrdiff_t n_steps = rates.shape[0]
        losses, right = np.empty(n_steps), np.empty(n_steps, np.intp)
        if n_steps == 0:
            return losses, right
        cdef double[::1] losses_view = losses
        cdef ptrdiff_t[::1] right_view = right
        self.network.bind(p)
        set_hyper(p, hyper)
        p.shuffle, p.seed, p.index = shuffle, seed, NULL
        if shuffle:
            if self.index_memory is None or self.index_memory.owner.size != p.n_samples * <ptrdiff_t>sizeof(int64_t):
                self.index_memory = Memory(p.n_samples * sizeof(int64_t))
            p.index = <int64_t *>self.index_memory.data
        cdef ptrdiff_t done = self.network.progress.step
        self.network.progress = self.run(n_steps, &rates[0], &losses_view[0], &right_view[0])
        done = min(n_steps, self.network.progress.step - done + 1)
        return losses[:done], right[:done]

    cdef Progress run(self, ptrdiff_t n_steps, const double *rates, double *losses, ptrdiff_t *right) noexcept:
        cdef Plan *p = &self.plan
        cdef Progress now = self.network.progress, after
        cdef int n_threads = self.n_threads
        cdef Progress *result = &after
        with nogil:
            if n_threads == 1:
                after = run_steps(p, now, n_steps, rates, losses, right, 0, 1)
            else:
                with parallel(num_threads=n_threads):
                    run_as_member(p, now, n_steps, rates, losses, right, result)
        return after

    def gradients(self):
        """Loss and gradients of all bound rows as one batch: (loss, right, [(dW, db), ...])."""
        cdef Memory memory = Memory(self.network.n_bytes)
        cdef Plan *p = &self.plan
        cdef double rate = 0, loss = 0
        cdef ptrdiff_t right = 0
        cdef Progress kept = self.network.progress
        self.network.bind(p)
        p.shuffle, p.index, p.update, p.gradients = False, NULL, NULL, memory.data
        self.network.progress.batch = 0
        try:
            self.run(1, &rate, &loss, &right)
        finally:
            p.gradients = NULL
            self.network.progress = kept
        return loss, right, self.network.unpack(memory)

    def predict(self, cnp.ndarray out, str link):
        """Scores of the bound rows into out, C-contiguous (n, n_outputs) of the network's dtype; link: identity,
        softmax, or the name of an activation."""
        cdef fm_activation *activation = NULL
        cdef bint softmax = link == "softmax"
        if link not in ("identity", "softmax"):
            activation = self.network.k.activation[position(activations, link)]
        self.inference(<char *>cnp.PyArray_DATA(out), softmax, activation, NULL, NULL)

    def evaluate(self):
        """(mean loss, right) over the bound rows."""
        cdef ptrdiff_t n_blocks = (self.plan.n_samples + self.plan.block_rows - 1) // self.plan.block_rows
        cdef double[::1] losses = np.zeros(n_blocks)
        cdef ptrdiff_t[::1] right = np.zeros(n_blocks, np.intp)
        self.inference(NULL, False, NULL, &losses[0], &right[0])
        cdef double total = 0
        cdef ptrdiff_t block, total_right = 0
        for block in range(n_blocks):
            total += losses[block]
            total_right += right[block]
        return total / self.plan.n_samples, total_right

    cdef void inference(self, char *out, bint softmax, fm_activation *link, double *losses,
                        ptrdiff_t *right) noexcept:
        cdef Plan *p = &self.plan
        cdef int n_threads = self.n_threads
        self.network.bind(p)
        p.index = NULL
        with nogil:
            if n_threads == 1:
                infer_blocks(p, out, softmax, link, losses, right, 0, 1)
            else:
                with parallel(num_threads=n_threads):
                    infer_blocks(p, out, softmax, link, losses, right, threadid(), fm_team_size())
