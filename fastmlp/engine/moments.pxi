# Statistics of the columns of a user's array, in float64 and in a fixed order, and what makes a whitening of them:
# included by _engine.pyx.
#
# Rows are summed ascending within blocks of MOMENT_ROWS, and the sums of the blocks along one binary tree: the same
# bits for any number of threads, with an error that does not grow with the rows. Means and variances only add and
# multiply, so that theirs are the same on every machine; covariances use fused multiply-adds where there are any.

cdef enum:
    MOMENT_ROWS = 256
    PRODUCT_BLOCKS = 16         # whose products are added one by one, before the tree: it holds few matrices then


cdef class Tree:
    """Sums of float64 lines, added in pairs along a binary tree that depends on nothing but how many there are: the
    first 2^k of n, the largest such number below n, are summed so, and the others, and then both."""

    cdef const fm_kernels *k
    cdef ptrdiff_t n_bytes
    cdef list levels            # of each height a sum that waits for its neighbour, or None

    def __init__(self, ptrdiff_t n_bytes):
        self.k, self.n_bytes, self.levels = float64_kernels, n_bytes, []

    cdef void merge(self, Memory summand, Memory into) noexcept:
        cdef ptrdiff_t n = self.n_bytes // <ptrdiff_t>sizeof(double)
        with nogil:
            self.k.add(n, summand.data, into.data)

    cdef void grow(self, Memory summand) except *:
        """One more sum, which is the tree's from now on."""
        cdef ptrdiff_t height = 0
        while height < len(self.levels) and self.levels[height] is not None:
            self.merge(summand, self.levels[height])
            summand, self.levels[height] = self.levels[height], None
            height += 1
        if height == len(self.levels):
            self.levels.append(None)
        self.levels[height] = summand

    cdef cnp.ndarray total(self):
        """Of all of them, as float64."""
        cdef Memory found = None, waiting
        for waiting in self.levels:
            if waiting is not None:
                if found is not None:
                    self.merge(found, waiting)
                found = waiting
        return found.owner.view(np.float64)


cdef class Columns:
    """Blocks of rows of an array (n, columns) of float32, float64 or uint8, or of some of its rows, less a mean."""

    cdef const fm_kernels *k
    cdef Source source
    cdef Memory mean_memory, scale_memory
    cdef object x, subset
    cdef int64_t *index
    cdef ptrdiff_t n_rows, n, panels, stride

    def __init__(self, cnp.ndarray x, cnp.ndarray subset=None, centre=None):
        cdef ptrdiff_t line
        self.k = float64_kernels
        self.x, self.subset = x, subset
        self.index = NULL if subset is None else <int64_t *>cnp.PyArray_DATA(subset)
        set_source(&self.source, self.k, x)
        line = self.k.line
        self.n_rows = cnp.PyArray_DIM(x if subset is None else subset, 0)
        self.n, self.panels, self.stride = self.source.n, (self.source.n + line - 1) // line, MOMENT_ROWS * line
        if centre is not None:
            self.mean_memory, self.scale_memory = self.vector(), self.vector()
            self.mean_memory.owner.view(np.float64)[:self.n] = centre
            self.scale_memory.owner.view(np.float64)[:self.n] = 1
            self.source.mean = <const double *>self.mean_memory.data
            self.source.scale = <const double *>self.scale_memory.data

    cdef Memory vector(self):
        return Memory(self.panels * 64)

    cdef Memory block(self):
        return Memory(self.panels * self.stride * sizeof(double))

    cdef void read(self, ptrdiff_t first, ptrdiff_t rows, char *to) noexcept nogil:
        """Rows first ... into a block."""
        cdef const char *data = self.source.data
        cdef const int64_t *index = NULL
        if self.index != NULL:
            index = self.index + first
        else:
            data = data + first * self.source.row_bytes
        self.source.gather(rows, self.n, data, self.source.row_bytes, self.source.column_bytes, index,
                           self.source.mean, self.source.scale, to, self.stride)

    cdef void scale_rows(self, ptrdiff_t rows, const double *weights, char *block) noexcept nogil:
        """A block with each row times its weight."""
        cdef ptrdiff_t panel, r, i, line = self.k.line
        cdef double *at_row
        for panel in range(self.panels):
            for r in range(rows):
                at_row = <double *>block + panel * self.stride + r * line
                for i in range(line):
                    at_row[i] *= weights[r]

    def sums(self, bint squares=False, cnp.ndarray weights=None):
        """Sums of the columns, or of their squares, where there are weights (n_rows,) times these: float64
        (columns,)."""
        cdef Memory block = self.block(), of_block
        cdef Tree tree = Tree(self.panels * 64)
        cdef ptrdiff_t first, rows, panel, line = self.k.line
        cdef char *at_panel
        cdef const double *w = NULL
        cdef fm_blocks values
        if weights is not None:
            w = <const double *>cnp.PyArray_DATA(weights)
        values.base, values.block, values.stride = block.data, 0, self.stride
        for first in range(0, self.n_rows, MOMENT_ROWS):
            rows = min(<ptrdiff_t>MOMENT_ROWS, self.n_rows - first)
            of_block = self.vector()
            with nogil:
                self.read(first, rows, block.data)
                if squares:
                    for panel in range(self.panels):
                        at_panel = block.data + panel * self.stride * <ptrdiff_t>sizeof(double)
                        self.k.multiply(rows * line, at_panel, at_panel)
                if w != NULL:
                    self.scale_rows(rows, w + first, block.data)
                self.k.dense_bias_gradient(rows, MOMENT_ROWS, self.panels, &values, of_block.data)
            tree.grow(of_block)
            PyErr_CheckSignals()
        return tree.total()[:self.n]


def divisor(x, subset, weights):
    """What makes a mean of a sum over rows: their number, or the sum of their weights along the same tree."""
    if weights is None:
        return len(x if subset is None else subset)
    return Columns(weights.reshape(-1, 1)).sums()[0]


def moments(x, subset=None, weights=None):
    """Means and variances (divided by the number of rows) of the columns of x, or of some of its rows; weighted, as
    numpy.average does it, where there are weights of these rows.

    x of float32, float64 or uint8 (n, columns), subset int64 or None, weights float64 or None; returns two of float64
    (columns,).
    """
    n = divisor(x, subset, weights)
    mean = Columns(x, subset).sums(False, weights) / n
    return mean, Columns(x, subset, mean).sums(True, weights) / n


def covariance(x, mean, subset=None, weights=None):
    """Covariances of the columns of x about their means, divided by the number of rows, or weighted: float64 (columns,
    columns)."""
    cdef Columns columns = Columns(x, subset, np.asarray(mean))
    cdef const fm_kernels *k = columns.k
    cdef ptrdiff_t n = columns.n, line = k.line, panels = columns.panels, first, rows, group, panel, at_a_time
    cdef ptrdiff_t groups = (panels + k.group - 1) // k.group, panel_bytes = n * 64
    cdef Memory block = columns.block(), product = Memory(k.group * panel_bytes), some_blocks = None
    cdef Tree tree = Tree(panels * panel_bytes)
    cdef cnp.ndarray roots
    cdef const double *w = NULL
    cdef fm_blocks values, some
    cdef fm_ahead ahead
    if weights is not None:  # on both sides: the product is symmetric
        roots = np.sqrt(weights)
        w = <const double *>cnp.PyArray_DATA(roots)
    memset(&ahead, 0, sizeof(fm_ahead))
    values.base, values.block, values.stride = block.data, 0, columns.stride
    some.block, some.stride = 0, columns.stride
    for first in range(0, columns.n_rows, MOMENT_ROWS):
        rows = min(<ptrdiff_t>MOMENT_ROWS, columns.n_rows - first)
        if first % (PRODUCT_BLOCKS * MOMENT_ROWS) == 0:
            if some_blocks is not None:
                tree.grow(some_blocks)
            some_blocks = Memory(panels * panel_bytes)
        with nogil:
            columns.read(first, rows, block.data)
            if w != NULL:
                columns.scale_rows(rows, w + first, block.data)
            for group in range(groups):
                panel, at_a_time = part(panels, groups, group), part(panels, groups, group + 1)
                at_a_time = at_a_time - panel
                some.base = block.data + panel * columns.stride * <ptrdiff_t>sizeof(double)
                k.dense_weight_gradient(rows, MOMENT_ROWS, 0, n, at_a_time, &values, &some, product.data, n * line,
                                        &ahead)
                k.add(at_a_time * n * line, product.data, some_blocks.data + panel * panel_bytes)
        PyErr_CheckSignals()
    tree.grow(some_blocks)
    found = tree.total().reshape(panels, n, line).transpose(1, 0, 2).reshape(n, panels * line)[:, :n]
    return found / divisor(x, subset, weights)


cdef Memory panels_of(const fm_kernels *k, cnp.ndarray matrix):
    """A matrix of float32, float64 or uint8 in panels."""
    cdef Source source
    cdef ptrdiff_t rows = cnp.PyArray_DIM(matrix, 0)
    memset(&source, 0, sizeof(Source))
    set_source(&source, k, matrix)
    cdef Memory found = Memory((source.n + k.line - 1) // k.line * rows * 64)
    with nogil:
        source.gather(rows, source.n, source.data, source.row_bytes, source.column_bytes, NULL, NULL, NULL, found.data,
                      rows * k.line)
    return found


def product(cnp.ndarray x, cnp.ndarray w):
    """x @ w by the kernel of dense layers, x (rows, n_in) and w (n_in, n_out) of one dtype, float32 or float64."""
    cdef const fm_kernels *k = float64_kernels if cnp.PyArray_TYPE(w) == cnp.NPY_FLOAT64 else float32_kernels
    cdef ptrdiff_t rows = cnp.PyArray_DIM(x, 0), n_in = cnp.PyArray_DIM(w, 0), n_out = cnp.PyArray_DIM(w, 1)
    cdef ptrdiff_t n_panels = (n_out + k.line - 1) // k.line, stride = rows * k.line
    cdef Memory inputs = panels_of(k, x), weights = panels_of(k, w), outputs = Memory(n_panels * rows * 64)
    cdef cnp.ndarray found = np.empty((rows, n_out), w.dtype)
    cdef char *to = <char *>cnp.PyArray_DATA(found)
    with nogil:
        k.dense_forward(rows, n_in, n_panels, inputs.data, stride, weights.data, NULL, outputs.data, stride)
        k.scatter(rows, n_out, outputs.data, stride, to, n_out)
    return found


def eigh(matrix):
    """Eigenvalues, descending, of a symmetric matrix, and its eigenvectors as rows, each with its largest entry (the
    first of equals) positive.

    The cyclic Jacobi method (Golub, Van Loan, Matrix Computations, section 8.5) in float64, without a fused operation:
    the same bits on every machine, where LAPACK's differ. About 12 n^3 operations in each of some 6 to 10 sweeps.
    """
    cdef ptrdiff_t n = len(matrix), p, q, r
    a_array, v_array = np.array(matrix, np.float64, order="C"), np.eye(n)
    cdef double[:, ::1] a = a_array, v = v_array
    cdef double app, aqq, apq, theta, t, c, s
    cdef ptrdiff_t rotated = 1
    cdef int sweep = 0
    while rotated > 0 and sweep < JACOBI_SWEEPS:
        rotated, sweep = 0, sweep + 1
        for p in range(n - 1):
            with nogil:
                for q in range(p + 1, n):
                    app, aqq, apq = a[p, p], a[q, q], a[p, q]
                    if fabs(apq) <= JACOBI_SMALL * sqrt(fabs(app)) * sqrt(fabs(aqq)):
                        continue
                    rotated += 1
                    theta = (aqq - app) / (2 * apq)
                    t = 1 / (fabs(theta) + sqrt(theta * theta + 1))
                    if theta < 0:
                        t = -t
                    c = 1 / sqrt(t * t + 1)
                    s = t * c
                    rotate(n, &a[p, 0], &a[q, 0], c, s)
                    rotate(n, &v[p, 0], &v[q, 0], c, s)
                    a[p, p], a[q, q], a[p, q], a[q, p] = app - t * apq, aqq + t * apq, 0, 0
                    for r in range(n):
                        a[r, p] = a[p, r]
                        a[r, q] = a[q, r]
            PyErr_CheckSignals()
    values = a_array.diagonal()
    order = np.argsort(-values, kind="stable")
    v_array = v_array[order]
    largest = np.abs(v_array).argmax(axis=1)
    return values[order], v_array * np.where(v_array[np.arange(n), largest] < 0, -1.0, 1.0)[:, None]


# An entry off the diagonal that is smaller than this part of the geometric mean of its two diagonal ones is zero.
cdef double JACOBI_SMALL = 1e-15
# By then what is left is rounding.
cdef int JACOBI_SWEEPS = 30

cdef inline void rotate(ptrdiff_t n, double *x, double *y, double c, double s) noexcept nogil:
    """(x, y) = (c x - s y, s x + c y), element by element."""
    cdef ptrdiff_t i
    cdef double e
    for i in range(n):
        e = x[i]
        x[i] = c * e - s * y[i]
        y[i] = s * e + c * y[i]
