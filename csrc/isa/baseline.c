/* The least that the architecture guarantees: SSE2 on x86-64 (no fused multiply-add, so other bits), NEON on aarch64. */
#define FM_ISA baseline
#define FM_VEC_BYTES 16
#include "../kernels/table.inc.h"
