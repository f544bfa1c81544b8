/* Products with a fused epilogue, see bs_result.
 *
 * Included once for each kind of product, after packed_product.h, with
 *   INTO_NAME(x)   names of the kind; `group` is defined by packed_product.h, and
 *     finish(r, i, acc, n, of, act)  writes row i of the panel's result, of which n columns count
 *     next(r)                        advances to the columns of the next panel
 *   INTO_R         the type of r
 *   INTO_V         a vector of accumulators
 *   INTO_OTHER     the epilogue besides bias and activation */

/* A tile that begins at row `from`. Rows before `first` are not written. */
static inline __attribute__((always_inline)) void INTO_NAME(tile_into)(
    const INTO_R *r, int64_t from, const char *a, int64_t lda, const char *b, int64_t groups,
    int64_t n, int64_t first, const int of, bs_activation act, const int rows)
{
    INTO_V acc[REGISTER_ROWS][2];
    for (int i = 0; i < rows; i++)
        acc[i][0] = acc[i][1] = (INTO_V){0};
    for (int64_t g = 0; g < groups; g++)
        INTO_NAME(group)(acc, a + from * lda, lda, b, g, rows);
    for (int i = 0; i < rows; i++)
        if (i >= first)
            INTO_NAME(finish)(r, from + i, acc[i], n, of, act);
}

/* All rows of one panel. */
static inline __attribute__((always_inline)) void INTO_NAME(panel_into)(
    const INTO_R *r, const char *a, int64_t lda, const char *b, panel_ahead ahead, int64_t rows,
    int64_t groups, int64_t n, const int of, bs_activation act)
{
    int64_t i = 0;
#define INTO_ONE(from, first, tall)                                                                \
    INTO_NAME(tile_into)(r, from, a, lda, b, groups, n, first, of, act, tall)
    for (; i + REGISTER_ROWS <= rows; i += REGISTER_ROWS) {
        panel_fetch(&ahead);
        INTO_ONE(i, 0, REGISTER_ROWS);
    }
    REST_TILES(rows, i, INTO_ONE)
#undef INTO_ONE
}

/* One function per epilogue, not inlined. */
#define INTO_ALL(name, of, act)                                                                   \
    static void INTO_NAME(name)(INTO_R r, const void *a, int64_t lda, const char *b,              \
                                int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups)     \
    {                                                                                             \
        for (; cols > 0; cols -= PANEL_COLUMNS, b += ld_panel, INTO_NAME(next)(&r)) {             \
            const panel_ahead ahead =                                                             \
                panel_ahead_of(cols > PANEL_COLUMNS ? b + ld_panel : NULL,                        \
                               4 * groups * PANEL_COLUMNS, rows / REGISTER_ROWS);                 \
            if (cols >= PANEL_COLUMNS) /* a whole panel needs no masks */                         \
                INTO_NAME(panel_into)(&r, a, lda, b, ahead, rows, groups, PANEL_COLUMNS, of, act); \
            else                                                                                  \
                INTO_NAME(panel_into)(&r, a, lda, b, ahead, rows, groups, cols, of, act);         \
        }                                                                                         \
    }
#define INTO_ACTIVATION(id, name, rounded) INTO_ALL(into_##name, BS_OF_ACTIVATION, BS_##id)
BS_ACTIVATIONS(INTO_ACTIVATION)
#undef INTO_ACTIVATION
INTO_ALL(into_bias, BS_OF_BIAS, (bs_activation)0)
INTO_ALL(into_other, INTO_OTHER, (bs_activation)0)
#undef INTO_ALL

static void INTO_NAME(all_into)(INTO_R r, const bs_result *what, const void *a, int64_t lda,
                                const char *b, int64_t ld_panel, int64_t rows, int64_t cols,
                                int64_t groups)
{
#define INTO_ACTIVATION(id, name, rounded) [BS_##id] = INTO_NAME(into_##name),
    static void (*const activated[BS_ACTIVATION_COUNT])(INTO_R, const void *, int64_t, const char *,
                                                        int64_t, int64_t, int64_t, int64_t) = {
        BS_ACTIVATIONS(INTO_ACTIVATION)};
#undef INTO_ACTIVATION
    (what->of == INTO_OTHER   ? INTO_NAME(into_other)
     : what->of == BS_OF_BIAS ? INTO_NAME(into_bias)
                              : activated[what->act])(r, a, lda, b, ld_panel, rows, cols, groups);
}

#undef INTO_NAME
#undef INTO_R
#undef INTO_V
#undef INTO_OTHER
