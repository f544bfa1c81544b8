/* The panel of a right operand that is needed next, fetched a part at a time: come to only when its
 * turn is there, all of it would be waited for at once. */

typedef struct {
    const char *at, *end;
    int64_t share; /* bytes at a time */
} low_ahead;

/* All `size` bytes in `times` parts; NULL: nothing. */
static inline low_ahead low_ahead_of(const char *panel, int64_t size, int64_t times)
{
    if (panel == NULL || times < 1)
        return (low_ahead){0};
    return (low_ahead){panel, panel + size, (size / times + 63) / 64 * 64 + 64};
}

static inline void low_fetch(low_ahead *a)
{
    const char *end = a->end - a->at < a->share ? a->end : a->at + a->share;
    for (; a->at < end; a->at += 64)
        __builtin_prefetch(a->at, 0, 2); /* into the second-level cache */
}
