/* The one function of the BLAS that the engine needs, for kernels without products of their own.
 * OpenBLAS is not built with ThreadSanitizer, so it would hide what products read and write. This
 * one reports whole rows; instrumenting each element would take most of the time. */
#include <stddef.h>
#include <string.h>

#include "kernels/blas.h"

#ifdef __SANITIZE_THREAD__
void __tsan_read_range(void *at, long size);
void __tsan_write_range(void *at, long size);
#define READS(at, n) __tsan_read_range((void *)(at), (long)sizeof(float) * (long)(n))
#define WRITES(at, n) __tsan_write_range((void *)(at), (long)sizeof(float) * (long)(n))
#define UNSEEN __attribute__((no_sanitize_thread))
#else
#define READS(at, n) (void)0
#define WRITES(at, n) (void)0
#define UNSEEN
#endif

UNSEEN static void multiply_row(float *c, const float *a, int step_a, const float *b, int step_row,
                                int step_col, int n, int k, float alpha, float beta)
{
    for (int j = 0; j < n; j++) {
        float sum = 0.0f;
        for (int p = 0; p < k; p++)
            sum += a[(size_t)p * (size_t)step_a]
                   * b[(size_t)p * (size_t)step_row + (size_t)j * (size_t)step_col];
        c[j] = alpha * sum + (beta == 0.0f ? 0.0f : beta * c[j]);
    }
}

void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                 const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc)
{
    const int by_column = trans_a == BS_BLAS_TRANSPOSED, by_row = trans_b == BS_BLAS_TRANSPOSED;
    (void)order;
    for (int i = 0; i < (by_column ? k : m); i++)
        READS(a + (size_t)i * (size_t)lda, by_column ? m : k);
    for (int i = 0; i < (by_row ? n : k); i++)
        READS(b + (size_t)i * (size_t)ldb, by_row ? k : n);
    for (int i = 0; i < m; i++) {
        WRITES(c + (size_t)i * (size_t)ldc, n);
        multiply_row(c + (size_t)i * (size_t)ldc, by_column ? a + i : a + (size_t)i * (size_t)lda,
                     by_column ? lda : 1, b, by_row ? 1 : ldb, by_row ? ldb : 1, n, k, alpha, beta);
    }
}
