/* Optimizers:  one update of n weights (a multiple of LINE) from their gradients.
 *   g      gradient                                             read
 *   w      weights                                              updated
 *   m, v   first and second state, where the optimizer has one  updated
 * Each is one function on vectors, stamped into a loop below. Padding stays zero: every update of w = 0 with g = 0 and
 * zero states is 0. Twins of the same names. */
typedef struct constants {
    vec rate, momentum, one_minus_momentum, beta_2, one_minus_beta_2, epsilon, epsilon_in_root, correction_1,
        correction_2, keep;
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
        .keep = v_set((real)(1 - h->rate * h->weight_decay)),
    };
}

/* w - rate g */
INLINE vec sgd_(const constants *h, vec g, vec w, vec *m, vec *v) {
    (void)m, (void)v;
    return v_fma(-h->rate, g, w);
}

/* Polyak: m = momentum m + rate g;  w - m.  The learning rate lies inside the velocity, as in Keras. */
INLINE vec momentum_(const constants *h, vec g, vec w, vec *m, vec *v) {
    (void)v;
    *m = v_fma(h->momentum, *m, h->rate * g);
    return w - *m;
}

/* Nesterov in Keras's form: the weights kept are those looked ahead. */
INLINE vec nesterov_(const constants *h, vec g, vec w, vec *m, vec *v) {
    (void)v;
    const vec step = h->rate * g;
    *m = v_fma(h->momentum, *m, step);
    return w - v_fma(h->momentum, *m, step);
}

/* Tieleman and Hinton 2012: v = rho v + (1 - rho) g^2;  w - rate g / (sqrt(v + epsilon_in_root) + epsilon) */
INLINE vec rmsprop_(const constants *h, vec g, vec w, vec *m, vec *v) {
    (void)m;
    *v = v_fma(h->beta_2, *v, h->one_minus_beta_2 * g * g);
    return w - h->rate * g / (v_sqrt(*v + h->epsilon_in_root) + h->epsilon);
}

/* Kingma and Ba 2015, algorithm 1 */
INLINE vec adam_(const constants *h, vec g, vec w, vec *m, vec *v) {
    *m = v_fma(h->momentum, *m, h->one_minus_momentum * g);
    *v = v_fma(h->beta_2, *v, h->one_minus_beta_2 * g * g);
    return w - h->correction_1 * *m / v_fma(v_sqrt(*v), h->correction_2, h->epsilon);
}

/* Loshchilov and Hutter 2019: Adam on weights first shrunk by rate * weight_decay */
INLINE vec adamw_(const constants *h, vec g, vec w, vec *m, vec *v) { return adam_(h, g, w * h->keep, m, v); }

#define UPDATE(name)                                                                                                   \
    static void FM(name)(ptrdiff_t n, const void *g, void *w, void *m, void *v, const fm_hyper *hyper) {               \
        const constants h = constants_of(hyper);                                                                       \
        for (ptrdiff_t i = 0; i < n; i += LANES) {                                                                     \
            vec m_i = m ? v_load((real *)m + i) : v_zero(), v_i = v ? v_load((real *)v + i) : v_zero();                \
            v_store((real *)w + i, name##_(&h, v_load((const real *)g + i), v_load((real *)w + i), &m_i, &v_i));       \
            if (m) v_store((real *)m + i, m_i);                                                                        \
            if (v) v_store((real *)v + i, v_i);                                                                        \
        }                                                                                                              \
    }
FM_OPTIMIZERS(UPDATE)
#undef UPDATE
