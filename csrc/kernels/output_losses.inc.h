/* Losses that are sums over outputs, each output with a target of its own; contract as in losses.inc.h. The score is z
 * and the target t. Each is a function of registers, and one macro makes the kernels. */

/* Options of a loss as registers; of its vectors, register v of line k / LINE. */
typedef struct loss_constants {
    vec keep, spread; /* a target t of one of two sides becomes keep t + spread */
    vec gamma, delta;
    const real *positive_weight, *alpha, *levels;
} loss_constants;

INLINE loss_constants loss_constants_of(const fm_loss_options *options) {
    return (loss_constants){
        .keep = v_set((real)(1 - options->label_smoothing)),
        .spread = v_set((real)(options->label_smoothing / 2)),
        .gamma = v_set((real)options->gamma),
        .delta = v_set((real)options->delta),
        .positive_weight = options->positive_weight,
        .alpha = options->alpha,
        .levels = options->levels,
    };
}

/* `at` is the number of a register's first output. */

/* With softplus(z) = log(1 + exp(z)) and the smoothed target t:  (1 - t) softplus(z) + t p softplus(-z). No
 * cancellation where sigmoid(z) is close to a hard target, in neither loss nor derivative. */
INLINE vec binary_cross_entropy_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    const vec zero = v_zero(), one = v_set(1), e = v_exp_nonpositive(-v_abs(z)), far = one / (one + e), near = e * far;
    const vec smooth = v_fma(t, c->keep, c->spread), log_far = v_log1p_unit(e);
    const vec yes = c->positive_weight ? smooth * v_load(c->positive_weight + at) : smooth, no = one - smooth;
    const vmask negative = v_lt(z, zero);
    *d = no * v_select(negative, near, far) - yes * v_select(negative, far, near);
    return no * (v_max(z, zero) + log_far) + yes * (v_max(-z, zero) + log_far);
}

/* The same with a factor: softplus(-z) sigmoid(-z)^gamma for a positive target, softplus(z) sigmoid(z)^gamma for a
 * negative one. sigmoid(-z)^gamma is exp(-gamma softplus(z)), and its derivative -gamma sigmoid(z) times it. */
INLINE vec binary_focal_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    const vec zero = v_zero(), one = v_set(1), e = v_exp_nonpositive(-v_abs(z)), far = one / (one + e), near = e * far;
    const vmask negative = v_lt(z, zero);
    const vec s = v_select(negative, near, far), not_s = v_select(negative, far, near), log_far = v_log1p_unit(e);
    const vec up = v_max(z, zero) + log_far, down = v_max(-z, zero) + log_far;
    vec yes = t * v_exp_nonpositive(-c->gamma * up), no = (one - t) * v_exp_nonpositive(-c->gamma * down);
    if (c->alpha) {
        const vec alpha = v_load(c->alpha + at);
        yes *= alpha, no *= one - alpha;
    }
    *d = no * v_fma(c->gamma * not_s, up, s) - yes * v_fma(c->gamma * s, down, not_s);
    return v_fma(no, up, yes * down);
}

/* max(0, 1 - t z); the derivative at the kink is 0 */
INLINE vec hinge_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    (void)c, (void)at;
    const vec margin = v_set(1) - t * z;
    const vmask inside = v_lt(v_zero(), margin);
    *d = v_select(inside, -t, v_zero() * margin); /* NaN stays */
    return v_select(inside, margin, v_zero() * margin);
}

INLINE vec squared_error_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    (void)c, (void)at;
    const vec error = z - t;
    *d = error + error;
    return error * error;
}

/* |z - t|; the derivative at 0 is 0 */
INLINE vec absolute_error_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    (void)c, (void)at;
    const vec error = z - t, size = v_abs(error);
    *d = v_select(v_lt(v_zero(), size), v_copysign(v_set(1), error), error);
    return size;
}

/* error^2 / 2 up to |error| = delta, from there its tangent */
INLINE vec huber_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    (void)at;
    const vec error = z - t, size = v_abs(error), near = v_min(c->delta, size);
    *d = v_copysign(near, error);
    return near * (size - v_set((real)0.5) * near);
}

/* log cosh(error) = |error| - log 2 + log(1 + exp(-2 |error|)). Near 0, where that would cancel, the same is
 * log(1 + E^2 / (2 + 2 E)) with E = expm1(-|error|). */
INLINE vec log_cosh_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    (void)c, (void)at;
    const vec one = v_set(1), two = v_set(2), error = z - t, size = v_abs(error);
    const vec small = v_expm1(-v_min(one, size));
    const vec near = v_log1p_unit(small * small / v_fma(two, small, two));
    const vec far = (size - v_set((real)0.69314718055994530942)) + v_log1p_unit(v_exp_nonpositive(-two * size));
    *d = v_tanh(error);
    return v_select(v_lt(size, one), near, far);
}

/* (z - t) times its derivative: -level below the target, 1 - level above, 0 on it.  Koenker, Bassett 1978 */
INLINE vec quantile_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    const vec error = z - t, zero = v_zero(), level = c->levels ? v_load(c->levels + at) : v_set((real)0.5);
    const vec below = v_select(v_lt(error, zero), -level, error);
    *d = v_select(v_lt(zero, error), v_set(1) - level, below);
    return error * *d;
}

/* exp(z) - t z: the negative logarithm of a Poisson distribution's probability without its term log t! */
INLINE vec poisson_(const loss_constants *c, ptrdiff_t at, vec z, vec t, vec *d) {
    (void)c, (void)at;
    const vec rate = v_exp(z);
    *d = rate - t;
    return rate - t * z;
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
ELEMENTWISE_LOSS(binary_focal, right_sides)
/* Targets are -1 or 1. */
ELEMENTWISE_LOSS(hinge, right_sides)
/* (z - t)^2 */
ELEMENTWISE_LOSS(squared_error, none_right)
ELEMENTWISE_LOSS(absolute_error, none_right)
ELEMENTWISE_LOSS(huber, none_right)
ELEMENTWISE_LOSS(log_cosh, none_right)
ELEMENTWISE_LOSS(quantile, none_right)
ELEMENTWISE_LOSS(poisson, none_right)
#undef ELEMENTWISE_LOSS

/* Gaussian negative log-likelihood with predicted variance:  (s + (z - t)^2 exp(-s)) / 2, summed over n / 2 targets,
 * with the mean z in column j of the scores and the logarithm s of the variance in column n / 2 + j; its constant
 * log(2 pi) / 2 is left out. An odd last column takes no part.  Nix, Weigend 1994
 * With h = exp(-s / 4) the standardised error is (z - t) h h, which is finite as long as that is, and 0 where z = t. */
static ptrdiff_t FM(gaussian_nll)(ptrdiff_t rows, ptrdiff_t n, const void *scores, ptrdiff_t stride,
                                  const void *targets, ptrdiff_t target_stride, double row_scale, double gradient_scale,
                                  const fm_loss_options *options, void *losses, void *dscores) {
    (void)options;
    const vec half = v_set((real)0.5), scale = v_set((real)row_scale), d_scale = v_set((real)gradient_scale);
    const ptrdiff_t m = n / 2;
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real *row = (const real *)scores + r * LINE, *target = (const real *)targets + r * LINE;
        real *to = dscores ? (real *)dscores + r * LINE : NULL;
        vec sum[VECS];
        UNROLL (int v = 0; v < VECS; v++) sum[v] = v_zero();
        for (ptrdiff_t k = 0; k < m; k += LINE) {
            const ptrdiff_t many = MIN(LINE, m - k);
            _Alignas(FM_LINE_BYTES) real log_variance[LINE] = {0}, dz[LINE], ds[LINE];
            for (ptrdiff_t i = 0; i < many; i++)
                log_variance[i] = row[(m + k + i) / LINE * stride + (m + k + i) % LINE];
            UNROLL (int v = 0; v < VECS; v++) {
                const vec s = v_load(log_variance + v * LANES);
                const vec error =
                    v_load(row + k / LINE * stride + v * LANES) - v_load(target + k / LINE * target_stride + v * LANES);
                const vec h = v_exp(v_min(v_set(EXP_MAX), v_set((real)-0.25) * s)), standard = error * h * h;
                const vec square = standard * standard;
                sum[v] += v_select(v_before(v, m - k), scale * (half * (s + square)), v_zero());
                v_store(dz + v * LANES, d_scale * (standard * h * h));
                v_store(ds + v * LANES, d_scale * (half - half * square));
            }
            for (ptrdiff_t i = 0; dscores && i < many; i++) { /* which may be the scores: these are done with */
                to[k / LINE * stride + i] = dz[i];
                to[(m + k + i) / LINE * stride + (m + k + i) % LINE] = ds[i];
            }
        }
        for (ptrdiff_t j = 2 * m; dscores && j < (n + LINE - 1) / LINE * LINE; j++)
            to[j / LINE * stride + j % LINE] = 0;
        ((real *)losses)[r] = v_line_sum(sum);
    }
    return 0;
}

/* e^z of n elements, a multiple of LINE; y may be z. Makes rates of their logarithms: an activation without
 * derivative.  Twin: exp */
static void FM(exp)(ptrdiff_t n, const void *z, void *y, void *d, double alpha) {
    (void)d, (void)alpha;
    for (ptrdiff_t i = 0; i < n; i += LANES) v_store((real *)y + i, v_exp(v_load((const real *)z + i)));
}
