/* Threads and fork.
 *
 * Of a process's threads only the one that forks is there in the child. libgomp does not notice: the child's first
 * parallel region of several threads would wait for ever for those that this thread had in the parent. So it ends them
 * before it forks; parent and child make new ones when they want them. Those of other threads do not matter, as only
 * their own thread knows of them. LLVM's libomp takes care of forks itself, and holds its locks while one is prepared:
 * nothing may be asked of it then. */
#ifndef FASTMLP_FORK_H
#define FASTMLP_FORK_H

/* Whether this process is the child of a fork; and whether it cannot have threads: it was forked within a parallel
 * region, by a loss in Python, or its runtime is none of those above. */
static int fm_is_forked, fm_is_alone;

/* Around each parallel region of several threads; one within another is that of a model that a loss in Python trains. */
static _Thread_local int fm_in_region;
static inline int fm_enter_region(void) {
    const int before = fm_in_region;
    fm_in_region = 1;
    return before;
}
static inline void fm_leave_region(int before) { fm_in_region = before; }

#if defined(_WIN32)
static int fm_watch_forks(void) { return 0; }
#else
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* dladdr */
#endif
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#if defined(_OPENMP)
#include <omp.h>
#endif

static _Thread_local int fm_threads_stay; /* of the thread that forks */

#if !defined(_OPENMP)
static int fm_end_threads(void) { return 0; }
#else
/* Whether OpenMP's functions are LLVM's libomp. It may also stand in for libgomp: preloaded, or under its name as in
 * conda-forge's environments. */
#if defined(__clang__)
static int fm_is_libomp(void) { return 1; }
#else
extern void kmp_set_blocktime(int milliseconds) __attribute__((weak));
extern int kmp_get_blocktime(void) __attribute__((weak));

static int fm_is_libomp(void) {
    Dl_info omp, kmp;
    return kmp_set_blocktime && dladdr((void *)kmp_set_blocktime, &kmp) && dladdr((void *)omp_get_num_threads, &omp) &&
           kmp.dli_fbase == omp.dli_fbase;
}
#endif

static int fm_end_threads(void) {
    if (fm_is_libomp()) return 0;
#if !defined(__clang__) && __GNUC__ >= 9
    return omp_pause_resource_all(omp_pause_hard);
#else
    return 1;
#endif
}
#endif

static void fm_before_fork(void) { fm_threads_stay = fm_in_region || fm_end_threads() != 0; }

static void fm_in_child(void) {
    fm_is_forked = 1;
    fm_is_alone |= fm_threads_stay;
}

/* Once, at import; in C, so that a fork that Python does not know of counts too. Not 0 where memory is short. */
static int fm_watch_forks(void) { return pthread_atfork(fm_before_fork, NULL, fm_in_child); }
#endif

#endif
