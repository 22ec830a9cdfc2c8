/* AVX2 and FMA. */
#define FM_ISA avx2
#define FM_VEC_BYTES 32
#include "../kernels/table.inc.h"
