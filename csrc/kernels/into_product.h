/* Products that become something else while they are in registers, see bs_result.
 *
 * Included once for each kind of product after low_product.h, with
 *   INTO_NAME(x)   names of the kind, of which `group` is there (low_product.h), and
 *     finish(r, i, acc, n, of, act)  makes row i of the panel's result, of which n columns count
 *     next(r)                        goes on to the next panel's columns
 *   INTO_R         what these two take
 *   INTO_V         a vector of accumulators
 *   INTO_OTHER     what a result can be of besides a bias and an activation */

/* A tile from row `from` on; nothing becomes of rows before `first`. */
static inline __attribute__((always_inline)) void INTO_NAME(tile_into)(
    const INTO_R *r, int64_t from, const char *a, int64_t lda, const char *b, int64_t groups,
    int64_t n, int64_t first, const int of, bs_activation act, const int rows)
{
    INTO_V acc[LOW_TALL][2];
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
    const INTO_R *r, const char *a, int64_t lda, const char *b, low_ahead ahead, int64_t rows,
    int64_t groups, int64_t n, const int of, bs_activation act)
{
    int64_t i = 0;
#define INTO_ONE(from, first, tall)                                                                \
    INTO_NAME(tile_into)(r, from, a, lda, b, groups, n, first, of, act, tall)
    for (; i + LOW_TALL <= rows; i += LOW_TALL) {
        low_fetch(&ahead);
        INTO_ONE(i, 0, LOW_TALL);
    }
    LOW_REST(rows, i, INTO_ONE)
#undef INTO_ONE
}

/* Not inlined: one for each result. */
#define INTO_ALL(name, of, act)                                                                   \
    static void INTO_NAME(name)(INTO_R r, const void *a, int64_t lda, const char *b,              \
                                int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups)     \
    {                                                                                             \
        for (; cols > 0; cols -= LOW_COLUMNS, b += ld_panel, INTO_NAME(next)(&r)) {               \
            const low_ahead ahead = low_ahead_of(cols > LOW_COLUMNS ? b + ld_panel : NULL,        \
                                                 4 * groups * LOW_COLUMNS, rows / LOW_TALL);      \
            if (cols >= LOW_COLUMNS) /* known to be whole: no masks */                            \
                INTO_NAME(panel_into)(&r, a, lda, b, ahead, rows, groups, LOW_COLUMNS, of, act);  \
            else                                                                                  \
                INTO_NAME(panel_into)(&r, a, lda, b, ahead, rows, groups, cols, of, act);         \
        }                                                                                         \
    }
INTO_ALL(into_gelu, BS_OF_ACTIVATION, BS_GELU)
INTO_ALL(into_gelu_new, BS_OF_ACTIVATION, BS_GELU_NEW)
INTO_ALL(into_relu, BS_OF_ACTIVATION, BS_RELU)
INTO_ALL(into_bias, BS_OF_BIAS, BS_RELU)
INTO_ALL(into_other, INTO_OTHER, BS_RELU)
#undef INTO_ALL

static void INTO_NAME(all_into)(INTO_R r, const bs_result *what, const void *a, int64_t lda,
                                const char *b, int64_t ld_panel, int64_t rows, int64_t cols,
                                int64_t groups)
{
    (what->of == INTO_OTHER     ? INTO_NAME(into_other)
     : what->of == BS_OF_BIAS   ? INTO_NAME(into_bias)
     : what->act == BS_GELU     ? INTO_NAME(into_gelu)
     : what->act == BS_GELU_NEW ? INTO_NAME(into_gelu_new)
                                : INTO_NAME(into_relu))(r, a, lda, b, ld_panel, rows, cols, groups);
}

#undef INTO_NAME
#undef INTO_R
#undef INTO_V
#undef INTO_OTHER
