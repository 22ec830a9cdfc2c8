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

/* Softmax with cross-entropy, integer labels 0 <= label < n:  log sum_j exp(z_j) - z_label */
static ptrdiff_t FM(softmax_cross_entropy_labels)(ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride,
                                                  const void *targets, ptrdiff_t target_stride, double row_scale,
                                                  double gradient_scale, void *losses, void *dscores) {
    (void)target_stride;
    const real scale = (real)row_scale, d_scale = (real)gradient_scale;
    return n <= LINE ? labels_rows(1, rows, n, scores, stride, targets, scale, d_scale, losses, dscores)
                     : labels_rows(0, rows, n, scores, stride, targets, scale, d_scale, losses, dscores);
}

/* Softmax with cross-entropy, targets t that sum to 1:  log sum_j exp(z_j) - sum_j t_j z_j */
static ptrdiff_t FM(softmax_cross_entropy)(ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride,
                                           const void *targets, ptrdiff_t target_stride, double row_scale,
                                           double gradient_scale, void *losses, void *dscores) {
    ptrdiff_t right = 0;
    _Alignas(FM_LINE_BYTES) real sums[LINE] = {0};
    for (ptrdiff_t first = 0; first < rows; first += LINE) {
        const ptrdiff_t many = MIN(LINE, rows - first);
        real *loss = (real *)losses + first;
        for (ptrdiff_t i = 0; i < many; i++) {
            const real *row = (const real *)scores + (first + i) * LINE;
            const real *target = (const real *)targets + (first + i) * LINE;
            real *to = dscores ? (real *)dscores + (first + i) * LINE : NULL;
            const real max = row_max(0, row, stride, n);
            right += first_equal(0, row, stride, n, max) ==
                     first_equal(0, target, target_stride, n, row_max(0, target, target_stride, n));
            vec dot[VECS];
            UNROLL (int v = 0; v < VECS; v++) dot[v] = v_zero();
            for (ptrdiff_t p = 0; p * LINE < n; p++)
                UNROLL (int v = 0; v < VECS; v++) {
                    const vec t = v_load(target + p * target_stride + v * LANES);
                    const vec below = v_set(max) - v_load(row + p * stride + v * LANES);
                    /* limited, since a target of 0 times an overflown difference would be NaN */
                    dot[v] = v_fma(t, v_min(v_set(REAL_MAX), below), dot[v]);
                }
            loss[i] = v_line_sum(dot);
            sums[i] = row_exp(0, row, stride, n, max, to);
            if (!to) continue;
            const vec factor = v_set((real)gradient_scale / sums[i]), scale = v_set((real)gradient_scale);
            for (ptrdiff_t p = 0; p * LINE < n; p++)
                UNROLL (int v = 0; v < VECS; v++) {
                    real *e = to + p * stride + v * LANES;
                    v_store(e, v_load(e) * factor - v_load(target + p * target_stride + v * LANES) * scale);
                }
        }
        finish_cross_entropy(many, (real)row_scale, sums, loss);
    }
    return right;
}

/* One element's loss and derivative, for the losses that are sums over outputs. */
INLINE vec binary_cross_entropy_(vec z, vec t, vec *d) {
    const vec zero = v_zero(), one = v_set(1), e = v_exp_nonpositive(-v_abs(z)), far = one / (one + e), near = e * far;
    const vmask negative = v_lt(z, zero);
    /* (1 - t) sigmoid(z) - t sigmoid(-z): no cancellation where sigmoid(z) is close to a hard target */
    *d = (one - t) * v_select(negative, near, far) - t * v_select(negative, far, near);
    return (v_select(negative, zero, z) - z * t) + v_log1p_unit(e);
}
INLINE ptrdiff_t binary_cross_entropy_right(vec z, vec t, vmask inside) {
    const vec one = v_set(1), zero = v_zero();
    const vec said = v_select(v_lt(zero, z), one, zero), truth = v_select(v_lt(v_set((real)0.5), t), one, zero);
    return __builtin_popcount(v_bits(v_eq(said, truth)) & v_bits(inside));
}

INLINE vec squared_error_(vec z, vec t, vec *d) {
    const vec error = z - t;
    *d = error + error;
    return error * error;
}
INLINE ptrdiff_t squared_error_right(vec z, vec t, vmask inside) {
    (void)z, (void)t, (void)inside;
    return 0;
}

/* Sigmoid with binary cross-entropy, targets in [0, 1]:  log(1 + exp(z)) - t z, summed over the outputs.
 * Squared error:  (z - t)^2, summed over the outputs. */
#define ELEMENTWISE_LOSS(name)                                                                                         \
    static ptrdiff_t FM(name)(ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride, const void *targets,  \
                              ptrdiff_t target_stride, double row_scale, double gradient_scale, void *losses,          \
                              void *dscores) {                                                                         \
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
                    sum[v] += v_select(inside, name##_(z, t, &d), v_zero());                                           \
                    right += name##_right(z, t, inside);                                                               \
                    if (dscores)                                                                                       \
                        v_store((real *)dscores + at, v_select(inside, d * v_set((real)gradient_scale), v_zero()));    \
                }                                                                                                      \
            ((real *)losses)[r] = (real)row_scale * v_line_sum(sum);                                                   \
        }                                                                                                              \
        return right;                                                                                                  \
    }
ELEMENTWISE_LOSS(binary_cross_entropy)
ELEMENTWISE_LOSS(squared_error)
#undef ELEMENTWISE_LOSS
