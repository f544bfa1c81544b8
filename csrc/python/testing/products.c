/* The tiled product of unpacked operands, by small products or the BLAS. Gradients of weights pack
 * an operand if there is AVX2. This function and those below accept the number of runs as an optional last
 * argument, and then return seconds. */
#include "python/testing/hooks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/gemm.h"

#define GUARD 256

/* Allocates `size` bytes of 0xff, followed by a guard area that reveals an overrun. Aligned as an
 * arena is: tiles that straddle cache lines take twice as long. */
static unsigned char *guarded(size_t size)
{
    void *block = NULL;
    if (posix_memalign(&block, 64, size + GUARD) != 0)
        return NULL;
    memset(block, 0xff, size + GUARD);
    return block;
}

static bool is_whole(const unsigned char *block, size_t size)
{
    for (size_t i = size; i < size + GUARD; i++)
        if (block[i] != 0xff)
            return false;
    return true;
}

typedef struct {
    float *c;
    int64_t ldc;
} destination;

static void keep(const void *arg, const float *c, int64_t ldc, int64_t row, int64_t rows,
                 int64_t col, int64_t cols)
{
    const destination *to = arg;
    for (int64_t i = 0; i < rows; i++)
        memcpy(to->c + (row + i) * to->ldc + col, c + i * ldc, (size_t)cols * sizeof(float));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Runs g in scratch of exactly the size that it asks for. If `times` is not 0, runs it that often
 * and returns the seconds of the fastest run. Only the epilogue sees a transient result; it copies
 * it to where c was. */
static PyObject *run(const bs_kernels *k, bs_gemm *g, int n_threads, int transient, int times)
{
    PyObject *result = NULL;
    double best = INFINITY;
    const destination to = {g->c, g->ldc};
    const size_t size = bs_gemm_scratch(k, g);
    const size_t tile = BS_GEMM_TILE * sizeof(float), tiles = (size_t)n_threads * tile;
    unsigned char *scratch = guarded(size), *strips = guarded(tiles);
    if (scratch == NULL || strips == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    if (transient) {
        g->transient = true;
        g->c = NULL;
        g->epilogue = keep;
        g->epilogue_arg = &to;
    }
    const bs_gemm_workers workers = {k, n_threads, scratch, (float *)(void *)strips, BS_GEMM_TILE};
    Py_BEGIN_ALLOW_THREADS
    for (int i = 0; i == 0 || i < times; i++) {
        const double began = now();
        bs_gemm_run(&workers, g, 1);
        const double took = now() - began;
        best = took < best ? took : best;
    }
    Py_END_ALLOW_THREADS
    if (is_whole(scratch, size) && is_whole(strips, tiles))
        result = times > 0 ? PyFloat_FromDouble(best) : Py_NewRef(Py_None);
    else
        PyErr_SetString(PyExc_SystemError, "written past the end of the scratch");
done:
    free(scratch);
    free(strips);
    return result;
}

/* The tiled product of unpacked operands, by small products or the BLAS. Gradients of weights pack
 * an operand if there is AVX2. This function and those below accept the number of runs as an optional last
 * argument, and then return seconds. */
static PyObject *call_gemm(const bs_kernels *k, PyObject *args)
{
    floats c, a, b;
    int trans_a, trans_b, n_threads, times = 0;
    float alpha, beta;
    if (!PyArg_ParseTuple(args, "O&O&O&ppffi|i", to_floats, &c, to_floats, &a, to_floats, &b,
                          &trans_a, &trans_b, &alpha, &beta, &n_threads, &times))
        return NULL;
    bs_gemm g = {.trans_a = trans_a, .trans_b = trans_b, .m = c.rows, .n = c.cols,
                 .k = trans_a ? a.rows : a.cols, .alpha = alpha, .beta = beta, .a = a.data,
                 .b = b.data, .c = c.data, .lda = a.cols, .ldb = b.cols, .ldc = c.cols,
                 /* like the gradients of weights */
                 .packs = trans_a && !trans_b && alpha == 1.0f &&
                          (beta == 0.0f || beta == 1.0f)};
    if (a.size != g.m * g.k || b.size != g.n * g.k || (trans_a ? a.cols : a.rows) != g.m ||
        (trans_b ? b.rows : b.cols) != g.n)
        return no_match();
    return run(k, &g, n_threads, false, times);
}

/* (c, a, panels, beta, n_threads, transient) */
static PyObject *call_gemm_fp32(const bs_kernels *k, PyObject *args)
{
    floats c, a;
    bytes panels;
    int n_threads, transient, times = 0;
    float beta;
    if (k->fp32_product == NULL)
        return bs_no_kernel(k, "gemm_fp32");
    if (!PyArg_ParseTuple(args, "O&O&O&fip|i", to_floats, &c, to_floats, &a, to_bytes, &panels,
                          &beta, &n_threads, &transient, &times))
        return NULL;
    const bs_packed packed = {.panels = panels.data};
    bs_gemm g = {.trans_b = true, .m = c.rows, .n = c.cols, .k = a.cols, .alpha = 1.0f,
                 .beta = beta, .a = a.data, .c = c.data, .lda = a.cols, .ldc = c.cols,
                 .precision = BS_FLOAT32, .packed = &packed};
    if (a.rows != g.m || (size_t)panels.size != bs_packed_size(k, BS_FLOAT32, g.k, g.n))
        return no_match();
    return run(k, &g, n_threads, transient, times);
}

/* (c, a, b, trans_a, trans_b, beta, n_threads, panels, transient): panels
 * holds b packed, or is None */
static PyObject *call_gemm_bf16(const bs_kernels *k, PyObject *args)
{
    floats c, a, b;
    int trans_a, trans_b, n_threads, transient, times = 0;
    float beta;
    PyObject *panels_;
    bytes panels = {0};
    if (k->bf16_product == NULL)
        return bs_no_kernel(k, "gemm_bf16");
    if (!PyArg_ParseTuple(args, "O&O&O&ppfiOp|i", to_floats, &c, to_floats, &a, to_floats,
                          &b, &trans_a, &trans_b, &beta, &n_threads, &panels_,
                          &transient, &times) ||
        (panels_ != Py_None && !to_bytes(panels_, &panels)))
        return NULL;
    bs_gemm g = {.trans_a = trans_a, .trans_b = trans_b, .m = c.rows, .n = c.cols,
                 .k = trans_a ? a.rows : a.cols, .alpha = 1.0f, .beta = beta, .a = a.data,
                 .b = b.data, .c = c.data, .lda = a.cols, .ldb = b.cols, .ldc = c.cols,
                 .precision = BS_BFLOAT16};
    if (a.size != g.m * g.k || b.size != g.n * g.k || (trans_a ? a.cols : a.rows) != g.m ||
        (trans_b ? b.rows : b.cols) != g.n ||
        (panels.data != NULL &&
         (size_t)panels.size != bs_packed_size(k, BS_BFLOAT16, g.k, g.n)))
        return no_match();
    const bs_packed packed = {.panels = panels.data};
    g.packed = panels.data != NULL ? &packed : NULL;
    return run(k, &g, n_threads, transient, times);
}

/* (c, a, panels, scale, sum, n_threads, transient) */
static PyObject *call_gemm_int8(const bs_kernels *k, PyObject *args)
{
    floats c, a, scale, sum;
    bytes panels;
    int n_threads, transient, times = 0;
    if (!PyArg_ParseTuple(args, "O&O&O&O&O&ip|i", to_floats, &c, to_floats, &a, to_bytes,
                          &panels, to_floats, &scale, to_floats, &sum, &n_threads,
                          &transient, &times))
        return NULL;
    const bs_packed packed = {panels.data, scale.data, sum.data};
    bs_gemm g = {.trans_b = true, .m = c.rows, .n = c.cols, .k = a.cols, .alpha = 1.0f,
                 .a = a.data, .c = c.data, .lda = a.cols, .ldc = c.cols, .precision = BS_INT8,
                 .packed = &packed};
    if (a.rows != g.m || scale.size != g.n || sum.size != g.n ||
        (size_t)panels.size != bs_packed_size(k, BS_INT8, g.k, g.n))
        return no_match();
    return run(k, &g, n_threads, transient, times);
}

const bs_kernel_call bs_gemm_calls[] = {
    {"gemm", call_gemm},
    {"gemm_fp32", call_gemm_fp32},
    {"gemm_bf16", call_gemm_bf16},
    {"gemm_int8", call_gemm_int8},
    {NULL, NULL},
};
