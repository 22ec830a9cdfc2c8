# The plan of a step: C structs that say what there is to do and where the buffers are.
#
# `run_steps` (train.pxi) does it, in each thread of one parallel region for a whole chunk of steps. Offsets and strides
# are in elements unless their name says bytes.

cdef inline ptrdiff_t part(ptrdiff_t total, ptrdiff_t parts, ptrdiff_t i) noexcept nogil:
    """Start of part i where total is cut into equal parts."""
    return total * i // parts

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

cdef struct How:                # a forward pass goes
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

cdef inline ptrdiff_t input_panels(const Plan *p, int i) noexcept nogil:
    """Panels of the inputs of layer i."""
    return p.layers[i - 1].panels if i > 0 else (p.layers[0].n_in + p.k.line - 1) // p.k.line

cdef inline char *output_gradient(const Plan *p, int i) noexcept nogil:
    """dz of layer i; the last layer's lies in place of its scores."""
    return p.layers[i].y if i == p.n_layers - 1 else p.layers[i].dz

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
