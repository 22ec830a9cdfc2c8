// malloc and its relatives, failing when told to: preloaded by failing_allocator.py. Linux with glibc.
//
// Allocations are counted from 1 after `failing_begin`; those from `first` to `last` fail. Calls from some libraries,
// whose addresses `failing_ignore` was given, are left alone: OpenMP's and the loader's, which end the process.

#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

#define MOST_IGNORED 64

static atomic_int on;
static atomic_long seen, live_bytes, refused;
static long first, last, refused_size;
static uintptr_t ignored[MOST_IGNORED][2];
static int n_ignored;

int failing_ignore(uintptr_t low, uintptr_t high) {
    if (n_ignored == MOST_IGNORED) return -1;
    ignored[n_ignored][0] = low, ignored[n_ignored][1] = high;
    n_ignored++;
    return 0;
}

void failing_begin(long from, long to) {
    first = from, last = to;
    seen = refused = 0;
    on = 1;
}

void failing_end(void) { on = 0; }

long failing_seen(void) { return seen; }
long failing_refused(void) { return refused; }
long failing_refused_size(void) { return refused_size; } // of the last one
long failing_live_bytes(void) { return live_bytes; }

static int fails(uintptr_t caller, size_t size) {
    if (!on) return 0;
    for (int i = 0; i < n_ignored; i++)
        if (ignored[i][0] <= caller && caller < ignored[i][1]) return 0;
    long number = ++seen;
    if (number < first || number > last) return 0;
    refused++;
    refused_size = (long)size;
    errno = ENOMEM;
    return 1;
}

#define CALLER ((uintptr_t)__builtin_return_address(0))

static void *counted(void *found) {
    if (found != NULL) live_bytes += (long)malloc_usable_size(found);
    return found;
}

void *malloc(size_t size) { return fails(CALLER, size) ? NULL : counted(__libc_malloc(size)); }

void *calloc(size_t n, size_t size) { return fails(CALLER, n * size) ? NULL : counted(__libc_calloc(n, size)); }

void *memalign(size_t alignment, size_t size) {
    return fails(CALLER, size) ? NULL : counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size) {
    return fails(CALLER, size) ? NULL : counted(__libc_memalign(alignment, size));
}

int posix_memalign(void **found, size_t alignment, size_t size) {
    if (fails(CALLER, size)) return ENOMEM;
    void *memory = counted(__libc_memalign(alignment, size));
    if (memory == NULL) return ENOMEM;
    *found = memory;
    return 0;
}

void free(void *block) {
    if (block != NULL) live_bytes -= (long)malloc_usable_size(block);
    int kept = errno;
    __libc_free(block);
    errno = kept;
}

void *realloc(void *block, size_t size) {
    if (block == NULL) return fails(CALLER, size) ? NULL : counted(__libc_malloc(size));
    if (fails(CALLER, size)) return NULL;
    long before = (long)malloc_usable_size(block);
    void *found = __libc_realloc(block, size);
    if (found != NULL)
        live_bytes += (long)malloc_usable_size(found) - before;
    else if (size == 0)
        live_bytes -= before;
    return found;
}
