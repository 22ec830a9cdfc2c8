# The C side as Cython sees it, and the table lookup that fastmlp._kernels shares.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "fastmlp.h" nogil:
    cdef enum:
        FM_MAX_STATES

    ctypedef struct fm_hyper:
        double rate, momentum, beta_2, epsilon, epsilon_in_root, correction_1, correction_2, correction_g
        double weight_decay, gradient_scale, share, l1, l2, clip_value

    ctypedef struct fm_loss_options:
        double label_smoothing, gamma, delta
        const void *positive_weight
        const void *alpha
        const void *levels

    ctypedef struct fm_blocks:
        const void *base
        ptrdiff_t block, stride

    ctypedef struct fm_ahead:
        const void *base[1 + FM_MAX_STATES]
        ptrdiff_t n, stride

    ctypedef struct fm_mask:
        uint64_t seed, step
        uint32_t layer
        double rate

    ctypedef void fm_dense_forward(
        ptrdiff_t rows, ptrdiff_t n_in, ptrdiff_t n_panels, const void *x, ptrdiff_t x_stride, const void *w,
        const void *b, void *y, ptrdiff_t y_stride) noexcept nogil
    ctypedef void fm_dense_input_gradient(
        ptrdiff_t rows, ptrdiff_t n_out, ptrdiff_t n_panels, const void *dz, ptrdiff_t dz_stride, const void *wt,
        int multiply, void *dx, ptrdiff_t dx_stride) noexcept nogil
    ctypedef void fm_dense_weight_gradient(
        ptrdiff_t rows, ptrdiff_t block_rows, ptrdiff_t first_in, ptrdiff_t n_in, ptrdiff_t n_panels,
        const fm_blocks *x, const fm_blocks *dz, void *dw, ptrdiff_t dw_stride, const fm_ahead *ahead) noexcept nogil
    ctypedef void fm_dense_bias_gradient(
        ptrdiff_t rows, ptrdiff_t block_rows, ptrdiff_t n_panels, const fm_blocks *dz, void *db) noexcept nogil
    ctypedef void fm_transpose(
        ptrdiff_t n_in, ptrdiff_t n_out, const void *w, ptrdiff_t w_stride, void *wt) noexcept nogil
    ctypedef void fm_gather(
        ptrdiff_t rows, ptrdiff_t n, const void *source, ptrdiff_t row_stride_bytes, ptrdiff_t column_stride_bytes,
        const int64_t *index, const double *mean, const double *scale, void *x, ptrdiff_t x_stride) noexcept nogil
    ctypedef void fm_scatter(
        ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t x_stride, void *target,
        ptrdiff_t row_stride) noexcept nogil
    ctypedef void fm_multiply(ptrdiff_t n, const void *a, void *b) noexcept nogil
    ctypedef void fm_add(ptrdiff_t n, const void *a, void *b) noexcept nogil
    ctypedef void fm_layer_norm(
        ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t x_stride, const void *gamma, const void *beta,
        double epsilon, void *mean, void *scale, void *y, ptrdiff_t y_stride) noexcept nogil
    ctypedef void fm_layer_norm_input_gradient(
        ptrdiff_t rows, ptrdiff_t n, const void *dz, ptrdiff_t dz_stride, const void *x, ptrdiff_t x_stride,
        const void *gamma, const void *mean, const void *scale, int multiply, void *dx,
        ptrdiff_t dx_stride) noexcept nogil
    ctypedef void fm_layer_norm_weight_gradient(
        ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *dz, const fm_blocks *x, const void *mean,
        const void *scale, void *dgamma, void *dbeta) noexcept nogil
    ctypedef void fm_batch_statistics(
        ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *x, void *mean, void *variance) noexcept nogil
    ctypedef void fm_batch_norm(
        ptrdiff_t rows, const void *x, const void *mean, const void *variance, double epsilon, const void *gamma,
        const void *beta, void *y) noexcept nogil
    ctypedef void fm_batch_norm_input_gradient(
        ptrdiff_t rows, ptrdiff_t batch_rows, const void *dz, const void *x, const void *mean, const void *variance,
        double epsilon, const void *gamma, const void *dgamma, const void *dbeta, int multiply,
        void *dx) noexcept nogil
    ctypedef void fm_batch_norm_weight_gradient(
        ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *dz, const fm_blocks *x, const void *mean,
        const void *variance, double epsilon, void *dgamma, void *dbeta) noexcept nogil
    ctypedef void fm_running_average(ptrdiff_t n, double momentum, const void *now, void *average) noexcept nogil
    ctypedef void fm_prelu(ptrdiff_t rows, const void *x, const void *slope, void *y) noexcept nogil
    ctypedef void fm_prelu_input_gradient(
        ptrdiff_t rows, const void *dz, const void *x, const void *slope, int multiply, void *dx) noexcept nogil
    ctypedef void fm_prelu_weight_gradient(
        ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *dz, const fm_blocks *x, void *dslope) noexcept nogil
    ctypedef void fm_dropout(
        ptrdiff_t rows, ptrdiff_t first_row, ptrdiff_t column, const fm_mask *mask, int fresh, void *y,
        void *d) noexcept nogil
    ctypedef void fm_activation(ptrdiff_t n, const void *z, void *y, void *d, double alpha) noexcept nogil
    ctypedef void fm_softmax(ptrdiff_t rows, ptrdiff_t n, void *scores, ptrdiff_t stride) noexcept nogil
    ctypedef ptrdiff_t fm_loss(
        ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride, const void *targets,
        ptrdiff_t target_stride, double row_scale, double gradient_scale, const fm_loss_options *options,
        void *losses, void *dscores) noexcept nogil
    ctypedef void fm_scale_rows(
        ptrdiff_t rows, ptrdiff_t n, const void *weights, void *losses, void *dscores,
        ptrdiff_t stride) noexcept nogil
    ctypedef void fm_update(
        ptrdiff_t n, const void *g, void *w, void *const *states, const fm_hyper *hyper) noexcept nogil
    ctypedef void fm_prepare_gradient(ptrdiff_t n, const void *w, void *g, const fm_hyper *hyper) noexcept nogil
    ctypedef double fm_penalty(ptrdiff_t n, const void *x, double l1, double l2) noexcept nogil
    ctypedef void fm_max_norm(ptrdiff_t n_in, ptrdiff_t n_panels, double limit, void *w) noexcept nogil
    ctypedef double fm_sum(ptrdiff_t n, const void *x) noexcept nogil
    ctypedef void fm_probe_fma(ptrdiff_t n, void *x) noexcept nogil
    ctypedef void fm_probe_triad(ptrdiff_t n, const void *a, const void *b, void *c) noexcept nogil
    ctypedef bint fm_within(ptrdiff_t n, const void *x, double low, double high) noexcept nogil

    ctypedef struct fm_kernels:
        const char *isa
        const char *dtype
        ptrdiff_t line, lanes, itemsize_bytes, group, chains
        fm_dense_forward *dense_forward
        fm_dense_input_gradient *dense_input_gradient
        fm_dense_weight_gradient *dense_weight_gradient
        fm_dense_bias_gradient *dense_bias_gradient
        fm_transpose *transpose
        fm_gather **gather
        fm_scatter *scatter
        fm_multiply *multiply
        fm_add *add
        fm_layer_norm *layer_norm
        fm_layer_norm_input_gradient *layer_norm_input_gradient
        fm_layer_norm_weight_gradient *layer_norm_weight_gradient
        fm_batch_statistics *batch_statistics
        fm_batch_norm *batch_norm
        fm_batch_norm_input_gradient *batch_norm_input_gradient
        fm_batch_norm_weight_gradient *batch_norm_weight_gradient
        fm_running_average *running_average
        fm_prelu *prelu
        fm_prelu_input_gradient *prelu_input_gradient
        fm_prelu_weight_gradient *prelu_weight_gradient
        fm_dropout *dropout
        fm_activation **activation
        fm_softmax *softmax
        fm_activation *exp
        fm_loss **loss
        fm_scale_rows *scale_rows
        fm_update **update
        fm_prepare_gradient *prepare_gradient
        fm_penalty *penalty
        fm_max_norm *max_norm
        fm_sum *sum
        fm_probe_fma *probe_fma
        fm_probe_triad *probe_triad
        fm_within *within

    const char *fm_isa_name(int i)
    const char *fm_isa_missing(const char *isa)
    const fm_kernels *fm_kernels_of(const char *isa, int is_f64)
    const char *const *fm_activation_names
    const char *const *fm_loss_names
    const char *const *fm_optimizer_names
    const int *fm_optimizer_states
    const char *const *fm_gather_names
    void fm_shuffle(ptrdiff_t n, uint64_t seed, uint64_t stream, int64_t *index)
    unsigned long long fm_flush_subnormals()
    void fm_restore_subnormals(unsigned long long mode)

cdef const fm_kernels *table_of(str isa, str dtype) except NULL
cdef int position(list known, str name) except -1

cdef class Memory:
    cdef object owner
    cdef char *data
    cdef ptrdiff_t n_bytes

cdef class LossOptions:
    cdef fm_loss_options c
    cdef list vectors
    cdef const void *vector(self, str dtype, numbers) except? NULL
