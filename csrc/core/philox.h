/* Philox4x32-10 (Salmon et al., SC 2011), one block at a time, for deriving keys. The kernels
 * compute many blocks at once. */
#ifndef BS_CORE_PHILOX_H
#define BS_CORE_PHILOX_H

#include <stdint.h>

static inline void bs_philox(uint32_t out[4], const uint32_t counter[4], uint64_t key)
{
    uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)c0 * 0xD2511F53u, p1 = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The key of one sequence at one step. All dropout masks of the sequence derive from it. */
static inline uint64_t bs_sequence_key(uint64_t seed, uint64_t sequence, uint32_t step)
{
    const uint32_t counter[4] = {(uint32_t)sequence, (uint32_t)(sequence >> 32), step,
                                 0x62657274u};
    uint32_t out[4];
    bs_philox(out, counter, seed);
    return (uint64_t)out[1] << 32 | out[0];
}

#endif
