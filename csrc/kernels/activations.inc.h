/* Activations: value y = f(z) and derivative d = f'(z) in one pass over the pre-activations.
 *   n      a multiple of LINE; the pointers are aligned to a cache line
 *   z      (n,)   read
 *   y      (n,)   written; may be z
 *   d      (n,)   written; may be z; NULL where the derivative is not wanted, and then it is not computed
 *   alpha  slope of leaky_relu, scale of elu; ignored elsewhere
 * y is the same with and without d. NaN gives NaN in y everywhere, so that a diverged net is seen, and infinities
 * give the limits. At a kink d is 0 for relu, hard_sigmoid and hard_tanh, alpha for leaky_relu and elu, scale * alpha
 * for selu.  Twins of the same names.
 *
 * Measured on every ISA, in units of the dtype's epsilon. Relative to the value: y of mish 2.3, of gelu 3.3 (on SSE2 7.1
 * for |z| < 5 and z^2 / 3 beyond), of gelu_tanh 18 for |z| < 5 and 1.5 times its sigmoid's argument beyond, of all
 * others at most 2; d at most 2.6 where it does not change its sign. Where it does, in gelu, gelu_tanh, silu and mish,
 * the error of d is at most 1.5 epsilon. Nothing cancels in the tails, down to where exp underflows.
 *
 * To add one: its vec function here, its name in FM_ACTIVATIONS (csrc/fastmlp.h), its twin. */

/* Arguments are limited to what underflows: beyond, exp(-x^2 / 2) or the sigmoid's tail is 0, and infinity times that
 * would be NaN. The same limits hold the normal distribution's arguments within the reach of its fit. */
#if FM_F64
#define SIGMOID_REACH 720.0
#define NORMAL_REACH 38.0
#define GELU_TANH_REACH 21.5
#else
#define SIGMOID_REACH 100.0f
#define NORMAL_REACH 13.3f
#define GELU_TANH_REACH 10.3f
#endif

INLINE vec identity_(vec z, vec alpha, vec *d) {
    (void)alpha;
    *d = v_set(1);
    return z;
}

INLINE vec relu_(vec z, vec alpha, vec *d) {
    (void)alpha;
    *d = v_select(v_lt(v_zero(), z), v_set(1), v_zero());
    return v_max(v_zero(), z); /* the order of operands keeps NaN */
}

INLINE vec leaky_relu_(vec z, vec alpha, vec *d) {
    const vmask positive = v_lt(v_zero(), z);
    *d = v_select(positive, v_set(1), alpha);
    return v_select(positive, z, alpha * z);
}

/* scale * z above 0, scale_alpha * (e^z - 1) below; 2^n is exact, so both of e^z and e^z - 1 are one rounding away */
INLINE vec exponential_linear(vec z, vec scale, vec scale_alpha, vec *d) {
    vec q;
    const vmask positive = v_lt(v_zero(), z);
    const vec power = exp_split(v_min(v_zero(), v_max(v_set(EXP_FLUSH), z)), FM_EXPONENT_BIAS, &q);
    *d = v_select(positive, scale, scale_alpha * v_fma(power, q, power));
    return v_select(positive, scale * z, scale_alpha * v_fma(power, q, power - v_set(1)));
}

/* z above 0, alpha (e^z - 1) below.  Clevert, Unterthiner, Hochreiter 2016, eq. 13 */
INLINE vec elu_(vec z, vec alpha, vec *d) { return exponential_linear(z, v_set(1), alpha, d); }

/* Klambauer et al. 2017, eq. 2, with the constants of its eq. 14 */
INLINE vec selu_(vec z, vec alpha, vec *d) {
    (void)alpha;
    const double scale = 1.0507009873554804934193349852946, slope = 1.6732632423543772848170429916717;
    return exponential_linear(z, v_set((real)scale), v_set((real)(scale * slope)), d);
}

/* z Phi(z), Phi the normal distribution; derivative Phi(z) + z phi(z).  Hendrycks, Gimpel 2016.
 * Phi(-|z|) comes from a fit of Phi / phi, so the left tail is not the difference of 1 and erf. */
INLINE vec gelu_(vec z, vec alpha, vec *d) {
    (void)alpha;
    const vec above = v_max(v_set(-NORMAL_REACH), z), x = v_min(v_set(NORMAL_REACH), above), half = v_set((real)0.5);
    const vec square = x * x, lost = v_fma(x, x, -square); /* what rounding lost would grow by x^2 / 2 in exp */
    const vec rough = v_exp_nonpositive(-half * square), e = v_fma(rough * lost, -half, rough);
    const vec tail = normal_tail(v_abs(x), e);
    const vec phi = v_select(v_lt(x, v_zero()), tail, v_set(1) - tail);
    *d = v_fma(x * e, v_set((real)0.39894228040143267794), phi);
    return above * phi;
}

/* y = z sigmoid(v), v odd in z and limited, dv = v':  y' = sigmoid(v) + z v' sigmoid'(v) */
INLINE vec gate(vec above, vec x, vec v, vec dv, vec *d) {
    vec far;
    const vec e = v_exp_nonpositive(-v_abs(v)), s = sigmoid_of_exp(v, e, &far);
    *d = v_fma(x * dv, e * (far * far), s);
    return above * s;
}

/* z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))), the approximation of gelu: z times a sigmoid of twice that argument */
INLINE vec gelu_tanh_(vec z, vec alpha, vec *d) {
    (void)alpha;
    const double a = 1.5957691216057307118, b = 0.044715 * 1.5957691216057307118;
    const vec above = v_max(v_set(-GELU_TANH_REACH), z), x = v_min(v_set(GELU_TANH_REACH), above), square = x * x;
    const vec v = x * v_fma(square, v_set((real)b), v_set((real)a));
    return gate(above, x, v, v_fma(square, v_set((real)(3 * b)), v_set((real)a)), d);
}

/* z sigmoid(z), also called swish */
INLINE vec silu_(vec z, vec alpha, vec *d) {
    (void)alpha;
    const vec above = v_max(v_set(-SIGMOID_REACH), z), x = v_min(v_set(SIGMOID_REACH), above);
    return gate(above, x, x, v_set(1), d);
}

/* z tanh(softplus(z)).  Misra 2019.  No logarithm is needed: with E = e^z = a/b, one of a and b being 1 and the other
 * e = exp(-|z|) = a b,
 *   tanh(softplus) = (E^2 + 2E) / (E^2 + 2E + 2) = (a^2 + 2e) / (a^2 + 2e + 2b^2) =: t
 *   (tanh(softplus))' = 4E (1 + E) / (E^2 + 2E + 2)^2 = 4e (e + b^2) / (a^2 + 2e + 2b^2)^2,   y' = t + z that */
INLINE vec mish_(vec z, vec alpha, vec *d) {
    (void)alpha;
    const vec above = v_max(v_set(-SIGMOID_REACH), z), x = v_min(v_set(SIGMOID_REACH), above), one = v_set(1);
    const vec e = v_exp_nonpositive(-v_abs(x)), square = e * e;
    const vmask negative = v_lt(x, v_zero());
    const vec a2 = v_select(negative, square, one), b2 = v_select(negative, one, square);
    const vec numerator = v_fma(v_set(2), e, a2), inverse = one / v_fma(v_set(2), b2, numerator);
    const vec t = numerator * inverse;
    *d = v_fma(x * v_set(4), e * (e + b2) * (inverse * inverse), t);
    return above * t;
}

INLINE vec tanh_(vec z, vec alpha, vec *d) {
    (void)alpha;
    return tanh_with_derivative(z, d);
}

INLINE vec sigmoid_(vec z, vec alpha, vec *d) {
    (void)alpha;
    return sigmoid_with_derivative(z, d);
}

/* log(1 + e^z); its derivative is the sigmoid, of the same exponential */
INLINE vec softplus_(vec z, vec alpha, vec *d) {
    (void)alpha;
    vec far;
    const vec e = v_exp_nonpositive(-v_abs(z));
    *d = sigmoid_of_exp(z, e, &far);
    return v_max(z, v_zero()) + v_log1p_unit(e);
}

/* min(max(z + 3, 0), 6) / 6: as in Keras 3 and PyTorch (Keras 2 had the slope 0.2) */
INLINE vec hard_sigmoid_(vec z, vec alpha, vec *d) {
    (void)alpha;
    const vec sixth = v_set((real)(1.0 / 6));
    *d = v_select(v_lt(v_abs(z), v_set(3)), sixth, v_zero());
    return v_clamp(z + v_set(3), 0, 6) * sixth;
}

INLINE vec hard_tanh_(vec z, vec alpha, vec *d) {
    (void)alpha;
    *d = v_select(v_lt(v_abs(z), v_set(1)), v_set(1), v_zero());
    return v_clamp(z, -1, 1);
}

/* A line at a time, all of it loaded before any is stored. Twice: without d the compiler drops the derivative. */
#define ACTIVATION_LOOP(name, and_slope)                                                                               \
    for (ptrdiff_t i = 0; i < n; i += LINE) {                                                                          \
        UNROLL (int v = 0; v < VECS; v++) in[v] = v_load((const real *)z + i + v * LANES);                             \
        UNROLL (int v = 0; v < VECS; v++) out[v] = name##_(in[v], a, &slope[v]);                                       \
        UNROLL (int v = 0; v < VECS; v++) {                                                                            \
            v_store((real *)y + i + v * LANES, out[v]);                                                                \
            if (and_slope) v_store((real *)d + i + v * LANES, slope[v]);                                               \
        }                                                                                                              \
    }
#define ACTIVATION(name)                                                                                               \
    static void FM(name)(ptrdiff_t n, const void *z, void *y, void *d, double alpha) {                                 \
        const vec a = v_set((real)alpha);                                                                              \
        vec in[VECS], out[VECS], slope[VECS];                                                                          \
        if (d)                                                                                                         \
            ACTIVATION_LOOP(name, 1)                                                                                   \
        else                                                                                                           \
            ACTIVATION_LOOP(name, 0)                                                                                   \
    }
FM_ACTIVATIONS(ACTIVATION)
#undef ACTIVATION
#undef ACTIVATION_LOOP
