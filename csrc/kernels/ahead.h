/* Prefetches the next panel of a right operand in parts. Fetched all at once when it is needed, it
 * would have to be waited for. */

typedef struct {
    const char *at, *end;
    int64_t share; /* bytes per part */
} panel_ahead;

/* Divides the `size` bytes of a panel into `times` parts. A NULL panel has none. */
static inline panel_ahead panel_ahead_of(const char *panel, int64_t size, int64_t times)
{
    if (panel == NULL || times < 1)
        return (panel_ahead){0};
    return (panel_ahead){panel, panel + size, (size / times + 63) / 64 * 64 + 64};
}

static inline void panel_fetch(panel_ahead *a)
{
    const char *end = a->end - a->at < a->share ? a->end : a->at + a->share;
    for (; a->at < end; a->at += 64)
        __builtin_prefetch(a->at, 0, 2); /* into the second-level cache */
}
