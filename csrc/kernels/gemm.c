#include "kernels/gemm.h"

#include <stddef.h>

#include "core/pool.h"
#include "kernels/blas.h"

/* A tile of C with its panels of A and B is worked on in the second-level cache.
 * Larger tiles waste less on packing, smaller ones share out better. */
#define TILE_ROWS 512
#define TILE_COLS 768
#define MIN_TILES 8
#define MIN_SIDE 64

void bs_gemm_small(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                   const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                   int64_t ldc)
{
    bs_fork_hold(); /* the BLAS takes a lock to find its buffers */
    BS_BLAS(cblas_sgemm)
    (BS_BLAS_ROW_MAJOR, trans_a ? BS_BLAS_TRANSPOSED : BS_BLAS_PLAIN,
     trans_b ? BS_BLAS_TRANSPOSED : BS_BLAS_PLAIN, (int)m, (int)n, (int)k, alpha, a, (int)lda, b,
     (int)ldb, beta, c, (int)ldc);
    bs_fork_release();
}

/* Even cuts, halving the longer side until there are enough to share out. */
static void cut(bs_gemm *g)
{
    g->tiles_m = (g->m + TILE_ROWS - 1) / TILE_ROWS;
    g->tiles_n = (g->n + TILE_COLS - 1) / TILE_COLS;
    while (g->tiles_m * g->tiles_n < MIN_TILES) {
        const int64_t rows = g->m / g->tiles_m, cols = g->n / g->tiles_n;
        if (rows < 2 * MIN_SIDE && cols < 2 * MIN_SIDE)
            break;
        if (rows >= cols)
            g->tiles_m *= 2;
        else
            g->tiles_n *= 2;
    }
}

/* Where part i of `parts` of `size` begins: a multiple of 16, but for the end. */
static int64_t boundary(int64_t size, int64_t parts, int64_t i)
{
    if (i >= parts)
        return size;
    const int64_t at = size * i / parts;
    return at - at % 16;
}

static void gemm_tile(void *group, int64_t task, int worker)
{
    const bs_gemm *g = group;
    (void)worker;
    while (task >= g->tiles_m * g->tiles_n) {
        task -= g->tiles_m * g->tiles_n;
        g++;
    }
    const int64_t i = task / g->tiles_n, j = task % g->tiles_n;
    const int64_t row = boundary(g->m, g->tiles_m, i);
    const int64_t col = boundary(g->n, g->tiles_n, j);
    const int64_t rows = boundary(g->m, g->tiles_m, i + 1) - row;
    const int64_t cols = boundary(g->n, g->tiles_n, j + 1) - col;
    if (rows <= 0 || cols <= 0)
        return;
    bs_gemm_small(g->trans_a, g->trans_b, rows, cols, g->k, g->alpha,
                  g->a + (g->trans_a ? row : row * g->lda), g->lda,
                  g->b + (g->trans_b ? col * g->ldb : col), g->ldb, g->beta,
                  g->c + row * g->ldc + col, g->ldc);
    if (g->epilogue != NULL)
        g->epilogue(g->epilogue_arg, row, rows, col, cols);
}

void bs_gemm_run(int n_threads, bs_gemm *group, int count)
{
    int64_t tasks = 0;
    for (int i = 0; i < count; i++) {
        cut(&group[i]);
        tasks += group[i].tiles_m * group[i].tiles_n;
    }
    bs_pool_run(n_threads, tasks, gemm_tile, group);
}
