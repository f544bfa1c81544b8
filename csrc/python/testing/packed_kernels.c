/* The kernels of packed operands and those below fp32, for kernel_call. Operands are uint8 arrays:
 * left ones (rows, bytes per row), right ones (panels, bytes per panel). kernel_call has already
 * checked that the table has the kernel. */
#include "python/testing/hooks.h"

#include <math.h>

#include "kernels/gemm.h"

static int to_ints(PyObject *o, void *out)
{
    PyArrayObject *a = contiguous(o, NPY_INT32, "int32");
    if (a != NULL)
        *(bytes *)out = (bytes){PyArray_DATA(a), PyArray_SIZE(a), rows_of(a), cols_of(a)};
    return a != NULL;
}

/* Bytes of k elements, zero padding included. */
static npy_intp deep(int64_t elements, npy_intp k)
{
    return (npy_intp)bs_packed_groups(elements, k) * 4;
}

/* (out (rows, ld), x, n) */
static PyObject *call_bf16_rows(const bs_kernels *k, PyObject *args)
{
    bytes out;
    floats x;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "O&O&n", to_bytes, &out, to_floats, &x, &n))
        return NULL;
    if (n < 1 || n > x.cols || out.rows < x.rows || out.cols < deep(BS_BFLOAT16_ELEMENTS, n))
        return no_match();
    k->bf16_rows(out.data, out.cols, x.data, x.rows, n, x.cols);
    Py_RETURN_NONE;
}

static PyObject *call_bf16_rows_transposed(const bs_kernels *k, PyObject *args)
{
    bytes out;
    floats x;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "O&O&n", to_bytes, &out, to_floats, &x, &n))
        return NULL;
    if (n < 1 || n > x.cols || out.rows < n || out.cols < deep(BS_BFLOAT16_ELEMENTS, x.rows))
        return no_match();
    k->bf16_rows_transposed(out.data, out.cols, x.data, x.rows, n, x.cols);
    Py_RETURN_NONE;
}

/* The same from bfloat16: (out (n, ld), x (rows, ld), n) */
static PyObject *call_bf16_rows_transposed_from_bf16(const bs_kernels *k, PyObject *args)
{
    bytes out, x;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "O&O&n", to_bytes, &out, to_bytes, &x, &n))
        return NULL;
    if (n < 1 || 2 * n > x.cols || out.rows < n || out.cols < deep(BS_BFLOAT16_ELEMENTS, x.rows))
        return no_match();
    k->bf16_rows_transposed_from_bf16(out.data, out.cols, x.data, x.rows, n, x.cols);
    Py_RETURN_NONE;
}

/* ---- panels ---- */

typedef void (*panel_from_bf16_kernel)(void *, const void *, int64_t, int64_t, int64_t);

/* (panel, x (k, ld), n) or, transposed, (panel, x (n, ld), k) */
static PyObject *make_panel(const bs_kernels *k, bs_panel_kernel kernel, int64_t elements,
                            int64_t parts, bool transposed, PyObject *args)
{
    bytes out;
    floats x;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "O&O&n", to_bytes, &out, to_floats, &x, &n))
        return NULL;
    if (n < 1 || n > x.cols || (transposed ? x.rows : n) > k->columns ||
        out.size != parts * deep(elements, transposed ? n : x.rows) * k->columns)
        return no_match();
    kernel(out.data, x.data, x.rows, n, x.cols);
    Py_RETURN_NONE;
}

static PyObject *make_panel_from_bf16(const bs_kernels *k, panel_from_bf16_kernel kernel,
                                      bool transposed, PyObject *args)
{
    bytes out, x;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "O&O&n", to_bytes, &out, to_bytes, &x, &n))
        return NULL;
    if (n < 1 || 2 * n > x.cols || (transposed ? x.rows : n) > k->columns ||
        out.size != deep(BS_BFLOAT16_ELEMENTS, transposed ? n : x.rows) * k->columns)
        return no_match();
    kernel(out.data, x.data, x.rows, n, x.cols);
    Py_RETURN_NONE;
}

static PyObject *call_fp32_panel(const bs_kernels *k, PyObject *args)
{
    return make_panel(k, k->fp32_panel, BS_FLOAT32_ELEMENTS, 1, false, args);
}

static PyObject *call_fp32_panel_transposed(const bs_kernels *k, PyObject *args)
{
    return make_panel(k, k->fp32_panel_transposed, BS_FLOAT32_ELEMENTS, 1, true, args);
}

static PyObject *call_parts_panel(const bs_kernels *k, PyObject *args)
{
    return make_panel(k, k->parts_panel, BS_BFLOAT16_ELEMENTS, BS_PARTS, false, args);
}

static PyObject *call_parts_panel_transposed(const bs_kernels *k, PyObject *args)
{
    return make_panel(k, k->parts_panel_transposed, BS_BFLOAT16_ELEMENTS, BS_PARTS, true, args);
}

static PyObject *call_bf16_panel(const bs_kernels *k, PyObject *args)
{
    return make_panel(k, k->bf16_panel, BS_BFLOAT16_ELEMENTS, 1, false, args);
}

static PyObject *call_bf16_panel_transposed(const bs_kernels *k, PyObject *args)
{
    return make_panel(k, k->bf16_panel_transposed, BS_BFLOAT16_ELEMENTS, 1, true, args);
}

static PyObject *call_bf16_panel_from_bf16(const bs_kernels *k, PyObject *args)
{
    return make_panel_from_bf16(k, k->bf16_panel_from_bf16, false, args);
}

static PyObject *call_bf16_panel_transposed_from_bf16(const bs_kernels *k, PyObject *args)
{
    return make_panel_from_bf16(k, k->bf16_panel_transposed_from_bf16, true, args);
}

/* ---- rows rounded to bfloat16 ---- */

/* (out (rows, ld), c (rows, ldc), bias) */
static PyObject *call_bf16_bias_rows(const bs_kernels *k, PyObject *args)
{
    bytes out;
    floats c, bias;
    if (!PyArg_ParseTuple(args, "O&O&O&", to_bytes, &out, to_floats, &c, to_floats, &bias))
        return NULL;
    if (bias.size > c.cols || out.rows < c.rows || out.cols < 2 * bias.size)
        return no_match();
    k->bf16_bias_rows(out.data, out.cols, c.data, c.cols, bias.data, c.rows, bias.size);
    Py_RETURN_NONE;
}

/* (out (rows, ld), u (rows, ld_u) or None, c (rows, ldc), bias, act) */
static PyObject *call_bf16_bias_activation(const bs_kernels *k, PyObject *args)
{
    bytes out;
    floats u, c, bias;
    bs_activation act;
    if (!PyArg_ParseTuple(args, "O&O&O&O&O&", to_bytes, &out, to_floats_or_none, &u, to_floats, &c,
                          to_floats, &bias, to_activation, &act))
        return NULL;
    if (bias.size > c.cols || out.rows < c.rows || out.cols < 2 * bias.size ||
        (u.data != NULL && (u.rows < c.rows || u.cols < bias.size)))
        return no_match();
    k->bf16_bias_activation(out.data, out.cols, u.data, u.cols, c.data, c.cols, bias.data, c.rows,
                            bias.size, act);
    Py_RETURN_NONE;
}

/* (out, s, mask or None, scale): returns the reciprocal of the sum, and log sum exp */
static PyObject *call_bf16_softmax_row(const bs_kernels *k, PyObject *args)
{
    bytes out;
    floats s, mask;
    float scale, reciprocal;
    if (!PyArg_ParseTuple(args, "O&O&O&f", to_bytes, &out, to_floats, &s, to_floats_or_none,
                          &mask, &scale))
        return NULL;
    if (out.size < deep(BS_BFLOAT16_ELEMENTS, s.size) || (mask.data != NULL && mask.size != s.size))
        return no_match();
    const float top = k->bf16_softmax_row(out.data, &reciprocal, s.data, mask.data, scale, s.size);
    return Py_BuildValue("ff", reciprocal, top - logf(reciprocal));
}

/* (out_p, out_d, s, d, mask or None, lse, scale) */
static PyObject *call_bf16_softmax_backward_row(const bs_kernels *k, PyObject *args)
{
    bytes out_p, out_d;
    floats s, d, mask;
    float lse, scale;
    if (!PyArg_ParseTuple(args, "O&O&O&O&O&ff", to_bytes, &out_p, to_bytes, &out_d, to_floats, &s,
                          to_floats, &d, to_floats_or_none, &mask, &lse, &scale))
        return NULL;
    if (out_p.size < deep(BS_BFLOAT16_ELEMENTS, s.size) ||
        out_d.size < deep(BS_BFLOAT16_ELEMENTS, s.size) || d.size != s.size ||
        (mask.data != NULL && mask.size != s.size))
        return no_match();
    k->bf16_softmax_backward_row(out_p.data, out_d.data, s.data, d.data, mask.data, lse, scale,
                                 s.size);
    Py_RETURN_NONE;
}

/* ---- products ---- */

static int product_fits(const bs_kernels *k, npy_intp rows, npy_intp ldc, const bytes *a,
                        const bytes *b, Py_ssize_t cols, Py_ssize_t groups)
{
    return groups > 0 && groups % BS_PACKED_GROUPS == 0 && cols > 0 && cols <= ldc &&
           a->rows >= bs_round_up(rows, BS_PACKED_ROWS) && a->cols >= 4 * groups &&
           b->rows >= bs_panels(k, cols) &&
           b->cols >= 4 * groups * k->columns;
}

/* (c (rows, ldc), a (rows, lda), b, cols, k, add): the left operand needs no padding. A transposed
 * a is (k, lda). */
static PyObject *fp32_call(const bs_kernels *table, bs_product_kernel kernel, bool in_parts,
                           bool transposed, PyObject *args)
{
    floats c, a;
    bytes b;
    Py_ssize_t cols, k;
    int add;
    if (!PyArg_ParseTuple(args, "O&O&O&nnp", to_floats, &c, to_floats, &a, to_bytes, &b, &cols,
                          &k, &add))
        return NULL;
    const int64_t groups = in_parts ? BS_PARTS * bs_packed_groups(BS_BFLOAT16_ELEMENTS, k) : k;
    if (k < 1 || cols < 1 || cols > c.cols || a.rows != (transposed ? k : c.rows) ||
        a.cols < (transposed ? c.rows : k) || b.rows < bs_panels(table, cols) ||
        b.cols < 4 * groups * table->columns)
        return no_match();
    kernel(c.data, c.cols, a.data, 4 * a.cols, b.data, b.cols, c.rows, cols, k, add);
    if (in_parts)
        bs_end_products(table);
    Py_RETURN_NONE;
}

static PyObject *call_fp32_product(const bs_kernels *k, PyObject *args)
{
    return fp32_call(k, k->fp32_product, false, false, args);
}

static PyObject *call_fp32_product_transposed(const bs_kernels *k, PyObject *args)
{
    return fp32_call(k, k->fp32_product_transposed, false, true, args);
}

static PyObject *call_parts_product(const bs_kernels *k, PyObject *args)
{
    return fp32_call(k, k->parts_product, true, false, args);
}

static PyObject *call_parts_product_transposed(const bs_kernels *k, PyObject *args)
{
    return fp32_call(k, k->parts_product_transposed, true, true, args);
}

/* (c (rows, ldc), a, b, cols, groups, add) */
static PyObject *call_bf16_product(const bs_kernels *k, PyObject *args)
{
    floats c;
    bytes a, b;
    Py_ssize_t cols, groups;
    int add;
    if (!PyArg_ParseTuple(args, "O&O&O&nnp", to_floats, &c, to_bytes, &a, to_bytes, &b, &cols,
                          &groups, &add))
        return NULL;
    if (!product_fits(k, c.rows, c.cols, &a, &b, cols, groups))
        return no_match();
    k->bf16_product(c.data, c.cols, a.data, a.cols, b.data, b.cols, c.rows, cols, groups, add);
    bs_end_products(k);
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
    if (!product_fits(k, c.rows, c.cols, &a, &b, cols, groups))
        return no_match();
    k->int8_product((int32_t *)(void *)c.data, c.cols, a.data, a.cols, b.data, b.cols, c.rows,
                    cols, groups, add);
    bs_end_products(k);
    Py_RETURN_NONE;
}

/* (out (rows, ld), u or None, sum or None, of, act, scale, bias or None, a, b, cols, groups), where
 * `of` is as in bs_result */
static PyObject *call_bf16_product_into(const bs_kernels *k, PyObject *args)
{
    bytes out, a, b;
    floats u, sum, bias;
    int of;
    bs_activation act;
    float scale;
    Py_ssize_t cols, groups;
    if (!PyArg_ParseTuple(args, "O&O&O&iO&fO&O&O&nn", to_bytes, &out, to_floats_or_none, &u,
                          to_floats_or_none, &sum, &of, to_activation, &act, &scale,
                          to_floats_or_none, &bias, to_bytes, &a, to_bytes, &b, &cols, &groups))
        return NULL;
    const bool exponential = of == BS_OF_EXP;
    const npy_intp width = exponential ? bs_round_up(cols, k->columns) : cols;
    if (of < BS_OF_BIAS || of > BS_OF_EXP ||
        !product_fits(k, out.rows, out.cols, &a, &b, cols, groups) || out.cols < 2 * width ||
        (exponential ? sum.size < 16 * out.rows : bias.size != cols) ||
        (u.data != NULL && (u.rows < out.rows || u.cols < cols)))
        return no_match();
    const bs_result r = {.of = of, .bf16 = true, .out = (char *)out.data, .ld = out.cols,
                         .bias = bias.data, .act = act, .u = u.data, .ld_u = u.cols,
                         .scale = scale, .sum = sum.data};
    k->bf16_product_into(&r, a.data, a.cols, b.data, b.cols, out.rows, cols, groups);
    Py_RETURN_NONE;
}

/* (out (rows, ld), of, act, bf16, bias or None, row_scale, row_offset, col_scale, col_sum, a, b,
 * groups) */
static PyObject *call_int8_product_into(const bs_kernels *k, PyObject *args)
{
    bytes out, a, b;
    floats bias, row_scale, row_offset, col_scale, col_sum;
    int of, bf16;
    bs_activation act;
    Py_ssize_t groups;
    if (!PyArg_ParseTuple(args, "O&iO&pO&O&O&O&O&O&O&n", to_bytes, &out, &of, to_activation, &act,
                          &bf16,
                          to_floats_or_none, &bias, to_floats, &row_scale, to_floats, &row_offset,
                          to_floats, &col_scale, to_floats, &col_sum, to_bytes, &a, to_bytes, &b,
                          &groups))
        return NULL;
    const npy_intp cols = col_scale.size;
    if (of < BS_OF_NOTHING || of > BS_OF_ACTIVATION ||
        (bf16 && (of != BS_OF_BIAS || k->bf16_product == NULL)) ||
        !product_fits(k, out.rows, out.cols / (bf16 ? 2 : 4), &a, &b, cols, groups) ||
        (of == BS_OF_NOTHING ? bias.data != NULL : bias.size != cols) ||
        row_scale.size != out.rows || row_offset.size != out.rows || col_sum.size != cols)
        return no_match();
    const bs_result r = {.of = of, .bf16 = bf16, .out = (char *)out.data, .ld = out.cols,
                         .bias = bias.data, .act = act};
    const bs_int8_scales by = {row_scale.data, row_offset.data, col_scale.data, col_sum.data};
    k->int8_product_into(&r, &by, a.data, a.cols, b.data, b.cols, out.rows, cols, groups);
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
    if (n < 1 || n > x.cols || out.rows < x.rows || out.cols < deep(k->int8_elements, n) ||
        scale.size != x.rows || offset.size != x.rows)
        return no_match();
    k->int8_rows(out.data, out.cols, scale.data, offset.data, x.data, x.rows, n, x.cols);
    Py_RETURN_NONE;
}

/* (c (rows, ldc) of int32, row_scale, row_offset, col_scale, col_sum): c holds floats after */
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

const bs_kernel_call bs_packed_calls[] = {
    {"fp32_panel", call_fp32_panel},
    {"fp32_panel_transposed", call_fp32_panel_transposed},
    {"fp32_product", call_fp32_product},
    {"fp32_product_transposed", call_fp32_product_transposed},
    {"parts_panel", call_parts_panel},
    {"parts_panel_transposed", call_parts_panel_transposed},
    {"parts_product", call_parts_product},
    {"parts_product_transposed", call_parts_product_transposed},
    {"bf16_rows", call_bf16_rows},
    {"bf16_rows_transposed", call_bf16_rows_transposed},
    {"bf16_rows_transposed_from_bf16", call_bf16_rows_transposed_from_bf16},
    {"bf16_panel", call_bf16_panel},
    {"bf16_panel_transposed", call_bf16_panel_transposed},
    {"bf16_panel_from_bf16", call_bf16_panel_from_bf16},
    {"bf16_panel_transposed_from_bf16", call_bf16_panel_transposed_from_bf16},
    {"bf16_bias_rows", call_bf16_bias_rows},
    {"bf16_bias_activation", call_bf16_bias_activation},
    {"bf16_softmax_row", call_bf16_softmax_row},
    {"bf16_softmax_backward_row", call_bf16_softmax_backward_row},
    {"bf16_product", call_bf16_product},
    {"bf16_product_into", call_bf16_product_into},
    {"int8_rows", call_int8_rows},
    {"int8_product", call_int8_product},
    {"int8_restore", call_int8_restore},
    {"int8_product_into", call_int8_product_into},
    {NULL, NULL},
};
