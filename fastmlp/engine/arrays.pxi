# How the engine reads a user's arrays: included by _engine.pyx.

GATHER_OF_DTYPE = {"float32": "f32", "float64": "f64", "uint8": "u8"}

cdef int FLOAT32_GATHER = position(gathers, GATHER_OF_DTYPE["float32"])
cdef int FLOAT64_GATHER = position(gathers, GATHER_OF_DTYPE["float64"])
cdef int UINT8_GATHER = position(gathers, GATHER_OF_DTYPE["uint8"])

cdef double FLOAT32_MAX = LARGEST["float32"]
cdef const fm_kernels *float32_kernels = table_of(isa, "float32")
cdef const fm_kernels *float64_kernels = table_of(isa, "float64")


cdef int gather_of(cnp.ndarray array) except -1:
    """The kernel that gathers rows of an array of float32, float64 or uint8."""
    cdef int kind = cnp.PyArray_TYPE(array)
    if kind == cnp.NPY_FLOAT32:
        return FLOAT32_GATHER
    if kind == cnp.NPY_FLOAT64:
        return FLOAT64_GATHER
    if kind == cnp.NPY_UINT8:
        return UINT8_GATHER
    raise TypeError(f"the engine reads float32, float64 and uint8, not {array.dtype}")


cdef void set_source(Source *source, const fm_kernels *k, cnp.ndarray array) except *:
    """Where the rows of an array of float32, float64 or uint8 (n, columns), or of int32 labels (n,), lie."""
    source.data = <const char *>cnp.PyArray_DATA(array)
    source.row_bytes = cnp.PyArray_STRIDE(array, 0)
    if cnp.PyArray_NDIM(array) == 1:
        source.gather = NULL
        return
    source.n, source.column_bytes = cnp.PyArray_DIM(array, 1), cnp.PyArray_STRIDE(array, 1)
    source.gather = k.gather[gather_of(array)]


cdef bint is_mapped(cnp.ndarray array):
    """Whether a map of a file may lie behind an array."""
    cdef PyObject *base = cnp.PyArray_BASE(array)
    cdef const char *kind
    while base != NULL and cnp.PyArray_Check(<object>base):
        base = cnp.PyArray_BASE(<cnp.ndarray>base)
    if base == NULL:
        return False
    kind = base.ob_type.tp_name
    return strcmp(kind, b"mmap.mmap") == 0 or strcmp(kind, b"memoryview") == 0


def mapped(*arrays):
    """Those of some arrays behind which a map of a file may lie; None among them is none."""
    cdef list found = []
    for array in arrays:
        if array is not None and is_mapped(array):
            found.append(array)
    return found


# The quick way past the checks of _validation.py and losses/, which cost tens of microseconds. What is refused here
# may still be good, or needs the error that they word.

def is_plain_matrix(value, n_columns, double low, double high):
    """Whether value is a contiguous array of float32, float64 or uint8, of shape (at least one, n_columns), and all of
    its floats lie within [low, high]. n_columns None: any."""
    if not cnp.PyArray_CheckExact(value):
        return False
    cdef cnp.ndarray array = value
    cdef const fm_kernels *k = float32_kernels
    cdef const void *data = cnp.PyArray_DATA(array)
    cdef ptrdiff_t n = cnp.PyArray_SIZE(array)
    cdef int kind = cnp.PyArray_TYPE(array)
    cdef bint found
    if cnp.PyArray_NDIM(array) != 2 or n == 0 or not cnp.PyArray_ISCARRAY_RO(array):
        return False
    if cnp.PyArray_BASE(array) != NULL and is_mapped(array):
        return False
    if n_columns is not None and cnp.PyArray_DIM(array, 1) != <ptrdiff_t>n_columns:
        return False
    if kind == cnp.NPY_UINT8:
        return low <= 0 and high >= 255
    if kind == cnp.NPY_FLOAT64:
        k = float64_kernels
    elif kind == cnp.NPY_FLOAT32:  # for whose kernel a larger bound would be infinite
        low, high = max(low, -FLOAT32_MAX), min(high, FLOAT32_MAX)
    else:
        return False
    if n < ELEMENTS_WITH_GIL:
        return k.within(n, data, low, high)
    with nogil:
        found = k.within(n, data, low, high)
    return found


cdef fused label:
    uint8_t
    int32_t
    int64_t

cdef bint copy_labels(const label *labels, ptrdiff_t n, ptrdiff_t n_classes, int32_t *to) noexcept:
    """Whether all lie in [0, n_classes)."""
    cdef bint inside
    if n < ELEMENTS_WITH_GIL:
        return copy_labels_nogil(labels, n, n_classes, to)
    with nogil:
        inside = copy_labels_nogil(labels, n, n_classes, to)
    return inside

cdef bint copy_labels_nogil(const label *labels, ptrdiff_t n, ptrdiff_t n_classes, int32_t *to) noexcept nogil:
    cdef ptrdiff_t i
    cdef bint inside = True
    for i in range(n):
        inside &= 0 <= labels[i] < n_classes
        to[i] = <int32_t>labels[i]
    return inside


def plain_labels(value, ptrdiff_t n_samples, ptrdiff_t n_classes):
    """An int32 copy of a contiguous array of n_samples integers in [0, n_classes), None for anything else."""
    if not cnp.PyArray_CheckExact(value):
        return None
    cdef cnp.ndarray array = value, found
    cdef const void *data = cnp.PyArray_DATA(array)
    cdef int kind = cnp.PyArray_TYPE(array)
    cdef cnp.npy_intp shape = n_samples
    if cnp.PyArray_NDIM(array) != 1 or cnp.PyArray_DIM(array, 0) != n_samples or not cnp.PyArray_ISCARRAY_RO(array):
        return None
    if cnp.PyArray_BASE(array) != NULL and is_mapped(array):
        return None
    found = cnp.PyArray_EMPTY(1, &shape, cnp.NPY_INT32, 0)
    cdef int32_t *to = <int32_t *>cnp.PyArray_DATA(found)
    cdef bint inside = False
    if kind == cnp.NPY_INT64:
        inside = copy_labels(<const int64_t *>data, n_samples, n_classes, to)
    elif kind == cnp.NPY_INT32:
        inside = copy_labels(<const int32_t *>data, n_samples, n_classes, to)
    elif kind == cnp.NPY_UINT8:
        inside = copy_labels(<const uint8_t *>data, n_samples, n_classes, to)
    return found if inside else None
