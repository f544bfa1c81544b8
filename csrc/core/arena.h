/* Scratch memory: one block, handed out in order and freed all at once.
 *
 * A caller lays out its buffers twice with the same code: first on an arena without a block, which
 * only counts, then on one whose block has that size. */
#ifndef BS_CORE_ARENA_H
#define BS_CORE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct {
    char *block; /* NULL while counting */
    size_t size; /* of the block, bytes */
    size_t used; /* bytes handed out or counted */
    int64_t allocations; /* how often the block was too small */
} bs_arena;

/* Makes room for at least `size` bytes, 64-byte aligned. The previous contents are lost. A block
 * that is already large enough is kept. */
bs_status bs_arena_reserve(bs_arena *a, size_t size, bs_error *e);

/* Takes `count` items of `item` bytes, 64-byte aligned, not cleared. Returns NULL while counting. A
 * sum that overflows stays SIZE_MAX, which cannot be reserved. */
void *bs_arena_take(bs_arena *a, size_t count, size_t item);

void bs_arena_free(bs_arena *a);

static inline float *bs_arena_floats(bs_arena *a, int64_t count)
{
    return bs_arena_take(a, (size_t)count, sizeof(float));
}

#endif
