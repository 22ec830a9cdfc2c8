/* Threads that have nothing to do.
 *
 * Between two parallel regions libgomp's threads wait spinning, some 8 ms long on a usual processor, and LLVM's libomp's
 * for 200 ms. Where calls follow each other at once that is what makes the next one begin early; where they come rarely
 * it burns a processor for nothing. So a thread that calls rarely ends its OpenMP threads, or has them sleep, as soon as
 * it is done with them; the next region makes them again in some 50 microseconds. Only those of the calling thread, and
 * of the runtime that this library is linked with: a wheel has one of its own. */
#ifndef FASTMLP_REST_H
#define FASTMLP_REST_H

#include "fork.h"
#include "team.h"

/* When the last region of this thread ended; and whether its OpenMP threads may still be waiting for another. */
static _Thread_local double fm_region_ended = -1e300;
static _Thread_local int fm_awake;

static inline void fm_end_region(int before) {
    fm_leave_region(before);
    fm_region_ended = fm_clock();
    fm_awake = 1;
}

static inline double fm_idle_seconds(void) { return fm_clock() - fm_region_ended; }

#if defined(_OPENMP) && !defined(_WIN32) && (defined(__clang__) ? _OPENMP >= 201811 : __GNUC__ >= 9)
#define FM_CAN_REST 1
static void fm_rest(void) {
    if (!fm_awake || fm_in_region) return;
    fm_awake = 0;
    omp_pause_resource(omp_pause_soft, omp_get_initial_device());
}
#else
#define FM_CAN_REST 0
static void fm_rest(void) { fm_awake = 0; }
#endif

#endif
