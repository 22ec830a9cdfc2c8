/* Every kernel of one table, over many sizes, and a training made of them: a line with a hash for each. Lines are the
 * same for every table with fused multiply-add, and for every compiler. kernel_bits.py builds, runs and compares.
 *
 *   kernel_bits <isa> plain          all lines; subnormals are numbers like others
 *   kernel_bits <isa> flush          all lines; subnormals are flushed to zero, as in the engine's threads
 *   kernel_bits <isa> exceptions     the results for which the promise does not hold, in hexadecimal
 *
 * Inputs are made by integers and scaled by powers of two, and no library computes anything: nothing but the kernels
 * can differ. A hash covers whole buffers, padding and the gaps between panels included; every NaN counts as the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastmlp.h"

static const fm_kernels *k;
static int is_f64;
static const char *mode;

/* ---- numbers: splitmix64 (Steele, Lea, Flood 2014) ---- */

static uint64_t seed;
static uint64_t next(void) {
    uint64_t z = seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
static void put(void *array, ptrdiff_t i, double value) {
    if (is_f64)
        ((double *)array)[i] = value;
    else
        ((float *)array)[i] = (float)value; /* exact: values have 24 bits */
}
static double power_of_two(int n) {
    double found = 1;
    for (; n > 0; n--) found *= 2;
    for (; n < 0; n++) found /= 2;
    return found;
}
/* In (-2^n, 2^n) */
static double number(int n) { return ((double)(next() >> 40) - 8388607.5) * power_of_two(n - 23); }
/* Any bits but a NaN's: all magnitudes, subnormal ones and infinity; one in eight is among the edges. */
static void put_special(void *array, ptrdiff_t i) {
    static const double edges[] = {0, 0.5, 1, 2, 20, 40, 88, 88.5, 89, 103, 104, 709, 710, 745, 746};
    uint64_t bits = next();
    const double sign = bits & 1 ? 1 : -1;
    if (bits >> 61 == 0) {
        put(array, i, sign * edges[next() % (sizeof edges / sizeof edges[0])]);
        return;
    }
    bits = next();
    if (is_f64) {
        if ((bits >> 52 & 0x7ff) == 0x7ff) bits &= ~(((uint64_t)1 << 52) - 1); /* infinity */
        memcpy((double *)array + i, &bits, 8);
    } else {
        uint32_t half = (uint32_t)(bits >> 32);
        if ((half >> 23 & 0xff) == 0xff) half &= ~(((uint32_t)1 << 23) - 1);
        memcpy((float *)array + i, &half, 4);
    }
}

/* ---- buffers: one arena, emptied by begin() ---- */

enum { ARENA_BYTES = 64 << 20 };
static char *arena;
static size_t used;
static void *buffer(ptrdiff_t n) {
    void *found = arena + used;
    used += ((size_t)n * (size_t)k->itemsize_bytes + 63) / 64 * 64;
    if (used > ARENA_BYTES) exit(fprintf(stderr, "the arena is too small\n"));
    for (ptrdiff_t i = 0; i < n; i++) put(found, i, 0);
    return found;
}
static ptrdiff_t padded(ptrdiff_t n) { return (n + k->line - 1) / k->line * k->line; }

enum kind { ORDINARY, POSITIVE, SMALL, SPECIAL };
static void fill(void *array, ptrdiff_t i, enum kind kind) {
    if (kind == SPECIAL) {
        put_special(array, i);
        return;
    }
    const double value = number(kind == SMALL ? -3 : 2);
    put(array, i, kind == POSITIVE && value < 0 ? -value : value);
}
/* n numbers, zeros up to a whole line */
static void *vector(ptrdiff_t n, enum kind kind) {
    void *found = buffer(padded(n));
    for (ptrdiff_t i = 0; i < n; i++) fill(found, i, kind);
    return found;
}
/* Panels (n, rows) with a line between them; the padding zero, as of weights and gradients. */
static ptrdiff_t stride(ptrdiff_t rows) { return (rows + 1) * k->line; }
static ptrdiff_t n_panels(ptrdiff_t n) { return padded(n) / k->line; }
static ptrdiff_t size(ptrdiff_t rows, ptrdiff_t n) { return n_panels(n) * stride(rows); }
static ptrdiff_t at(ptrdiff_t rows, ptrdiff_t r, ptrdiff_t c) {
    return c / k->line * stride(rows) + r * k->line + c % k->line;
}
static void *matrix(ptrdiff_t rows, ptrdiff_t n, enum kind kind) {
    void *found = buffer(size(rows, n));
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t c = 0; c < n; c++) fill(found, at(rows, r, c), kind);
    return found;
}
/* Panels without gaps, as weights are */
static void *weights(ptrdiff_t n_in, ptrdiff_t n_out, enum kind kind) {
    void *found = buffer(padded(n_out) * n_in);
    for (ptrdiff_t r = 0; r < n_in; r++)
        for (ptrdiff_t c = 0; c < n_out; c++) fill(found, (c / k->line * n_in + r) * k->line + c % k->line, kind);
    return found;
}
/* The same rows in blocks */
static fm_blocks blocks(ptrdiff_t rows, ptrdiff_t block_rows, ptrdiff_t n, enum kind kind) {
    const ptrdiff_t many = (rows + block_rows - 1) / block_rows;
    char *base = buffer(many * size(block_rows, n));
    const fm_blocks found = {base, size(block_rows, n), stride(block_rows)};
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t c = 0; c < n; c++)
            fill(base, r / block_rows * found.block + at(block_rows, r % block_rows, c), kind);
    return found;
}

/* ---- hashes: FNV-1a on words ---- */

static uint64_t hash;
static void add_word(uint64_t word) { hash = (hash ^ word) * 0x100000001b3u; }
static void add(const void *array, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) {
        uint64_t bits = 0;
        memcpy(&bits, (const char *)array + i * k->itemsize_bytes, (size_t)k->itemsize_bytes);
        const uint64_t size_bits = is_f64 ? bits << 1 : bits << 33, infinity = is_f64 ? 0xffeull << 52 : 0x1feull << 55;
        add_word(size_bits > infinity ? 0x7ff8 : bits);
    }
}
static void add_double(double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    add_word(bits);
}
static void begin(void) {
    used = 0;
    seed = 20060102;
    hash = 0xcbf29ce484222325u;
}
static void end(const char *name) { printf("%s %s %-32s %016llx\n", k->dtype, mode, name, (unsigned long long)hash); }

static const ptrdiff_t ROWS[] = {1, 2, 3, 4, 5, 6, 7, 15, 33}, COLUMNS[] = {1, 2, 3, 4, 5, 6, 7, 8, 15, 17, 64, 100};
#define EACH(x, list) for (size_t x##_ = 0; x##_ < sizeof list / sizeof list[0]; x##_++)
#define SHAPES EACH(rows, ROWS) EACH(n, COLUMNS)
#define ROWS_AND_N                                                                                                     \
    used = 0;                                                                                                          \
    const ptrdiff_t rows = ROWS[rows_], n = COLUMNS[n_];                                                               \
    (void)rows, (void)n

/* ---- kernels ---- */

static void products(enum kind kind, const char *forward, const char *input_gradient, const char *weight_gradient) {
    static const ptrdiff_t OUTPUTS[] = {1, 10, 16, 17, 40, 70};
    begin();
    SHAPES EACH(out, OUTPUTS) {
        ROWS_AND_N;
        const ptrdiff_t n_out = OUTPUTS[out_];
        void *x = matrix(rows, n, kind), *w = weights(n, n_out, kind), *b = vector(n_out, kind);
        void *y = buffer(size(rows, n_out));
        k->dense_forward(rows, n, n_panels(n_out), x, stride(rows), w, b, y, stride(rows));
        add(y, size(rows, n_out));
    }
    end(forward);
    begin();
    SHAPES EACH(out, OUTPUTS) {
        ROWS_AND_N;
        const ptrdiff_t n_out = OUTPUTS[out_];
        void *dz = matrix(rows, n_out, kind), *w = weights(n, n_out, kind), *wt = buffer(padded(n) * n_out);
        void *dx = matrix(rows, n, ORDINARY);
        k->transpose(n, n_out, w, n * k->line, wt);
        add(wt, padded(n) * n_out);
        for (int multiply = 1; multiply >= 0; multiply--) {
            k->dense_input_gradient(rows, n_out, n_panels(n), dz, stride(rows), wt, multiply, dx, stride(rows));
            add(dx, size(rows, n));
        }
    }
    end(input_gradient);
    begin();
    SHAPES EACH(out, OUTPUTS) {
        ROWS_AND_N;
        const ptrdiff_t n_out = OUTPUTS[out_], block_rows = rows > 6 ? rows / 2 : rows;
        const fm_blocks x = blocks(rows, block_rows, n, kind), dz = blocks(rows, block_rows, n_out, kind);
        void *dw = buffer(n_panels(n_out) * n * k->line), *db = buffer(padded(n_out));
        k->dense_weight_gradient(rows, block_rows, 0, n, n_panels(n_out), &x, &dz, dw, n * k->line, NULL);
        k->dense_bias_gradient(rows, block_rows, n_panels(n_out), &dz, db);
        add(dw, n_panels(n_out) * n * k->line);
        add(db, padded(n_out));
    }
    end(weight_gradient);
}

static void normalisations(void) {
    begin();
    SHAPES {
        ROWS_AND_N;
        void *x = matrix(rows, n, ORDINARY), *dz = matrix(rows, n, ORDINARY), *gamma = vector(n, ORDINARY);
        void *beta = vector(n, ORDINARY), *mean = buffer(rows), *scale = buffer(rows), *y = buffer(size(rows, n));
        k->layer_norm(rows, n, x, stride(rows), gamma, beta, 1e-3, mean, scale, y, stride(rows));
        add(y, size(rows, n)), add(mean, rows), add(scale, rows);
        for (int multiply = 0; multiply < 2; multiply++) {
            k->layer_norm_input_gradient(rows, n, dz, stride(rows), x, stride(rows), gamma, mean, scale, multiply, y,
                                         stride(rows));
            add(y, size(rows, n));
        }
    }
    end("layer_norm");
    begin();
    SHAPES {
        ROWS_AND_N;
        const ptrdiff_t block_rows = rows > 6 ? rows / 2 : rows;
        const fm_blocks x = blocks(rows, block_rows, k->line, ORDINARY), dz = blocks(rows, block_rows, k->line, SMALL);
        void *row_mean = vector(rows, ORDINARY), *row_scale = vector(rows, POSITIVE), *gamma = vector(n, ORDINARY);
        void *one = buffer(k->line), *two = buffer(k->line), *mean = buffer(k->line), *variance = buffer(k->line);
        void *panel = matrix(rows, k->line, ORDINARY), *dx = buffer(stride(rows));
        k->layer_norm_weight_gradient(rows, block_rows, &dz, &x, row_mean, row_scale, one, two);
        add(one, k->line), add(two, k->line);
        k->batch_statistics(rows, block_rows, &x, mean, variance);
        add(mean, k->line), add(variance, k->line);
        k->batch_norm(rows, panel, mean, variance, 1e-3, gamma, one, dx);
        add(dx, stride(rows));
        k->batch_norm_weight_gradient(rows, block_rows, &dz, &x, mean, variance, 1e-3, one, two);
        add(one, k->line), add(two, k->line);
        for (int multiply = 0; multiply < 2; multiply++) {
            k->batch_norm_input_gradient(rows, rows + 3, panel, panel, mean, variance, 1e-3, gamma, one, two, multiply,
                                         dx);
            add(dx, stride(rows));
        }
        k->running_average(k->line, 0.99, mean, variance);
        add(variance, k->line);
        k->prelu_weight_gradient(rows, block_rows, &dz, &x, one);
        add(one, k->line);
        k->prelu(rows, panel, gamma, dx);
        add(dx, stride(rows));
        k->prelu_input_gradient(rows, panel, dx, gamma, 1, dx);
        add(dx, stride(rows));
    }
    end("batch_norm, prelu");
}

/* Batches of one shard and of several, in blocks that are no parts of a shard. */
static void sums_over_rows(void) {
    static const ptrdiff_t MANY[] = {255, 256, 257, 700, 1600}, OUTPUTS[] = {10, 40};
    enum { BLOCK_ROWS = 100, N = 21 };
    begin();
    EACH(rows, MANY) EACH(out, OUTPUTS) {
        used = 0;
        const ptrdiff_t rows = MANY[rows_], n_out = OUTPUTS[out_];
        const fm_blocks x = blocks(rows, BLOCK_ROWS, N, ORDINARY), dz = blocks(rows, BLOCK_ROWS, n_out, ORDINARY);
        void *dw = buffer(n_panels(n_out) * N * k->line), *db = buffer(padded(n_out));
        void *row_mean = vector(rows, ORDINARY), *row_scale = vector(rows, POSITIVE);
        void *one = buffer(k->line), *two = buffer(k->line), *mean = buffer(k->line), *variance = buffer(k->line);
        k->dense_weight_gradient(rows, BLOCK_ROWS, 0, N, n_panels(n_out), &x, &dz, dw, N * k->line, NULL);
        add(dw, n_panels(n_out) * N * k->line);
        k->dense_bias_gradient(rows, BLOCK_ROWS, n_panels(n_out), &dz, db);
        add(db, padded(n_out));
        k->layer_norm_weight_gradient(rows, BLOCK_ROWS, &dz, &x, row_mean, row_scale, one, two);
        add(one, k->line), add(two, k->line);
        k->batch_statistics(rows, BLOCK_ROWS, &x, mean, variance);
        add(mean, k->line), add(variance, k->line);
        k->batch_norm_weight_gradient(rows, BLOCK_ROWS, &dz, &x, mean, variance, 1e-3, one, two);
        add(one, k->line), add(two, k->line);
        k->prelu_weight_gradient(rows, BLOCK_ROWS, &dz, &x, one);
        add(one, k->line);
        add_double(k->sum(rows, row_mean));
    }
    end("sums over rows");
}

static void dropout(void) {
    begin();
    SHAPES {
        ROWS_AND_N;
        fm_mask mask = {.rate = 0.3};
        mask.seed = next();
        mask.step = next() >> 16;
        mask.layer = (uint32_t)(next() >> 48);
        char *y = matrix(rows, n, ORDINARY), *d = matrix(rows, n, ORDINARY);
        for (int fresh = 0; fresh < 2; fresh++)
            for (ptrdiff_t p = 0; p < n_panels(n); p++) {
                const ptrdiff_t offset = p * stride(rows) * k->itemsize_bytes;
                k->dropout(rows, 3 * n_ % 11, p * k->line, &mask, fresh, y + offset, d + offset);
            }
        add(y, size(rows, n)), add(d, size(rows, n));
    }
    end("dropout");
}

static void elementwise(void) {
    enum { N = 40000 };
    for (int i = 0; i <= FM_N_ACTIVATIONS; i++) {
        begin();
        fm_activation *kernel = i < FM_N_ACTIVATIONS ? k->activation[i] : k->exp;
        for (int special = 0; special < 2; special++) {
            void *z = vector(N, special ? SPECIAL : ORDINARY), *y = buffer(N), *d = buffer(N);
            kernel(N, z, y, d, 0.3);
            add(y, N), add(d, N);
            kernel(N, z, y, NULL, 0.3);
            add(y, N);
        }
        end(i < FM_N_ACTIVATIONS ? fm_activation_names[i] : "exp");
    }
    begin();
    EACH(n, COLUMNS) {
        const ptrdiff_t n = padded(COLUMNS[n_]);
        for (int special = 0; special < 2; special++) {
            const enum kind kind = special ? SPECIAL : ORDINARY;
            void *a = vector(n, kind), *b = vector(n, kind), *c = buffer(n);
            k->multiply(n, a, b), add(b, n);
            k->add(n, a, b), add(b, n);
            k->probe_triad(n, a, b, c), add(c, n);
            add_word((uint64_t)k->within(n, a, -3, 3));
            if (!special) add_double(k->sum(COLUMNS[n_], a)), add_double(k->penalty(n, a, 0.3, 0.7));
        }
    }
    void *x = buffer((k->chains + 2) * k->lanes); /* registers of s, t and values: as many as the fewest there are */
    for (ptrdiff_t i = 0; i < (k->chains + 2) * k->lanes; i++)
        put(x, i, i < k->lanes ? 0.7 : i < 2 * k->lanes ? 0.3 : (double)(i - 2 * k->lanes));
    k->probe_fma(50, x);
    add((char *)x + 2 * k->lanes * k->itemsize_bytes, 14 * 16 / k->itemsize_bytes);
    end("multiply, add, sum, probe, ...");
}

static void losses(void) {
    for (int i = 0; i < FM_N_LOSSES; i++) {
        const char *name = fm_loss_names[i], *suffix = strstr(name, "_labels");
        begin();
        for (int options = 0; options < 2; options++)
            for (int special = 0; special < 2; special++) SHAPES {
                    ROWS_AND_N;
                    void *scores = matrix(rows, n, special ? SPECIAL : ORDINARY), *t = matrix(rows, n, POSITIVE);
                    int32_t labels[64];
                    for (int r = 0; r < 64; r++) labels[r] = (int32_t)(next() % (uint64_t)n);
                    void *positive = vector(n, POSITIVE), *alpha = vector(n, SMALL), *levels = vector(n, SMALL);
                    const fm_loss_options given = {options ? 0.1 : 0,      options ? 0.7 : 2,
                                                   options ? 0.4 : 1,      options ? positive : NULL,
                                                   options ? alpha : NULL, options ? levels : NULL};
                    void *found = buffer(padded(rows)), *dscores = buffer(size(rows, n));
                    ptrdiff_t right = k->loss[i](rows, n, scores, stride(rows), suffix ? (void *)labels : t,
                                                 stride(rows), 0.3, 0.7, &given, found, dscores);
                    add_word((uint64_t)right), add(found, rows), add(dscores, size(rows, n));
                    right = k->loss[i](rows, n, scores, stride(rows), suffix ? (void *)labels : t, stride(rows), 0.3,
                                       0.7, &given, found, NULL);
                    add_word((uint64_t)right), add(found, rows);
                    k->scale_rows(rows, n, t, found, dscores, stride(rows));
                    add(found, rows), add(dscores, size(rows, n));
                }
        end(name);
    }
    begin();
    for (int special = 0; special < 2; special++) SHAPES {
            ROWS_AND_N;
            void *scores = matrix(rows, n, special ? SPECIAL : ORDINARY);
            k->softmax(rows, n, scores, stride(rows));
            add(scores, size(rows, n));
        }
    end("softmax");
}

static void updates(void) {
    enum { N = 1024, STEPS = 20 };
    for (int i = 0; i < FM_N_OPTIMIZERS; i++) {
        begin();
        for (int options = 0; options < 2; options++) {
            fm_hyper h = {.rate = 0.01, .momentum = 0.9, .beta_2 = 0.99, .epsilon = 1e-7, .epsilon_in_root = 1e-9};
            h.correction_1 = 1.3, h.correction_2 = 1.7, h.correction_g = 0.2, h.gradient_scale = 1;
            if (options) h.weight_decay = 0.01, h.gradient_scale = 0.9, h.epsilon = 1e-3;
            void *w = vector(N, ORDINARY), *states[FM_MAX_STATES];
            for (int s = 0; s < FM_MAX_STATES; s++) states[s] = buffer(N);
            for (int step = 0; step < STEPS; step++) k->update[i](N, vector(N, SMALL), w, states, &h);
            k->update[i](N, vector(N, SPECIAL), w, states, &h);
            add(w, N);
            for (int s = 0; s < fm_optimizer_states[i]; s++) add(states[s], N);
        }
        end(fm_optimizer_names[i]);
    }
    begin();
    SHAPES {
        ROWS_AND_N;
        const fm_hyper h = {.share = 0.5, .l1 = 0.01, .l2 = 0.1, .clip_value = rows % 2 ? 0 : 1.5};
        void *g = vector(padded(n), ORDINARY), *w = weights(rows, n, ORDINARY);
        k->prepare_gradient(padded(n), w, g, &h), add(g, padded(n));
        k->max_norm(rows, n_panels(n), 3, w), add(w, padded(n) * rows);
    }
    end("prepare_gradient, max_norm");
}

static void copies(void) {
    static const int64_t index[] = {3, 0, 8, 8, 1};
    for (int type = 0; type < FM_N_GATHERS; type++) {
        begin();
        EACH(n, COLUMNS) {
            const ptrdiff_t n = COLUMNS[n_], bytes = type == FM_f32 ? 4 : type == FM_f64 ? 8 : 1;
            char *source = buffer(9 * 2 * n * 8 / k->itemsize_bytes + 2);
            used = 0;
            for (ptrdiff_t i = 0; i < 9 * 2 * n; i++) {
                const double value = number(3);
                const float single = (float)value;
                const uint8_t byte = (uint8_t)next();
                memcpy(source + i * bytes,
                       bytes == 4   ? (void *)&single
                       : bytes == 8 ? (void *)&value
                                    : (void *)&byte,
                       (size_t)bytes);
            }
            used = (size_t)(9 * 2 * n * 8 + 64) / 64 * 64;
            for (int step = 1; step <= 2; step++)
                for (int scaled = 0; scaled < 2; scaled++) {
                    void *x = buffer(size(5, n)), *scale = vector(n, ORDINARY), *shift = vector(n, ORDINARY);
                    k->gather[type](5, n, source, 2 * n * bytes, step * bytes, scaled ? index : NULL,
                                    scaled ? scale : NULL, scaled ? shift : NULL, x, stride(5));
                    add(x, size(5, n));
                    void *target = buffer(5 * (n + 1));
                    k->scatter(5, n, x, stride(5), target, n + 1);
                    add(target, 5 * (n + 1));
                }
        }
        char name[40];
        snprintf(name, sizeof name, "gather %s, scatter", fm_gather_names[type]);
        end(name);
    }
}

/* 20 - 33 gelu, dropout - 10 softmax, of 100 samples in batches of 24 in two blocks, by Adam for 10 epochs */
static void training(void) {
    enum { SAMPLES = 100, IN = 20, HIDDEN = 33, OUT = 10, BATCH = 24, BLOCK = 16, EPOCHS = 10 };
    begin();
    void *source = buffer(SAMPLES * IN);
    int32_t labels[SAMPLES], chosen[BATCH];
    for (ptrdiff_t i = 0; i < SAMPLES * IN; i++) put(source, i, number(1));
    for (int i = 0; i < SAMPLES; i++) labels[i] = (int32_t)(next() % OUT);
    const ptrdiff_t n_in[2] = {IN, HIDDEN}, n_out[2] = {HIDDEN, OUT};
    void *w[2], *b[2], *states[2][2][2], *dw[2], *db[2];
    for (int l = 0; l < 2; l++) {
        const ptrdiff_t n = padded(n_out[l]) * n_in[l], m = padded(n_out[l]);
        w[l] = weights(n_in[l], n_out[l], SMALL), b[l] = buffer(m), dw[l] = buffer(n), db[l] = buffer(m);
        for (int s = 0; s < 2; s++) states[l][0][s] = buffer(n), states[l][1][s] = buffer(m);
    }
    void *wt = buffer(padded(HIDDEN) * OUT), *row_losses = buffer(padded(BATCH));
    const fm_blocks x = blocks(2 * BLOCK, BLOCK, IN, ORDINARY), y = blocks(2 * BLOCK, BLOCK, HIDDEN, ORDINARY),
                    d = blocks(2 * BLOCK, BLOCK, HIDDEN, ORDINARY), z = blocks(2 * BLOCK, BLOCK, OUT, ORDINARY);
    const fm_loss_options options = {0};
    fm_hyper h = {.momentum = 0.9, .beta_2 = 0.999, .epsilon = 1e-7, .gradient_scale = 1};
    h.rate = 0.01;
    double power_1 = 1, power_2 = 1;
    uint64_t step = 0;
    int64_t order[SAMPLES];
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        fm_shuffle(SAMPLES, 7, epoch, order);
        for (int first = 0; first < SAMPLES; first += BATCH, step++) {
            const int batch = SAMPLES - first < BATCH ? SAMPLES - first : BATCH;
            for (int r = 0; r < batch; r++) chosen[r] = labels[order[first + r]];
            for (int i = 0; i < batch; i += BLOCK) {
                const int rows = batch - i < BLOCK ? batch - i : BLOCK;
                const ptrdiff_t block = i / BLOCK * k->itemsize_bytes;
                char *xb = (char *)x.base + block * x.block, *yb = (char *)y.base + block * y.block,
                     *db_ = (char *)d.base + block * d.block, *zb = (char *)z.base + block * z.block;
                k->gather[is_f64 ? FM_f64 : FM_f32](rows, IN, source, IN * k->itemsize_bytes, k->itemsize_bytes,
                                                    order + first + i, NULL, NULL, xb, x.stride);
                k->dense_forward(rows, IN, n_panels(HIDDEN), xb, x.stride, w[0], b[0], yb, y.stride);
                const fm_mask mask = {7, step, 1, 0.25};
                for (ptrdiff_t p = 0; p < n_panels(HIDDEN); p++) {
                    char *yp = yb + p * y.stride * k->itemsize_bytes, *dp = db_ + p * d.stride * k->itemsize_bytes;
                    k->activation[FM_gelu](rows * k->line, yp, yp, dp, 0);
                    k->dropout(rows, i, p * k->line, &mask, 0, yp, dp);
                }
                k->dense_forward(rows, HIDDEN, n_panels(OUT), yb, y.stride, w[1], b[1], zb, z.stride);
                k->loss[FM_softmax_cross_entropy_labels](rows, OUT, zb, z.stride, chosen + i, 0, 1, 1.0 / batch,
                                                         &options, (char *)row_losses + i * k->itemsize_bytes, zb);
                k->transpose(HIDDEN, OUT, w[1], HIDDEN * k->line, wt);
                k->dense_input_gradient(rows, OUT, n_panels(HIDDEN), zb, z.stride, wt, 1, db_, d.stride);
            }
            add_double(k->sum(batch, row_losses));
            power_1 *= h.momentum, power_2 *= h.beta_2;
            h.correction_1 = 1 / (1 - power_1), h.correction_2 = 1 / (1 - power_2);
            for (int l = 0; l < 2; l++) {
                const fm_blocks *in = l ? &y : &x, *out = l ? &z : &d;
                const ptrdiff_t n = n_panels(n_out[l]) * n_in[l] * k->line;
                k->dense_weight_gradient(batch, BLOCK, 0, n_in[l], n_panels(n_out[l]), in, out, dw[l],
                                         n_in[l] * k->line, NULL);
                k->dense_bias_gradient(batch, BLOCK, n_panels(n_out[l]), out, db[l]);
                k->update[FM_adam](n, dw[l], w[l], states[l][0], &h);
                k->update[FM_adam](padded(n_out[l]), db[l], b[l], states[l][1], &h);
            }
        }
    }
    for (int l = 0; l < 2; l++) add(w[l], padded(n_out[l]) * n_in[l]), add(b[l], padded(n_out[l]));
    end("training");
}

/* What differs between processors: shown, not compared. */
static void exceptions(void) {
    begin();
    void *a = buffer(k->line), *b = buffer(k->line);
    const int bits = is_f64 ? 27 : 13, least = is_f64 ? -1022 : -126, part = least / 4;
    put(a, 0, (1 + power_of_two(-bits)) * power_of_two(part));
    put(b, 0, (1 - power_of_two(-bits)) * power_of_two(least - part));
    const uint64_t infinity = is_f64 ? 0x7ffull << 52 : 0xffull << 23;
    memcpy((char *)b + k->itemsize_bytes, &infinity, (size_t)k->itemsize_bytes);
    k->multiply(k->line, a, b);
    static const char *const what[] = {"a product just below the smallest normal number", "0 times infinity"};
    for (int i = 0; i < 2; i++) {
        uint64_t found = 0;
        memcpy(&found, (char *)b + i * k->itemsize_bytes, (size_t)k->itemsize_bytes);
        printf("%s %s %-48s %0*llx\n", k->dtype, mode, what[i], (int)(2 * k->itemsize_bytes),
               (unsigned long long)found);
    }
}

static void all(void) {
    products(ORDINARY, "dense_forward", "dense_input_gradient", "dense_weight_gradient");
    products(SPECIAL, "dense_forward, special", "dense_input_gradient, special", "dense_weight_gradient, special");
    normalisations();
    sums_over_rows();
    dropout();
    elementwise();
    losses();
    updates();
    copies();
    training();
}

static void shuffles(void) {
    int64_t index[1000];
    begin();
    for (uint64_t stream = 0; stream < 10; stream++) {
        fm_shuffle(1000, 7, stream, index);
        for (int i = 0; i < 1000; i++) add_word((uint64_t)index[i]);
    }
    end("shuffle");
}

int main(int argc, char **argv) {
    arena = aligned_alloc(64, ARENA_BYTES);
    if (argc != 3 || !arena) exit(fprintf(stderr, "usage: kernel_bits <isa> plain|flush|exceptions\n"));
    if (fm_isa_missing(argv[1])) exit(fprintf(stderr, "%s: %s\n", argv[1], fm_isa_missing(argv[1])));
    const int show = strcmp(argv[2], "exceptions") == 0;
    mode = show ? "flush" : argv[2];
    const unsigned long long kept = strcmp(mode, "flush") == 0 ? fm_flush_subnormals() : 0;
    for (is_f64 = 0; is_f64 < 2; is_f64++) {
        k = fm_kernels_of(argv[1], is_f64);
        if (show)
            exceptions();
        else
            all();
    }
    if (!show) shuffles();
    if (strcmp(mode, "flush") == 0) fm_restore_subnormals(kept);
    return 0;
}
