/* Sums over the rows of a batch, as every kernel makes them: the batch is cut into shards of SHARD_ROWS rows, the last
 * with what is left; each shard is added up from its first row to its last; and the shards along a binary tree that
 * depends on nothing but their number. Neighbours are added, level by level; an odd one at the end goes up as it is:
 *
 *     0   1   2   3   4   5   6
 *      0+1     2+3     4+5    6
 *         0...3         4...6
 *                0...6
 *
 * So the rounding errors are those of one shard and of the few levels above it, however many rows there are, and who has
 * the rows of a whole branch can add it up alone.
 *
 * A counter in binary climbs the tree: the branches that wait for their neighbours lie in `open`, of falling size, one
 * for each 1 in the number of shards so far. */

/* As many shards of a line a row fill 2^46 bytes, and a batch has two such matrices: an address space. */
enum { SHARD_ROWS = 256, TREE_LEVELS = 32 };

/* Rows that lie one after another in memory, in one block and one shard of a batch. */
typedef struct stretch {
    ptrdiff_t rows;                /* 0: the batch is over */
    ptrdiff_t block, row;          /* where they begin: in which block, at which row of it */
    ptrdiff_t block_rows;          /* of every block but the last */
    ptrdiff_t left_of_shard, left; /* rows from here to the end of the shard, and of the batch */
    ptrdiff_t n_shards, n_open;    /* shards that have ended, and branches that wait */
} stretch;

/* Whether a batch is one stretch: what is called often then goes without the counter, to the same result. */
INLINE int is_one_stretch(ptrdiff_t rows, ptrdiff_t block_rows) { return rows <= MIN(block_rows, SHARD_ROWS); }

INLINE stretch first_stretch(ptrdiff_t rows, ptrdiff_t block_rows) {
    stretch s = {.block_rows = block_rows, .left_of_shard = MIN(rows, SHARD_ROWS), .left = rows};
    s.rows = MIN(s.left_of_shard, block_rows);
    return s;
}

INLINE void next_stretch(stretch *s) {
    s->left -= s->rows;
    s->left_of_shard -= s->rows;
    s->row += s->rows;
    s->rows = 0;
    if (s->left == 0) return;
    if (s->left_of_shard == 0) s->left_of_shard = MIN(s->left, SHARD_ROWS);
    if (s->row == s->block_rows) s->row = 0, s->block++;
    s->rows = MIN(s->left_of_shard, s->block_rows - s->row);
}

/* The rows of a stretch in a panel of x. */
INLINE const real *rows_of(const fm_blocks *x, const stretch *s) {
    return (const real *)x->base + s->block * x->block + s->row * LINE;
}

/* How many of the branches that wait the shard completes that ends here: those that the counter carries over, and at the
 * end of the batch all. */
INLINE ptrdiff_t n_completed(const stretch *s) {
    return s->rows == s->left ? s->n_open : __builtin_ctzll(~(unsigned long long)s->n_shards);
}

/* Behind a stretch: if a shard ends with it, its sums, n groups of m registers that are `step` apart, are added to those
 * of the branches that it completes, and but for the last shard of the batch left among those that wait, and zero again.
 *   open  TREE_LEVELS times n m registers */
INLINE void merge(stretch *s, const int n, const int m, const int step, vec *sum, vec *open) {
    if (s->rows < s->left_of_shard || (s->rows == s->left && s->n_open == 0)) return;
    const ptrdiff_t completed = n_completed(s);
    vec *end = open + s->n_open * n * m;
    for (ptrdiff_t i = 0; i < completed; i++) {
        end -= n * m;
        UNROLL (int g = 0; g < n; g++)
            UNROLL (int v = 0; v < m; v++) sum[g * step + v] = end[g * m + v] + sum[g * step + v];
    }
    if (s->rows == s->left) return;
    UNROLL (int g = 0; g < n; g++)
        UNROLL (int v = 0; v < m; v++) {
            end[g * m + v] = sum[g * step + v];
            sum[g * step + v] = v_zero();
        }
    s->n_shards++;
    s->n_open += 1 - completed;
}
