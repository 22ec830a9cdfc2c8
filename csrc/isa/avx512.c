/* AVX-512 F, DQ, BW and VL: every server since Skylake-SP, every Zen 4 and later. */
#define FM_ISA avx512
#define FM_VEC_BYTES 64
#include "../kernels/table.inc.h"
