/* Matrix products in fp32, cut into tiles that the pool works through.
 *
 * The cut depends on the sizes alone, and each element is summed by one call, so
 * the bits do not depend on the number of threads. */
#ifndef BS_KERNELS_GEMM_H
#define BS_KERNELS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/* Called by the task that has just computed C[row .. row + rows, col .. col + cols]. */
typedef void (*bs_epilogue)(const void *arg, int64_t row, int64_t rows, int64_t col, int64_t cols);

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
    /* set by bs_gemm_run */
    int64_t tiles_m, tiles_n;
} bs_gemm;

/* Runs `count` independent products as one set of tasks. */
void bs_gemm_run(int n_threads, bs_gemm *group, int count);

/* One product in the calling thread, uncut. */
void bs_gemm_small(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                   const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                   int64_t ldc);

#endif
