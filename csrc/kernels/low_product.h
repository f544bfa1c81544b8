/* C = A B over packed operands in registers: 12 x 32 accumulators of AVX-512.
 *
 * Included once for each kind of product, which defines before
 *   LOW_NAME(x)           names of this kind
 *   LOW_T, LOW_V          type of an element of C, and of 16
 *   LOW_DOT(acc, a, b)    acc + the dot products of 16 groups of a and b
 *   LOW_LOAD(mask, p), LOW_STORE(p, mask, v)   16 elements of C, or some of them */

/* A tile of `rows` x 32, a constant where this is inlined. */
static inline __attribute__((always_inline)) void LOW_NAME(tile)(
    LOW_T *c, int64_t ldc, const char *a, int64_t lda, const char *b, int64_t groups, int64_t cols,
    bool add, const int rows)
{
    LOW_V acc[12][2];
    __mmask16 mask[2];
    for (int v = 0; v < 2; v++) {
        const int64_t left = cols - 16 * v;
        mask[v] = left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++)
            acc[i][v] = add ? LOW_LOAD(mask[v], c + i * ldc + 16 * v) : (LOW_V){0};
    /* C lies beyond the second-level cache as often as not. */
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++)
            __builtin_prefetch((const char *)(c + i * ldc + 16 * v), 1);
    for (int64_t g = 0; g < groups; g++) {
        __m512i right[2];
        for (int v = 0; v < 2; v++)
            right[v] = _mm512_loadu_si512(b + g * (4 * BS_LOW_COLUMNS) + 64 * v);
        for (int i = 0; i < rows; i++) {
            int32_t group;
            memcpy(&group, a + i * lda + 4 * g, 4);
            const __m512i left = _mm512_set1_epi32(group);
            for (int v = 0; v < 2; v++)
                acc[i][v] = LOW_DOT(acc[i][v], left, right[v]);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++)
            LOW_STORE(c + i * ldc + 16 * v, mask[v], acc[i][v]);
}

/* All rows of one panel, while the next one is fetched. */
static void LOW_NAME(panel_rows)(LOW_T *c, int64_t ldc, const char *a, int64_t lda, const char *b,
                                 low_ahead ahead, int64_t rows, int64_t cols, int64_t groups,
                                 bool add)
{
    int64_t i = 0;
    for (; i + 12 <= rows; i += 12) {
        low_fetch(&ahead);
        LOW_NAME(tile)(c + i * ldc, ldc, a + i * lda, lda, b, groups, cols, add, 12);
    }
    for (; i + 4 <= rows; i += 4)
        LOW_NAME(tile)(c + i * ldc, ldc, a + i * lda, lda, b, groups, cols, add, 4);
    for (; i < rows; i++)
        LOW_NAME(tile)(c + i * ldc, ldc, a + i * lda, lda, b, groups, cols, add, 1);
}

static void LOW_NAME(product)(LOW_T *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                              int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups,
                              bool add)
{
    for (int64_t j = 0; j < cols; j += BS_LOW_COLUMNS) {
        const char *panel = (const char *)b + j / BS_LOW_COLUMNS * ld_panel;
        const low_ahead ahead = low_ahead_of(j + BS_LOW_COLUMNS < cols ? panel + ld_panel : NULL,
                                             4 * groups * BS_LOW_COLUMNS, rows / 12);
        LOW_NAME(panel_rows)(c + j, ldc, a, lda, panel, ahead, rows, cols - j, groups, add);
    }
}

#undef LOW_NAME
#undef LOW_T
#undef LOW_V
#undef LOW_DOT
#undef LOW_LOAD
#undef LOW_STORE
