/* The three matrix products of a dense layer, all on one microkernel.
 *
 * A panel matrix (rows, n) is [ceil(n / LINE)][rows][LINE]: column blocks as wide as a cache line, row after row.
 * A tile is M rows by N panels of the result, held in registers while k runs over the sum:
 *
 *                    k ->                          N panels of w, a line for each k
 *             +---------------+                 +----+----+----+----+
 *    M rows   | x[i, k]       |              k  |line|line|line|line|
 *             +---------------+              |  |    |    |    |    |
 *                                            v  +----+----+----+----+
 *
 *    for each k:  load N lines of w;  for each row i: broadcast x[i, k], N multiply-adds into its accumulators
 *
 * Every element of a result is one chain of fused multiply-adds with k ascending, whatever the tile, block or thread;
 * where k runs over the rows of a batch, one such chain for each shard, and the tree over them of tree.inc.h. That is
 * where the same bits come from. */

/* Accumulators: at most 24 registers of 32, or 12 of 16, leave room for the lines of w and the broadcast. */
#if FM_VEC_BYTES == 64
enum { MAX_N = 4 };
#define MAX_M(N) ((N) == 4 ? 6 : (N) == 3 ? 8 : (N) == 2 ? 12 : 14)
#define GRADIENT_M(N) ((N) == 4 ? 6 : 8)
enum { REGISTERS = 32, GRADIENT_N = 3 };
#elif defined(__aarch64__)
enum { MAX_N = 1, REGISTERS = 32, GRADIENT_N = 1 };
#define MAX_M(N) 6
#define GRADIENT_M(N) 6
#elif FM_VEC_BYTES == 32
enum { MAX_N = 1, REGISTERS = 16, GRADIENT_N = 1 };
#define MAX_M(N) 6
#define GRADIENT_M(N) 6
#else
enum { MAX_N = 1, REGISTERS = 16, GRADIENT_N = 1 };
#define MAX_M(N) 3
#define GRADIENT_M(N) 3
#endif
_Static_assert(MAX_M(1) * VECS + VECS + 1 <= REGISTERS + 1 && MAX_M(MAX_N) * MAX_N * VECS <= REGISTERS - 4,
               "a tile's accumulators must fit in the registers");

/* Of the largest tile of a weight gradient. */
enum { GRADIENT_REGISTERS = MAX(GRADIENT_M(1) * VECS, GRADIENT_M(GRADIENT_N) * GRADIENT_N * VECS) };

enum { TILE_M = 14, PREFETCH_LINES = 24 };

typedef struct tile {
    vec a[TILE_M][MAX_N][VECS];
} tile;

/* acc[i][j] += sum over t < n of x[i * row_step + t * k_step] * w[j * w_stride + t * LINE ...] */
INLINE void tile_accumulate(const int M, const int N, tile *acc, ptrdiff_t n, const real *x, ptrdiff_t row_step,
                            ptrdiff_t k_step, const real *w, ptrdiff_t w_stride) {
    for (ptrdiff_t t = 0; t < n; t++) {
        vec line[MAX_N][VECS];
        UNROLL (int j = 0; j < N; j++) {
            UNROLL (int v = 0; v < VECS; v++) line[j][v] = v_load(w + j * w_stride + v * LANES);
            __builtin_prefetch(w + j * w_stride + PREFETCH_LINES * LINE);
        }
        UNROLL (int i = 0; i < M; i++) {
            const vec s = v_set(x[i * row_step]);
            UNROLL (int j = 0; j < N; j++)
                UNROLL (int v = 0; v < VECS; v++) acc->a[i][j][v] = v_fma(s, line[j][v], acc->a[i][j][v]);
        }
        x += k_step;
        w += LINE;
    }
}

/* One tile of y = b + x w (or of y *= x w): rows of x in panels, so k hops to the next panel at each LINE. */
INLINE void tile_forward(const int M, const int N, ptrdiff_t n_in, const real *x, ptrdiff_t x_stride, const real *w,
                         const real *b, int multiply, real *y, ptrdiff_t y_stride) {
    tile acc;
    UNROLL (int i = 0; i < M; i++)
        UNROLL (int j = 0; j < N; j++)
            UNROLL (int v = 0; v < VECS; v++) acc.a[i][j][v] = b ? v_load(b + j * LINE + v * LANES) : v_zero();
    const ptrdiff_t w_stride = n_in * LINE;
    for (ptrdiff_t k = 0; k < n_in; k += LINE, x += x_stride, w += LINE * LINE)
        tile_accumulate(M, N, &acc, MIN(LINE, n_in - k), x, LINE, 1, w, w_stride);
    UNROLL (int i = 0; i < M; i++)
        UNROLL (int j = 0; j < N; j++)
            UNROLL (int v = 0; v < VECS; v++) {
                real *to = y + j * y_stride + i * LINE + v * LANES;
                v_store(to, multiply ? acc.a[i][j][v] * v_load(to) : acc.a[i][j][v]);
            }
}

/* One tile of dw = x^T dz over all rows of the batch: M consecutive columns of x within a panel. */
INLINE void tile_weight_gradient(const int M, const int N, ptrdiff_t rows, ptrdiff_t block_rows, const real *x,
                                 ptrdiff_t x_block, const real *dz, ptrdiff_t dz_block, ptrdiff_t dz_stride, real *dw,
                                 ptrdiff_t dw_stride, vec *open) {
    tile acc;
    UNROLL (int i = 0; i < M; i++)
        UNROLL (int j = 0; j < N; j++)
            UNROLL (int v = 0; v < VECS; v++) acc.a[i][j][v] = v_zero();
    if (is_one_stretch(rows, block_rows))
        tile_accumulate(M, N, &acc, rows, x, 1, LINE, dz, dz_stride);
    else
        for (stretch s = first_stretch(rows, block_rows); s.rows > 0; next_stretch(&s)) {
            tile_accumulate(M, N, &acc, s.rows, x + s.block * x_block + s.row * LINE, 1, LINE,
                            dz + s.block * dz_block + s.row * LINE, dz_stride);
            merge(&s, M, N * VECS, MAX_N * VECS, acc.a[0][0], open);
        }
    UNROLL (int i = 0; i < M; i++)
        UNROLL (int j = 0; j < N; j++)
            UNROLL (int v = 0; v < VECS; v++) v_store(dw + j * dw_stride + i * LINE + v * LANES, acc.a[i][j][v]);
}

/* End of part i where `total` is cut into `parts` as equal as can be: 32 rows in strips of at most 6 are 5 5 6 5 5 6,
 * not 6 6 6 6 6 2, which would end in a slow tile. */
INLINE ptrdiff_t part_end(ptrdiff_t total, ptrdiff_t parts, ptrdiff_t i) { return total * (i + 1) / parts; }

/* clang-format off */
#define TILE_CASES(N, CASE) /* one case for each number of rows: the tile is inlined with constants */                 \
    CASE(1, N) CASE(2, N) CASE(3, N) CASE(4, N) CASE(5, N) CASE(6, N) CASE(7, N) CASE(8, N) CASE(9, N) CASE(10, N)     \
    CASE(11, N) CASE(12, N) CASE(13, N) CASE(14, N)
/* clang-format on */

/* All strips of rows for one group of N panels. */
INLINE void strips_forward(const int N, ptrdiff_t rows, ptrdiff_t n_in, const real *x, ptrdiff_t x_stride,
                           const real *w, const real *b, int multiply, real *y, ptrdiff_t y_stride) {
    const ptrdiff_t parts = (rows + MAX_M(N) - 1) / MAX_M(N);
    for (ptrdiff_t i = 0, r = 0; i < parts; i++) {
        const ptrdiff_t end = part_end(rows, parts, i);
        switch (end - r) {
#define CASE(M, N_)                                                                                                    \
    case M:                                                                                                            \
        if (M <= MAX_M(N)) tile_forward(M, N, n_in, x + r * LINE, x_stride, w, b, multiply, y + r * LINE, y_stride);   \
        break;
            TILE_CASES(N, CASE)
#undef CASE
        }
        r = end;
    }
}

static void product(ptrdiff_t rows, ptrdiff_t n_in, ptrdiff_t n_panels, const real *x, ptrdiff_t x_stride,
                    const real *w, const real *b, const int multiply, real *y, ptrdiff_t y_stride) {
    const ptrdiff_t groups = (n_panels + MAX_N - 1) / MAX_N;
    for (ptrdiff_t g = 0, p = 0; g < groups; g++) {
        const ptrdiff_t end = part_end(n_panels, groups, g);
        const real *wg = w + p * n_in * LINE, *bg = b ? b + p * LINE : NULL;
        real *yg = y + p * y_stride;
        switch (end - p) {
#define CASE(N)                                                                                                        \
    case N:                                                                                                            \
        if (N <= MAX_N) strips_forward(N, rows, n_in, x, x_stride, wg, bg, multiply, yg, y_stride);                    \
        break;
            CASE(1) CASE(2) CASE(3) CASE(4)
#undef CASE
        }
        p = end;
    }
}

/* Dense layer, forward:  y = b + x w
 *   x  panels (n_in, rows), x_stride apart                      read
 *   w  panels (n_panels * LINE, n_in), b (n_panels * LINE,)     read; padding zero
 *   y  n_panels panels of rows, y_stride apart                  written; aliases none of the inputs
 * Sums over n_in ascending from the bias, fused: the same bits on every FMA ISA.  Twin: dense_forward */
static void FM(dense_forward)(ptrdiff_t rows, ptrdiff_t n_in, ptrdiff_t n_panels, const void *x, ptrdiff_t x_stride,
                              const void *w, const void *b, void *y, ptrdiff_t y_stride) {
    product(rows, n_in, n_panels, x, x_stride, w, b, 0, y, y_stride);
}

/* Dense layer, gradient of its input:  dx = dz w^T, or dx *= dz w^T where `multiply` (dx then holds the derivative of
 * the activation that made x)
 *   dz  panels (n_out, rows), dz_stride apart                   read
 *   wt  panels of w^T: (n_panels * LINE, n_out)                 read; padding zero
 *   dx  n_panels panels of rows, dx_stride apart                written
 * Sums over n_out ascending from zero.  Twin: dense_input_gradient */
static void FM(dense_input_gradient)(ptrdiff_t rows, ptrdiff_t n_out, ptrdiff_t n_panels, const void *dz,
                                     ptrdiff_t dz_stride, const void *wt, int multiply, void *dx, ptrdiff_t dx_stride) {
    if (multiply)
        product(rows, n_out, n_panels, dz, dz_stride, wt, NULL, 1, dx, dx_stride);
    else
        product(rows, n_out, n_panels, dz, dz_stride, wt, NULL, 0, dx, dx_stride);
}

/* Into the second-level cache, while a tile's multiply-adds run: M lines from line k on of N panels from panel p on. */
INLINE void fetch_ahead(const fm_ahead *ahead, const int N, ptrdiff_t p, ptrdiff_t k, ptrdiff_t M) {
    for (ptrdiff_t a = 0; a < ahead->n; a++)
        UNROLL (int j = 0; j < N; j++) {
            const real *line = (const real *)ahead->base[a] + (p + j) * ahead->stride + k * LINE;
            for (ptrdiff_t i = 0; i < M; i++) __builtin_prefetch(line + i * LINE, 0, 2);
        }
}

/* Strips of input columns for one group of N panels of dz, from panel p on. */
INLINE void strips_weight_gradient(const int N, ptrdiff_t rows, ptrdiff_t block_rows, ptrdiff_t first_in,
                                   ptrdiff_t n_in, const fm_blocks *x, const real *dz, ptrdiff_t dz_block,
                                   ptrdiff_t dz_stride, real *dw, ptrdiff_t dw_stride, const fm_ahead *ahead,
                                   ptrdiff_t p, vec *open) {
    for (ptrdiff_t k = 0; k < n_in; k += LINE) {
        const real *panel = (const real *)x->base + (first_in + k) / LINE * x->stride;
        const ptrdiff_t columns = MIN(LINE, n_in - k), parts = (columns + GRADIENT_M(N) - 1) / GRADIENT_M(N);
        for (ptrdiff_t i = 0, c = 0; i < parts; i++) {
            const ptrdiff_t end = part_end(columns, parts, i);
            if (ahead) fetch_ahead(ahead, N, p, k + c, end - c);
            switch (end - c) {
#define CASE(M)                                                                                                        \
    case M:                                                                                                            \
        if (M <= GRADIENT_M(N))                                                                                        \
            tile_weight_gradient(M, N, rows, block_rows, panel + c, x->block, dz, dz_block, dz_stride,                 \
                                 dw + (k + c) * LINE, dw_stride, open);                                                \
        break;
                CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
            }
            c = end;
        }
    }
}

/* Dense layer, gradient of some rows of its weights:  dw = x[:, first_in : first_in + n_in]^T dz
 *   x   blocks of panels; first_in a multiple of LINE           read
 *   dz  blocks of n_panels panels                               read
 *   dw  n_panels panels of n_in lines, dw_stride apart          written
 *   ahead  what the caller will need next, or NULL              fetched
 * Sums over the rows of the batch from zero, by the tree of tree.inc.h.  Twin: dense_weight_gradient */
static void FM(dense_weight_gradient)(ptrdiff_t rows, ptrdiff_t block_rows, ptrdiff_t first_in, ptrdiff_t n_in,
                                      ptrdiff_t n_panels, const fm_blocks *x, const fm_blocks *dz, void *dw,
                                      ptrdiff_t dw_stride, const fm_ahead *ahead) {
    const ptrdiff_t groups = (n_panels + GRADIENT_N - 1) / GRADIENT_N;
    vec open[TREE_LEVELS * GRADIENT_REGISTERS];
    for (ptrdiff_t g = 0, p = 0; g < groups; g++) {
        const ptrdiff_t end = part_end(n_panels, groups, g);
        const real *dzg = (const real *)dz->base + p * dz->stride;
        real *dwg = (real *)dw + p * dw_stride;
        switch (end - p) {
#define CASE(N)                                                                                                        \
    case N:                                                                                                            \
        if (N <= GRADIENT_N)                                                                                           \
            strips_weight_gradient(N, rows, block_rows, first_in, n_in, x, dzg, dz->block, dz->stride, dwg, dw_stride, \
                                   ahead, p, open);                                                                    \
        break;
            CASE(1) CASE(2) CASE(3) CASE(4)
#undef CASE
        }
        p = end;
    }
}

/* sum += the lines of a panel of rows, ascending. */
INLINE void add_rows(ptrdiff_t rows, const real *x, vec *sum) {
    for (ptrdiff_t r = 0; r < rows; r++)
        UNROLL (int v = 0; v < VECS; v++) sum[v] += v_load(x + r * LINE + v * LANES);
}

/* Dense layer, gradient of its bias:  db = sum of dz over the rows of the batch, by the tree
 *   dz  blocks of n_panels panels                               read
 *   db  (n_panels * LINE,)                                      written
 * Twin: dense_bias_gradient */
static void FM(dense_bias_gradient)(ptrdiff_t rows, ptrdiff_t block_rows, ptrdiff_t n_panels, const fm_blocks *dz,
                                    void *db) {
    for (ptrdiff_t p = 0; p < n_panels; p++) {
        vec sum[VECS], open[TREE_LEVELS * VECS];
        UNROLL (int v = 0; v < VECS; v++) sum[v] = v_zero();
        if (is_one_stretch(rows, block_rows))
            add_rows(rows, (const real *)dz->base + p * dz->stride, sum);
        else
            for (stretch s = first_stretch(rows, block_rows); s.rows > 0; next_stretch(&s)) {
                add_rows(s.rows, rows_of(dz, &s) + p * dz->stride, sum);
                merge(&s, 1, VECS, VECS, sum, open);
            }
        UNROLL (int v = 0; v < VECS; v++) v_store((real *)db + p * LINE + v * LANES, sum[v]);
    }
}

/* Some rows of w transposed:  wt[n, k] = w[k, n] for k < n_in
 *   w   panels (n_out, n_in) from the first of these rows on, w_stride apart   read
 *   wt  panels (n_in, n_out) without gaps; padding becomes zero                written
 * Twin: transpose */
static void FM(transpose)(ptrdiff_t n_in, ptrdiff_t n_out, const void *w, ptrdiff_t w_stride, void *wt) {
    for (ptrdiff_t k = 0; k < n_in; k += LINE) {
        const ptrdiff_t lines = MIN(LINE, n_in - k);
        for (ptrdiff_t first = 0; first < n_out; first += LINE) {
            const real *from = (const real *)w + first / LINE * w_stride + k * LINE;
            real *to = (real *)wt + (k / LINE * n_out + first) * LINE;
            const ptrdiff_t columns = MIN(LINE, n_out - first);
            const ptrdiff_t whole_n = columns / SQUARE * SQUARE, whole_k = lines / LANES * LANES;
            if (lines < LINE) memset(to, 0, (size_t)(columns * LINE) * sizeof(real));
            for (ptrdiff_t n = 0; n < whole_n; n += SQUARE)
                for (ptrdiff_t j = 0; j < whole_k; j += LANES)
                    v_transpose(from + j * LINE + n, LINE, to + n * LINE + j, LINE);
            for (ptrdiff_t n = 0; n < columns; n++)
                for (ptrdiff_t j = n < whole_n ? whole_k : 0; j < lines; j++) to[n * LINE + j] = from[j * LINE + n];
        }
    }
}
