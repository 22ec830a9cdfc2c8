/* Every kernel, and the table of them: included once by each csrc/isa/<isa>.c, which is compiled once per dtype. */
#include <math.h>
#include <string.h>

#include "../fastmlp.h"
#include "vec.h"

#include "math.inc.h"
#include "tree.inc.h"

#include "activations.inc.h"
#include "dense.inc.h"
#include "layers.inc.h"
#include "losses.inc.h"
#include "output_losses.inc.h"
#include "optimizers.inc.h"
#include "probe.inc.h"
#include "rows.inc.h"

#define FM_STRING2(text) #text
#define FM_STRING(text) FM_STRING2(text)

const fm_kernels FM(kernels) = {
    .isa = FM_STRING(FM_ISA),
    .dtype = FM_F64 ? "float64" : "float32",
    .line = LINE,
    .lanes = LANES,
    .itemsize_bytes = sizeof(real),
    .group = GRADIENT_N,
    .chains = CHAINS,
    .dense_forward = FM(dense_forward),
    .dense_input_gradient = FM(dense_input_gradient),
    .dense_weight_gradient = FM(dense_weight_gradient),
    .dense_bias_gradient = FM(dense_bias_gradient),
    .transpose = FM(transpose),
    .scatter = FM(scatter),
    .multiply = FM(multiply),
    .add = FM(add),
    .layer_norm = FM(layer_norm),
    .layer_norm_input_gradient = FM(layer_norm_input_gradient),
    .layer_norm_weight_gradient = FM(layer_norm_weight_gradient),
    .batch_statistics = FM(batch_statistics),
    .batch_norm = FM(batch_norm),
    .batch_norm_input_gradient = FM(batch_norm_input_gradient),
    .batch_norm_weight_gradient = FM(batch_norm_weight_gradient),
    .running_average = FM(running_average),
    .prelu = FM(prelu),
    .prelu_input_gradient = FM(prelu_input_gradient),
    .prelu_weight_gradient = FM(prelu_weight_gradient),
    .dropout = FM(dropout),
    .prepare_gradient = FM(prepare_gradient),
    .penalty = FM(penalty),
    .max_norm = FM(max_norm),
    .softmax = FM(softmax),
    .exp = FM(exp),
    .scale_rows = FM(scale_rows),
    .sum = FM(sum),
    .probe_fma = FM(probe_fma),
    .probe_triad = FM(probe_triad),
    .within = FM(within),
#define ENTRY(name) [FM_##name] = FM(name),
    .activation = {FM_ACTIVATIONS(ENTRY)},
    .loss = {FM_LOSSES(ENTRY)},
#undef ENTRY
#define ENTRY(name, n_states) [FM_##name] = FM(name),
    .update = {FM_OPTIMIZERS(ENTRY)},
#undef ENTRY
#define ENTRY(type, source_t) [FM_##type] = FM(gather_##type),
    .gather = {FM_GATHERS(ENTRY)},
#undef ENTRY
};
