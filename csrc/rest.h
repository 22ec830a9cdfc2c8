/* Threads that have nothing to do.
 *
 * Between two parallel regions libgomp's threads wait spinning, some 8 ms long on a usual processor, and LLVM's libomp's
 * for 200 ms. Where calls follow each other at once that is what makes the next one begin early; where they come rarely
 * it burns a processor for nothing. So a thread that calls rarely ends its OpenMP threads, or has them sleep, as soon as
 * it is done with them: libgomp's end, and the next region makes them again in some 50 microseconds; libomp's sleep after
 * a last, empty region that allows them no time to spin. Only those of the calling thread, and of the runtime that this
 * library is linked with: a wheel has one of its own. */
#ifndef FASTMLP_REST_H
#define FASTMLP_REST_H

#include "fork.h"
#include "team.h"

/* When the last region of this thread ended; and how many threads may still be waiting for another. */
static _Thread_local double fm_region_ended = -1e300;
static _Thread_local int fm_awake;

static inline void fm_end_region(int before, int n_threads) {
    fm_leave_region(before);
    fm_region_ended = fm_clock();
    if (fm_awake < n_threads) fm_awake = n_threads;
}

static inline double fm_idle_seconds(void) { return fm_clock() - fm_region_ended; }

#if defined(_OPENMP) && !defined(_WIN32) && (defined(__clang__) || __GNUC__ >= 9)
#define FM_CAN_REST 1
static void fm_rest(void) {
    const int n_threads = fm_awake;
    if (n_threads == 0 || fm_in_region) return;
    fm_awake = 0;
    if (fm_is_libomp()) {
        const int before = kmp_get_blocktime();
        kmp_set_blocktime(0);
#pragma omp parallel num_threads(n_threads)
        __asm__ volatile(""); /* or gcc leaves the region out */
        kmp_set_blocktime(before);
        return;
    }
#if !defined(__clang__)
    omp_pause_resource(omp_pause_soft, omp_get_initial_device());
#endif
}
#else
#define FM_CAN_REST 0
static void fm_rest(void) { fm_awake = 0; }
#endif

#endif
