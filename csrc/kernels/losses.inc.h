/* Losses on raw scores (before the link), each with its gradient.
 *   scores    panels (n, rows), stride apart                                       read
 *   targets   panels like the scores, target_stride apart; of _labels int32 (rows,) read
 *   losses    (rows,): row_scale * the loss of the row                             written
 *   dscores   panels like the scores: gradient_scale * the derivative of the row's loss; padding becomes 0, or NaN
 *             where the row's loss is; may be the scores; NULL where no gradient is wanted             written
 * Return how many predictions are right: rows whose first largest score is the label's, or for the binary
 * cross-entropy single outputs on the target's side; 0 for a regression. Stable for any finite score; NaN in a score
 * makes the row's loss NaN. Those that are sums over outputs are in output_losses.inc.h. Twins of the same names. */
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
            const vec inside = v_select(v_before(v, n - k), e, v_zero());
            if (to) v_store(to + k / LINE * stride + v * LANES, inside);
            sum[v] += inside;
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

/* A focal loss on the softmax p of the scores, targets t:  -sum_j alpha_j t_j (1 - p_j)^gamma log p_j,
 * eq. 5 of Lin et al. 2017 for many classes. By log p_j its derivative is
 *   g_j = -alpha_j t_j (1 - p_j)^gamma (1 - gamma p_j log p_j / (1 - p_j)),
 * and by z_k then g_k - p_k sum_j g_j.
 * Where p_j may be close to 1, which is so for the largest score alone, 1 - p_j is the sum of the other p, and log p_j
 * follows from it: nothing cancels. Half of -log p_j is finite where the whole may overflow. */
typedef struct focal_row {
    vec half_max, half_log_sum, inverse, rest, gamma, max;
    ptrdiff_t at; /* of the largest score */
} focal_row;

/* p, and g with t's weight alpha; `loss` becomes that of the register. All of it is 0 in the padding. */
INLINE vec focal_(const focal_row *row, vec z, vec weight, ptrdiff_t k, int v, vmask inside, vec *p, vec *loss) {
    const vec half = v_set((real)0.5), smallest = v_set(SMALLEST_NORMAL);
    *p = v_select(inside, v_exp_nonpositive(z - row->max) * row->inverse, v_zero());
    const vmask largest = v_eq(v_lane(v), v_set((real)(row->at - k)));
    const vec missing = v_max(smallest, v_select(largest, row->rest * row->inverse, v_set(1) - *p));
    const vec power = v_select(inside, weight, v_zero()) * v_exp_nonpositive(row->gamma * v_log(missing));
    const vec half_log = v_select(inside, row->half_log_sum + (row->half_max - half * z), v_zero());
    *loss = (power + power) * half_log;
    return -power * v_fma((row->gamma + row->gamma) * *p, half_log / missing, v_set(1));
}

INLINE ptrdiff_t focal_rows(const int labels, ptrdiff_t rows, ptrdiff_t n, const real *scores, ptrdiff_t stride,
                            const void *targets, ptrdiff_t target_stride, real row_scale, real gradient_scale,
                            const fm_loss_options *options, real *losses, real *dscores) {
    const real *alpha = options->alpha;
    ptrdiff_t right = 0;
    for (ptrdiff_t r = 0; r < rows; r++, scores += LINE) {
        const real max = row_max(0, scores, stride, n);
        const ptrdiff_t at = first_equal(0, scores, stride, n, max);
        right += at == (labels ? *(const int32_t *)targets
                               : first_equal(0, targets, target_stride, n, row_max(0, targets, target_stride, n)));
        vec sum[VECS], total[VECS];
        UNROLL (int v = 0; v < VECS; v++) sum[v] = total[v] = v_zero();
        for (ptrdiff_t k = 0; k < n; k += LINE)
            UNROLL (int v = 0; v < VECS; v++) {
                const vec e = v_exp_nonpositive(v_load(scores + k / LINE * stride + v * LANES) - v_set(max));
                const vec other = v_select(v_eq(v_lane(v), v_set((real)(at - k))), v_zero(), e);
                sum[v] += v_select(v_before(v, n - k), other, v_zero());
            }
        const vec rest = v_set(v_line_sum(sum)), half = v_set((real)0.5);
        const focal_row row = {.half_max = half * v_set(max),
                               .half_log_sum = half * v_log1p(rest),
                               .inverse = v_set(1) / (v_set(1) + rest),
                               .rest = rest,
                               .gamma = v_set((real)options->gamma),
                               .max = v_set(max),
                               .at = at};
        UNROLL (int v = 0; v < VECS; v++) sum[v] = v_zero();
        vec p, loss;
        for (ptrdiff_t k = 0; k < n; k += LINE)
            UNROLL (int v = 0; v < VECS; v++) {
                const vec t = target_(labels, targets, target_stride, k, v);
                const vec weight = alpha ? t * v_load(alpha + k + v * LANES) : t;
                const vec z = v_load(scores + k / LINE * stride + v * LANES);
                total[v] += focal_(&row, z, weight, k, v, v_before(v, n - k), &p, &loss);
                sum[v] += loss;
            }
        losses[r] = row_scale * v_line_sum(sum);
        if (dscores) {
            const vec all = v_set(v_line_sum(total));
            for (ptrdiff_t k = 0; k < n; k += LINE)
                UNROLL (int v = 0; v < VECS; v++) {
                    const vec t = target_(labels, targets, target_stride, k, v);
                    const vec weight = alpha ? t * v_load(alpha + k + v * LANES) : t;
                    const vec z = v_load(scores + k / LINE * stride + v * LANES);
                    const vec g = focal_(&row, z, weight, k, v, v_before(v, n - k), &p, &loss);
                    v_store(dscores + k / LINE * stride + v * LANES, v_set(gradient_scale) * (g - p * all));
                }
            dscores += LINE;
        }
        targets = labels ? (const void *)((const int32_t *)targets + 1) : (const real *)targets + LINE;
    }
    return right;
}

static ptrdiff_t FM(focal)(ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride, const void *targets,
                           ptrdiff_t target_stride, double row_scale, double gradient_scale,
                           const fm_loss_options *options, void *losses, void *dscores) {
    return focal_rows(0, rows, n, scores, stride, targets, target_stride, (real)row_scale, (real)gradient_scale,
                      options, losses, dscores);
}

/* The same with integer labels: t is 1 at the label. */
static ptrdiff_t FM(focal_labels)(ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride,
                                  const void *targets, ptrdiff_t target_stride, double row_scale, double gradient_scale,
                                  const fm_loss_options *options, void *losses, void *dscores) {
    return focal_rows(1, rows, n, scores, stride, targets, target_stride, (real)row_scale, (real)gradient_scale,
                      options, losses, dscores);
}

/* Weights of the samples, after a loss:  losses[r] *= weights[r], dscores[r, :] *= weights[r]. Where the weight is 0
 * both become 0, whatever they were: such a sample takes no part.
 *   weights  panels (1, rows), of which the first column counts; at least 0      read
 *   losses   (rows,)                                                            updated
 *   dscores  panels (n, rows), stride apart, or NULL                            updated
 * Twin: scale_rows */
static void FM(scale_rows)(ptrdiff_t rows, ptrdiff_t n, const void *weights, void *losses, void *dscores,
                           ptrdiff_t stride) {
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real weight = ((const real *)weights)[r * LINE];
        real *loss = (real *)losses + r, *row = dscores ? (real *)dscores + r * LINE : NULL;
        *loss = weight > 0 ? weight * *loss : 0;
        const vmask counts = v_lt(v_zero(), v_set(weight));
        for (ptrdiff_t k = 0; dscores && k < n; k += LINE, row += stride)
            UNROLL (int v = 0; v < VECS; v++)
                v_store(row + v * LANES, v_select(counts, v_set(weight) * v_load(row + v * LANES), v_zero()));
    }
}
