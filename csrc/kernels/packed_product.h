/* C = A B over packed operands in registers: REGISTER_ROWS x PANEL_COLUMNS accumulators
 * (packed_vec.h).
 *
 * Included once for each kind of product, with these defined:
 *   PRODUCT_NAME(x)            names of this kind
 *   PRODUCT_T, PRODUCT_V       type of an element of C, and of a vector of them. With another type
 *                              of the same size, accumulators would not stay in registers
 *   PRODUCT_LOAD, PRODUCT_STORE  load and store some elements of C (packed_vec.h)
 *   PRODUCT_LEFT(a, lda, i, g) address of group g of row i of the left operand
 *   PRODUCT_DOT(acc, a, b)     acc + the dot products of the groups of a and b, which are packed_v
 *   PRODUCT_PREFETCH(p, lda, rows)  optional: prefetches for a group of the left operand
 *   PRODUCT_UNROLLED           groups per iteration of the inner loop, at most 8 */

/* Adds the products of group g to all accumulators. */
static inline __attribute__((always_inline)) void
PRODUCT_NAME(group)(PRODUCT_V acc[REGISTER_ROWS][2], const char *a, int64_t lda, const char *b,
                    int64_t g, const int rows)
{
    packed_v right[2];
    for (int v = 0; v < 2; v++)
        right[v] = packed_load(b + g * (4 * PANEL_COLUMNS) + 4 * BS_LANES * v);
#if defined(PRODUCT_PREFETCH)
    PRODUCT_PREFETCH(PRODUCT_LEFT(a, lda, 0, g), lda, rows);
#endif
    for (int i = 0; i < rows; i++) {
        const packed_v left = packed_broadcast(PRODUCT_LEFT(a, lda, i, g));
        for (int v = 0; v < 2; v++)
            acc[i][v] = PRODUCT_DOT(acc[i][v], left, right[v]);
    }
}

/* A tile of `rows` rows, a constant where this is inlined. Rows before `first` are not stored. */
static inline __attribute__((always_inline)) void
PRODUCT_NAME(tile)(PRODUCT_T *c, int64_t ldc, const char *a, int64_t lda, const char *b,
                   int64_t groups, int64_t cols, bool add, int64_t first, const int rows)
{
    PRODUCT_V acc[REGISTER_ROWS][2];
    const lane_mask mask[2] = {first_lanes(cols), first_lanes(cols - BS_LANES)};
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++)
            acc[i][v] = add && i >= first ? PRODUCT_LOAD(mask[v], c + i * ldc + BS_LANES * v)
                                          : (PRODUCT_V){0};
    /* C is often outside the second-level cache. The C of a short product, as in attention, is in
     * the first. */
    if (groups > SHORT_GROUPS)
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < 2; v++)
                __builtin_prefetch((const char *)(c + i * ldc + BS_LANES * v), 1);
    int64_t g = 0;
    for (; g + PRODUCT_UNROLLED <= groups; g += PRODUCT_UNROLLED)
#pragma GCC unroll 8
        for (int u = 0; u < PRODUCT_UNROLLED; u++)
            PRODUCT_NAME(group)(acc, a, lda, b, g + u, rows);
    for (; g < groups; g++)
        PRODUCT_NAME(group)(acc, a, lda, b, g, rows);
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2 && i >= first; v++)
            PRODUCT_STORE(c + i * ldc + BS_LANES * v, mask[v], acc[i][v]);
}

/* All rows of one panel, while the next panel is prefetched. */
static void PRODUCT_NAME(panel_rows)(PRODUCT_T *c, int64_t ldc, const char *a, int64_t lda,
                                     const char *b, panel_ahead ahead, int64_t rows, int64_t cols,
                                     int64_t groups, bool add)
{
    int64_t i = 0;
#define PRODUCT_TILE(from, first, tall)                                                            \
    PRODUCT_NAME(tile)(c + (from) * ldc, ldc, PRODUCT_LEFT(a, lda, from, 0), lda, b, groups, cols, \
                       add, first, tall)
    for (; i + REGISTER_ROWS <= rows; i += REGISTER_ROWS) {
        panel_fetch(&ahead);
        PRODUCT_TILE(i, 0, REGISTER_ROWS);
    }
    REST_TILES(rows, i, PRODUCT_TILE)
#undef PRODUCT_TILE
}

static void PRODUCT_NAME(product)(PRODUCT_T *c, int64_t ldc, const void *a, int64_t lda,
                                  const void *b, int64_t ld_panel, int64_t rows, int64_t cols,
                                  int64_t groups, bool add)
{
    for (int64_t j = 0; j < cols; j += PANEL_COLUMNS) {
        const char *panel = (const char *)b + j / PANEL_COLUMNS * ld_panel;
        const panel_ahead ahead = panel_ahead_of(j + PANEL_COLUMNS < cols ? panel + ld_panel : NULL,
                                                 4 * groups * PANEL_COLUMNS, rows / REGISTER_ROWS);
        PRODUCT_NAME(panel_rows)(c + j, ldc, a, lda, panel, ahead, rows, cols - j, groups, add);
    }
}

#undef PRODUCT_NAME
#undef PRODUCT_T
#undef PRODUCT_V
#undef PRODUCT_LOAD
#undef PRODUCT_STORE
#undef PRODUCT_LEFT
#undef PRODUCT_PREFETCH
#undef PRODUCT_DOT
#undef PRODUCT_UNROLLED
