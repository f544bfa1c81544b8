/* C = A B over packed operands in registers: LOW_TALL x LOW_COLUMNS accumulators (low_vec.h).
 *
 * Included once for each kind of product, which defines before
 *   LOW_NAME(x)           names of this kind
 *   LOW_T, LOW_V          type of an element of C, and of a vector of them: were it another of the
 *                         same size, accumulators would not stay in registers
 *   LOW_LOAD, LOW_STORE   some elements of C (low_vec.h)
 *   LOW_LEFT(a, lda, i, g) where group g of row i of the left operand is
 *   LOW_DOT(acc, a, b)    acc + the dot products of the groups of a and b, which are low_v
 *   LOW_PREFETCH(p, lda, rows)  optionally, what to fetch ahead of a group of the left operand
 *   LOW_UNROLLED          groups that one turn of the inner loop takes, at most 8 */

/* Adds to all accumulators the products of group g. */
static inline __attribute__((always_inline)) void LOW_NAME(group)(LOW_V acc[LOW_TALL][2],
                                                                  const char *a, int64_t lda,
                                                                  const char *b, int64_t g,
                                                                  const int rows)
{
    low_v right[2];
    for (int v = 0; v < 2; v++)
        right[v] = low_load(b + g * (4 * LOW_COLUMNS) + 4 * BS_LANES * v);
#if defined(LOW_PREFETCH)
    LOW_PREFETCH(LOW_LEFT(a, lda, 0, g), lda, rows);
#endif
    for (int i = 0; i < rows; i++) {
        const low_v left = low_spread(LOW_LEFT(a, lda, i, g));
        for (int v = 0; v < 2; v++)
            acc[i][v] = LOW_DOT(acc[i][v], left, right[v]);
    }
}

/* A tile of `rows` rows, a constant where this is inlined; of those before `first` nothing is
 * stored. */
static inline __attribute__((always_inline)) void LOW_NAME(tile)(
    LOW_T *c, int64_t ldc, const char *a, int64_t lda, const char *b, int64_t groups, int64_t cols,
    bool add, int64_t first, const int rows)
{
    LOW_V acc[LOW_TALL][2];
    const low_mask mask[2] = {low_first(cols), low_first(cols - BS_LANES)};
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++)
            acc[i][v] = add && i >= first ? LOW_LOAD(mask[v], c + i * ldc + BS_LANES * v)
                                          : (LOW_V){0};
    /* C lies beyond the second-level cache as often as not; that of a short product, as attention
     * has them, in the first. */
    if (groups > LOW_SHORT)
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < 2; v++)
                __builtin_prefetch((const char *)(c + i * ldc + BS_LANES * v), 1);
    int64_t g = 0;
    for (; g + LOW_UNROLLED <= groups; g += LOW_UNROLLED)
#pragma GCC unroll 8
        for (int u = 0; u < LOW_UNROLLED; u++)
            LOW_NAME(group)(acc, a, lda, b, g + u, rows);
    for (; g < groups; g++)
        LOW_NAME(group)(acc, a, lda, b, g, rows);
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2 && i >= first; v++)
            LOW_STORE(c + i * ldc + BS_LANES * v, mask[v], acc[i][v]);
}

/* All rows of one panel, while the next panel is fetched. */
static void LOW_NAME(panel_rows)(LOW_T *c, int64_t ldc, const char *a, int64_t lda, const char *b,
                                 low_ahead ahead, int64_t rows, int64_t cols, int64_t groups,
                                 bool add)
{
    int64_t i = 0;
#define LOW_ONE(from, first, tall)                                                                 \
    LOW_NAME(tile)(c + (from) * ldc, ldc, LOW_LEFT(a, lda, from, 0), lda, b, groups, cols, add,    \
                   first, tall)
    for (; i + LOW_TALL <= rows; i += LOW_TALL) {
        low_fetch(&ahead);
        LOW_ONE(i, 0, LOW_TALL);
    }
    LOW_REST(rows, i, LOW_ONE)
#undef LOW_ONE
}

static void LOW_NAME(product)(LOW_T *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                              int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups,
                              bool add)
{
    for (int64_t j = 0; j < cols; j += LOW_COLUMNS) {
        const char *panel = (const char *)b + j / LOW_COLUMNS * ld_panel;
        const low_ahead ahead = low_ahead_of(j + LOW_COLUMNS < cols ? panel + ld_panel : NULL,
                                             4 * groups * LOW_COLUMNS, rows / LOW_TALL);
        LOW_NAME(panel_rows)(c + j, ldc, a, lda, panel, ahead, rows, cols - j, groups, add);
    }
}

#undef LOW_NAME
#undef LOW_T
#undef LOW_V
#undef LOW_LOAD
#undef LOW_STORE
#undef LOW_LEFT
#undef LOW_PREFETCH
#undef LOW_DOT
#undef LOW_UNROLLED
