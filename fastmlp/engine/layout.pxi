# The layers of a network, and where their arrays lie in a buffer of parameters: included by _engine.pyx.

# What the engine is told of a layer. kind: one of KINDS; source, for "add": the position of the layer whose outputs are
# added, -1 for the inputs; dropout: the rate of what follows the activation; rate: factor of the learning rate; frozen:
# not trained.
LayerSpec = collections.namedtuple(
    "LayerSpec", "units activation alpha use_bias kind dropout epsilon momentum source rate l1 l2 max_norm frozen",
    defaults=("identity", 0.0, True, "dense", 0.0, 0.0, 0.0, -1, 1.0, 0.0, 0.0, 0.0, False))

cdef inline bint has_b(const Layer *layer) noexcept nogil:
    """Whether a layer has room for biases, used or not; where not, the next layer's weights lie at `b`."""
    return layer.kind in (DENSE, LAYER_NORM, BATCH_NORM)


cdef class Layout:
    """A stack of layers, and the layout in panels that weights, states and gradients share.

    Parameters
    ----------
    n_inputs : int
    specs : list of LayerSpec, or of tuples of its first fields
        Of a kind other than "dense" with as many outputs as inputs.
    dtype : {"float32", "float64"}
    isa : str, optional
        For tests: another instruction set than the one chosen at import.
    seed : int
        Of the masks of dropout.
    """

    cdef readonly str dtype, isa
    cdef readonly ptrdiff_t n_inputs, n_outputs
    cdef readonly list specs
    cdef const fm_kernels *k
    cdef Memory layer_memory
    cdef Layer *layers
    cdef int n_layers
    cdef readonly ptrdiff_t n_bytes  # of the weights
    cdef ptrdiff_t running_bytes  # of the statistics of batch normalisation

    def __init__(self, n_inputs, specs, dtype, isa=None, uint64_t seed=0):
        self.isa = isa or globals()["isa"]
        self.dtype = dtype
        self.k = table_of(self.isa, dtype)
        self.n_inputs = n_inputs
        self.specs = []
        for given in specs:
            self.specs.append(LayerSpec(*given))
        self.n_layers = len(self.specs)
        self.n_outputs = self.specs[self.n_layers - 1].units
        self.layer_memory = Memory(self.n_layers * sizeof(Layer))
        self.layers = <Layer *>self.layer_memory.data
        cdef ptrdiff_t n_in = n_inputs, line = self.k.line, line_bytes = 64
        cdef Layer *layer
        cdef int i
        for i in range(self.n_layers):
            layer = &self.layers[i]
            spec = self.specs[i]
            layer.kind = KINDS.index(spec.kind)
            layer.n_in, layer.n_out = n_in, spec.units
            layer.panels = (layer.n_out + line - 1) // line
            layer.activation, layer.alpha = NULL, spec.alpha
            if spec.activation != "identity":
                layer.activation = self.k.activation[position(activations, spec.activation)]
            layer.mask.seed, layer.mask.layer, layer.mask.rate = seed, i, spec.dropout
            layer.has_derivative = layer.activation != NULL or layer.mask.rate > 0
            layer.epsilon, layer.momentum, layer.source = spec.epsilon, spec.momentum, spec.source
            layer.rate, layer.l1, layer.l2, layer.max_norm = spec.rate, spec.l1, spec.l2, spec.max_norm
            layer.frozen = spec.frozen
            layer.lines = n_in if layer.kind == DENSE else 1 if layer.kind in (LAYER_NORM, BATCH_NORM, PRELU) else 0
            layer.use_bias = has_b(layer) and spec.use_bias
            layer.w = self.n_bytes
            layer.b = layer.w + layer.panels * layer.lines * line_bytes
            self.n_bytes = layer.b + (layer.panels * line_bytes if has_b(layer) else 0)
            layer.running = self.running_bytes
            if layer.kind == BATCH_NORM:
                self.running_bytes += 2 * layer.panels * line_bytes
            n_in = layer.n_out

    def shapes(self, bint running=True):
        """Shapes of `Network.get_weights`; those of gradients and states without `running`."""
        cdef int i
        cdef list found = []
        for i in range(self.n_layers):
            if self.layers[i].kind == DENSE:
                found.append(((self.layers[i].n_in, self.layers[i].n_out), (self.layers[i].n_out,)))
            elif self.layers[i].lines:
                many = 1 if self.layers[i].kind == PRELU else 4 if self.layers[i].kind == BATCH_NORM and running else 2
                found.append(many * ((self.layers[i].n_out,),))
        return found

    cdef list views(self, Memory memory, int i, Memory running):
        """The arrays of layer i in a buffer in the layout of the parameters: its weights in panels, vectors; and where
        `running` is given its running statistics in that."""
        cdef Layer *layer = &self.layers[i]
        cdef ptrdiff_t item = self.k.itemsize_bytes, width = layer.panels * self.k.line
        cdef list found = []
        elements = memory.owner.view(self.dtype)
        if layer.kind == DENSE:
            found.append(elements[layer.w // item:layer.b // item].reshape(layer.panels, layer.n_in, self.k.line))
        elif layer.lines:
            found.append(elements[layer.w // item:layer.w // item + width])
        if has_b(layer):
            found.append(elements[layer.b // item:layer.b // item + width])
        if layer.kind == BATCH_NORM and running is not None:
            elements = running.owner.view(self.dtype)[layer.running // item:]
            found += [elements[:width], elements[width:2 * width]]
        return found

    cdef list unpack(self, Memory memory, Memory running=None):
        """Copies [(W, b), ...] of a buffer in the layout of the parameters."""
        cdef list found = [], arrays
        cdef int i, j
        for i in range(self.n_layers):
            if self.layers[i].lines == 0:
                continue
            arrays = self.views(memory, i, running)
            if self.layers[i].kind == DENSE:
                arrays[0] = self.unpanelled(memory, i)
            for j in range(len(arrays)):
                if arrays[j].ndim == 1:
                    arrays[j] = arrays[j][:self.layers[i].n_out].copy()
            found.append(tuple(arrays))
        return found

    cdef cnp.ndarray unpanelled(self, Memory memory, int i):
        """W of a dense layer, row by row."""
        cdef Layer *layer = &self.layers[i]
        cdef cnp.ndarray W = np.empty((layer.n_in, layer.n_out), self.dtype)
        cdef char *to = <char *>cnp.PyArray_DATA(W)
        with nogil:
            self.k.scatter(layer.n_in, layer.n_out, memory.data + layer.w, layer.n_in * self.k.line, to, layer.n_out)
        return W

    cdef void pack(self, Memory memory, layer_arrays, Memory running=None) except *:
        """Write the arrays of all layers. Of a list all of them or, where memory ends, none; of another iterable those
        of one layer at a time."""
        cdef int i
        shapes = self.shapes(running is not None)
        if isinstance(layer_arrays, list):  # what may fail comes first
            whole = []
            for arrays, shape in zip(layer_arrays, shapes, strict=True):
                whole.append(self.ready(arrays, shape))
            layer_arrays, shapes = whole, None
        remaining = iter(layer_arrays)
        cdef ptrdiff_t pair = 0
        for i in range(self.n_layers):
            if self.layers[i].lines == 0:
                continue
            arrays = next(remaining)
            if shapes is not None:
                arrays = self.ready(arrays, shapes[pair])
            self.pack_layer(memory, i, arrays, running)
            arrays = None  # before those of the next layer are made
            pair += 1

    cdef list ready(self, arrays, tuple shapes):
        """The arrays of a layer as `pack_layer` reads them."""
        cdef list found = [], given = []
        for array in arrays:
            array = np.ascontiguousarray(array, self.dtype)
            found.append(array)
            given.append(array.shape)
        if given != list(shapes):
            raise ValueError(f"arrays of the shapes {given}, not {list(shapes)}")
        return found

    cdef void pack_layer(self, Memory memory, int i, list arrays, Memory running) noexcept:
        """Needs no memory. Padding stays zero."""
        cdef Layer *layer = &self.layers[i]
        cdef ptrdiff_t item = self.k.itemsize_bytes, row_bytes = layer.n_out * item, row, start, n
        cdef const char *data
        cdef char *to
        cdef int j
        for j in range(len(arrays)):
            data = <const char *>cnp.PyArray_DATA(<cnp.ndarray>arrays[j])
            if layer.kind == DENSE and j == 0:
                for start in range(0, row_bytes, 64):
                    n = min(<ptrdiff_t>64, row_bytes - start)
                    to = memory.data + layer.w + start * layer.n_in
                    for row in range(layer.n_in):
                        memcpy(to + row * 64, data + row * row_bytes + start, n)
                continue
            to = memory.data + (layer.w if j == 0 else layer.b)
            if j >= 2:
                to = running.data + layer.running + (j - 2) * layer.panels * 64
            memcpy(to, data, row_bytes)
