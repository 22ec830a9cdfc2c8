# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The engine: weights in panels, the training step, prediction. core.py has validated everything that comes here.

A training step has two phases. Phase 1 works on blocks of rows: gather, forward, loss, input gradients. Phase 2 works
on tiles of the weights: sum the gradient over the whole batch, update. Between them lies the only barrier of a step,
unless the batch has too few rows to share; then every layer is shared by panels.
There is no list comprehension here: in those of Cython 3.3 an item is released twice where memory ends.
Here are the instruction sets and the memory. The rest is in engine/: who may change a model (turn), a step in its order
(plan, gather, forward, backward, update, phases), its callers (train, infer), how a user's arrays are read (arrays),
the layers and where their arrays lie (layout), the class `Network` (weights and optimizer state), derivatives of a
network as it predicts, the class `Run` (the buffers of one kind of pass over data), means and covariances (moments).
"""

import collections
import os
import threading

import numpy as np

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.pythread cimport (PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
                               PyThread_get_thread_ident, PyThread_release_lock, PyThread_type_lock)
from cython.parallel cimport parallel, threadid
from libc.math cimport INFINITY, fabs, isfinite, sqrt
from libc.string cimport memcpy, memset, strcmp

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define FM_OPENMP 1
    static int fm_team_size(void) { return omp_get_num_threads(); }
    #else
    #define FM_OPENMP 0
    static int fm_team_size(void) { return 1; }
    #endif
    """
    const bint FM_OPENMP
    int fm_team_size() nogil

cdef extern from "team.h" nogil:
    ctypedef struct fm_barrier:
        pass
    double fm_clock()
    void fm_barrier_wait(fm_barrier *team, int thread, int n_threads)
    bint fm_flag_get(const int *flag)
    void fm_flag_set(int *flag)

cdef extern from "fork.h" nogil:
    bint fm_is_forked, fm_is_alone
    int fm_enter_region()
    int fm_watch_forks()

cdef extern from "rest.h" nogil:
    const bint FM_CAN_REST
    void fm_end_region(int before, int n_threads)
    double fm_idle_seconds()
    void fm_rest()

cnp.import_array()

# Rows of a block: its activations stay in the second-level cache from the first layer to the last.
cdef enum:
    BLOCK_ROWS = 128
    # Lines of one phase-2 tile: its gradient stays in the first-level cache until the update has used it.
    TILE_LINES = 64
    # Panels of weights that are transposed at a time: as many as the widest tile of a product holds in registers.
    TRANSPOSED_PANELS = 4
    # Lines of one chunk of what is done to all parameters once their gradients are known.
    CHUNK_LINES = 256
    # Counters of two threads must not share a cache line.
    COUNTER_SPACING = 8
    MAX_THREADS = 1024

# With fewer rows for each thread, sharing the panels beats sharing the rows: every thread then streams only its part of
# the weights.
cdef ptrdiff_t MIN_ROWS_PER_THREAD = 32

# Multiply-adds of a step for which a thread is worth its barriers: on 2 idle cores two threads are level with one for
# 64-64-10 at batch 16 (1.8e5) and faster at batch 32 (3.6e5). `pytest benches --benchmark-only -k bench_step` shows it.
# Where other programs want the cores a second thread costs far more: `_pace.Pace` finds out.
cdef double WORK_PER_THREAD = 1.75e5

# Multiply-adds of a call for which it is worth entering a parallel region, whose threads may have to be woken: 100 µs.
# So it is where nobody measures what calls take.
cdef double WORK_PER_REGION = 1e7

# Multiply-adds of a step after which to look at the clock; it costs 20 ns.
cdef double WORK_PER_CLOCK = 1e6

# Elements that are checked without letting go of the GIL, which costs as much as checking some thousand.
cdef ptrdiff_t ELEMENTS_WITH_GIL = 1 << 16

# Multiply-adds between two looks at Ctrl-C in evaluation and prediction: 10 to 100 ms.
cdef double WORK_PER_VISIT = 2e9

# Seconds between two looks at Ctrl-C within a step, or a block of rows, of more multiply-adds than that.
cdef double SECONDS_PER_VISIT = 0.05


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
    available = list(filter(lambda name: isas()[name] is None, isas()))
    if not wanted:
        return available[0]
    wanted = wanted.lower()
    if wanted not in available:
        why = isas().get(wanted, "fastmlp has no instruction set of this name")
        raise ImportError(f"FASTMLP_ISA={wanted!r}: {why}. Available here: {', '.join(available)}")
    return wanted


isa = _chosen_isa()
has_openmp = bool(FM_OPENMP)

if fm_watch_forks() != 0:
    raise MemoryError("no memory for the handlers of a fork")


def is_forked():
    """Whether this process is the child of a fork."""
    return fm_is_forked


can_rest = bool(FM_CAN_REST)  # whether threads can be told to rest


def idle_seconds():
    """How long ago the last call of this thread that had several threads let go of them."""
    return fm_idle_seconds()


def rest():
    """Have the threads that wait for the next call of this one wait no longer."""
    with nogil:
        fm_rest()


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
n_states = {name: fm_optimizer_states[i] for i, name in enumerate(optimizers)}  # of each optimizer
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


# The largest number of a dtype.
LARGEST = {dtype: float(np.finfo(dtype).max) for dtype in ("float32", "float64")}


# ---- memory ----

cdef class Memory:
    """Zeroed bytes that start at a cache line, owned by a NumPy array: MemoryError and release come with it."""

    def __cinit__(self, ptrdiff_t n_bytes):
        whole = np.zeros(n_bytes + 63, np.uint8)
        cdef ptrdiff_t skip = -<ptrdiff_t>cnp.PyArray_DATA(whole) & 63
        self.owner = whole[skip:skip + n_bytes]
        self.data = <char *>cnp.PyArray_DATA(self.owner)
        self.n_bytes = n_bytes


cdef void copy(Memory to, Memory source) noexcept:
    memcpy(to.data, source.data, to.n_bytes)


cdef class LossOptions:
    """Constants of a loss kernel as C reads them, from those of `fastmlp.losses.Loss.options`. What is not given has no
    effect; gamma is 2 and delta 1."""

    def __init__(self, str dtype, dict options):
        self.c.label_smoothing = options.get("label_smoothing", 0.0)
        self.c.gamma = options.get("gamma", 2.0)
        self.c.delta = options.get("delta", 1.0)
        self.vectors = []
        self.c.positive_weight = self.vector(dtype, options.get("positive_weight"))
        self.c.alpha = self.vector(dtype, options.get("alpha"))
        self.c.levels = self.vector(dtype, options.get("levels"))

    cdef const void *vector(self, str dtype, numbers) except? NULL:
        """A copy with one number for each output, padded with zeros to whole lines."""
        if numbers is None:
            return NULL
        cdef Memory memory = Memory(-(-len(numbers) * np.dtype(dtype).itemsize // 64) * 64)
        memory.owner.view(dtype)[:len(numbers)] = numbers
        self.vectors.append(memory)
        return memory.data


def shuffle(ptrdiff_t n, uint64_t seed, uint64_t stream):
    """The order in which an epoch visits n samples."""
    index = np.empty(n, np.int64)
    fm_shuffle(n, seed, stream, <int64_t *>cnp.PyArray_DATA(index))
    return index


include "engine/turn.pxi"
include "engine/plan.pxi"
include "engine/gather.pxi"
include "engine/forward.pxi"
include "engine/backward.pxi"
include "engine/update.pxi"
include "engine/phases.pxi"
include "engine/train.pxi"
include "engine/infer.pxi"
include "engine/arrays.pxi"
include "engine/layout.pxi"
include "engine/network.pxi"
include "engine/derivatives.pxi"
include "engine/run.pxi"
include "engine/moments.pxi"
