/* Losses on raw scores (before the link), each with its gradient.
 *   scores    panels (n, rows), stride apart                                       read
 *   targets   panels like the scores, target_stride apart; of _labels int32 (rows,) read
 *   losses    (rows,): row_scale * the loss of the row                             written
 *   dscores   panels like the scores: gradient_scale * the derivative of the row's loss; padding becomes 0, or NaN
 *             where the row's loss is; may be the scores; NULL where no gradient is wanted             written
 * Return how many predictions are right: rows whose first largest score is the label's, or for the binary
 * cross-entropy single outputs on the target's side; 0 for a regression. Stable for any finite score; NaN in a score
 * makes the row's loss NaN. Twins of the same names. */
#define REAL_MAX ((real)(FM_F64 ? __DBL_MAX__ : __FLT_MAX__))

/* The helpers below work on one row of n elements. Where `one_line` (n <= LINE, a constant in each caller) the loop over
 * its lines is known to run once, and the row stays in registers from maximum to gradient. */
#define ROW_END(one_line, n) ((one_line) ? (ptrdiff_t)LINE : (n))

/* Position of the first element equal to `value`, -1 where there is none. */
INLINE ptrdiff_t first_equal(const int one_line, const real *row, ptrdiff_t stride, ptrdiff_t n, real value) {
    const vec wanted = v_set(value);
    for (ptrdiff_t k = 0; k < ROW_END(one_line, n); k += LINE, row += stride)
        for (int v = 0; v < VECS; v++) {
            const unsigned found = v_bits(v_eq(v_load(row + v * LANES), wanted));
            if (found) {
                const ptrdiff_t at = k + v * LANES + __builtin_ctz(found);
                return at < n ? at : -1;
            }
        }
    return -1;
}

INLINE real row_max(const int one_line, const real *row, ptrdiff_t stride, ptrdiff_t n) {
    vec top[VECS];
    for (int v = 0; v < VECS; v++) top[v] = v_set(-(real)__builtin_inf());
    for (ptrdiff_t k = 0; k < ROW_END(one_line, n); k += LINE, row += stride)
        UNROLL (int v = 0; v < VECS; v++)
            top[v] = v_max(v_select(v_before(v, n - k), v_load(row + v * LANES), top[v]), top[v]);
    return v_line_max(top);
}

/* exp(score - max) of a row, stored where `to` is not NULL (then 0 in the padding); returns the sum. */
INLINE real row_exp(const int one_line, const real *row, ptrdiff_t stride, ptrdiff_t n, real max, real *to) {
    vec sum[VECS];
    UNROLL (int v = 0; v < VECS; v++) sum[v] = v_zero();
    for (ptrdiff_t k = 0; k < ROW_END(one_line, n); k += LINE, row += stride)
        UNROLL (int v = 0; v < VECS; v++) {
            const vec e = v_exp_nonpositive(v_load(row + v * LANES) - v_set(max));
            const vec kept = v_select(v_before(v, n - k), e, v_zero());
            if (to) v_store(to + k / LINE * stride + v * LANES, kept);
            sum[v] += kept;
        }
    return v_line_sum(sum);
}

INLINE void row_scale_by(const int one_line, real *row, ptrdiff_t stride, ptrdiff_t n, real factor) {
    for (ptrdiff_t k = 0; k < ROW_END(one_line, n); k += LINE, row += stride)
        UNROLL (int v = 0; v < VECS; v++) v_store(row + v * LANES, v_load(row + v * LANES) * v_set(factor));
}

INLINE void softmax_rows(const int one_line, ptrdiff_t rows, ptrdiff_t n, real *row, ptrdiff_t stride) {
    for (; rows > 0; rows--, row += LINE) {
        const real sum = row_exp(one_line, row, stride, n, row_max(one_line, row, stride, n), row);
        row_scale_by(one_line, row, stride, n, 1 / sum);
    }
}

/* Softmax over each row, in place; padding becomes 0.  Twin: softmax */
static void FM(softmax)(ptrdiff_t rows, ptrdiff_t n, void *scores, ptrdiff_t stride) {
    if (n <= LINE)
        softmax_rows(1, rows, n, scores, stride);
    else
        softmax_rows(0, rows, n, scores, stride);
}

/* losses[r] = scale * (log(sums[r]) + losses[r]) for up to LINE rows at a time: one vector logarithm serves many. */
INLINE void finish_cross_entropy(ptrdiff_t rows, real scale, const real *sums, real *losses) {
    _Alignas(FM_LINE_BYTES) real log_sum[LINE];
    UNROLL (int v = 0; v < VECS; v++) v_store(log_sum + v * LANES, v_log(v_load(sums + v * LANES)));
    for (ptrdiff_t r = 0; r < rows; r++) losses[r] = scale * (log_sum[r] + losses[r]);
}

INLINE ptrdiff_t labels_rows(const int one_line, ptrdiff_t rows, ptrdiff_t n, const real *scores, ptrdiff_t stride,
                             const int32_t *labels, real row_scale, real gradient_scale, real *losses, real *dscores) {
    ptrdiff_t right = 0;
    _Alignas(FM_LINE_BYTES) real sums[LINE] = {0};
    for (; rows > 0; rows -= LINE, losses += LINE) {
        const ptrdiff_t many = MIN(LINE, rows);
        for (ptrdiff_t i = 0; i < many; i++, scores += LINE, labels++) {
            const ptrdiff_t at = *labels / LINE * stride + *labels % LINE;
            const real max = row_max(one_line, scores, stride, n);
            right += first_equal(one_line, scores, stride, n, max) == *labels;
            losses[i] = max - scores[at];
            sums[i] = row_exp(one_line, scores, stride, n, max, dscores);
            if (!dscores) continue;
            row_scale_by(one_line, dscores, stride, n, gradient_scale / sums[i]);
            dscores[at] -= gradient_scale;
            dscores += LINE;
        }
        finish_cross_entropy(many, row_scale, sums, losses);
    }
    return right;
}

/* Register v of line k / LINE of a row's targets, 0 in the padding: the target is a line of numbers t, or where
 * `labels`, a constant in each caller, 1 at the label and 0 elsewhere. */
INLINE vec target_(const int labels, const void *targets, ptrdiff_t target_stride, ptrdiff_t k, int v) {
    if (!labels) return v_load((const real *)targets + k / LINE * target_stride + v * LANES);
    return v_select(v_eq(v_lane(v), v_set((real)(*(const int32_t *)targets - k))), v_set(1), v_zero());
}

/* The same with targets of either kind, and with label smoothing s: t becomes (1 - s) t + s / n. A difference of scores
 * can overflow, half of it cannot, and a target of 0 must take no part: so twice the target times half the difference,
 * which rounds no differently. */
INLINE ptrdiff_t targets_rows(const int labels, ptrdiff_t rows, ptrdiff_t n, const real *scores, ptrdiff_t stride,
                              const void *targets, ptrdiff_t target_stride, real row_scale, real gradient_scale,
                              double smoothing, real *losses, real *dscores) {
    const vec keep = v_set((real)(1 - smoothing)), spread = v_set((real)(smoothing / (double)n)),
              half = v_set((real)0.5);
    const vec scale = v_set(gradient_scale);
    ptrdiff_t right = 0;
    _Alignas(FM_LINE_BYTES) real sums[LINE] = {0};
    for (; rows > 0; rows -= LINE, losses += LINE) {
        const ptrdiff_t many = MIN(LINE, rows);
        for (ptrdiff_t i = 0; i < many; i++, scores += LINE) {
            const real max = row_max(0, scores, stride, n);
            const vec half_max = v_set((real)0.5 * max);
            right += first_equal(0, scores, stride, n, max) ==
                     (labels ? *(const int32_t *)targets
                             : first_equal(0, targets, target_stride, n, row_max(0, targets, target_stride, n)));
            vec dot[VECS];
            UNROLL (int v = 0; v < VECS; v++) dot[v] = v_zero();
            for (ptrdiff_t k = 0; k < n; k += LINE)
                UNROLL (int v = 0; v < VECS; v++) {
                    const vec smooth = v_fma(target_(labels, targets, target_stride, k, v), keep, spread);
                    const vec t = v_select(v_before(v, n - k), smooth, v_zero());
                    dot[v] = v_fma(t + t, half_max - half * v_load(scores + k / LINE * stride + v * LANES), dot[v]);
                }
            losses[i] = v_line_sum(dot);
            sums[i] = row_exp(0, scores, stride, n, max, dscores);
            if (dscores) {
                const vec factor = v_set(gradient_scale / sums[i]);
                for (ptrdiff_t k = 0; k < n; k += LINE)
                    UNROLL (int v = 0; v < VECS; v++) {
                        const vec smooth = v_fma(target_(labels, targets, target_stride, k, v), keep, spread);
                        const vec t = v_select(v_before(v, n - k), smooth, v_zero());
                        real *e = dscores + k / LINE * stride + v * LANES;
                        v_store(e, v_load(e) * factor - t * scale);
                    }
                dscores += LINE;
            }
            targets = labels ? (const void *)((const int32_t *)targets + 1) : (const real *)targets + LINE;
        }
        finish_cross_entropy(many, row_scale, sums, losses);
    }
    return right;
}

/* Softmax with cross-entropy, integer labels 0 <= label < n:  log sum_j exp(z_j) - z_label */
static ptrdiff_t FM(softmax_cross_entropy_labels)(ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride,
                                                  const void *targets, ptrdiff_t target_stride, double row_scale,
                                                  double gradient_scale, const fm_loss_options *options, void *losses,
                                                  void *dscores) {
    const real scale = (real)row_scale, d_scale = (real)gradient_scale;
    if (options->label_smoothing > 0)
        return targets_rows(1, rows, n, scores, stride, targets, target_stride, scale, d_scale,
                            options->label_smoothing, losses, dscores);
    return n <= LINE ? labels_rows(1, rows, n, scores, stride, targets, scale, d_scale, losses, dscores)
                     : labels_rows(0, rows, n, scores, stride, targets, scale, d_scale, losses, dscores);
}

/* Softmax with cross-entropy, targets t that sum to 1:  log sum_j exp(z_j) - sum_j t_j z_j, t smoothed */
static ptrdiff_t FM(softmax_cross_entropy)(ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride,
                                           const void *targets, ptrdiff_t target_stride, double row_scale,
                                           double gradient_scale, const fm_loss_options *options, void *losses,
                                           void *dscores) {
    return targets_rows(0, rows, n, scores, stride, targets, target_stride, (real)row_scale, (real)gradient_scale,
                        options->label_smoothing, losses, dscores);
}

/* Options of a loss as registers; of its vectors, register v of line k / LINE. */
typedef struct loss_constants {
    vec keep, spread; /* a target t of one of two sides becomes keep t + spread */
    const real *positive_weight;
} loss_constants;

INLINE loss_constants loss_constants_of(const fm_loss_options *options) {
    return (loss_constants){
        .keep = v_set((real)(1 - options->label_smoothing)),
        .spread = v_set((real)(options->label_smoothing / 2)),
        .positive_weight = options->positive_weight,
    };
}

INLINE vec constant_of_outputs(const real *vector, ptrdiff_t at) { return vector ? v_load(vector + at) : v_set(1); }

/* Losses that are sums over outputs: loss and derivative of a register, whose first output is number `at`. */

/* With softplus(z) = log(1 + exp(z)) and the smoothed target t:  (1 - t) softplus(z) + t p softplus(-z). No cancellation
 * where sigmoid(z) is close to a hard target, in neither loss nor derivative. */
INLINE vec binary_cross_entropy_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    const vec zero = v_zero(), one = v_set(1), e = v_exp_nonpositive(-v_abs(z)), far = one / (one + e), near = e * far;
    const vec smooth = v_fma(t, c->keep, c->spread), log_far = v_log1p_unit(e);
    const vec yes = smooth * constant_of_outputs(c->positive_weight, at), no = one - smooth;
    const vmask negative = v_lt(z, zero);
    *d = no * v_select(negative, near, far) - yes * v_select(negative, far, near);
    return no * (v_max(z, zero) + log_far) + yes * (v_max(-z, zero) + log_far);
}

INLINE vec squared_error_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    (void)c, (void)at;
    const vec error = z - t;
    *d = error + error;
    return error * error;
}

/* Predictions on the target's side: a score of 0 and a target of 1/2 say no. */
INLINE ptrdiff_t right_sides(vec z, vec t, vmask inside) {
    const vec one = v_set(1), zero = v_zero();
    const vec said = v_select(v_lt(zero, z), one, zero), truth = v_select(v_lt(v_set((real)0.5), t), one, zero);
    return __builtin_popcount(v_bits(v_eq(said, truth)) & v_bits(inside));
}
INLINE ptrdiff_t none_right(vec z, vec t, vmask inside) {
    (void)z, (void)t, (void)inside;
    return 0;
}

#define ELEMENTWISE_LOSS(name, count_right)                                                                            \
    static ptrdiff_t FM(name)(ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride, const void *targets,  \
                              ptrdiff_t target_stride, double row_scale, double gradient_scale,                        \
                              const fm_loss_options *options, void *losses, void *dscores) {                           \
        const loss_constants c = loss_constants_of(options);                                                           \
        const vec scale = v_set((real)row_scale), d_scale = v_set((real)gradient_scale);                               \
        ptrdiff_t right = 0;                                                                                           \
        for (ptrdiff_t r = 0; r < rows; r++) {                                                                         \
            vec sum[VECS];                                                                                             \
            UNROLL (int v = 0; v < VECS; v++) sum[v] = v_zero();                                                       \
            for (ptrdiff_t k = 0; k < n; k += LINE)                                                                    \
                UNROLL (int v = 0; v < VECS; v++) {                                                                    \
                    const ptrdiff_t at = k / LINE * stride + r * LINE + v * LANES;                                     \
                    const vec z = v_load((const real *)scores + at);                                                   \
                    const vec t = v_load((const real *)targets + k / LINE * target_stride + r * LINE + v * LANES);     \
                    const vmask inside = v_before(v, n - k);                                                           \
                    vec d;                                                                                             \
                    /* scaled before it is summed: a mean of large losses is finite where their sum is not */          \
                    sum[v] += v_select(inside, scale * name##_(&c, k + v * LANES, z, t, &d), v_zero());                \
                    right += count_right(z, t, inside);                                                                \
                    if (dscores) v_store((real *)dscores + at, v_select(inside, d * d_scale, v_zero()));               \
                }                                                                                                      \
            ((real *)losses)[r] = v_line_sum(sum);                                                                     \
        }                                                                                                              \
        return right;                                                                                                  \
    }

/* Sigmoid with binary cross-entropy, targets in [0, 1]:  log(1 + exp(z)) - t z where there are no options */
ELEMENTWISE_LOSS(binary_cross_entropy, right_sides)
/* (z - t)^2 */
ELEMENTWISE_LOSS(squared_error, none_right)
#undef ELEMENTWISE_LOSS

/* Weights of the samples, after a loss:  losses[r] *= weights[r], dscores[r, :] *= weights[r]. Where the weight is 0 both
 * become 0, whatever they were: such a sample takes no part.
 *   weights  panels (1, rows), of which the first column counts; at least 0      read
 *   losses   (rows,)                                                            updated
 *   dscores  panels (n, rows), stride apart, or NULL                            updated
 * Twin: scale_rows */
static void FM(scale_rows)(ptrdiff_t rows, ptrdiff_t n, const void *weights, void *losses, void *dscores,
                           ptrdiff_t stride) {
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real weight = ((const real *)weights)[r * LINE];
        real *loss = (real *)losses + r, *row = (real *)dscores + r * LINE;
        *loss = weight > 0 ? weight * *loss : 0;
        const vmask counts = v_lt(v_zero(), v_set(weight));
        for (ptrdiff_t k = 0; dscores && k < n; k += LINE, row += stride)
            UNROLL (int v = 0; v < VECS; v++)
                v_store(row + v * LANES, v_select(counts, v_set(weight) * v_load(row + v * LANES), v_zero()));
    }
}
