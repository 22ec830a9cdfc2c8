/* Counter-based random numbers: a value depends on its key and counter alone, not on threads or order.
 *
 * Philox4x64-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 4.3;
 * the same stream as numpy.random.Philox(key=[seed, stream]).random_raw(). */
#include "fastmlp.h"

typedef unsigned __int128 uint128;

typedef struct philox {
    uint64_t key[2], counter, block[4];
    int used;
} philox;

static uint64_t philox_next(philox *p) {
    if (p->used == 4) {
        uint64_t c0 = ++p->counter, c1 = 0, c2 = 0, c3 = 0, k0 = p->key[0], k1 = p->key[1];
        for (int round = 0; round < 10; round++) {
            const uint128 a = (uint128)0xD2E7470EE14C6C93u * c0, b = (uint128)0xCA5A826395121157u * c2;
            c0 = (uint64_t)(b >> 64) ^ c1 ^ k0;
            c1 = (uint64_t)b;
            c2 = (uint64_t)(a >> 64) ^ c3 ^ k1;
            c3 = (uint64_t)a;
            k0 += 0x9E3779B97F4A7C15u;
            k1 += 0xBB67AE8584CAA73Bu;
        }
        p->block[0] = c0, p->block[1] = c1, p->block[2] = c2, p->block[3] = c3;
        p->used = 0;
    }
    return p->block[p->used++];
}

/* Position j of i + 1 is the high half of a 64 by 64 bit product: its bias, below n / 2^64, cannot be seen. */
void fm_shuffle(ptrdiff_t n, uint64_t seed, uint64_t stream, int64_t *index) {
    philox p = {.key = {seed, stream}, .used = 4};
    for (ptrdiff_t i = 0; i < n; i++) index[i] = i;
    for (ptrdiff_t i = n - 1; i > 0; i--) {
        const ptrdiff_t j = (ptrdiff_t)(((uint128)philox_next(&p) * (uint64_t)(i + 1)) >> 64);
        const int64_t moved = index[i];
        index[i] = index[j];
        index[j] = moved;
    }
}
