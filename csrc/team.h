/* A barrier for the threads of one parallel region, their clock, and a flag.
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
#include <time.h>
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

/* Seconds since some moment. */
static inline double fm_clock(void) {
#if defined(_WIN32)
    LARGE_INTEGER now, frequency;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&frequency);
    return (double)now.QuadPart / (double)frequency.QuadPart;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#endif
}

/* One for each thread, on a cache line of its own; all zero before a parallel region. Whoever arrives writes only its own
 * line and reads the others': a line travels once, where a common counter would travel there and back. */
typedef struct fm_barrier {
    atomic_uint rounds; /* may wrap around */
    char end[64 - sizeof(atomic_uint)];
} fm_barrier;

/* Returns when all n_threads threads have called it as often; what they wrote before is then visible to all of them. */
static inline void fm_barrier_wait(fm_barrier *team, int thread, int n_threads) {
    if (n_threads == 1) return;
    const unsigned round = atomic_load_explicit(&team[thread].rounds, memory_order_relaxed) + 1;
    atomic_store_explicit(&team[thread].rounds, round, memory_order_release);
    for (int other = 0; other < n_threads; other++)
        for (int spins = 0; (int)(atomic_load_explicit(&team[other].rounds, memory_order_acquire) - round) < 0;
             spins++) {
            if (spins < FM_SPINS)
                FM_PAUSE();
            else
                FM_YIELD();
        }
}

/* A flag that one thread sets and the others look at now and then. */
static inline int fm_flag_get(const int *flag) { return __atomic_load_n(flag, __ATOMIC_RELAXED); }
static inline void fm_flag_set(int *flag) { __atomic_store_n(flag, 1, __ATOMIC_RELAXED); }

#endif
