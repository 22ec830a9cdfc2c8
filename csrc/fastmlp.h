/* The kernel table: all that the engine (fastmlp/_engine.pyx) sees of the C code.
 *
 * A table holds the kernels of one ISA and one dtype; every function of it has the same type in every table, so that
 * the engine is written once. Buffers are `void *` to elements of the table's dtype. Sizes and strides are counted in
 * elements, never in bytes unless the name ends in `_bytes`. A `stride` of a panel matrix is the distance between the
 * first elements of two panels. csrc/README.md explains panels, buffers and how to add a kernel or an ISA. */
#ifndef FASTMLP_H
#define FASTMLP_H

#include <stddef.h>
#include <stdint.h>

/* The registry: one line here adds a kernel to every table, to Python's lists, to the tests and to the benches. The
 * kernel is FM(name) in csrc/kernels/, its twin `name` in fastmlp/reference/. */
/* clang-format off */
#define FM_ACTIVATIONS(X)                                                                                              \
    X(identity) X(relu) X(leaky_relu) X(elu) X(selu) X(gelu) X(gelu_tanh) X(silu) X(mish) X(tanh) X(sigmoid)           \
    X(softplus) X(hard_sigmoid) X(hard_tanh)
#define FM_LOSSES(X)                                                                                                   \
    X(softmax_cross_entropy) X(softmax_cross_entropy_labels) X(binary_cross_entropy) X(focal) X(focal_labels)          \
    X(binary_focal) X(hinge) X(squared_error) X(absolute_error) X(huber) X(log_cosh) X(quantile) X(poisson)            \
    X(gaussian_nll)
#define FM_OPTIMIZERS(X) /* and how many states each keeps */                                                          \
    X(sgd, 0) X(momentum, 1) X(nesterov, 1) X(rmsprop, 1) X(rmsprop_centered, 2) X(adagrad, 1) X(adam, 2) X(amsgrad, 3)    \
    X(nadam, 2) X(lion, 1)
#define FM_GATHERS(X) X(f32, float) X(f64, double) X(u8, uint8_t)
/* clang-format on */

#define FM_ENUM(name, ...) FM_##name,
enum fm_activation_id { FM_ACTIVATIONS(FM_ENUM) FM_N_ACTIVATIONS };
enum fm_loss_id { FM_LOSSES(FM_ENUM) FM_N_LOSSES };
enum fm_optimizer_id { FM_OPTIMIZERS(FM_ENUM) FM_N_OPTIMIZERS };
enum { FM_MAX_STATES = 3 };
enum fm_gather_id { FM_GATHERS(FM_ENUM) FM_N_GATHERS };
#undef FM_ENUM

/* Hyper-parameters of one update, computed once for a step; each optimizer reads those that it knows. */
typedef struct fm_hyper {
    double rate;     /* learning rate of this step */
    double momentum; /* momentum; beta_1 of Adam; rho of RMSprop is beta_2 */
    double beta_2;
    double epsilon;
    double epsilon_in_root; /* RMSprop, Adagrad: added below the root instead of to it */
    double correction_1;    /* Adam: 1 / (1 - beta_1^t), or 1 without bias correction; Nadam: of the momentum */
    double correction_2;    /* Adam: 1 / sqrt(1 - beta_2^t), or 1 */
    double correction_g;    /* Nadam: of the gradient itself */
    double weight_decay;    /* decoupled, times the rate */
    double gradient_scale;  /* factor of the gradient: 1, or less where its norm was clipped */
    double share;           /* prepare_gradient: factor of a sum of gradients that makes it a mean */
    double l1, l2;          /* prepare_gradient: factors of sign(w) and of w that are added to the gradient */
    double clip_value;      /* prepare_gradient: largest size of an element of the gradient; 0: any */
} fm_hyper;

/* Constants of a loss; each loss reads those that it knows. A vector is (n,) padded to a multiple of a line, one number
 * for each output; NULL where there is none. */
typedef struct fm_loss_options {
    double label_smoothing;      /* cross-entropies: so much of each target is spread evenly over the classes */
    double gamma;                /* focal losses: exponent of the probability that is missing */
    double delta;                /* Huber: where the square becomes a straight line */
    const void *positive_weight; /* binary cross-entropy: factor of the loss of a positive target; 1 */
    const void *alpha;           /* focal: weights of the classes, 1; binary: alpha and 1 - alpha of the two sides */
    const void *levels;          /* quantile: which one, in (0, 1); 1/2 */
} fm_loss_options;

/* Rows of a batch in blocks: `rows` in all, `block_rows` in every block but the last; a matrix keeps its blocks
 * `block` elements apart, and the panels within a block `stride` apart. */
typedef struct fm_blocks {
    const void *base;
    ptrdiff_t block, stride;
} fm_blocks;

/* Arrays of which the caller will read n_panels panels of n_in lines, `stride` elements apart, as soon as a gradient of
 * that shape is computed: fetched meanwhile. */
typedef struct fm_ahead {
    const void *base[1 + FM_MAX_STATES];
    ptrdiff_t n, stride;
} fm_ahead;

/* What the masks of one dropout layer in one step are drawn from; rate is the share of elements that it drops. */
typedef struct fm_mask {
    uint64_t seed, step;
    uint32_t layer;
    double rate;
} fm_mask;

typedef void fm_dense_forward(ptrdiff_t rows, ptrdiff_t n_in, ptrdiff_t n_panels, const void *x, ptrdiff_t x_stride,
                              const void *w, const void *b, void *y, ptrdiff_t y_stride);
typedef void fm_dense_input_gradient(ptrdiff_t rows, ptrdiff_t n_out, ptrdiff_t n_panels, const void *dz,
                                     ptrdiff_t dz_stride, const void *wt, int multiply, void *dx, ptrdiff_t dx_stride);
typedef void fm_dense_weight_gradient(ptrdiff_t rows, ptrdiff_t block_rows, ptrdiff_t first_in, ptrdiff_t n_in,
                                      ptrdiff_t n_panels, const fm_blocks *x, const fm_blocks *dz, void *dw,
                                      ptrdiff_t dw_stride, const fm_ahead *ahead);
typedef void fm_dense_bias_gradient(ptrdiff_t rows, ptrdiff_t block_rows, ptrdiff_t n_panels, const fm_blocks *dz,
                                    void *db);
typedef void fm_transpose(ptrdiff_t n_in, ptrdiff_t n_out, const void *w, ptrdiff_t w_stride, void *wt);
typedef void fm_gather(ptrdiff_t rows, ptrdiff_t n, const void *source, ptrdiff_t row_stride_bytes,
                       ptrdiff_t column_stride_bytes, const int64_t *index, const double *mean, const double *scale,
                       void *x, ptrdiff_t x_stride);
typedef void fm_scatter(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t x_stride, void *target,
                        ptrdiff_t row_stride);
typedef void fm_multiply(ptrdiff_t n, const void *a, void *b);
typedef void fm_add(ptrdiff_t n, const void *a, void *b);
typedef void fm_layer_norm(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t x_stride, const void *gamma,
                           const void *beta, double epsilon, void *mean, void *scale, void *y, ptrdiff_t y_stride);
typedef void fm_layer_norm_input_gradient(ptrdiff_t rows, ptrdiff_t n, const void *dz, ptrdiff_t dz_stride,
                                          const void *x, ptrdiff_t x_stride, const void *gamma, const void *mean,
                                          const void *scale, int multiply, void *dx, ptrdiff_t dx_stride);
typedef void fm_layer_norm_weight_gradient(ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *dz,
                                           const fm_blocks *x, const void *mean, const void *scale, void *dgamma,
                                           void *dbeta);
typedef void fm_batch_statistics(ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *x, void *mean, void *variance);
typedef void fm_batch_norm(ptrdiff_t rows, const void *x, const void *mean, const void *variance, double epsilon,
                           const void *gamma, const void *beta, void *y);
typedef void fm_batch_norm_input_gradient(ptrdiff_t rows, ptrdiff_t batch_rows, const void *dz, const void *x,
                                          const void *mean, const void *variance, double epsilon, const void *gamma,
                                          const void *dgamma, const void *dbeta, int multiply, void *dx);
typedef void fm_batch_norm_weight_gradient(ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *dz,
                                           const fm_blocks *x, const void *mean, const void *variance, double epsilon,
                                           void *dgamma, void *dbeta);
typedef void fm_running_average(ptrdiff_t n, double momentum, const void *now, void *average);
typedef void fm_prelu(ptrdiff_t rows, const void *x, const void *slope, void *y);
typedef void fm_prelu_input_gradient(ptrdiff_t rows, const void *dz, const void *x, const void *slope, int multiply,
                                     void *dx);
typedef void fm_prelu_weight_gradient(ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *dz, const fm_blocks *x,
                                      void *dslope);
typedef void fm_dropout(ptrdiff_t rows, ptrdiff_t first_row, ptrdiff_t column, const fm_mask *mask, int fresh, void *y,
                        void *d);
typedef void fm_activation(ptrdiff_t n, const void *z, void *y, void *d, double alpha);
typedef void fm_softmax(ptrdiff_t rows, ptrdiff_t n, void *scores, ptrdiff_t stride);
typedef ptrdiff_t fm_loss(ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride, const void *targets,
                          ptrdiff_t target_stride, double row_scale, double gradient_scale,
                          const fm_loss_options *options, void *losses, void *dscores);
typedef void fm_scale_rows(ptrdiff_t rows, ptrdiff_t n, const void *weights, void *losses, void *dscores,
                           ptrdiff_t stride);
typedef void fm_update(ptrdiff_t n, const void *g, void *w, void *const *states, const fm_hyper *hyper);
typedef void fm_prepare_gradient(ptrdiff_t n, const void *w, void *g, const fm_hyper *hyper);
typedef double fm_penalty(ptrdiff_t n, const void *x, double l1, double l2);
typedef void fm_max_norm(ptrdiff_t n_in, ptrdiff_t n_panels, double limit, void *w);
typedef double fm_sum(ptrdiff_t n, const void *x);
typedef void fm_probe_fma(ptrdiff_t n, void *x);
typedef void fm_probe_triad(ptrdiff_t n, const void *a, const void *b, void *c);
typedef int fm_within(ptrdiff_t n, const void *x, double low, double high);

typedef struct fm_kernels {
    const char *isa;
    const char *dtype;
    ptrdiff_t line;  /* elements of a cache line, the width of a panel */
    ptrdiff_t lanes; /* elements of a register */
    ptrdiff_t itemsize_bytes;
    ptrdiff_t group;  /* panels that one weight-gradient tile holds in registers */
    ptrdiff_t chains; /* registers of values in probe_fma */
    fm_dense_forward *dense_forward;
    fm_dense_input_gradient *dense_input_gradient;
    fm_dense_weight_gradient *dense_weight_gradient;
    fm_dense_bias_gradient *dense_bias_gradient;
    fm_transpose *transpose;
    fm_gather *gather[FM_N_GATHERS];
    fm_scatter *scatter;
    fm_multiply *multiply;
    fm_add *add;
    fm_layer_norm *layer_norm;
    fm_layer_norm_input_gradient *layer_norm_input_gradient;
    fm_layer_norm_weight_gradient *layer_norm_weight_gradient;
    fm_batch_statistics *batch_statistics;
    fm_batch_norm *batch_norm;
    fm_batch_norm_input_gradient *batch_norm_input_gradient;
    fm_batch_norm_weight_gradient *batch_norm_weight_gradient;
    fm_running_average *running_average;
    fm_prelu *prelu;
    fm_prelu_input_gradient *prelu_input_gradient;
    fm_prelu_weight_gradient *prelu_weight_gradient;
    fm_dropout *dropout;
    fm_activation *activation[FM_N_ACTIVATIONS];
    fm_softmax *softmax;
    fm_activation *exp; /* the link of a logarithm */
    fm_loss *loss[FM_N_LOSSES];
    fm_scale_rows *scale_rows;
    fm_update *update[FM_N_OPTIMIZERS];
    fm_prepare_gradient *prepare_gradient;
    fm_penalty *penalty;
    fm_max_norm *max_norm;
    fm_sum *sum;
    fm_probe_fma *probe_fma;
    fm_probe_triad *probe_triad;
    fm_within *within;
} fm_kernels;

/* ISAs from the best to the most portable; fm_isa_name(i) is NULL past the last. */
const char *fm_isa_name(int i);
/* NULL where this build has it and this processor and system run it, otherwise the reason why not. */
const char *fm_isa_missing(const char *isa);
/* The table of an available ISA; NULL where fm_isa_missing(isa) is not. */
const fm_kernels *fm_kernels_of(const char *isa, int is_f64);

/* Names in the order of the enums, NULL at the end. */
extern const char *const fm_activation_names[];
extern const char *const fm_loss_names[];
extern const char *const fm_optimizer_names[];
extern const int fm_optimizer_states[];
extern const char *const fm_gather_names[];

/* Fisher-Yates shuffle of 0 ... n-1 into index by Philox4x64-10 with the given key and stream: csrc/random.c. */
void fm_shuffle(ptrdiff_t n, uint64_t seed, uint64_t stream, int64_t *index);

/* Flush subnormals to zero in the calling thread; returns the mode to hand back to fm_restore_subnormals. */
unsigned long long fm_flush_subnormals(void);
void fm_restore_subnormals(unsigned long long mode);

#endif
