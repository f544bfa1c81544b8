/* Products of fp32 that are too small to be worth packing an operand: those of the head, and of
 * single queries. Each element is summed over k in one order, whatever the other sizes are. */

#define SMALL_ROWS 4
#define SMALL_VECTORS (BS_LANES == 16 ? 4 : 2) /* and columns of products of rows */

/* x = alpha sum + beta x, for n <= BS_LANES elements. With beta 0, x is not read. */
static inline void small_store(float *x, vf sum, float alpha, float beta, int64_t n)
{
    vf y = vf_set(alpha) * sum;
    if (beta != 0.0f)
        y += vf_set(beta) * (n == BS_LANES ? vf_load(x) : vf_load_part(x, n));
    if (n == BS_LANES)
        vf_store(x, y);
    else
        vf_store_part(x, y, n);
}

/* `rows` rows and n <= BS_LANES * vectors columns of C = A B. Element (i, p) of A is
 * a[i * step_i + p * step_p]. */
static inline __attribute__((always_inline)) void
small_block(int rows, int vectors, const bs_small_product *g, const float *a, int64_t step_i,
            int64_t step_p, const float *b, float *c, int64_t n)
{
    const int64_t last = n - (vectors - 1) * BS_LANES;
    vf sum[SMALL_ROWS][SMALL_VECTORS] = {{{0}}};
    for (int64_t p = 0; p < g->k; p++, b += g->ldb) {
        vf right[SMALL_VECTORS];
        for (int v = 0; v < vectors; v++)
            right[v] = v + 1 < vectors || last == BS_LANES
                           ? vf_load(b + v * BS_LANES)
                           : vf_load_part(b + v * BS_LANES, last);
        for (int i = 0; i < rows; i++) {
            const vf left = vf_set(a[i * step_i + p * step_p]);
            for (int v = 0; v < vectors; v++)
                sum[i][v] += left * right[v];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            small_store(c + i * g->ldc + v * BS_LANES, sum[i][v], g->alpha, g->beta,
                        v + 1 < vectors ? BS_LANES : last);
}

/* All rows of n <= BS_LANES * vectors columns. The columns of B stay in a cache meanwhile. */
static inline __attribute__((always_inline)) void
small_columns(int vectors, const bs_small_product *g, int64_t j, int64_t n)
{
    const int64_t step_i = g->trans_a ? 1 : g->lda, step_p = g->trans_a ? g->lda : 1;
    const float *a = g->a, *b = g->b + j;
    float *c = g->c + j;
    int64_t i = 0;
    for (; g->m - i >= SMALL_ROWS; i += SMALL_ROWS)
        small_block(SMALL_ROWS, vectors, g, a + i * step_i, step_i, step_p, b, c + i * g->ldc, n);
    for (; i < g->m; i++)
        small_block(1, vectors, g, a + i * step_i, step_i, step_p, b, c + i * g->ldc, n);
}

/* `rows` rows and `cols` columns of C = A B^T: products of rows of both. */
static inline __attribute__((always_inline)) void
small_dots(int rows, int cols, const bs_small_product *g, const float *a, const float *b, float *c)
{
    vf sum[SMALL_ROWS][SMALL_VECTORS] = {{{0}}};
    const int64_t whole = g->k / BS_LANES * BS_LANES, rest = g->k - whole;
    for (int64_t p = 0; p < whole; p += BS_LANES) {
        vf left[SMALL_ROWS];
        for (int i = 0; i < rows; i++)
            left[i] = vf_load(a + i * g->lda + p);
        for (int j = 0; j < cols; j++) {
            const vf right = vf_load(b + j * g->ldb + p);
            for (int i = 0; i < rows; i++)
                sum[i][j] += left[i] * right;
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            if (rest > 0)
                sum[i][j] += vf_load_part(a + i * g->lda + whole, rest) *
                             vf_load_part(b + j * g->ldb + whole, rest);
            float *x = c + i * g->ldc + j;
            *x = g->alpha * vf_sum(sum[i][j]) + (g->beta != 0.0f ? g->beta * *x : 0.0f);
        }
}

static inline __attribute__((always_inline)) void
small_columns_of_dots(int cols, const bs_small_product *g, int64_t j)
{
    const float *b = g->b + j * g->ldb;
    float *c = g->c + j;
    int64_t i = 0;
    for (; g->m - i >= SMALL_ROWS; i += SMALL_ROWS)
        small_dots(SMALL_ROWS, cols, g, g->a + i * g->lda, b, c + i * g->ldc);
    for (; i < g->m; i++)
        small_dots(1, cols, g, g->a + i * g->lda, b, c + i * g->ldc);
}

static void small_product(const bs_small_product *g)
{
    const int64_t wide = SMALL_VECTORS * BS_LANES;
    int64_t j = 0;
    if (g->trans_b) {
        for (; g->n - j >= SMALL_VECTORS; j += SMALL_VECTORS)
            small_columns_of_dots(SMALL_VECTORS, g, j);
        for (; j < g->n; j++)
            small_columns_of_dots(1, g, j);
    } else {
        for (; g->n - j >= wide; j += wide)
            small_columns(SMALL_VECTORS, g, j, wide);
        for (; j < g->n; j += BS_LANES)
            small_columns(1, g, j, g->n - j < BS_LANES ? g->n - j : BS_LANES);
    }
}
