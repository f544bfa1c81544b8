/* Every kernel of every instruction set, callable by name, for the tests:
 * kernel_call(name, isa, *arguments). Arrays are float32 and contiguous, at any alignment. */
#include "python/py_kernels.h"

#include <string.h>

#include "kernels/blas.h"

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
    int act;
    if (!PyArg_ParseTuple(args, "O&O&O&i", to_floats, &a, to_floats, &u, to_floats, &bias, &act))
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
    int act;
    if (!PyArg_ParseTuple(args, "O&O&O&ni", to_floats, &a, to_floats, &d, to_floats, &u, &n, &act))
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

static const bs_kernel_call calls[] = {
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
};

/* The i-th of all, or NULL. */
static const bs_kernel_call *call_at(size_t i)
{
    if (i < sizeof calls / sizeof *calls)
        return &calls[i];
    i -= sizeof calls / sizeof *calls;
    for (const bs_kernel_call *c = bs_low_calls; c->name != NULL; c++, i--)
        if (i == 0)
            return c;
    for (const bs_kernel_call *c = bs_gemm_calls; c->name != NULL; c++, i--)
        if (i == 0)
            return c;
    return NULL;
}

static int append(PyObject *list, const char *text)
{
    PyObject *name = PyUnicode_FromString(text);
    const int status = name != NULL ? PyList_Append(list, name) : -1;
    Py_XDECREF(name);
    return status;
}

static PyObject *kernel_names(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyObject *names = PyList_New(0);
    for (size_t i = 0; names != NULL && call_at(i) != NULL; i++)
        if (append(names, call_at(i)->name) < 0)
            Py_CLEAR(names);
    return names;
}

#define NAME(entry) #entry,
static const char *const entries[] = {BS_KERNELS_ENTRIES(NAME)};
#undef NAME

static bool lacks(const bs_kernels *k, const char *name)
{
#define LACKS(entry)                                                                              \
    if (strcmp(name, #entry) == 0)                                                                \
        return k->entry == NULL;
    BS_KERNELS_ENTRIES(LACKS)
#undef LACKS
    return false;
}

PyObject *bs_no_kernel(const bs_kernels *k, const char *name)
{
    PyErr_Format(PyExc_ValueError, "instruction set '%s' has no kernel '%s'", k->name, name);
    return NULL;
}

static const bs_kernels *table_of(const char *isa)
{
    const bs_kernels *table = bs_kernels_find(isa);
    if (table == NULL)
        PyErr_Format(PyExc_ValueError, "no instruction set '%s' on this machine", isa);
    return table;
}

static PyObject *kernel_entries(PyObject *module, PyObject *args)
{
    const char *isa;
    (void)module;
    if (!PyArg_ParseTuple(args, "s", &isa))
        return NULL;
    const bs_kernels *table = table_of(isa);
    PyObject *filled = table != NULL ? PyDict_New() : NULL;
    for (size_t i = 0; filled != NULL && i < sizeof entries / sizeof *entries; i++)
        if (PyDict_SetItemString(filled, entries[i],
                                 lacks(table, entries[i]) ? Py_False : Py_True) < 0)
            Py_CLEAR(filled);
    return filled;
}

static PyObject *operand_layout(PyObject *module, PyObject *args)
{
    const char *isa;
    (void)module;
    if (!PyArg_ParseTuple(args, "s", &isa))
        return NULL;
    const bs_kernels *table = table_of(isa);
    return table == NULL ? NULL
                         : Py_BuildValue("{sLsLsi}", "columns", (long long)table->columns,
                                         "int8_elements", (long long)table->int8_elements,
                                         "fp32_parts", table->parts_product != NULL ? BS_PARTS : 1);
}

static PyObject *kernel_call(PyObject *module, PyObject *args)
{
    const char *name, *isa;
    PyObject *result = NULL;
    (void)module;
    PyObject *head = PyTuple_GetSlice(args, 0, 2);
    PyObject *rest = PyTuple_GetSlice(args, 2, PyTuple_GET_SIZE(args));
    if (head == NULL || rest == NULL || !PyArg_ParseTuple(head, "ss", &name, &isa))
        goto done;
    const bs_kernels *table = table_of(isa);
    if (table == NULL)
        goto done;
    if (lacks(table, name)) {
        bs_no_kernel(table, name);
        goto done;
    }
    for (size_t i = 0; call_at(i) != NULL; i++)
        if (strcmp(call_at(i)->name, name) == 0) {
            result = call_at(i)->call(table, rest);
            goto done;
        }
    PyErr_Format(PyExc_KeyError, "no kernel '%s'", name);
done:
    Py_XDECREF(head);
    Py_XDECREF(rest);
    return result;
}

static PyObject *isa_list(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyObject *names = PyList_New(0);
    for (int i = 0; names != NULL && bs_kernels_list(i) != NULL; i++)
        if (append(names, bs_kernels_list(i)->name) < 0)
            Py_CLEAR(names);
    return names;
}

/* The table in use; NULL with an exception set. */
static const bs_kernels *table_in_use(void)
{
    bs_error e = BS_ERROR_INIT;
    const bs_kernels *table = bs_kernels_get(&e);
    if (table == NULL)
        bs_raise(&e);
    return table;
}

static PyObject *isa(PyObject *module, PyObject *unused)
{
    const bs_kernels *table = table_in_use();
    (void)module;
    (void)unused;
    return table != NULL ? PyUnicode_FromString(table->name) : NULL;
}

static PyObject *precisions(PyObject *module, PyObject *unused)
{
    const bs_kernels *table = table_in_use();
    (void)module;
    (void)unused;
    if (table == NULL)
        return NULL;
    return table->bf16_product != NULL ? Py_BuildValue("[sss]", "float32", "bfloat16", "int8")
                                       : Py_BuildValue("[ss]", "float32", "int8");
}

static PyObject *preferred_precision(PyObject *module, PyObject *unused)
{
    const bs_kernels *table = table_in_use();
    (void)module;
    (void)unused;
    if (table == NULL)
        return NULL;
    return PyUnicode_FromString(bs_kernels_prefer_bf16(table) ? "bfloat16" : "float32");
}

static PyObject *blas_info(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyUnicode_FromFormat("%s (%s kernels)", BS_BLAS(openblas_get_config)(),
                                BS_BLAS(openblas_get_corename)());
}

static PyMethodDef functions[] = {
    {"kernel_names", kernel_names, METH_NOARGS, "The kernels that kernel_call knows."},
    {"kernel_entries", kernel_entries, METH_VARARGS,
     "kernel_entries(isa): the entries of the table of kernels, and whether it fills them."},
    {"operand_layout", operand_layout, METH_VARARGS,
     "operand_layout(isa): columns of a packed panel, elements in 4 bytes of int8 operands, and\n"
     "parts of bfloat16 that an element of a packed fp32 operand is in; 1: it is as it is."},
    {"kernel_call", kernel_call, METH_VARARGS, "kernel_call(name, isa, *arguments)"},
    {"isa_list", isa_list, METH_NOARGS, "Instruction sets that this machine can run, best last."},
    {"isa", isa, METH_NOARGS, "The instruction set in use."},
    {"precisions", precisions, METH_NOARGS, "What the kernels in use can compute in."},
    {"preferred_precision", preferred_precision, METH_NOARGS,
     "The faster one of float32 and bfloat16 with the kernels in use."},
    {"blas_info", blas_info, METH_NOARGS, "Version, build options and kernels of the BLAS."},
    {NULL, NULL, 0, NULL},
};

int bs_py_add_kernels(PyObject *module)
{
    /* Our copy of the BLAS is called from our own threads, one call in each. */
    BS_BLAS(openblas_set_num_threads)(1);
    return PyModule_AddFunctions(module, functions);
}
