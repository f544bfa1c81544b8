/* The few calls of OpenBLAS that are used, under whatever prefix its build gave them. */
#ifndef BS_KERNELS_BLAS_H
#define BS_KERNELS_BLAS_H

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

#endif
