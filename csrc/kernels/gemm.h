/* Matrix products, cut into tiles that the pool works through. Without AVX2, the BLAS computes fp32;
 * our own kernels compute everything else.
 *
 * The cut depends on the sizes alone, and each element is summed by one task in a fixed order, so
 * the results are bit-identical for any number of threads. */
#ifndef BS_KERNELS_GEMM_H
#define BS_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* Called by the task that has just computed C[row .. row + rows, col .. col + cols]; c points to
 * the first element. */
typedef void (*bs_epilogue)(const void *arg, const float *c, int64_t ldc, int64_t row,
                            int64_t rows, int64_t col, int64_t cols);

/* A bfloat16 matrix whose rows can be the left operand of a product. Rows are ld bytes apart and
 * padded with zeros, and there is room for BS_PACKED_ROWS more of them. */
typedef struct {
    char *data; /* NULL if there is none */
    int64_t ld;
} bs_bf16_matrix;

/* A right operand packed once, see kernels/kernels.h. Its columns are the rows of a weight (n, k)
 * or, in the backward pass, the columns. */
typedef struct {
    void *panels;
    float *scale, *sum; /* (n,) for int8: w = scale * panels; sums of the columns of panels */
} bs_packed;

/* C (m, n) = alpha op(A) (m, k) op(B) (k, n) + beta C, all row-major. */
typedef struct {
    bool trans_a, trans_b;
    int64_t m, n, k;
    float alpha, beta;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc;
    bs_epilogue epilogue; /* may be NULL */
    const void *epilogue_arg;

    /* Below fp32, and in fp32 where B is packed, alpha is 1 and beta is 0 or 1.
     * Below fp32, A is converted on each call, and so is B unless `packed` holds it. int8 needs A
     * not transposed, B packed, and beta 0. fp32 reads A in place. */
    bs_precision precision;
    const bs_packed *packed;
    bool packs; /* in fp32, pack B on each call if the kernels can; needs trans_a, not trans_b */
    bs_bf16_matrix ready; /* A, if it is already bfloat16; `a` is then not read */
    bool transient;    /* C exists only for the epilogue, in the worker's scratch; c is NULL */
    /* The epilogue to fuse; NULL: none. If C is transient, the result is bfloat16 and `epilogue` is
     * NULL. Otherwise it is float, computed by kernels that can fuse it or else by `epilogue`. */
    const bs_result *into;

    /* set by bs_gemm_run */
    /* tiles down and across, and tiles down the last column: more, where they get lower */
    int64_t tiles_m, tiles_n, tiles_last;
    struct {
        char *a, *b; /* the operands; rows are lda and panels ld_panel bytes apart */
        float *row_scale, *row_offset;
        int64_t lda, ld_panel, groups;
        int64_t units_a, units_b; /* number of tasks that convert them */
    } operands;
} bs_gemm;

/* What a call runs on. `scratch` has at least the bs_gemm_scratch bytes of the group. */
typedef struct {
    const bs_kernels *kernels;
    int n_threads;
    void *scratch;
    float *tiles;     /* for transient results: BS_GEMM_TILE floats per worker */
    int64_t ld_tiles; /* distance between those of two workers */
} bs_gemm_workers;

/* Columns and floats of a transient tile. */
#define BS_GEMM_TILE_COLS 416
#define BS_GEMM_TILE (64 * BS_GEMM_TILE_COLS)

/* Runs `count` independent products as one set of tasks. */
void bs_gemm_run(const bs_gemm_workers *w, bs_gemm *group, int count);

/* Bytes of scratch for the operands that one product converts or packs. */
size_t bs_gemm_scratch(const bs_kernels *kernels, const bs_gemm *g);

/* Bytes of a packed right operand (k, n). */
size_t bs_packed_size(const bs_kernels *kernels, bs_precision precision, int64_t k, int64_t n);

/* The kernel that packs panels of fp32 or bfloat16. */
static inline bs_panel_kernel bs_panel_of(const bs_kernels *kernels, bs_precision precision,
                                          bool transposed)
{
    if (precision == BS_BFLOAT16)
        return transposed ? kernels->bf16_panel_transposed : kernels->bf16_panel;
    if (kernels->parts_product != NULL)
        return transposed ? kernels->parts_panel_transposed : kernels->parts_panel;
    return transposed ? kernels->fp32_panel_transposed : kernels->fp32_panel;
}

/* Computes one fp32 product in the calling thread, without cutting it. */
void bs_gemm_small(const bs_kernels *kernels, const bs_small_product *g);

static inline int64_t bs_round_up(int64_t x, int64_t to)
{
    return (x + to - 1) / to * to;
}

/* Number of panels of a right operand with n columns. */
static inline int64_t bs_panels(const bs_kernels *kernels, int64_t n)
{
    return (n + kernels->columns - 1) / kernels->columns;
}

/* Columns of the panel that begins at column `first` of n. */
static inline int64_t bs_panel_columns(const bs_kernels *kernels, int64_t n, int64_t first)
{
    return n - first < kernels->columns ? n - first : kernels->columns;
}

/* Bytes between the rows of a left operand of `groups` groups: an odd number of cache lines, so
 * that rows spread over the sets of the cache. */
static inline int64_t bs_left_ld(int64_t groups)
{
    return 4 * groups + (groups / BS_PACKED_GROUPS % 2 == 0 ? 64 : 0);
}

/* Elements per group of 4 bytes. */
static inline int64_t bs_group_elements(const bs_kernels *kernels, bs_precision precision)
{
    return precision == BS_FLOAT32    ? BS_FLOAT32_ELEMENTS
           : precision == BS_BFLOAT16 ? BS_BFLOAT16_ELEMENTS
                                      : kernels->int8_elements;
}

/* Groups for k elements, zero padding included. */
static inline int64_t bs_packed_groups(int64_t elements, int64_t k)
{
    return elements == BS_FLOAT32_ELEMENTS
               ? k
               : bs_round_up((k + elements - 1) / elements, BS_PACKED_GROUPS);
}

/* Groups of a panel of a packed right operand. */
static inline int64_t bs_panel_groups(const bs_kernels *kernels, bs_precision precision, int64_t k)
{
    return precision == BS_FLOAT32 && kernels->parts_product != NULL
               ? BS_PARTS * bs_packed_groups(BS_BFLOAT16_ELEMENTS, k)
               : bs_packed_groups(bs_group_elements(kernels, precision), k);
}

#endif
