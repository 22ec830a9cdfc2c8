/* What the machine can do at most: the roof under which the benches put the other kernels. No network calls these. */

/* Chains that do not wait for each other. A fused multiply-add has to be known 4 or 5 cycles later and two (on some
 * aarch64 four) start in each cycle, so 8 to 16 chains keep the units busy; SSE2's multiplication and addition, one
 * after the other, need 12 to 14. Factor and summand take two more registers. */
enum { CHAINS = REGISTERS == 32 ? 24 : FM_VEC_BYTES == 16 ? 14 : 12 };
_Static_assert(CHAINS + 2 <= REGISTERS, "the chains must stay in registers");

/* Multiply-adds in registers:  n rounds of  a = s a + t  for every element a
 *   x   CHAINS + 2 registers, aligned to a cache line: s, t, then the values a     updated
 * A round is 2 * CHAINS * LANES operations, and nothing is loaded or stored between the first and the last. The numbers
 * are the caller's, who takes an s and t with which they stay finite.  Twin: probe_fma */
static void FM(probe_fma)(ptrdiff_t n, void *x) {
    real *values = (real *)x + 2 * LANES;
    const vec s = v_load(x), t = v_load((real *)x + LANES);
    vec a[CHAINS];
    UNROLL (int i = 0; i < CHAINS; i++) a[i] = v_load(values + i * LANES);
    for (; n > 0; n--)
        UNROLL (int i = 0; i < CHAINS; i++) a[i] = v_fma(s, a[i], t);
    UNROLL (int i = 0; i < CHAINS; i++) v_store(values + i * LANES, a[i]);
}

/* The triad of STREAM (McCalpin 1995, "Memory bandwidth and machine balance in current high performance computers"):
 * c = a + 3 b  for n elements, a multiple of LINE
 *   a, b   (n,)   read
 *   c      (n,)   written; plain stores, as every kernel's are
 * Three elements moved for each; as in STREAM the line of c that the processor reads before it writes is not counted.
 * Twin: probe_triad */
static void FM(probe_triad)(ptrdiff_t n, const void *a, const void *b, void *c) {
    const vec s = v_set(3);
    for (ptrdiff_t i = 0; i < n; i += LANES)
        v_store((real *)c + i, v_fma(s, v_load((const real *)b + i), v_load((const real *)a + i)));
}
