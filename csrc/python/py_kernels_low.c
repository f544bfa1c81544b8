/* The kernels below fp32, for kernel_call. Operands are uint8 arrays of bytes: left ones (rows,
 * bytes of a row), right ones (panels, bytes of a panel). */
#include "python/py_kernels.h"

#include <string.h>

#include "kernels/gemm.h"

typedef struct {
    char *data;
    npy_intp size, rows, cols;
} bytes;

static int to_array(PyObject *o, int type, const char *wanted, bytes *out)
{
    if (!PyArray_Check(o) || PyArray_TYPE((PyArrayObject *)o) != type ||
        !(PyArray_FLAGS((PyArrayObject *)o) & NPY_ARRAY_C_CONTIGUOUS)) {
        PyErr_Format(PyExc_TypeError, "expected a C-contiguous %s array", wanted);
        return 0;
    }
    PyArrayObject *a = (PyArrayObject *)o;
    const int nd = PyArray_NDIM(a);
    out->data = PyArray_DATA(a);
    out->size = PyArray_SIZE(a);
    out->cols = nd > 0 ? PyArray_DIM(a, nd - 1) : 1;
    out->rows = nd > 1 ? PyArray_DIM(a, 0) : 1;
    return 1;
}

static int to_bytes(PyObject *o, void *out)
{
    return to_array(o, NPY_UINT8, "uint8", out);
}

static int to_ints(PyObject *o, void *out)
{
    return to_array(o, NPY_INT32, "int32", out);
}

/* Bytes of k elements with their zeros. */
static npy_intp deep(bs_precision precision, npy_intp k)
{
    return (npy_intp)bs_low_groups(precision, k) * 4;
}

static PyObject *missing(const bs_kernels *k, const char *name)
{
    PyErr_Format(PyExc_ValueError, "instruction set '%s' has no kernel '%s'", k->name, name);
    return NULL;
}

/* (out (rows, ld), x, n) */
static PyObject *call_bf16_rows(const bs_kernels *k, PyObject *args)
{
    bytes out;
    floats x;
    Py_ssize_t n;
    if (k->bf16_rows == NULL)
        return missing(k, "bf16_rows");
    if (!PyArg_ParseTuple(args, "O&O&n", to_bytes, &out, to_floats, &x, &n))
        return NULL;
    if (n < 1 || n > x.cols || out.rows < x.rows || out.cols < deep(BS_BFLOAT16, n))
        return no_match();
    k->bf16_rows(out.data, out.cols, x.data, x.rows, n, x.cols);
    Py_RETURN_NONE;
}

static PyObject *call_bf16_rows_transposed(const bs_kernels *k, PyObject *args)
{
    bytes out;
    floats x;
    Py_ssize_t n;
    if (k->bf16_rows_transposed == NULL)
        return missing(k, "bf16_rows_transposed");
    if (!PyArg_ParseTuple(args, "O&O&n", to_bytes, &out, to_floats, &x, &n))
        return NULL;
    if (n < 1 || n > x.cols || out.rows < n || out.cols < deep(BS_BFLOAT16, x.rows))
        return no_match();
    k->bf16_rows_transposed(out.data, out.cols, x.data, x.rows, n, x.cols);
    Py_RETURN_NONE;
}

/* (panel, x (k, ld), n) */
static PyObject *call_bf16_panel(const bs_kernels *k, PyObject *args)
{
    bytes out;
    floats x;
    Py_ssize_t n;
    if (k->bf16_panel == NULL)
        return missing(k, "bf16_panel");
    if (!PyArg_ParseTuple(args, "O&O&n", to_bytes, &out, to_floats, &x, &n))
        return NULL;
    if (n < 1 || n > x.cols || n > BS_LOW_COLUMNS ||
        out.size != deep(BS_BFLOAT16, x.rows) * BS_LOW_COLUMNS)
        return no_match();
    k->bf16_panel(out.data, x.data, x.rows, n, x.cols);
    Py_RETURN_NONE;
}

/* (panel, x (n, ld), k) */
static PyObject *call_bf16_panel_transposed(const bs_kernels *k, PyObject *args)
{
    bytes out;
    floats x;
    Py_ssize_t depth;
    if (k->bf16_panel_transposed == NULL)
        return missing(k, "bf16_panel_transposed");
    if (!PyArg_ParseTuple(args, "O&O&n", to_bytes, &out, to_floats, &x, &depth))
        return NULL;
    if (depth < 1 || depth > x.cols || x.rows > BS_LOW_COLUMNS ||
        out.size != deep(BS_BFLOAT16, depth) * BS_LOW_COLUMNS)
        return no_match();
    k->bf16_panel_transposed(out.data, x.data, x.rows, depth, x.cols);
    Py_RETURN_NONE;
}

static int product_fits(npy_intp rows, npy_intp ldc, const bytes *a, const bytes *b,
                        Py_ssize_t cols, Py_ssize_t groups)
{
    return groups > 0 && groups % BS_LOW_GROUPS == 0 && cols > 0 && cols <= ldc &&
           a->rows >= bs_round_up(rows, BS_LOW_ROWS) && a->cols >= 4 * groups &&
           b->rows >= bs_round_up(cols, BS_LOW_COLUMNS) / BS_LOW_COLUMNS &&
           b->cols >= 4 * groups * BS_LOW_COLUMNS;
}

/* (c (rows, ldc), a, b, cols, groups, add) */
static PyObject *call_bf16_product(const bs_kernels *k, PyObject *args)
{
    floats c;
    bytes a, b;
    Py_ssize_t cols, groups;
    int add;
    if (k->bf16_product == NULL)
        return missing(k, "bf16_product");
    if (!PyArg_ParseTuple(args, "O&O&O&nnp", to_floats, &c, to_bytes, &a, to_bytes, &b, &cols,
                          &groups, &add))
        return NULL;
    if (!product_fits(c.rows, c.cols, &a, &b, cols, groups))
        return no_match();
    k->bf16_product(c.data, c.cols, a.data, a.cols, b.data, b.cols, c.rows, cols, groups, add);
    Py_RETURN_NONE;
}

static PyObject *call_int8_product(const bs_kernels *k, PyObject *args)
{
    bytes c, a, b;
    Py_ssize_t cols, groups;
    int add;
    if (!PyArg_ParseTuple(args, "O&O&O&nnp", to_ints, &c, to_bytes, &a, to_bytes, &b, &cols,
                          &groups, &add))
        return NULL;
    if (!product_fits(c.rows, c.cols, &a, &b, cols, groups))
        return no_match();
    k->int8_product((int32_t *)(void *)c.data, c.cols, a.data, a.cols, b.data, b.cols, c.rows,
                    cols, groups, add);
    Py_RETURN_NONE;
}

/* (out, scale, offset, x, n) */
static PyObject *call_int8_rows(const bs_kernels *k, PyObject *args)
{
    bytes out;
    floats scale, offset, x;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "O&O&O&O&n", to_bytes, &out, to_floats, &scale, to_floats,
                          &offset, to_floats, &x, &n))
        return NULL;
    if (n < 1 || n > x.cols || out.rows < x.rows || out.cols < deep(BS_INT8, n) ||
        scale.size != x.rows || offset.size != x.rows)
        return no_match();
    k->int8_rows(out.data, out.cols, scale.data, offset.data, x.data, x.rows, n, x.cols);
    Py_RETURN_NONE;
}

/* (c (rows, ldc) of int32, row_scale, row_offset, col_scale, col_sum): c is floats afterwards */
static PyObject *call_int8_restore(const bs_kernels *k, PyObject *args)
{
    bytes c;
    floats row_scale, row_offset, col_scale, col_sum;
    if (!PyArg_ParseTuple(args, "O&O&O&O&O&", to_ints, &c, to_floats, &row_scale, to_floats,
                          &row_offset, to_floats, &col_scale, to_floats, &col_sum))
        return NULL;
    if (row_scale.size != c.rows || row_offset.size != c.rows || col_scale.size > c.cols ||
        col_sum.size != col_scale.size)
        return no_match();
    k->int8_restore((float *)(void *)c.data, c.cols, c.rows, col_scale.size, row_scale.data,
                    row_offset.data, col_scale.data, col_sum.data);
    Py_RETURN_NONE;
}

/* ---- tiled products ---- */

#define GUARD 256

/* Runs g in scratch of just the size that it asks for, full of NaN before. */
static PyObject *run(const bs_kernels *k, bs_gemm *g, int n_threads)
{
    const size_t size = bs_gemm_scratch(g);
    unsigned char *scratch = PyMem_RawMalloc(size + GUARD);
    if (scratch == NULL)
        return PyErr_NoMemory();
    memset(scratch, 0xff, size + GUARD);
    const bs_gemm_workers workers = {k, n_threads, scratch};
    Py_BEGIN_ALLOW_THREADS
    bs_gemm_run(&workers, g, 1);
    Py_END_ALLOW_THREADS
    int whole = 1;
    for (size_t i = size; i < size + GUARD; i++)
        whole = whole && scratch[i] == 0xff;
    PyMem_RawFree(scratch);
    if (!whole) {
        PyErr_SetString(PyExc_SystemError, "written past the end of the scratch");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* (c, a, b, trans_a, trans_b, beta, n_threads, panels): panels holds b packed, or is None */
static PyObject *call_gemm_bf16(const bs_kernels *k, PyObject *args)
{
    floats c, a, b;
    int trans_a, trans_b, n_threads;
    float beta;
    PyObject *panels_;
    bytes panels = {0};
    if (k->bf16_product == NULL)
        return missing(k, "gemm_bf16");
    if (!PyArg_ParseTuple(args, "O&O&O&ppfiO", to_floats, &c, to_floats, &a, to_floats,
                          &b, &trans_a, &trans_b, &beta, &n_threads, &panels_) ||
        (panels_ != Py_None && !to_bytes(panels_, &panels)))
        return NULL;
    bs_gemm g = {.trans_a = trans_a, .trans_b = trans_b, .m = c.rows, .n = c.cols,
                 .k = trans_a ? a.rows : a.cols, .alpha = 1.0f, .beta = beta, .a = a.data,
                 .b = b.data, .c = c.data, .lda = a.cols, .ldb = b.cols, .ldc = c.cols,
                 .precision = BS_BFLOAT16};
    if (a.size != g.m * g.k || b.size != g.n * g.k || (trans_a ? a.cols : a.rows) != g.m ||
        (trans_b ? b.rows : b.cols) != g.n ||
        (panels.data != NULL &&
         (size_t)panels.size != bs_packed_size(BS_BFLOAT16, g.k, g.n)))
        return no_match();
    const bs_packed packed = {.panels = panels.data};
    g.packed = panels.data != NULL ? &packed : NULL;
    return run(k, &g, n_threads);
}

/* (c, a, panels, scale, sum, n_threads) */
static PyObject *call_gemm_int8(const bs_kernels *k, PyObject *args)
{
    floats c, a, scale, sum;
    bytes panels;
    int n_threads;
    if (!PyArg_ParseTuple(args, "O&O&O&O&O&i", to_floats, &c, to_floats, &a, to_bytes,
                          &panels, to_floats, &scale, to_floats, &sum, &n_threads))
        return NULL;
    const bs_packed packed = {panels.data, scale.data, sum.data};
    bs_gemm g = {.trans_b = true, .m = c.rows, .n = c.cols, .k = a.cols, .alpha = 1.0f,
                 .a = a.data, .c = c.data, .lda = a.cols, .ldc = c.cols, .precision = BS_INT8,
                 .packed = &packed};
    if (a.rows != g.m || scale.size != g.n || sum.size != g.n ||
        (size_t)panels.size != bs_packed_size(BS_INT8, g.k, g.n))
        return no_match();
    return run(k, &g, n_threads);
}

const bs_kernel_call bs_low_calls[] = {
    {"bf16_rows", call_bf16_rows},
    {"bf16_rows_transposed", call_bf16_rows_transposed},
    {"bf16_panel", call_bf16_panel},
    {"bf16_panel_transposed", call_bf16_panel_transposed},
    {"bf16_product", call_bf16_product},
    {"int8_rows", call_int8_rows},
    {"int8_product", call_int8_product},
    {"int8_restore", call_int8_restore},
    {"gemm_bf16", call_gemm_bf16},
    {"gemm_int8", call_gemm_int8},
};

const size_t bs_low_call_count = sizeof bs_low_calls / sizeof *bs_low_calls;
