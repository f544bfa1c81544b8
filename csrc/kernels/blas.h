/* The OpenBLAS functions that are used, under the prefix that its build gave them, and products by
 * OpenBLAS that never end the process for lack of memory. */
#ifndef BS_KERNELS_BLAS_H
#define BS_KERNELS_BLAS_H

#include "core/status.h"
#include "kernels/kernels.h"

#ifdef BS_BLAS_PREFIX
#define BS_BLAS_JOIN2(a, b) a##b
#define BS_BLAS_JOIN(a, b) BS_BLAS_JOIN2(a, b)
#define BS_BLAS(name) BS_BLAS_JOIN(BS_BLAS_PREFIX, name)
#else
#define BS_BLAS(name) name
#endif

enum { BS_BLAS_ROW_MAJOR = 101, BS_BLAS_PLAIN = 111, BS_BLAS_TRANSPOSED = 112 };

void BS_BLAS(cblas_sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                          const float *a, int lda, const float *b, int ldb, float beta, float *c,
                          int ldc);
void BS_BLAS(openblas_set_num_threads)(int n);
char *BS_BLAS(openblas_get_config)(void);
char *BS_BLAS(openblas_get_corename)(void);

/* Lets OpenBLAS allocate its first buffer, once per process. Afterwards, bs_blas_product always
 * succeeds. */
bs_status bs_blas_reserve(bs_error *e);

/* Computes a product in the calling thread. If there is no memory for another buffer, callers share
 * those that exist, and take turns. */
void bs_blas_product(const bs_small_product *g);

#endif
