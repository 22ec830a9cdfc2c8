/* Optimizers:  one update of n weights (a multiple of LINE) from their gradients.
 *   g       gradient                                        read
 *   w       weights                                         updated
 *   states  as many arrays as FM_OPTIMIZERS says            updated
 * Before the optimizer's own step  g = gradient_scale g  and  w = (1 - rate weight_decay) w,  where these are not 1. Each
 * optimizer is one function on vectors, stamped into loops below. Padding stays zero: every update of w = 0 with g = 0
 * and zero states is 0. Twins of the same names. */
typedef struct constants {
    vec rate, momentum, one_minus_momentum, beta_2, one_minus_beta_2, epsilon, epsilon_in_root, correction_1,
        correction_2, correction_g;
} constants;

INLINE constants constants_of(const fm_hyper *h) {
    return (constants){
        .rate = v_set((real)h->rate),
        .momentum = v_set((real)h->momentum),
        .one_minus_momentum = v_set((real)(1 - h->momentum)),
        .beta_2 = v_set((real)h->beta_2),
        .one_minus_beta_2 = v_set((real)(1 - h->beta_2)),
        .epsilon = v_set((real)h->epsilon),
        .epsilon_in_root = v_set((real)h->epsilon_in_root),
        .correction_1 = v_set((real)(h->rate * h->correction_1)),
        .correction_2 = v_set((real)h->correction_2),
        .correction_g = v_set((real)(h->rate * h->correction_g)),
    };
}

/* 1, -1, or a itself where it is zero or NaN */
INLINE vec sign_(vec a) { return v_select(v_lt(v_zero(), v_abs(a)), v_copysign(v_set(1), a), a); }

/* w - rate g */
INLINE vec sgd_(const constants *h, vec g, vec w, vec *states) {
    (void)states;
    return v_fma(-h->rate, g, w);
}

/* Polyak: m = momentum m + rate g;  w - m.  The learning rate lies inside the velocity, as in Keras. */
INLINE vec momentum_(const constants *h, vec g, vec w, vec *states) {
    vec *m = states;
    *m = v_fma(h->momentum, *m, h->rate * g);
    return w - *m;
}

/* Nesterov in Keras's form: the weights kept are those looked ahead. */
INLINE vec nesterov_(const constants *h, vec g, vec w, vec *states) {
    vec *m = states;
    const vec step = h->rate * g;
    *m = v_fma(h->momentum, *m, step);
    return w - v_fma(h->momentum, *m, step);
}

/* Tieleman and Hinton 2012: v = rho v + (1 - rho) g^2;  w - rate g / (sqrt(v + epsilon_in_root) + epsilon) */
INLINE vec rmsprop_(const constants *h, vec g, vec w, vec *states) {
    vec *v = states;
    *v = v_fma(h->beta_2, *v, h->one_minus_beta_2 * g * g);
    return w - h->rate * g / (v_sqrt(*v + h->epsilon_in_root) + h->epsilon);
}

/* Graves 2013, eq. 38 to 41: rmsprop with the variance v - m^2, m = rho m + (1 - rho) g, in the place of v */
INLINE vec rmsprop_centered_(const constants *h, vec g, vec w, vec *states) {
    vec *m = states, *v = states + 1;
    *m = v_fma(h->beta_2, *m, h->one_minus_beta_2 * g);
    *v = v_fma(h->beta_2, *v, h->one_minus_beta_2 * g * g);
    const vec variance = v_max(v_fma(-*m, *m, *v), v_zero()); /* which rounding may make negative */
    return w - h->rate * g / (v_sqrt(variance + h->epsilon_in_root) + h->epsilon);
}

/* Duchi, Hazan, Singer 2011: v = v + g^2;  w - rate g / (sqrt(v + epsilon_in_root) + epsilon) */
INLINE vec adagrad_(const constants *h, vec g, vec w, vec *states) {
    vec *v = states;
    *v = v_fma(g, g, *v);
    return w - h->rate * g / (v_sqrt(*v + h->epsilon_in_root) + h->epsilon);
}

/* Kingma and Ba 2015, algorithm 1 */
INLINE vec adam_(const constants *h, vec g, vec w, vec *states) {
    vec *m = states, *v = states + 1;
    *m = v_fma(h->momentum, *m, h->one_minus_momentum * g);
    *v = v_fma(h->beta_2, *v, h->one_minus_beta_2 * g * g);
    return w - h->correction_1 * *m / v_fma(v_sqrt(*v), h->correction_2, h->epsilon);
}

/* Reddi, Kale, Kumar 2018, algorithm 2: adam with the largest v so far in the place of v */
INLINE vec amsgrad_(const constants *h, vec g, vec w, vec *states) {
    vec *m = states, *v = states + 1, *v_max_so_far = states + 2;
    *m = v_fma(h->momentum, *m, h->one_minus_momentum * g);
    *v = v_fma(h->beta_2, *v, h->one_minus_beta_2 * g * g);
    *v_max_so_far = v_max(*v_max_so_far, *v);
    return w - h->correction_1 * *m / v_fma(v_sqrt(*v_max_so_far), h->correction_2, h->epsilon);
}

/* Dozat 2016: adam with the step's own gradient looked ahead, correction_g g, beside correction_1 m */
INLINE vec nadam_(const constants *h, vec g, vec w, vec *states) {
    vec *m = states, *v = states + 1;
    *m = v_fma(h->momentum, *m, h->one_minus_momentum * g);
    *v = v_fma(h->beta_2, *v, h->one_minus_beta_2 * g * g);
    return w - v_fma(h->correction_1, *m, h->correction_g * g) / v_fma(v_sqrt(*v), h->correction_2, h->epsilon);
}

/* Chen et al. 2023, algorithm 2: w - rate sign(beta_1 m + (1 - beta_1) g);  m = beta_2 m + (1 - beta_2) g */
INLINE vec lion_(const constants *h, vec g, vec w, vec *states) {
    vec *m = states;
    const vec direction = sign_(v_fma(h->momentum, *m, h->one_minus_momentum * g));
    *m = v_fma(h->beta_2, *m, h->one_minus_beta_2 * g);
    return v_fma(-h->rate, direction, w);
}

/* One loop over the weights; gradient and weight are what goes into the optimizer's step. */
#define UPDATE_LOOP(name, n_states, gradient, weight)                                                                  \
    for (ptrdiff_t i = 0; i < n; i += LANES) {                                                                         \
        vec s[n_states + 1];                                                                                           \
        UNROLL (int j = 0; j < n_states; j++) s[j] = v_load((const real *)states[j] + i);                              \
        const vec g_i = v_load((const real *)g + i), w_i = v_load((const real *)w + i);                                \
        v_store((real *)w + i, name##_(&h, gradient, weight, s));                                                      \
        UNROLL (int j = 0; j < n_states; j++) v_store((real *)states[j] + i, s[j]);                                    \
    }
#define UPDATE(name, n_states)                                                                                         \
    static void FM(name)(ptrdiff_t n, const void *g, void *w, void *const *states, const fm_hyper *hyper) {            \
        (void)states;                                                                                                  \
        const constants h = constants_of(hyper);                                                                       \
        if (hyper->gradient_scale == 1 && hyper->weight_decay == 0) {                                                  \
            UPDATE_LOOP(name, n_states, g_i, w_i)                                                                      \
        } else {                                                                                                       \
            const vec scale = v_set((real)hyper->gradient_scale);                                                      \
            const vec keep = v_set((real)(1 - hyper->rate * hyper->weight_decay));                                     \
            UPDATE_LOOP(name, n_states, (scale * g_i), (keep * w_i))                                                   \
        }                                                                                                              \
    }
FM_OPTIMIZERS(UPDATE)
#undef UPDATE
#undef UPDATE_LOOP

/* What a gradient becomes before the optimizer sees it:  g = clip(share g + l2 w + l1 sign(w))
 *   g  n elements, a multiple of LINE                       updated
 *   w  weights                                              read
 * clip to [-clip_value, clip_value], where that is not 0; NaN stays NaN.  Twin: prepare_gradient */
static void FM(prepare_gradient)(ptrdiff_t n, const void *w, void *g, const fm_hyper *hyper) {
    const vec share = v_set((real)hyper->share), l1 = v_set((real)hyper->l1), l2 = v_set((real)hyper->l2);
    const vec limit = v_set(hyper->clip_value > 0 ? (real)hyper->clip_value : (real)INFINITY);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const vec w_i = v_load((const real *)w + i);
        vec g_i = share * v_load((const real *)g + i);
        g_i = v_fma(l1, sign_(w_i), v_fma(l2, w_i, g_i));
        v_store((real *)g + i, v_select(v_lt(limit, v_abs(g_i)), v_copysign(limit, g_i), g_i));
    }
}

/* l1 sum |x| + l2 / 2 sum x^2 of n values, a multiple of LINE, in float64; with l1 = 0 and l2 = 2 the square of their
 * norm. Eight partial sums each, element i in sum i mod 8, then a tree over them.  Twin: penalty */
static double FM(penalty)(ptrdiff_t n, const void *x, double l1, double l2) {
    double size[8] = {0}, square[8] = {0};
    const real *e = x;
    if (l1 != 0)
        for (ptrdiff_t i = 0; i < n; i += 8)
            for (int j = 0; j < 8; j++) size[j] += fabs((double)e[i + j]);
    if (l2 != 0)
        for (ptrdiff_t i = 0; i < n; i += 8)
            for (int j = 0; j < 8; j++) square[j] += (double)e[i + j] * (double)e[i + j];
#define TREE(part) (((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7])))
    return l1 * TREE(size) + 0.5 * l2 * TREE(square);
#undef TREE
}

/* Scales every column of n_panels panels of weights whose norm exceeds the limit down to it.
 *   w  n_panels panels of n_in lines                        updated
 * Sums over n_in ascending from zero, fused. A norm that is NaN changes nothing.  Srivastava et al. 2014, section 5.1.
 * Twin: max_norm */
static void FM(max_norm)(ptrdiff_t n_in, ptrdiff_t n_panels, double limit, void *w) {
    const vec most = v_set((real)limit), one = v_set(1);
    for (ptrdiff_t p = 0; p < n_panels; p++) {
        real *panel = (real *)w + p * n_in * LINE;
        vec square[VECS];
        UNROLL (int v = 0; v < VECS; v++) square[v] = v_zero();
        for (ptrdiff_t k = 0; k < n_in; k++)
            UNROLL (int v = 0; v < VECS; v++) {
                const vec e = v_load(panel + k * LINE + v * LANES);
                square[v] = v_fma(e, e, square[v]);
            }
        unsigned over = 0;
        UNROLL (int v = 0; v < VECS; v++) {
            const vec norm = v_sqrt(square[v]);
            over |= v_bits(v_lt(most, norm));
            square[v] = v_select(v_lt(most, norm), most / norm, one);
        }
        if (over)
            for (ptrdiff_t k = 0; k < n_in; k++)
                UNROLL (int v = 0; v < VECS; v++) {
                    real *e = panel + k * LINE + v * LANES;
                    v_store(e, v_load(e) * square[v]);
                }
    }
}
