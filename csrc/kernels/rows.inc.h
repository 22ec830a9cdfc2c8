/* Between the user's row-major arrays and the engine's panels. */

/* Gather rows into panels:  x[r, k] = source[index[r], k], or (source[index[r], k] - mean[k]) * scale[k]
 *   source   n columns of the given type at any stride, negative ones included            read
 *   index    rows to take; NULL: 0 ... rows-1                                              read
 *   mean, scale  double (n,) padded to a multiple of LINE, or both NULL: only converted    read
 *   x        panels (n, rows), x_stride apart; padding columns become 0                    written
 * Less the mean and scaled in double and rounded once, whatever the source and the panels: a column whose mean is a
 * million times its deviation keeps its digits. Padding of mean and scale is 0.  Twin: gather */
#define GATHER(type, source_t)                                                                                         \
    static void FM(gather_##type)(ptrdiff_t rows, ptrdiff_t n, const void *source, ptrdiff_t row_stride_bytes,         \
                                  ptrdiff_t column_stride_bytes, const int64_t *index, const double *mean,             \
                                  const double *scale, void *x, ptrdiff_t x_stride) {                                  \
        for (ptrdiff_t r = 0; r < rows; r++) {                                                                         \
            const char *row = (const char *)source + (index ? (ptrdiff_t)index[r] : r) * row_stride_bytes;             \
            real *to = (real *)x + r * LINE;                                                                           \
            for (ptrdiff_t k = 0; k < n; k += LINE, to += x_stride) {                                                  \
                const ptrdiff_t columns = MIN(LINE, n - k);                                                            \
                const char *from = row + k * column_stride_bytes;                                                      \
                if (mean)                                                                                              \
                    line_scaled_##type(from, column_stride_bytes, columns, mean + k, scale + k, to);                   \
                else if (column_stride_bytes == sizeof(source_t))                                                      \
                    line_##type(from, columns, to);                                                                    \
                else                                                                                                   \
                    line_strided_##type(from, column_stride_bytes, columns, to);                                       \
            }                                                                                                          \
        }                                                                                                              \
    }

/* Lines of contiguous elements. A partial line is 8 + 4 + 2 + 1 elements, as far as there are. */
#define GATHER_LINE(type, source_t)                                                                                    \
    INLINE void part_##type(const int many, const char *from, real *to) {                                              \
        if (__builtin_types_compatible_p(source_t, real)) {                                                            \
            memcpy(to, from, (size_t)many * sizeof(real));                                                             \
            return;                                                                                                    \
        }                                                                                                              \
        for (int i = 0; i < many; i++) {                                                                               \
            source_t e;                                                                                                \
            memcpy(&e, from + i * (ptrdiff_t)sizeof e, sizeof e);                                                      \
            to[i] = (real)e;                                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    INLINE void line_##type(const char *from, ptrdiff_t columns, real *to) {                                           \
        if (columns == LINE) {                                                                                         \
            UNROLL (int v = 0; v < VECS; v++)                                                                          \
                v_store(to + v * LANES, v_from_##type(from + v * LANES * (ptrdiff_t)sizeof(source_t)));                \
            return;                                                                                                    \
        }                                                                                                              \
        UNROLL (int v = 0; v < VECS; v++) v_store(to + v * LANES, v_zero());                                           \
        UNROLL (int many = LINE / 2; many > 0; many /= 2)                                                              \
            if (columns & many) {                                                                                      \
                part_##type(many, from, to);                                                                           \
                from += many * (ptrdiff_t)sizeof(source_t);                                                            \
                to += many;                                                                                            \
            }                                                                                                          \
    }                                                                                                                  \
    static void line_strided_##type(const char *from, ptrdiff_t stride_bytes, ptrdiff_t columns, real *to) {           \
        UNROLL (int v = 0; v < VECS; v++) v_store(to + v * LANES, v_zero());                                           \
        for (ptrdiff_t i = 0; i < columns; i++) {                                                                      \
            source_t e;                                                                                                \
            memcpy(&e, from + i * stride_bytes, sizeof e);                                                             \
            to[i] = (real)e;                                                                                           \
        }                                                                                                              \
    }

/* A line of contiguous elements at any address, less mean and times scale: whole registers, as the compiler makes of
 * it. */
#define SCALE_LINE(type, source_t)                                                                                     \
    INLINE void scale_##type(const char *from, const double *restrict mean, const double *restrict scale,              \
                             real *restrict to) {                                                                      \
        typedef source_t unaligned __attribute__((aligned(1)));                                                        \
        const unaligned *e = (const unaligned *)from;                                                                  \
        for (int i = 0; i < LINE; i++) to[i] = (real)(((double)e[i] - mean[i]) * scale[i]);                            \
    }

/* The same of any line: one that is not whole or not contiguous is copied into one that is. */
#define SCALED_LINE(type, source_t)                                                                                    \
    static void line_scaled_##type(const char *from, ptrdiff_t stride_bytes, ptrdiff_t columns, const double *mean,    \
                                   const double *scale, real *to) {                                                    \
        if (stride_bytes == sizeof(source_t) && columns == LINE) {                                                     \
            scale_##type(from, mean, scale, to);                                                                       \
            return;                                                                                                    \
        }                                                                                                              \
        _Alignas(FM_LINE_BYTES) source_t line[LINE] = {0};                                                             \
        source_t *at = line;                                                                                           \
        if (stride_bytes == sizeof(source_t)) {                                                                        \
            UNROLL (int many = LINE / 2; many > 0; many /= 2)                                                          \
                if (columns & many) {                                                                                  \
                    memcpy(at, from, (size_t)many * sizeof(source_t));                                                 \
                    from += many * (ptrdiff_t)sizeof(source_t);                                                        \
                    at += many;                                                                                        \
                }                                                                                                      \
        } else {                                                                                                       \
            for (ptrdiff_t i = 0; i < columns; i++) memcpy(at + i, from + i * stride_bytes, sizeof(source_t));         \
        }                                                                                                              \
        scale_##type((const char *)line, mean, scale, to);                                                             \
    }

FM_GATHERS(GATHER_LINE)
SCALE_LINE(f32, float)
SCALE_LINE(f64, double)
/* Bytes are exact as reals, and widened sooner from them. */
INLINE void scale_u8(const char *from, const double *mean, const double *scale, real *to) {
    _Alignas(FM_LINE_BYTES) real line[LINE];
    line_u8(from, LINE, line);
    (FM_F64 ? scale_f64 : scale_f32)((const char *)line, mean, scale, to);
}
FM_GATHERS(SCALED_LINE)
FM_GATHERS(GATHER)
#undef GATHER_LINE
#undef SCALE_LINE
#undef SCALED_LINE
#undef GATHER

/* Panels into rows of a row-major array, row_stride apart.  Twin: scatter */
static void FM(scatter)(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t x_stride, void *target,
                        ptrdiff_t row_stride) {
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real *from = (const real *)x + r * LINE;
        real *to = (real *)target + r * row_stride;
        for (ptrdiff_t k = 0; k < n; k += LINE, from += x_stride)
            memcpy(to + k, from, (size_t)MIN(LINE, n - k) * sizeof(real));
    }
}

/* b *= a, for n elements, a multiple of LINE; a may be b.  Twin: multiply */
static void FM(multiply)(ptrdiff_t n, const void *a, void *b) {
    for (ptrdiff_t i = 0; i < n; i += LANES)
        v_store((real *)b + i, v_load((const real *)a + i) * v_load((real *)b + i));
}

/* b += a, for n elements, a multiple of LINE.  Twin: add */
static void FM(add)(ptrdiff_t n, const void *a, void *b) {
    for (ptrdiff_t i = 0; i < n; i += LANES)
        v_store((real *)b + i, v_load((const real *)a + i) + v_load((real *)b + i));
}

/* Sum of n values in float64: eight partial sums, element i in sum i mod 8, then a tree over them. */
INLINE double sum_of_shard(ptrdiff_t n, const real *e) {
    double part[8] = {0};
    for (ptrdiff_t i = 0; i < n; i++) part[i % 8] += (double)e[i];
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

/* The same of values of the rows of a batch: so of each shard, and the shards by the tree of tree.inc.h. The order is a
 * function of n alone.  Twin: sum */
static double FM(sum)(ptrdiff_t n, const void *x) {
    if (is_one_stretch(n, n)) return sum_of_shard(n, x);
    double found = 0, open[TREE_LEVELS];
    for (stretch s = first_stretch(n, n); s.rows > 0; next_stretch(&s)) {
        const ptrdiff_t completed = n_completed(&s);
        found = sum_of_shard(s.rows, (const real *)x + s.row);
        for (ptrdiff_t i = 1; i <= completed; i++) found = open[s.n_open - i] + found;
        s.n_open -= completed;
        open[s.n_open++] = found;
        s.n_shards++;
    }
    return found;
}

/* Whether low <= e <= high for all n elements, at any address; not so with a NaN. In whole lines, then one by one.
 * Twin: within */
static int FM(within)(ptrdiff_t n, const void *x, double low, double high) {
    const real *e = x, least = (real)low, most = (real)high;
    ptrdiff_t i = 0;
    for (; i + LINE <= n; i += LINE) {
        unsigned inside = (1u << LANES) - 1;
        UNROLL (int v = 0; v < VECS; v++) {
            const vec a = v_loadu(e + i + v * LANES);
            inside &= v_bits(v_le(v_set(least), a) & v_le(a, v_set(most)));
        }
        if (inside != (1u << LANES) - 1) return 0;
    }
    for (; i < n; i++)
        if (!(least <= e[i] && e[i] <= most)) return 0;
    return 1;
}
