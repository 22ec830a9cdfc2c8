# Who may change a model, one call at a time: included by _engine.pyx.
#
# Compiled, because Ctrl-C may end a Python function between any two of its steps: a turn that was taken and never given
# back would make the model unusable. For the same reason the ends name their arguments: a tuple of any number of them
# needs memory.

BUSY = "this model is being trained by another call; wait for it, or copy or save the model in one of its callbacks"
BUSY_IN_CHILD = ("this model is being trained by another call, or was when this process was forked, by a thread that "
                 "is not here; train a copy of it")

IN_STEP = ("this model is in the middle of a training step, which a loss of one's own and a signal handler may not "
           "disturb; change, copy or save it in a callback, between two steps")

cdef class Turn:
    """``with turn:`` around all that changes a model; RuntimeError where another call is at it.

    A callback may change the model in the middle of `fit`, between two steps: ``with turn.of_callback():``, which the
    thread that has the turn may do, too.
    """

    cdef PyThread_type_lock lock
    cdef unsigned long owner    # thread that has the lock; 0: none

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    cdef void take(self) except *:
        if not PyThread_acquire_lock(self.lock, 0):
            raise RuntimeError(BUSY_IN_CHILD if fm_is_forked else BUSY)
        self.owner = PyThread_get_thread_ident()

    cdef void give(self) noexcept:
        self.owner = 0
        PyThread_release_lock(self.lock)

    @property
    def is_mine(self):
        """Whether this thread has it."""
        return self.owner == PyThread_get_thread_ident()

    def __enter__(self):
        self.take()

    def __exit__(self, kind, error, traceback):
        self.give()

    def of_callback(self):
        """Also within the turn of the same thread; in the middle of a step `Network` refuses what changes it."""
        return TurnOfCallback(self)


cdef class TurnOfCallback:
    """What `Turn.of_callback` gives."""

    cdef Turn turn
    cdef bint within

    def __init__(self, Turn turn):
        self.turn = turn

    def __enter__(self):
        self.within = self.turn.is_mine
        if not self.within:
            self.turn.take()

    def __exit__(self, kind, error, traceback):
        if not self.within:
            self.turn.give()
