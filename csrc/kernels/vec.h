/* Portable vectors: the only file with intrinsics.
 *
 * The build compiles each csrc/isa/<isa>.c twice, with -DFM_F64=0 and -DFM_F64=1. The stub defines FM_VEC_BYTES,
 * the width of the machine's registers (a wider type is a trap: gcc splits it through memory). From these follow
 *
 *   real, integer   float and int32_t, or double and int64_t
 *   vec, ivec       LANES of them, one register; arithmetic by the operators of the GNU vector extension
 *   vmask           the result of a comparison, for v_select
 *   LINE            elements of one cache line (64 bytes): 16 float32 or 8 float64, VECS registers of LANES
 *
 * Contraction is off, so a multiply-add is fused where v_fma is written and nowhere else. Every operation here gives
 * the same bits on every ISA with FMA: v_max and v_min are defined by comparison for that reason (NaN, -0). */
#ifndef FM_VEC_H
#define FM_VEC_H

#include <stddef.h>
#include <stdint.h>

#if FM_F64
typedef double real;
typedef int64_t integer;
typedef uint64_t natural;
#define FM_DTYPE f64
#define FM_MANTISSA_BITS 52
#define FM_EXPONENT_BIAS 1023
#else
typedef float real;
typedef int32_t integer;
typedef uint32_t natural;
#define FM_DTYPE f32
#define FM_MANTISSA_BITS 23
#define FM_EXPONENT_BIAS 127
#endif

#define FM_LINE_BYTES 64
enum { LANES = FM_VEC_BYTES / sizeof(real), LINE = FM_LINE_BYTES / sizeof(real), VECS = FM_LINE_BYTES / FM_VEC_BYTES };

/* fm_<name>_<dtype>_<isa>: the names that a debugger or profiler shows. */
#define FM_PASTE(name, dtype, isa) fm_##name##_##dtype##_##isa
#define FM_PASTE2(name, dtype, isa) FM_PASTE(name, dtype, isa)
#define FM(name) FM_PASTE2(name, FM_DTYPE, FM_ISA)

#define INLINE static inline __attribute__((always_inline))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* UNROLL (int v = 0; v < VECS; v++) ...: a loop whose bounds are compile-time constants of at most a few dozen, unrolled
 * whole. */
#if defined(__clang__)
#define UNROLL(...) _Pragma("clang loop unroll(full)") for (__VA_ARGS__)
#else
#define UNROLL(...) _Pragma("GCC unroll 64") for (__VA_ARGS__)
#endif

typedef real vec __attribute__((vector_size(FM_VEC_BYTES)));
typedef integer ivec __attribute__((vector_size(FM_VEC_BYTES)));
typedef natural nvec __attribute__((vector_size(FM_VEC_BYTES))); /* for sums and shifts of bits, which may wrap */

/* ---- x86: one definition for the three widths by pasting the intrinsics' prefix and suffix ---- */
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#if FM_F64
#define SUFFIX(prefix, op) prefix##op##_pd
#else
#define SUFFIX(prefix, op) prefix##op##_ps
#endif
#if FM_VEC_BYTES == 64
#define X86(op) SUFFIX(_mm512_, op)
#elif FM_VEC_BYTES == 32
#define X86(op) SUFFIX(_mm256_, op)
#else
#define X86(op) SUFFIX(_mm_, op)
#endif

INLINE vec v_set(real s) { return X86(set1)(s); }
INLINE vec v_load(const real *p) { return X86(load)(p); }
INLINE vec v_loadu(const real *p) { return X86(loadu)(p); }
INLINE void v_store(real *p, vec a) { X86(store)(p, a); }
INLINE void v_storeu(real *p, vec a) { X86(storeu)(p, a); }
INLINE vec v_sqrt(vec a) { return X86(sqrt)(a); }
/* a > b ? a : b, so b where either is NaN or both are zeros */
INLINE vec v_max(vec a, vec b) { return X86(max)(a, b); }
INLINE vec v_min(vec a, vec b) { return X86(min)(a, b); }
#if FM_VEC_BYTES > 16
INLINE vec v_fma(vec a, vec b, vec c) { return X86(fmadd)(a, b, c); }
#else /* the x86-64 baseline has no fused multiply-add: rounded twice, other bits */
INLINE vec v_fma(vec a, vec b, vec c) { return a * b + c; }
#endif

#if FM_VEC_BYTES == 64
#if FM_F64
typedef __mmask8 vmask;
#else
typedef __mmask16 vmask;
#endif
#if FM_F64
#define COMPARE(a, b, op) _mm512_cmp_pd_mask(a, b, op)
#else
#define COMPARE(a, b, op) _mm512_cmp_ps_mask(a, b, op)
#endif
INLINE vmask v_lt(vec a, vec b) { return COMPARE(a, b, _CMP_LT_OQ); }
INLINE vmask v_le(vec a, vec b) { return COMPARE(a, b, _CMP_LE_OQ); }
INLINE vmask v_eq(vec a, vec b) { return COMPARE(a, b, _CMP_EQ_OQ); }
#if FM_F64
INLINE vec v_select(vmask m, vec a, vec b) { return _mm512_mask_blend_pd(m, b, a); }
#else
INLINE vec v_select(vmask m, vec a, vec b) { return _mm512_mask_blend_ps(m, b, a); }
#endif
INLINE unsigned v_bits(vmask m) { return m; } /* bit i is lane i */
#else
typedef ivec vmask;
INLINE vmask v_lt(vec a, vec b) { return (vmask)(a < b); }
INLINE vmask v_le(vec a, vec b) { return (vmask)(a <= b); }
INLINE vmask v_eq(vec a, vec b) { return (vmask)(a == b); }
#if FM_VEC_BYTES == 32
INLINE vec v_select(vmask m, vec a, vec b) { return X86(blendv)(b, a, (vec)m); }
#else
INLINE vec v_select(vmask m, vec a, vec b) { return (vec)((m & (ivec)a) | (~m & (ivec)b)); }
#endif
INLINE unsigned v_bits(vmask m) { return (unsigned)X86(movemask)((vec)m); }
#endif

/* ---- aarch64: NEON, with fused multiply-add, is the baseline ---- */
#elif defined(__aarch64__)
#include <arm_neon.h>
#if FM_F64
#define NEON(op) op##_f64
#define NEON_BSL(m, a, b) vbslq_f64((uint64x2_t)(m), a, b)
#else
#define NEON(op) op##_f32
#define NEON_BSL(m, a, b) vbslq_f32((uint32x4_t)(m), a, b)
#endif
typedef ivec vmask;
INLINE vec v_set(real s) { return (vec)NEON(vdupq_n)(s); }
INLINE vec v_load(const real *p) { return (vec)NEON(vld1q)(p); }
INLINE vec v_loadu(const real *p) { return (vec)NEON(vld1q)(p); }
INLINE void v_store(real *p, vec a) { NEON(vst1q)(p, a); }
INLINE void v_storeu(real *p, vec a) { NEON(vst1q)(p, a); }
INLINE vec v_sqrt(vec a) { return (vec)NEON(vsqrtq)(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return (vec)NEON(vfmaq)(c, a, b); }
INLINE vmask v_lt(vec a, vec b) { return (vmask)(a < b); }
INLINE vmask v_le(vec a, vec b) { return (vmask)(a <= b); }
INLINE vmask v_eq(vec a, vec b) { return (vmask)(a == b); }
INLINE vec v_select(vmask m, vec a, vec b) { return (vec)NEON_BSL(m, a, b); }
/* vmaxq of two differs on NaN and -0; of one it flushes a subnormal number, as x86 does and a selection does not. A
 * comparison that the compiler sees through becomes the former: clang 14 made +0 of relu(-0). */
INLINE vec v_select_flushed(vmask m, vec a, vec b) {
    __asm__("" : "+w"(m));
    const vec selected = v_select(m, a, b);
    return (vec)NEON(vmaxq)(selected, selected);
}
INLINE vec v_max(vec a, vec b) { return v_select_flushed(v_lt(b, a), a, b); }
INLINE vec v_min(vec a, vec b) { return v_select_flushed(v_lt(a, b), a, b); }
INLINE unsigned v_bits(vmask m) {
    unsigned bits = 0;
    UNROLL (int i = 0; i < LANES; i++) bits |= (unsigned)(m[i] & 1) << i;
    return bits;
}
#else
#error "fastmlp has kernels for x86-64 and aarch64: see csrc/README.md, 'add an ISA'"
#endif

/* ---- on top of these, for every ISA ---- */
INLINE vec v_zero(void) { return v_set(0); }
INLINE ivec v_iset(integer s) {
    ivec a;
    UNROLL (int i = 0; i < LANES; i++) a[i] = s;
    return a;
}
INLINE nvec v_nset(natural s) { return (nvec)v_iset((integer)s); }
INLINE vec v_abs(vec a) { return (vec)((ivec)a & v_iset((integer)(((natural)-1) >> 1))); }
INLINE vec v_copysign(vec a, vec sign) {
    const ivec magnitude = v_iset((integer)(((natural)-1) >> 1));
    return (vec)(((ivec)a & magnitude) | ((ivec)sign & ~magnitude));
}

/* 32-bit words, whatever the dtype: low half of a m, and in *high the high half. */
typedef uint32_t words __attribute__((vector_size(FM_VEC_BYTES)));
#if defined(__x86_64__) || defined(_M_X64)
typedef uint64_t double_words __attribute__((vector_size(FM_VEC_BYTES)));
#if FM_VEC_BYTES == 64
#define MULTIPLY_EVEN(a, b) (double_words) _mm512_mul_epu32((__m512i)(a), (__m512i)(b))
#elif FM_VEC_BYTES == 32
#define MULTIPLY_EVEN(a, b) (double_words) _mm256_mul_epu32((__m256i)(a), (__m256i)(b))
#else
#define MULTIPLY_EVEN(a, b) (double_words) _mm_mul_epu32((__m128i)(a), (__m128i)(b))
#endif
INLINE words v_multiply_words(words a, uint32_t m, words *high) {
    const words factor = (words){0} + m;
    const double_words even = MULTIPLY_EVEN(a, factor), odd = MULTIPLY_EVEN((double_words)a >> 32, factor);
    *high = (words)((even >> 32) | (odd >> 32 << 32));
    return (words)((even << 32 >> 32) | (odd << 32));
}
#undef MULTIPLY_EVEN
#else
INLINE words v_multiply_words(words a, uint32_t m, words *high) {
    words low;
    for (int i = 0; i < FM_VEC_BYTES / 4; i++) {
        const uint64_t product = (uint64_t)a[i] * m;
        low[i] = (uint32_t)product;
        (*high)[i] = (uint32_t)(product >> 32);
    }
    return low;
}
#endif

/* 1.5 * 2^mantissa: adding it rounds to the nearest integer, kept in the low bits; plain arithmetic, so every ISA agrees */
#define FM_ROUND_MAGIC ((real)(FM_F64 ? 6755399441055744.0 : 12582912.0))

/* Sum and maximum over a line of VECS registers by one fixed tree: element i with i + LINE/2, then i + LINE/4, ... */
#if defined(__x86_64__) || defined(_M_X64)
#define X86_128(op) SUFFIX(_mm_, op)
#define X86_256(op) SUFFIX(_mm256_, op)
#if FM_F64
typedef __m128d vec128;
#define FOLD_128(op, a) _mm_cvtsd_f64(X86_128(op)(a, _mm_unpackhi_pd(a, a)))
#define LOW_128(a) _mm256_castpd256_pd128(a)
#define HIGH_128(a) _mm256_extractf128_pd(a, 1)
#define LOW_256(a) _mm512_castpd512_pd256(a)
#define HIGH_256(a) _mm512_extractf64x4_pd(a, 1)
typedef __m256d vec256;
#else
typedef __m128 vec128;
#define PAIR_128(op, a) X86_128(op)(a, _mm_movehl_ps(a, a))
#define FOLD_128(op, a) _mm_cvtss_f32(X86_128(op)(PAIR_128(op, a), SWAP_PAIR(PAIR_128(op, a))))
#define SWAP_PAIR(a) _mm_shuffle_ps(a, a, 1)
#define LOW_128(a) _mm256_castps256_ps128(a)
#define HIGH_128(a) _mm256_extractf128_ps(a, 1)
#define LOW_256(a) _mm512_castps512_ps256(a)
#define HIGH_256(a) _mm512_extractf32x8_ps(a, 1)
typedef __m256 vec256;
#endif
#if FM_VEC_BYTES == 64
#define FOLD(op, line)                                                                                                 \
    const vec256 half = X86_256(op)(LOW_256(line[0]), HIGH_256(line[0]));                                              \
    const vec128 quarter = X86_128(op)(LOW_128(half), HIGH_128(half));                                                 \
    return FOLD_128(op, quarter)
#elif FM_VEC_BYTES == 32
#define FOLD(op, line)                                                                                                 \
    const vec256 half = X86_256(op)(line[0], line[1]);                                                                 \
    const vec128 quarter = X86_128(op)(LOW_128(half), HIGH_128(half));                                                 \
    return FOLD_128(op, quarter)
#else
#define FOLD(op, line)                                                                                                 \
    const vec128 quarter = X86_128(op)(X86_128(op)(line[0], line[2]), X86_128(op)(line[1], line[3]));                  \
    return FOLD_128(op, quarter)
#endif
INLINE real v_line_sum(const vec *line) { FOLD(add, line); }
INLINE real v_line_max(const vec *line) { FOLD(max, line); }
#else
INLINE real v_line_sum(const vec *line) {
    const vec v = (line[0] + line[2]) + (line[1] + line[3]);
    return LANES == 4 ? (v[0] + v[LANES - 2]) + (v[1] + v[LANES - 1]) : v[0] + v[1];
}
INLINE real v_line_max(const vec *line) {
    const vec v = v_max(v_max(line[0], line[2]), v_max(line[1], line[3]));
    real e[2] = {v[0], v[1]};
    for (int i = 0; LANES == 4 && i < 2; i++) e[i] = e[i] > v[LANES / 2 + i] ? e[i] : v[LANES / 2 + i];
    return e[0] > e[1] ? e[0] : e[1];
}
#endif

/* LANES rows of SQUARE columns transposed into SQUARE rows of LANES; rows from_stride and to_stride apart. Squares lie
 * side by side in a register, 16 bytes each, and are transposed all at once. */
enum { SQUARE = 16 / sizeof(real) };
#if defined(__aarch64__) && FM_F64
INLINE void v_transpose(const real *from, ptrdiff_t from_stride, real *to, ptrdiff_t to_stride) {
    const float64x2_t a = vld1q_f64(from), b = vld1q_f64(from + from_stride);
    vst1q_f64(to, vtrn1q_f64(a, b));
    vst1q_f64(to + to_stride, vtrn2q_f64(a, b));
}
#elif defined(__aarch64__)
INLINE void v_transpose(const real *from, ptrdiff_t from_stride, real *to, ptrdiff_t to_stride) {
    const float32x4x2_t a = vtrnq_f32(vld1q_f32(from), vld1q_f32(from + from_stride));
    const float32x4x2_t b = vtrnq_f32(vld1q_f32(from + 2 * from_stride), vld1q_f32(from + 3 * from_stride));
    vst1q_f32(to, vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0])));
    vst1q_f32(to + to_stride, vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1])));
    vst1q_f32(to + 2 * to_stride, vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0])));
    vst1q_f32(to + 3 * to_stride, vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1])));
}
#else
/* 16 bytes of rows 0, SQUARE, 2 SQUARE, ... side by side */
#if FM_VEC_BYTES == 64 && FM_F64
#define INSERT(a, i, row) a = _mm512_insertf64x2(a, _mm_load_pd(from + (row) * from_stride), i)
#define FIRST(row) _mm512_castpd128_pd512(_mm_load_pd(from + (row) * from_stride))
#elif FM_VEC_BYTES == 64
#define INSERT(a, i, row) a = _mm512_insertf32x4(a, _mm_load_ps(from + (row) * from_stride), i)
#define FIRST(row) _mm512_castps128_ps512(_mm_load_ps(from + (row) * from_stride))
#elif FM_VEC_BYTES == 32 && FM_F64
#define INSERT(a, i, row) a = _mm256_insertf128_pd(a, _mm_load_pd(from + (row) * from_stride), i)
#define FIRST(row) _mm256_castpd128_pd256(_mm_load_pd(from + (row) * from_stride))
#elif FM_VEC_BYTES == 32
#define INSERT(a, i, row) a = _mm256_insertf128_ps(a, _mm_load_ps(from + (row) * from_stride), i)
#define FIRST(row) _mm256_castps128_ps256(_mm_load_ps(from + (row) * from_stride))
#else
#define FIRST(row) v_load(from + (row) * from_stride)
#endif
INLINE vec v_squares(const real *from, ptrdiff_t from_stride) {
    vec a = FIRST(0);
#if FM_VEC_BYTES > 16
    INSERT(a, 1, SQUARE);
#endif
#if FM_VEC_BYTES > 32
    INSERT(a, 2, 2 * SQUARE);
    INSERT(a, 3, 3 * SQUARE);
#endif
    return a;
}
#undef INSERT
#undef FIRST
INLINE void v_transpose(const real *from, ptrdiff_t from_stride, real *to, ptrdiff_t to_stride) {
    const vec a = v_squares(from, from_stride), b = v_squares(from + from_stride, from_stride);
#if FM_F64
    v_store(to, X86(unpacklo)(a, b));
    v_store(to + to_stride, X86(unpackhi)(a, b));
#else
    const vec c = v_squares(from + 2 * from_stride, from_stride), d = v_squares(from + 3 * from_stride, from_stride);
    const vec ab = X86(unpacklo)(a, b), cd = X86(unpacklo)(c, d), ab_high = X86(unpackhi)(a, b),
              cd_high = X86(unpackhi)(c, d);
    v_store(to, X86(shuffle)(ab, cd, 0x44));
    v_store(to + to_stride, X86(shuffle)(ab, cd, 0xee));
    v_store(to + 2 * to_stride, X86(shuffle)(ab_high, cd_high, 0x44));
    v_store(to + 3 * to_stride, X86(shuffle)(ab_high, cd_high, 0xee));
#endif
}
#endif

/* LANES numbers of another type at any address. */
#if FM_VEC_BYTES == 64 && FM_F64
INLINE vec v_from_f32(const char *p) { return _mm512_cvtps_pd(_mm256_loadu_ps((const float *)p)); }
INLINE vec v_from_f64(const char *p) { return v_loadu((const real *)p); }
INLINE vec v_from_u8(const char *p) {
    return _mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
#elif FM_VEC_BYTES == 64
INLINE vec v_from_f32(const char *p) { return v_loadu((const real *)p); }
INLINE vec v_from_f64(const char *p) {
    const __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd((const double *)p));
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), _mm512_cvtpd_ps(_mm512_loadu_pd((const double *)p + 8)), 1);
}
INLINE vec v_from_u8(const char *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
#elif FM_VEC_BYTES == 32 && FM_F64
INLINE vec v_from_f32(const char *p) { return _mm256_cvtps_pd(_mm_loadu_ps((const float *)p)); }
INLINE vec v_from_f64(const char *p) { return v_loadu((const real *)p); }
INLINE vec v_from_u8(const char *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
}
#elif FM_VEC_BYTES == 32
INLINE vec v_from_f32(const char *p) { return v_loadu((const real *)p); }
INLINE vec v_from_f64(const char *p) {
    return _mm256_set_m128(_mm256_cvtpd_ps(_mm256_loadu_pd((const double *)p + 4)),
                           _mm256_cvtpd_ps(_mm256_loadu_pd((const double *)p)));
}
INLINE vec v_from_u8(const char *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
#else
#define V_FROM(type, source_t)                                                                                         \
    INLINE vec v_from_##type(const char *p) {                                                                          \
        source_t e[LANES];                                                                                             \
        memcpy(e, p, sizeof e);                                                                                        \
        vec a;                                                                                                         \
        UNROLL (int i = 0; i < LANES; i++) a[i] = (real)e[i];                                                          \
        return a;                                                                                                      \
    }
FM_GATHERS(V_FROM)
#undef V_FROM
#endif

/* Columns of a line that are the lanes of its register v: v LANES ... */
INLINE vec v_lane(int v) {
    static const _Alignas(64) real lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return v_load(lane + v * LANES);
}

/* Lanes of register v of a line that lie before column n of it. */
INLINE vmask v_before(int v, ptrdiff_t n) { return v_lt(v_lane(v), v_set((real)MIN(n, LINE))); }

#endif
