/* Elementary functions on vec.h: one source for float32, float64 and every ISA, no branches, no tables in memory.
 *
 * Everything rests on two polynomials, e^r - 1 on |r| <= ln 2 / 2 and log(1 + f) on -1/4 <= f <= 1/2, and for erf on
 * one rational function. Coefficients are minimax fits (Remez exchange in 50 digits, weighted for the relative error
 * of the result). The bounds below were measured in ulp against 30 digits or more, float32 on a dense sweep of all
 * floats, float64 on random arguments and edges; "baseline" is SSE2, where v_fma rounds twice. Contract of all:
 *
 *   NaN gives NaN, and infinities give the limits; a subnormal result may become 0 and a subnormal argument may be
 *   read as 0, as they are under the engine's flush-to-zero mode. The same bits on every ISA with FMA. */

/* ln 2 = LN2_HI + LN2_LO: LN2_HI has so few bits that n * LN2_HI is exact for every exponent n, fused or not, and
 * LN2_LO > 0, so that -0 passes the reduction. EXP_MAX, EXP_MIN: the last arguments with a finite and with a normal
 * exponential. EXP_FLUSH: from here down the scale 2^n of exp_split is 0. Beyond UNIT, 1 + x is x and 1 - 1/x is 1. */
/* clang-format off */
#if FM_F64
#define LN2_HI 0x1.62e42fefa3800p-1
#define LN2_LO 0x1.ef35793c76730p-45
#define LOG2_E 0x1.71547652b82fep+0
#define EXP_MAX 0x1.62e42fefa39efp+9
#define EXP_MIN (-0x1.6232bdd7abcd2p+9)
#define EXP_FLUSH (-709.0)
#define EXPM1_FLOOR (-40.0)
#define EXPM1_CEILING 710.0
#define ERF_ONE 6.0
#define UNIT 0x1p54
#define SMALLEST_NORMAL 0x1p-1022
#define LARGEST_BINADE 0x1p1023
static const real EXP_POLYNOMIAL[] = { /* (e^r - 1 - r) / r^2 */
    0x1.0000000000000p-1, 0x1.5555555555558p-3, 0x1.5555555555559p-5, 0x1.111111110fafep-7, 0x1.6c16c16c14a5ep-10,
    0x1.a01a01ae4fdcbp-13, 0x1.a01a01af28e43p-16, 0x1.71ddfc117b16ep-19, 0x1.27e4c87eb362ap-22, 0x1.af58937b1352dp-26,
    0x1.1f917993b1655p-29};
static const real LOG_POLYNOMIAL[] = { /* (log(1 + f) - f) / f^2 */
    -0x1.ffffffffffffap-2, 0x1.55555555554fap-2, -0x1.0000000000c04p-2, 0x1.99999999a1a6dp-3, -0x1.555555544dc2cp-3,
    0x1.24924921e4f05p-3, -0x1.000000575155bp-3, 0x1.c71c736d71d6fp-4, -0x1.99997aa5fc3c1p-4, 0x1.745cb456f0866p-4,
    -0x1.555838b6cda0cp-4, 0x1.3b20ff08e688fp-4, -0x1.2475c833339f1p-4, 0x1.102283fb09bb6p-4, -0x1.ff0713c0ae11dp-5,
    0x1.f07b4471dfeb8p-5, -0x1.ea7d8f9829410p-5, 0x1.a852d1cad20f9p-5, -0x1.f77357f9284dfp-6, 0x1.1b89dc05b7c2fp-7};
static const real ERF_POLYNOMIAL[] = { /* erf(x) / x - 1 in x^2, |x| <= 1 */
    0x1.06eba8214db68p-3, -0x1.812746b0379e6p-2, 0x1.ce2f21a042b21p-4, -0x1.b82ce312849adp-6, 0x1.565bcd0db04dap-8,
    -0x1.c02db3d8f16aap-11, 0x1.f9a321a178fa0p-14, -0x1.f4d1df3dff26ep-17, 0x1.b9def1c2c3294p-20,
    -0x1.5f1d374eca196p-23, 0x1.f7a411da2d2b0p-27, -0x1.386aaf083e71ep-30, 0x1.057953571204ap-34};
static const real TAIL_NUMERATOR[] = { /* exp(a^2 / 2) Phi(-a), 0 <= a <= 38.5, Phi the normal distribution */
    0x1.0000000000000p-1, 0x1.a7bae2dc9431fp-1, 0x1.5bb2fedb63427p-1, 0x1.6d851bd96e473p-2, 0x1.0e09bfe82c639p-3,
    0x1.23a86a46c94c2p-5, 0x1.d1c49740e79f7p-8, 0x1.0fd4e5d25f91dp-10, 0x1.bd98b09643f59p-14, 0x1.d26caea4a0654p-18,
    0x1.df57ea85100cep-23};
static const real TAIL_DENOMINATOR[] = {
    0x1.0000000000000p+0, 0x1.39fe863d9af24p+1, 0x1.68617911b9e5ep+1, 0x1.ffefb5f32d50dp+0, 0x1.f53b380b480a2p-1,
    0x1.64252ae21933ap-2, 0x1.780af46ac572bp-4, 0x1.2838b41ef91e4p-6, 0x1.56f95368b136bp-9, 0x1.17d2a63d25fdbp-12,
    0x1.2449c9c2f8ca2p-16, 0x1.2c624a2511819p-21};
#else
#define LN2_HI 0x1.62e4p-1f
#define LN2_LO 0x1.7f7d1cp-20f
#define LOG2_E 0x1.715476p+0f
#define EXP_MAX 0x1.62e42ep+6f
#define EXP_MIN (-0x1.5d589ep+6f)
#define EXP_FLUSH (-88.0f)
#define EXPM1_FLOOR (-20.0f)
#define EXPM1_CEILING 89.0f
#define ERF_ONE 4.0f
#define UNIT 0x1p25f
#define SMALLEST_NORMAL 0x1p-126f
#define LARGEST_BINADE 0x1p127f
static const real EXP_POLYNOMIAL[] = { /* (e^r - 1 - r) / r^2 */
    0x1.000000p-1f, 0x1.5554a0p-3f, 0x1.555478p-5f, 0x1.123166p-7f, 0x1.6da31ep-10f};
static const real LOG_POLYNOMIAL[] = { /* (log(1 + f) - f) / f^2 */
    -0x1.000000p-1f, 0x1.5555aap-2f, -0x1.00005ep-2f, 0x1.996760p-3f, -0x1.54e5fap-3f, 0x1.289524p-3f,
    -0x1.0df368p-3f, 0x1.ad6068p-4f, -0x1.7138dcp-5f};
static const real ERF_POLYNOMIAL[] = { /* erf(x) / x - 1 in x^2, |x| <= 1 */
    0x1.06eba8p-3f, -0x1.81273ep-2f, 0x1.ce2cf8p-4f, -0x1.b7f910p-6f, 0x1.5405bap-8f, -0x1.a3f700p-11f,
    0x1.4969c2p-14f};
static const real TAIL_NUMERATOR[] = { /* exp(a^2 / 2) Phi(-a), 0 <= a <= 13.4, Phi the normal distribution */
    0x1.000000p-1f, 0x1.be62d6p-2f, 0x1.73acaep-3f, 0x1.4807fcp-5f, 0x1.0808aap-8f};
static const real TAIL_DENOMINATOR[] = {
    0x1.000000p+0f, 0x1.ab739ap+0f, 0x1.31f97ep+0f, 0x1.dbff8ap-2f, 0x1.9b27f0p-4f, 0x1.4ae9a8p-7f};
#endif
/* clang-format on */

/* sum of c[i] x^i. Horner's rule on pairs c[i] + c[i+1] x, or on fours where there are many, since loops here are bound
 * by latency as much as by the number of operations; callers have a use for x^2. An odd constant term comes last, where
 * only one rounding is not reduced by x. */
INLINE vec polynomial(vec x, const real *c, int n) {
    const int first = n % 2, step = n > 8 ? 4 : 2;
    const vec x2 = x * x, power = step == 4 ? x2 * x2 : x2;
    vec sum = v_zero();
    UNROLL (int i = first + (n - first - 1) / step * step; i >= first; i -= step) {
        vec part = v_fma(x, v_set(c[i + 1]), v_set(c[i]));
        if (step == 4 && i + 2 < n) part = v_fma(x2, v_fma(x, v_set(c[i + 3]), v_set(c[i + 2])), part);
        sum = i + step < n ? v_fma(power, sum, part) : part;
    }
    return first ? v_fma(x, sum, v_set(c[0])) : sum;
}
#define POLYNOMIAL(x, table) polynomial(x, table, (int)(sizeof(table) / sizeof(table[0])))

/* x limited to [low, high]; NaN stays NaN */
INLINE vec v_clamp(vec x, real low, real high) { return v_min(v_set(high), v_max(v_set(low), x)); }

/* e^x = 2^n (1 + q) with |q| < 0.42. Returns the bits of n + bias in the exponent's place: 2^n for the bias of the
 * format (0 for n = -bias). Adding the magic number rounds to n and leaves n + bias in the lowest bits. */
INLINE vec exp_split(vec x, int bias, vec *q) {
    const vec magic = v_set(FM_ROUND_MAGIC + (real)bias), t = v_fma(x, v_set(LOG2_E), magic), n = t - magic;
    const vec r = v_fma(n, v_set(-LN2_LO), v_fma(n, v_set(-LN2_HI), x));
    *q = v_fma(r * r, POLYNOMIAL(r, EXP_POLYNOMIAL), r);
    return (vec)((nvec)t << FM_MANTISSA_BITS);
}

/* e^x for x <= 0, without v_exp's selections: 0 from EXP_FLUSH down. As accurate as v_exp. */
INLINE vec v_exp_nonpositive(vec x) {
    vec q;
    const vec scale = exp_split(v_max(v_set(EXP_FLUSH), x), FM_EXPONENT_BIAS, &q);
    return v_fma(scale, q, scale);
}

/* e^x. Within 1.1 ulp in float32, 1.0 in float64. */
INLINE vec v_exp(vec x) {
    vec q;
    const vec exponent = exp_split(x, 0, &q);
    /* 2^n is out of range for the largest results, so n is added to the exponent of 1 + q instead */
    const vec y = (vec)((nvec)(q + v_set(1)) + (nvec)exponent);
    const vec normal = v_select(v_lt(x, v_set(EXP_MIN)), v_zero(), y);
    return v_select(v_le(x, v_set(EXP_MAX)), normal, x * v_set(LARGEST_BINADE)); /* infinity or NaN */
}

/* e^x - 1. Within 1.8 ulp, 2.0 in float64. Below twice the smallest normal number, flush-to-zero makes it 0. */
INLINE vec v_expm1(vec x) {
    vec q;
    const vec half = v_set((real)0.5);
    const vec scale = exp_split(v_clamp(x, EXPM1_FLOOR, EXPM1_CEILING), FM_EXPONENT_BIAS - 1, &q); /* 2^(n-1) */
    const vec y = v_fma(scale, q, scale - half);
    return v_copysign(y + y, x); /* -0 */
}

/* k ln 2 + log(1 + f), -1/4 <= f <= 1/2, integral k */
INLINE vec log_join(vec k, vec f) {
    const vec tail = v_fma(f * f, POLYNOMIAL(f, LOG_POLYNOMIAL), k * v_set(LN2_LO));
    return v_fma(k, v_set(LN2_HI), f + tail);
}

/* x = 2^k m with 3/4 <= m < 3/2, for positive normal x; also the exponent's bits, k + bias in their place */
INLINE vec log_split(vec x, vec *k, nvec *exponent) {
    const natural one = (natural)FM_EXPONENT_BIAS << FM_MANTISSA_BITS;
    const natural least = one - ((natural)1 << (FM_MANTISSA_BITS - 1)); /* the bits of 3/4 */
    const natural fraction = ((natural)1 << FM_MANTISSA_BITS) - 1;
    const nvec bits = (nvec)x + v_nset(one - least);
    *exponent = bits & v_nset(~fraction);
    *k = (vec)(bits >> FM_MANTISSA_BITS | (nvec)v_set(FM_ROUND_MAGIC)) - v_set(FM_ROUND_MAGIC + FM_EXPONENT_BIAS);
    return (vec)((bits & v_nset(fraction)) + v_nset(least));
}

/* The logarithm's special values from those of its argument x: y, or NaN, -infinity, infinity */
INLINE vec log_special(vec y, vec x) {
    y = v_select(v_lt(x, v_set((real)__builtin_inf())), y, x);
    y = v_select(v_lt(x, v_set(SMALLEST_NORMAL)), v_set(-(real)__builtin_inf()), y);
    return v_select(v_lt(x, v_zero()), v_set((real)__builtin_nan("")), y);
}

/* log x. Within 1.1 ulp, 1.3 in float64. */
INLINE vec v_log(vec x) {
    vec k;
    nvec exponent;
    const vec m = log_split(x, &k, &exponent);
    return log_special(log_join(k, m - v_set(1)), x);
}

/* log(1 + x). Within 1.1 ulp in both. */
INLINE vec v_log1p(vec x) {
    const natural one = (natural)FM_EXPONENT_BIAS << FM_MANTISSA_BITS;
    const vec u = x + v_set(1);
    vec k;
    nvec exponent;
    const vec m = log_split(u, &k, &exponent);
    /* u has lost low bits of x; 2^-k x and 2^-k - 1 have not. For large x none matters, and 2^-k may be too small */
    const vec scale = (vec)(v_nset(one + one) - exponent), scaled = (vec)((nvec)x - (exponent - v_nset(one)));
    const vec f = v_select(v_lt(x, v_set(UNIT)), scaled + (scale - v_set(1)), m - v_set(1));
    return v_copysign(log_special(log_join(k, f), u), x);
}

/* log(1 + x) for 0 <= x <= 1, at about half of v_log1p's cost. Within 1.1 ulp in both. */
INLINE vec v_log1p_unit(vec x) {
    const vec half = v_set((real)0.5);
    const vmask small = v_lt(x, half);
    const vec f = v_select(small, x, v_fma(half, x, -half));
    return log_join(v_select(small, v_zero(), v_set(1)), f);
}

/* tanh x and its derivative.  e = exp(-2|x|):  tanh|x| = (1 - e) / (1 + e), and the derivative, which would cancel in
 * 1 - y^2, is (1 - |y|)(1 + |y|) = e (1 + |y|)^2 */
INLINE vec tanh_with_derivative(vec x, vec *d) {
    vec q;
    const vec one = v_set(1);
    const vec scale = exp_split(v_max(v_set(EXP_FLUSH), v_abs(x) * v_set(-2)), FM_EXPONENT_BIAS, &q);
    const vec y = v_fma(scale, -q, one - scale) / v_fma(scale, q, one + scale);
    *d = v_fma(scale, q, scale) * ((one + y) * (one + y));
    return v_copysign(y, x);
}

/* tanh x. Within 2.0 ulp in both. */
INLINE vec v_tanh(vec x) {
    vec d;
    return tanh_with_derivative(x, &d);
}

/* sigmoid x, given e = exp(-|x|) where that is shared; and sigmoid |x|: the derivative is e sigmoid(|x|)^2 */
INLINE vec sigmoid_of_exp(vec x, vec e, vec *far) {
    const vec one = v_set(1);
    const vmask negative = v_lt(x, v_zero());
    const vec y = v_select(negative, e, one) / (one + e);
    *far = v_select(negative, one - y, y);
    return y;
}

/* sigmoid x and its derivative e y^2, e = exp(-x) = 2^n (1 + q), which does not cancel as y (1 - y) does. The smaller
 * of 2^n and 1 is added to 2^n q first, so that 1 + e is rounded nearly once and not twice. */
INLINE vec sigmoid_with_derivative(vec x, vec *d) {
    vec q;
    const vec one = v_set(1), scale = exp_split(-v_clamp(x, EXP_FLUSH, -EXP_FLUSH), FM_EXPONENT_BIAS, &q);
    const vec y = one / (v_fma(scale, q, v_min(scale, one)) + v_max(scale, one));
    *d = v_fma(scale, q, scale) * y * y;
    return y;
}

/* 1 / (1 + e^-x). Within 2.0 ulp in both. The smallest result, at -infinity, is subnormal: 0 when flushed. */
INLINE vec v_sigmoid(vec x) {
    vec d;
    return sigmoid_with_derivative(x, &d);
}

/* log(1 + e^x). Within 1.8 ulp, 1.6 in float64. */
INLINE vec v_softplus(vec x) { return v_max(x, v_zero()) + v_log1p_unit(v_exp_nonpositive(-v_abs(x))); }

/* Phi(-a), the tail of the normal distribution, given e = exp(-a^2 / 2); 0 <= a <= the reach of the fit */
INLINE vec normal_tail(vec a, vec e) { return e * POLYNOMIAL(a, TAIL_NUMERATOR) / POLYNOMIAL(a, TAIL_DENOMINATOR); }

/* erf x. Within 1.4 ulp in both. */
INLINE vec v_erf(vec x) {
    const vec one = v_set(1), a = v_min(v_set(ERF_ONE), v_abs(x)), square = a * a;
    const vec tail = normal_tail(a * v_set((real)1.4142135623730951), v_exp_nonpositive(-square));
    const vec near = v_fma(a, POLYNOMIAL(square, ERF_POLYNOMIAL), a), far = v_fma(v_set(-2), tail, one);
    return v_copysign(v_select(v_lt(a, one), near, far), x);
}
