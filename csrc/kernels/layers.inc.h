/* Layers without a product: normalisation over a row or over the batch, learned slopes, dropout. A panel is LINE columns
 * of some rows; vectors of columns (gamma, mean, ...) are padded to whole lines, the padding of gamma, beta and slope
 * zero, and so is that of every gradient. `multiply`: dx holds the derivative of the activation that made x, and is
 * multiplied by the gradient instead of replaced. */

/* dx = gradient, or dx *= gradient */
INLINE void store_gradient(int multiply, real *dx, vec gradient) {
    v_store(dx, multiply ? gradient * v_load(dx) : gradient);
}

/* Layer normalisation, a row at a time:  mean = sum x / n,  scale = 1 / sqrt(sum (x - mean)^2 / n + epsilon),
 * y = gamma (x - mean) scale + beta
 *   x            panels (n, rows), x_stride apart        read; padding is not
 *   gamma, beta  (n,)                                    read
 *   mean, scale  (rows,)                                 written
 *   y            panels (n, rows), y_stride apart        written
 * Ba, Kiros, Hinton 2016, eq. 3 and 4.  Twin: layer_norm */
static void FM(layer_norm)(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t x_stride, const void *gamma,
                           const void *beta, double epsilon, void *mean, void *scale, void *y, ptrdiff_t y_stride) {
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real *row = (const real *)x + r * LINE, *line = row;
        real *to = (real *)y + r * LINE;
        vec sum[VECS], squares[VECS];
        UNROLL (int v = 0; v < VECS; v++) sum[v] = squares[v] = v_zero();
        for (ptrdiff_t k = 0; k < n; k += LINE, line += x_stride)
            UNROLL (int v = 0; v < VECS; v++)
                sum[v] += v_select(v_before(v, n - k), v_load(line + v * LANES), v_zero());
        const vec centre = v_set(v_line_sum(sum) / (real)n);
        line = row;
        for (ptrdiff_t k = 0; k < n; k += LINE, line += x_stride)
            UNROLL (int v = 0; v < VECS; v++) {
                const vec e = v_select(v_before(v, n - k), v_load(line + v * LANES) - centre, v_zero());
                squares[v] = v_fma(e, e, squares[v]);
            }
        const vec factor = v_set(1) / v_sqrt(v_set(v_line_sum(squares) / (real)n + (real)epsilon));
        line = row;
        for (ptrdiff_t k = 0; k < n; k += LINE, line += x_stride, to += y_stride)
            UNROLL (int v = 0; v < VECS; v++) {
                const ptrdiff_t at = k + v * LANES;
                const vec hat = (v_load(line + v * LANES) - centre) * factor;
                v_store(to + v * LANES, v_fma(hat, v_load((const real *)gamma + at), v_load((const real *)beta + at)));
            }
        ((real *)mean)[r] = centre[0];
        ((real *)scale)[r] = factor[0];
    }
}

/* Its input gradient:  g = dz gamma,  dx = scale (g - sum g / n - hat sum (g hat) / n),  hat = (x - mean) scale
 *   dz, x        panels (n, rows)                        read
 *   gamma        (n,)                                    read
 *   mean, scale  (rows,), as layer_norm left them        read
 *   dx           panels (n, rows), dx_stride apart       written, or updated; padding becomes 0
 * Twin: layer_norm_input_gradient */
static void FM(layer_norm_input_gradient)(ptrdiff_t rows, ptrdiff_t n, const void *dz, ptrdiff_t dz_stride,
                                          const void *x, ptrdiff_t x_stride, const void *gamma, const void *mean,
                                          const void *scale, int multiply, void *dx, ptrdiff_t dx_stride) {
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real *dz_row = (const real *)dz + r * LINE, *row = (const real *)x + r * LINE;
        real *to = (real *)dx + r * LINE;
        const vec centre = v_set(((const real *)mean)[r]), factor = v_set(((const real *)scale)[r]);
        vec sum[VECS], sum_hat[VECS];
        UNROLL (int v = 0; v < VECS; v++) sum[v] = sum_hat[v] = v_zero();
        for (ptrdiff_t k = 0; k < n; k += LINE)
            UNROLL (int v = 0; v < VECS; v++) {
                const ptrdiff_t panel = k / LINE, at = v * LANES;
                const vec g = v_load(dz_row + panel * dz_stride + at) * v_load((const real *)gamma + k + at);
                sum[v] += g;
                sum_hat[v] = v_fma(g, (v_load(row + panel * x_stride + at) - centre) * factor, sum_hat[v]);
            }
        const vec mean_g = v_set(v_line_sum(sum) / (real)n), mean_hat = v_set(v_line_sum(sum_hat) / (real)n);
        for (ptrdiff_t k = 0; k < n; k += LINE)
            UNROLL (int v = 0; v < VECS; v++) {
                const ptrdiff_t panel = k / LINE, at = v * LANES;
                const vec g = v_load(dz_row + panel * dz_stride + at) * v_load((const real *)gamma + k + at);
                const vec hat = (v_load(row + panel * x_stride + at) - centre) * factor;
                const vec found = factor * (g - mean_g - hat * mean_hat);
                store_gradient(multiply, to + panel * dx_stride + at, v_select(v_before(v, n - k), found, v_zero()));
            }
    }
}

INLINE void store_sums(vec (*sum)[VECS], void *dgamma, void *dbeta) {
    UNROLL (int v = 0; v < VECS; v++) {
        v_store((real *)dgamma + v * LANES, sum[0][v]);
        v_store((real *)dbeta + v * LANES, sum[1][v]);
    }
}

/* Its weight gradients, one panel over the batch:  dgamma = sum of dz hat,  dbeta = sum of dz, by the tree
 *   dz, x           blocks of one panel                  read
 *   mean, scale     (rows,), of the whole batch          read
 *   dgamma, dbeta   a line each                          written
 * Twin: layer_norm_weight_gradient */
static void FM(layer_norm_weight_gradient)(ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *dz,
                                           const fm_blocks *x, const void *mean, const void *scale, void *dgamma,
                                           void *dbeta) {
    const real *centre = mean, *factor = scale;
    vec sum[2][VECS], open[TREE_LEVELS * 2 * VECS];
    UNROLL (int v = 0; v < VECS; v++) sum[0][v] = sum[1][v] = v_zero();
    for (stretch s = first_stretch(rows, block_rows); s.rows > 0; next_stretch(&s)) {
        const real *dz_rows = rows_of(dz, &s), *x_rows = rows_of(x, &s);
        for (ptrdiff_t r = 0; r < s.rows; r++, centre++, factor++)
            UNROLL (int v = 0; v < VECS; v++) {
                const vec d = v_load(dz_rows + r * LINE + v * LANES);
                const vec hat = (v_load(x_rows + r * LINE + v * LANES) - v_set(*centre)) * v_set(*factor);
                sum[0][v] = v_fma(d, hat, sum[0][v]);
                sum[1][v] += d;
            }
        merge(&s, 2, VECS, VECS, sum[0], open);
    }
    store_sums(sum, dgamma, dbeta);
}

/* Statistics of the columns of one panel over the batch:  mean = sum x / rows,  variance = sum (x - mean)^2 / rows, both
 * by the tree
 *   x               blocks of one panel                  read
 *   mean, variance  a line each                          written
 * Twin: batch_statistics */
static void FM(batch_statistics)(ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *x, void *mean, void *variance) {
    vec centre[VECS], squares[VECS], open[TREE_LEVELS * VECS];
    UNROLL (int v = 0; v < VECS; v++) centre[v] = squares[v] = v_zero();
    for (stretch s = first_stretch(rows, block_rows); s.rows > 0; next_stretch(&s)) {
        add_rows(s.rows, rows_of(x, &s), centre);
        merge(&s, 1, VECS, VECS, centre, open);
    }
    UNROLL (int v = 0; v < VECS; v++) centre[v] = centre[v] / v_set((real)rows);
    for (stretch s = first_stretch(rows, block_rows); s.rows > 0; next_stretch(&s)) {
        const real *from = rows_of(x, &s);
        for (ptrdiff_t r = 0; r < s.rows; r++)
            UNROLL (int v = 0; v < VECS; v++) {
                const vec e = v_load(from + r * LINE + v * LANES) - centre[v];
                squares[v] = v_fma(e, e, squares[v]);
            }
        merge(&s, 1, VECS, VECS, squares, open);
    }
    UNROLL (int v = 0; v < VECS; v++) {
        v_store((real *)mean + v * LANES, centre[v]);
        v_store((real *)variance + v * LANES, squares[v] / v_set((real)rows));
    }
}

/* (x - mean) / sqrt(variance + epsilon) of a line of a panel */
INLINE vec hat_of(const real *x, const void *mean, vec scale, int v) {
    return (v_load(x + v * LANES) - v_load((const real *)mean + v * LANES)) * scale;
}
INLINE vec scale_of(const void *variance, double epsilon, int v) {
    return v_set(1) / v_sqrt(v_load((const real *)variance + v * LANES) + v_set((real)epsilon));
}

/* Batch normalisation of one panel:  y = gamma (x - mean) / sqrt(variance + epsilon) + beta
 *   x                            a panel of rows         read
 *   mean, variance, gamma, beta  a line each             read
 *   y                            a panel of rows         written; may be x
 * Ioffe, Szegedy 2015, algorithm 1.  Twin: batch_norm */
static void FM(batch_norm)(ptrdiff_t rows, const void *x, const void *mean, const void *variance, double epsilon,
                           const void *gamma, const void *beta, void *y) {
    UNROLL (int v = 0; v < VECS; v++) {
        const vec scale = scale_of(variance, epsilon, v), g = v_load((const real *)gamma + v * LANES),
                  b = v_load((const real *)beta + v * LANES);
        for (ptrdiff_t r = 0; r < rows; r++)
            v_store((real *)y + r * LINE + v * LANES, v_fma(hat_of((const real *)x + r * LINE, mean, scale, v), g, b));
    }
}

/* Its input gradient, where mean and variance are those of the batch of batch_rows:
 * dx = gamma / sqrt(variance + epsilon) (dz - dbeta / batch_rows - hat dgamma / batch_rows)
 *   dz, x                                       a panel of rows    read
 *   mean, variance, gamma, dgamma, dbeta        a line each        read
 *   dx                                          a panel of rows    written, or updated; may be dz
 * Twin: batch_norm_input_gradient */
static void FM(batch_norm_input_gradient)(ptrdiff_t rows, ptrdiff_t batch_rows, const void *dz, const void *x,
                                          const void *mean, const void *variance, double epsilon, const void *gamma,
                                          const void *dgamma, const void *dbeta, int multiply, void *dx) {
    UNROLL (int v = 0; v < VECS; v++) {
        const vec n = v_set((real)batch_rows), scale = scale_of(variance, epsilon, v);
        const vec factor = v_load((const real *)gamma + v * LANES) * scale;
        const vec mean_hat = v_load((const real *)dgamma + v * LANES) / n;
        const vec mean_dz = v_load((const real *)dbeta + v * LANES) / n;
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t at = r * LINE + v * LANES;
            const vec hat = hat_of((const real *)x + r * LINE, mean, scale, v);
            const vec d = v_load((const real *)dz + at);
            store_gradient(multiply, (real *)dx + at, factor * (d - mean_dz - hat * mean_hat));
        }
    }
}

/* Its weight gradients, one panel over the batch:  dgamma = sum of dz hat,  dbeta = sum of dz, by the tree
 *   dz, x           blocks of one panel                  read
 *   mean, variance  a line each                          read
 *   dgamma, dbeta   a line each                          written
 * Twin: batch_norm_weight_gradient */
static void FM(batch_norm_weight_gradient)(ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *dz,
                                           const fm_blocks *x, const void *mean, const void *variance, double epsilon,
                                           void *dgamma, void *dbeta) {
    vec sum[2][VECS], open[TREE_LEVELS * 2 * VECS], scale[VECS];
    UNROLL (int v = 0; v < VECS; v++) {
        sum[0][v] = sum[1][v] = v_zero();
        scale[v] = scale_of(variance, epsilon, v);
    }
    for (stretch s = first_stretch(rows, block_rows); s.rows > 0; next_stretch(&s)) {
        const real *dz_rows = rows_of(dz, &s), *x_rows = rows_of(x, &s);
        for (ptrdiff_t r = 0; r < s.rows; r++)
            UNROLL (int v = 0; v < VECS; v++) {
                const vec d = v_load(dz_rows + r * LINE + v * LANES);
                sum[0][v] = v_fma(d, hat_of(x_rows + r * LINE, mean, scale[v], v), sum[0][v]);
                sum[1][v] += d;
            }
        merge(&s, 2, VECS, VECS, sum[0], open);
    }
    store_sums(sum, dgamma, dbeta);
}

/* average = momentum average + (1 - momentum) now, n elements, a multiple of LINE.  Twin: running_average */
static void FM(running_average)(ptrdiff_t n, double momentum, const void *now, void *average) {
    const vec keep = v_set((real)momentum), rest = v_set((real)(1 - momentum));
    for (ptrdiff_t i = 0; i < n; i += LANES)
        v_store((real *)average + i, v_fma(keep, v_load((real *)average + i), rest * v_load((const real *)now + i)));
}

/* PReLU of one panel:  y = x above 0, slope x elsewhere
 *   x      a panel of rows    read
 *   slope  a line             read
 *   y      a panel of rows    written
 * He et al. 2015, eq. 1.  Twin: prelu */
static void FM(prelu)(ptrdiff_t rows, const void *x, const void *slope, void *y) {
    UNROLL (int v = 0; v < VECS; v++) {
        const vec a = v_load((const real *)slope + v * LANES);
        for (ptrdiff_t r = 0; r < rows; r++) {
            const vec e = v_load((const real *)x + r * LINE + v * LANES);
            v_store((real *)y + r * LINE + v * LANES, v_select(v_lt(v_zero(), e), e, a * e));
        }
    }
}

/* Its input gradient:  dx = dz above 0, slope dz elsewhere
 *   dz, x  a panel of rows    read
 *   slope  a line             read
 *   dx     a panel of rows    written, or updated
 * Twin: prelu_input_gradient */
static void FM(prelu_input_gradient)(ptrdiff_t rows, const void *dz, const void *x, const void *slope, int multiply,
                                     void *dx) {
    UNROLL (int v = 0; v < VECS; v++) {
        const vec a = v_load((const real *)slope + v * LANES);
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t at = r * LINE + v * LANES;
            const vec d = v_load((const real *)dz + at);
            store_gradient(multiply, (real *)dx + at, v_select(v_lt(v_zero(), v_load((const real *)x + at)), d, a * d));
        }
    }
}

/* Gradient of the slopes, one panel over the batch:  sum of dz x where x <= 0, by the tree
 *   dz, x    blocks of one panel                         read
 *   dslope   a line                                      written
 * Twin: prelu_weight_gradient */
static void FM(prelu_weight_gradient)(ptrdiff_t rows, ptrdiff_t block_rows, const fm_blocks *dz, const fm_blocks *x,
                                      void *dslope) {
    vec sum[VECS], open[TREE_LEVELS * VECS];
    UNROLL (int v = 0; v < VECS; v++) sum[v] = v_zero();
    for (stretch s = first_stretch(rows, block_rows); s.rows > 0; next_stretch(&s)) {
        const real *dz_rows = rows_of(dz, &s), *x_rows = rows_of(x, &s);
        for (ptrdiff_t r = 0; r < s.rows; r++)
            UNROLL (int v = 0; v < VECS; v++) {
                const ptrdiff_t at = r * LINE + v * LANES;
                const vec e = v_load(x_rows + at);
                sum[v] = v_fma(v_load(dz_rows + at), v_select(v_lt(v_zero(), e), v_zero(), e), sum[v]);
            }
        merge(&s, 1, VECS, VECS, sum, open);
    }
    UNROLL (int v = 0; v < VECS; v++) v_store((real *)dslope + v * LANES, sum[v]);
}

/* Random words of WORDS columns for MASK_ROWS rows, two rows in each word: by Philox4x32 of the counter
 * (row / MASK_ROWS, column, step, layer), in the seven rounds that pass BigCrush (Salmon et al. 2011, table 2). */
enum { WORDS = FM_VEC_BYTES / 4, MASK_ROWS = 8, MASK_ROUNDS = 7 };
INLINE void mask_words(uint32_t rows, uint32_t column, const fm_mask *mask, words *c) {
    uint32_t column_of[WORDS];
    UNROLL (int i = 0; i < WORDS; i++) column_of[i] = (uint32_t)i;
    memcpy(&c[1], column_of, sizeof c[1]);
    c[0] = (words){0} + rows;
    c[1] += column;
    c[2] = (words){0} + (uint32_t)mask->step;
    c[3] = (words){0} + (mask->layer << 16 | (uint32_t)(mask->step >> 32 & 0xffff));
    uint32_t key[2] = {(uint32_t)mask->seed, (uint32_t)(mask->seed >> 32)};
    UNROLL (int round = 0; round < MASK_ROUNDS; round++) {
        words high_0, high_2;
        const words low_0 = v_multiply_words(c[0], 0xD2511F53u, &high_0);
        const words low_2 = v_multiply_words(c[2], 0xCD9E8D57u, &high_2);
        c[0] = high_2 ^ c[1] ^ key[0];
        c[1] = low_2;
        c[2] = high_0 ^ c[3] ^ key[1];
        c[3] = low_0;
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
}

/* LANES factors from as many of WORDS 16-bit numbers, the first of them or with `second` the others. */
INLINE vec mask_factors(words half, words threshold, real scale, int second) {
#if FM_F64
    const words keep = (words)(half >= threshold);
    real factor[LANES];
    UNROLL (int i = 0; i < LANES; i++) factor[i] = keep[i + second * LANES] ? scale : 0;
    return v_loadu(factor);
#else
    (void)second;
    return (vec)((ivec)(half >= threshold) & (ivec)v_set(scale));
#endif
}

/* Dropout of one panel:  y *= factor and d *= factor, or d = factor where `fresh`; factor is 0 where 16 random bits of
 * (seed, layer, step, row in the batch, column) say less than rate * 2^16, else 1 / (share that is kept)
 *   y   a panel of rows, from row first_row of the batch on, of the columns from `column` on    updated
 *   d   the same, or NULL                                                                       updated
 * Srivastava et al. 2014, inverted.  Twin: dropout */
static void FM(dropout)(ptrdiff_t rows, ptrdiff_t first_row, ptrdiff_t column, const fm_mask *mask, int fresh, void *y,
                        void *d) {
    const uint32_t dropped = MIN((uint32_t)(mask->rate * 65536 + 0.5), 65535u);
    const real scale = (real)(65536.0 / (65536 - dropped));
    const words threshold = (words){0} + dropped;
    const ptrdiff_t end = first_row + rows;
    for (ptrdiff_t group = first_row / MASK_ROWS; group * MASK_ROWS < end; group++)
        for (int first = 0; first < LINE; first += WORDS) { /* columns; of float64 a register has more than a line */
            words c[4];
            mask_words((uint32_t)group, (uint32_t)(column + first), mask, c);
            UNROLL (int i = 0; i < MASK_ROWS; i++) {
                const ptrdiff_t row = group * MASK_ROWS + i;
                if (row < first_row || row >= end) continue;
                const words half = i % 2 ? c[i / 2] >> 16 : c[i / 2] & 0xffff;
                UNROLL (int v = 0; v < MIN((int)WORDS, (int)LINE) / LANES; v++) {
                    const ptrdiff_t at = (row - first_row) * LINE + first + v * LANES;
                    const vec f = mask_factors(half, threshold, scale, v);
                    v_store((real *)y + at, v_load((real *)y + at) * f);
                    if (d) v_store((real *)d + at, fresh ? f : v_load((real *)d + at) * f);
                }
            }
        }
}
