/* Matrix products, cut into tiles that the pool works through: fp32 by the BLAS or, where the right
 * operand is packed, by kernels of our own, as bfloat16 and int8 always are.
 *
 * The cut depends on the sizes alone, and each element is summed by one task in one order, so
 * the bits do not depend on the number of threads. */
#ifndef BS_KERNELS_GEMM_H
#define BS_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* Called by the task that has just computed C[row .. row + rows, col .. col + cols], of which c is
 * the first element. */
typedef void (*bs_epilogue)(const void *arg, const float *c, int64_t ldc, int64_t row,
                            int64_t rows, int64_t col, int64_t cols);

/* A bfloat16 matrix whose rows can be the left operand of a product: ld bytes apart, zeros behind
 * the last element, BS_LOW_ROWS rows more than there are. */
typedef struct {
    char *data; /* NULL: there is none */
    int64_t ld;
} bs_low_rows;

/* A right operand packed once, see kernels/kernels.h; its columns are the rows of a weight (n, k)
 * or, for the way back, the columns of one. */
typedef struct {
    void *panels;
    float *scale, *sum; /* (n,) of int8: w = scale * panels; the sums of the columns of panels */
} bs_packed;

/* C (m, n) = alpha op(A) (m, k) op(B) (k, n) + beta C, all row-major. */
typedef struct {
    bool trans_a, trans_b;
    int64_t m, n, k;
    float alpha, beta;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc;
    bs_epilogue epilogue; /* or NULL */
    const void *epilogue_arg;

    /* Without the BLAS, which is below fp32 and where B is or gets packed, alpha is 1 and beta 0 or
     * 1. Below fp32 A is converted anew; B too, unless `packed` holds it. int8 takes A as it is, B
     * packed, and beta 0; fp32 takes A as it is. */
    bs_precision precision;
    const bs_packed *packed;
    bool packs; /* in fp32 B is packed anew if the kernels can; trans_a, and not trans_b */
    bs_low_rows ready; /* A, if it is bfloat16 already; `a` is not read then */
    bool transient;    /* C is only there for the epilogue: in the worker's scratch, c is NULL */
    /* What is to become of C; NULL: nothing. Where it is transient that is bfloat16, and there is no
     * epilogue; otherwise float, by kernels that can or else by the epilogue. */
    const bs_result *into;

    /* set by bs_gemm_run */
    /* rows and columns of tiles, and rows in the last column: more where these get lower */
    int64_t tiles_m, tiles_n, tiles_last;
    struct {
        char *a, *b; /* the operands, rows lda and panels ld_panel bytes apart */
        float *row_scale, *row_offset;
        int64_t lda, ld_panel, groups;
        int64_t units_a, units_b; /* tasks that convert them */
    } low;
} bs_gemm;

/* What a call runs on; scratch holds at least what bs_gemm_scratch says of the group. */
typedef struct {
    const bs_kernels *kernels;
    int n_threads;
    void *scratch;
    float *tiles;     /* for transient results: BS_GEMM_TILE floats for each worker, */
    int64_t ld_tiles; /* that far apart */
} bs_gemm_workers;

/* Columns of a transient tile, and its floats. */
#define BS_GEMM_TILE_COLS 416
#define BS_GEMM_TILE (64 * BS_GEMM_TILE_COLS)

/* Runs `count` independent products as one set of tasks. */
void bs_gemm_run(const bs_gemm_workers *w, bs_gemm *group, int count);

/* Bytes of scratch that one product takes, more than none only below fp32. */
size_t bs_gemm_scratch(const bs_kernels *kernels, const bs_gemm *g);

/* Bytes of a packed right operand (k, n). */
size_t bs_packed_size(const bs_kernels *kernels, bs_precision precision, int64_t k, int64_t n);

/* What packs panels of right operands of fp32 or bfloat16. */
static inline bs_panel_kernel bs_panel_of(const bs_kernels *kernels, bs_precision precision,
                                          bool transposed)
{
    if (precision == BS_BFLOAT16)
        return transposed ? kernels->bf16_panel_transposed : kernels->bf16_panel;
    if (kernels->parts_product != NULL)
        return transposed ? kernels->parts_panel_transposed : kernels->parts_panel;
    return transposed ? kernels->fp32_panel_transposed : kernels->fp32_panel;
}

/* One product in the calling thread, uncut, in fp32. */
void bs_gemm_small(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                   const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                   int64_t ldc);

static inline int64_t bs_round_up(int64_t x, int64_t to)
{
    return (x + to - 1) / to * to;
}

/* Panels of a right operand of n columns. */
static inline int64_t bs_panels(const bs_kernels *kernels, int64_t n)
{
    return (n + kernels->columns - 1) / kernels->columns;
}

/* Columns that the panel has which begins at column `first` of n. */
static inline int64_t bs_panel_columns(const bs_kernels *kernels, int64_t n, int64_t first)
{
    return n - first < kernels->columns ? n - first : kernels->columns;
}

/* Bytes from row to row of a left operand of `groups` groups: an odd number of cache lines, so that
 * rows spread over the cache's sets. */
static inline int64_t bs_low_ld(int64_t groups)
{
    return 4 * groups + (groups / BS_LOW_GROUPS % 2 == 0 ? 64 : 0);
}

/* Elements of a group of 4 bytes. */
static inline int64_t bs_low_elements(const bs_kernels *kernels, bs_precision precision)
{
    return precision == BS_FLOAT32    ? BS_FLOAT32_ELEMENTS
           : precision == BS_BFLOAT16 ? BS_BFLOAT16_ELEMENTS
                                      : kernels->int8_elements;
}

/* Groups of so many elements along k, zeros included. */
static inline int64_t bs_low_groups(int64_t elements, int64_t k)
{
    return elements == BS_FLOAT32_ELEMENTS
               ? k
               : bs_round_up((k + elements - 1) / elements, BS_LOW_GROUPS);
}

/* Groups of a panel of a packed right operand. */
static inline int64_t bs_panel_groups(const bs_kernels *kernels, bs_precision precision, int64_t k)
{
    return precision == BS_FLOAT32 && kernels->parts_product != NULL
               ? BS_PARTS * bs_low_groups(BS_BFLOAT16_ELEMENTS, k)
               : bs_low_groups(bs_low_elements(kernels, precision), k);
}

#endif
