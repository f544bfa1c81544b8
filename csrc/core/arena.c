#include "core/arena.h"

#include <stdlib.h>

#define ALIGNMENT 64

bs_status bs_arena_reserve(bs_arena *a, size_t size, bs_error *e)
{
    a->used = 0;
    if (a->block != NULL && size <= a->size)
        return BS_OK;
    const int64_t allocations = a->allocations + 1;
    bs_arena_free(a);
    a->allocations = allocations;
    void *block = NULL;
    if (posix_memalign(&block, ALIGNMENT, size > 0 ? size : ALIGNMENT) != 0)
        return bs_error_set(e, BS_ERR_MEMORY, -1, "cannot allocate %zu MB of working memory",
                            size / 1000000 + 1);
    a->block = block;
    a->size = size;
    return BS_OK;
}

void *bs_arena_take(bs_arena *a, size_t count, size_t item)
{
    size_t bytes, end;
    if (__builtin_mul_overflow(count, item, &bytes) || bytes > SIZE_MAX - ALIGNMENT
        || __builtin_add_overflow(a->used, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, &end)) {
        a->used = SIZE_MAX; /* no block has that size, so this happens only while counting */
        return NULL;
    }
    void *taken = a->block != NULL ? a->block + a->used : NULL;
    a->used = end;
    return taken;
}

void bs_arena_free(bs_arena *a)
{
    void *block = a->block;
    *a = (bs_arena){0}; /* cleared first: a fork in between must not leave a dangling pointer */
    free(block);
}
