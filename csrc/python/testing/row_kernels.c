/* The row-wise kernels, for kernel_call. */
#include "python/testing/hooks.h"

static PyObject *call_dropout_mask(const bs_kernels *k, PyObject *args)
{
    floats mask;
    unsigned long long key;
    bs_dropout_row r;
    if (!PyArg_ParseTuple(args, "O&KIIII", to_floats, &mask, &key, &r.row, &r.site, &r.head,
                          &r.threshold))
        return NULL;
    r.key = key;
    k->dropout_mask(mask.data, &r, mask.size);
    Py_RETURN_NONE;
}

static PyObject *call_bias_add(const bs_kernels *k, PyObject *args)
{
    floats x, bias;
    if (!PyArg_ParseTuple(args, "O&O&", to_floats, &x, to_floats, &bias))
        return NULL;
    if (bias.size > x.cols)
        return no_match();
    k->bias_add(x.data, bias.data, x.rows, bias.size, x.cols);
    Py_RETURN_NONE;
}

static PyObject *call_either_bias_activation(bool to_round, const bs_kernels *k, PyObject *args)
{
    floats a, u, bias;
    bs_activation act;
    if (!PyArg_ParseTuple(args, "O&O&O&O&", to_floats, &a, to_floats, &u, to_floats, &bias,
                          to_activation, &act))
        return NULL;
    if (a.size != u.size || a.cols != u.cols || bias.size > u.cols)
        return no_match();
    (to_round ? k->bias_activation_to_round : k->bias_activation)(
        a.data, u.data, bias.data, u.rows, bias.size, u.cols, act);
    Py_RETURN_NONE;
}

static PyObject *call_bias_activation(const bs_kernels *k, PyObject *args)
{
    return call_either_bias_activation(false, k, args);
}

static PyObject *call_bias_activation_to_round(const bs_kernels *k, PyObject *args)
{
    return call_either_bias_activation(true, k, args);
}

static PyObject *call_activation_backward(const bs_kernels *k, PyObject *args)
{
    floats a, d, u;
    Py_ssize_t n;
    bs_activation act;
    if (!PyArg_ParseTuple(args, "O&O&O&nO&", to_floats, &a, to_floats, &d, to_floats, &u, &n,
                          to_activation, &act))
        return NULL;
    if (a.size != u.size || d.size != u.size || a.cols != u.cols || n > u.cols || n < 0)
        return no_match();
    k->activation_backward(a.data, d.data, u.data, u.rows, n, u.cols, act);
    Py_RETURN_NONE;
}

static PyObject *call_residual_row(const bs_kernels *k, PyObject *args)
{
    floats z, y, bias, mask, residual;
    if (!PyArg_ParseTuple(args, "O&O&O&O&O&", to_floats, &z, to_floats, &y, to_floats, &bias,
                          to_floats_or_none, &mask, to_floats, &residual))
        return NULL;
    if (z.size != y.size || bias.size != y.size || residual.size != y.size ||
        (mask.data != NULL && mask.size != y.size))
        return no_match();
    k->residual_row(z.data, y.data, bias.data, mask.data, residual.data, y.size);
    Py_RETURN_NONE;
}

static PyObject *call_layernorm_row(const bs_kernels *k, PyObject *args)
{
    floats y, x, gamma, beta;
    float eps, mean, rstd;
    if (!PyArg_ParseTuple(args, "O&O&O&O&f", to_floats, &y, to_floats, &x, to_floats, &gamma,
                          to_floats, &beta, &eps))
        return NULL;
    if (y.size != x.size || gamma.size != x.size || beta.size != x.size)
        return no_match();
    k->layernorm_row(y.data, &mean, &rstd, x.data, gamma.data, beta.data, x.size, eps);
    return Py_BuildValue("ff", mean, rstd);
}

static PyObject *call_layernorm_backward_row(const bs_kernels *k, PyObject *args)
{
    floats d_x, d_gamma, d_beta, d_y, x, gamma;
    float mean, rstd;
    if (!PyArg_ParseTuple(args, "O&O&O&O&O&O&ff", to_floats, &d_x, to_floats, &d_gamma, to_floats,
                          &d_beta, to_floats, &d_y, to_floats, &x, to_floats, &gamma, &mean,
                          &rstd))
        return NULL;
    if (d_x.size != x.size || d_gamma.size != x.size || d_beta.size != x.size ||
        d_y.size != x.size || gamma.size != x.size)
        return no_match();
    k->layernorm_backward_row(d_x.data, d_gamma.data, d_beta.data, d_y.data, x.data, gamma.data,
                              mean, rstd, x.size);
    Py_RETURN_NONE;
}

static PyObject *call_softmax_row(const bs_kernels *k, PyObject *args)
{
    floats s, mask;
    if (!PyArg_ParseTuple(args, "O&O&", to_floats, &s, to_floats_or_none, &mask))
        return NULL;
    if (mask.data != NULL && mask.size != s.size)
        return no_match();
    return PyFloat_FromDouble(k->softmax_row(s.data, mask.data, s.size));
}

static PyObject *call_softmax_backward_row(const bs_kernels *k, PyObject *args)
{
    floats s, d, mask;
    float lse, scale;
    if (!PyArg_ParseTuple(args, "O&O&O&ff", to_floats, &s, to_floats, &d, to_floats_or_none, &mask,
                          &lse, &scale))
        return NULL;
    if (d.size != s.size || (mask.data != NULL && mask.size != s.size))
        return no_match();
    k->softmax_backward_row(s.data, d.data, mask.data, lse, scale, s.size);
    Py_RETURN_NONE;
}

/* axpy and scale */
static PyObject *call_with_factor(void (*kernel)(float *, const float *, float, int64_t),
                                  PyObject *args)
{
    floats y, x;
    float a;
    if (!PyArg_ParseTuple(args, "O&O&f", to_floats, &y, to_floats, &x, &a))
        return NULL;
    if (y.size != x.size)
        return no_match();
    kernel(y.data, x.data, a, x.size);
    Py_RETURN_NONE;
}

static PyObject *call_axpy(const bs_kernels *k, PyObject *args)
{
    return call_with_factor(k->axpy, args);
}

static PyObject *call_scale(const bs_kernels *k, PyObject *args)
{
    return call_with_factor(k->scale, args);
}

static PyObject *call_multiply(const bs_kernels *k, PyObject *args)
{
    floats y, x, mask;
    if (!PyArg_ParseTuple(args, "O&O&O&", to_floats, &y, to_floats, &x, to_floats, &mask))
        return NULL;
    if (y.size != x.size || mask.size != x.size)
        return no_match();
    k->multiply(y.data, x.data, mask.data, x.size);
    Py_RETURN_NONE;
}

static PyObject *call_column_sum(const bs_kernels *k, PyObject *args)
{
    floats sum, x;
    if (!PyArg_ParseTuple(args, "O&O&", to_floats, &sum, to_floats, &x))
        return NULL;
    if (sum.size > x.cols)
        return no_match();
    k->column_sum(sum.data, x.data, x.rows, sum.size, x.cols);
    Py_RETURN_NONE;
}

static PyObject *call_sum_squares(const bs_kernels *k, PyObject *args)
{
    floats x;
    if (!PyArg_ParseTuple(args, "O&", to_floats, &x))
        return NULL;
    return PyFloat_FromDouble(k->sum_squares(x.data, x.size));
}

static PyObject *call_adamw(const bs_kernels *k, PyObject *args)
{
    floats w, m, v, g;
    float clip, lr, beta1, beta2, eps, decay, correct1, correct2;
    if (!PyArg_ParseTuple(args, "O&O&O&O&ffffffff", to_floats, &w, to_floats, &m, to_floats, &v,
                          to_floats, &g, &clip, &lr, &beta1, &beta2, &eps, &decay, &correct1,
                          &correct2))
        return NULL;
    if (m.size != w.size || v.size != w.size || g.size != w.size)
        return no_match();
    k->adamw(w.data, m.data, v.data, g.data, clip, lr, beta1, beta2, eps, decay, correct1,
             correct2, w.size);
    Py_RETURN_NONE;
}

/* (c, a, b, trans_a, trans_b, n, k, alpha, beta); rows may be longer than needed */
static PyObject *call_small_product(const bs_kernels *table, PyObject *args)
{
    floats c, a, b;
    int trans_a, trans_b;
    Py_ssize_t n, k;
    float alpha, beta;
    if (!PyArg_ParseTuple(args, "O&O&O&ppnnff", to_floats, &c, to_floats, &a, to_floats, &b,
                          &trans_a, &trans_b, &n, &k, &alpha, &beta))
        return NULL;
    const npy_intp m = c.rows;
    if (n < 1 || k < 1 || n > c.cols || (trans_a && trans_b) || a.rows != (trans_a ? k : m) ||
        a.cols < (trans_a ? m : k) || b.rows != (trans_b ? n : k) || b.cols < (trans_b ? k : n))
        return no_match();
    const bs_small_product g = {.trans_a = trans_a, .trans_b = trans_b, .m = m, .n = n, .k = k,
                                .alpha = alpha, .beta = beta, .a = a.data, .b = b.data,
                                .c = c.data, .lda = a.cols, .ldb = b.cols, .ldc = c.cols};
    table->small_product(&g);
    Py_RETURN_NONE;
}

const bs_kernel_call bs_row_calls[] = {
    {"dropout_mask", call_dropout_mask},
    {"bias_add", call_bias_add},
    {"bias_activation", call_bias_activation},
    {"bias_activation_to_round", call_bias_activation_to_round},
    {"activation_backward", call_activation_backward},
    {"residual_row", call_residual_row},
    {"layernorm_row", call_layernorm_row},
    {"layernorm_backward_row", call_layernorm_backward_row},
    {"softmax_row", call_softmax_row},
    {"softmax_backward_row", call_softmax_backward_row},
    {"axpy", call_axpy},
    {"scale", call_scale},
    {"multiply", call_multiply},
    {"column_sum", call_column_sum},
    {"sum_squares", call_sum_squares},
    {"adamw", call_adamw},
    {"small_product", call_small_product},
    {NULL, NULL},
};
