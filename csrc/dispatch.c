/* Chooses a kernel table at run time. Compiled without ISA flags: only defines say which tables were linked in. */
#include <string.h>

#include "fastmlp.h"

#define TABLES(isa) extern const fm_kernels fm_kernels_f32_##isa, fm_kernels_f64_##isa;
TABLES(baseline)
#ifdef FM_HAVE_AVX2
TABLES(avx2)
#endif
#ifdef FM_HAVE_AVX512
TABLES(avx512)
#endif

/* __builtin_cpu_supports asks the operating system too (XGETBV): a processor flag alone would not save the registers. */
#if defined(__x86_64__)
static int runs_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static int runs_avx512(void) {
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif
static int runs_always(void) { return 1; }

typedef struct implementation {
    const char *isa;
    int (*runs)(void);
    const fm_kernels *table[2]; /* float32, float64; NULL where not compiled in */
} implementation;

static const implementation implementations[] = {
#if defined(__x86_64__)
#ifdef FM_HAVE_AVX512
    {"avx512", runs_avx512, {&fm_kernels_f32_avx512, &fm_kernels_f64_avx512}},
#else
    {"avx512", runs_avx512, {NULL, NULL}},
#endif
#ifdef FM_HAVE_AVX2
    {"avx2", runs_avx2, {&fm_kernels_f32_avx2, &fm_kernels_f64_avx2}},
#else
    {"avx2", runs_avx2, {NULL, NULL}},
#endif
#endif
    {"baseline", runs_always, {&fm_kernels_f32_baseline, &fm_kernels_f64_baseline}},
};
enum { N_IMPLEMENTATIONS = sizeof implementations / sizeof implementations[0] };

static const implementation *find(const char *isa) {
    for (int i = 0; i < N_IMPLEMENTATIONS; i++)
        if (strcmp(implementations[i].isa, isa) == 0) return &implementations[i];
    return NULL;
}

const char *fm_isa_name(int i) { return i >= 0 && i < N_IMPLEMENTATIONS ? implementations[i].isa : NULL; }

const char *fm_isa_missing(const char *isa) {
    const implementation *found = find(isa);
    if (!found) return "fastmlp has no instruction set of this name";
    if (!found->table[0]) return "this build of fastmlp does not contain it";
    if (!found->runs()) return "this processor or operating system does not run it";
    return NULL;
}

const fm_kernels *fm_kernels_of(const char *isa, int is_f64) {
    return fm_isa_missing(isa) ? NULL : find(isa)->table[is_f64 ? 1 : 0];
}

#define NAME(name, ...) #name,
const char *const fm_activation_names[] = {FM_ACTIVATIONS(NAME) NULL};
const char *const fm_loss_names[] = {FM_LOSSES(NAME) NULL};
const char *const fm_optimizer_names[] = {FM_OPTIMIZERS(NAME) NULL};
#define N_STATES(name, n_states) n_states,
const int fm_optimizer_states[] = {FM_OPTIMIZERS(N_STATES)};
const char *const fm_gather_names[] = {FM_GATHERS(NAME) NULL};

/* MXCSR: FTZ is bit 15, DAZ bit 6. FPCR: FZ is bit 24. */
#if defined(__x86_64__)
#include <xmmintrin.h>
unsigned long long fm_flush_subnormals(void) {
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040u);
    return mode;
}
void fm_restore_subnormals(unsigned long long mode) { _mm_setcsr((unsigned)mode); }
#else
unsigned long long fm_flush_subnormals(void) {
    unsigned long long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (1ull << 24)));
    return mode;
}
void fm_restore_subnormals(unsigned long long mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#endif
