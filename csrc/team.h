/* A barrier for the threads of one parallel region.
 *
 * OpenMP's own waits spinning for milliseconds, which on a busy machine takes the processor from the very thread that is
 * waited for (an epoch of 0.02 s took 3.6 s), and costs about 1 µs even on an idle one. This one spins for some
 * microseconds, the imbalance of a step's halves, and then yields. */
#ifndef FASTMLP_TEAM_H
#define FASTMLP_TEAM_H

#include <stdatomic.h>

#if defined(_WIN32)
#include <windows.h>
#define FM_YIELD() SwitchToThread()
#else
#include <sched.h>
#define FM_YIELD() sched_yield()
#endif
#if defined(__x86_64__) || defined(_M_X64)
#define FM_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define FM_PAUSE() __asm__ volatile("yield")
#else
#define FM_PAUSE() ((void)0)
#endif

enum { FM_SPINS = 1000 };

/* Zero-initialised; arrivals and phase on cache lines of their own. */
typedef struct fm_barrier {
    atomic_int arrived;
    char gap[64 - sizeof(atomic_int)];
    atomic_uint phase; /* may wrap around: a step has two or more barriers, and 2^31 steps are an hour of small ones */
    char end[64 - sizeof(atomic_uint)];
} fm_barrier;

/* Returns when all n_threads threads have called it; what they wrote before is then visible to all of them. */
static inline void fm_barrier_wait(fm_barrier *barrier, int n_threads) {
    if (n_threads == 1) return;
    const unsigned phase = atomic_load_explicit(&barrier->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) == n_threads - 1) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->phase, phase + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&barrier->phase, memory_order_acquire) == phase; spins++) {
        if (spins < FM_SPINS)
            FM_PAUSE();
        else
            FM_YIELD();
    }
}

#endif
