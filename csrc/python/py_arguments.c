/* What the entries of Model and Session take: arrays of one type and size, a batch, options. */
#include "python/py_model.h"

#include <math.h>
#include <string.h>

void *bs_py_array(PyObject *o, const char *name, int type, npy_intp size, npy_intp *found)
{
    PyArray_Descr *want = PyArray_DescrFromType(type);
    void *data = NULL;
    PyArrayObject *a = PyArray_Check(o) ? (PyArrayObject *)o : NULL;
    if (a == NULL || PyArray_NDIM(a) != 1 || !PyArray_EquivTypes(PyArray_DESCR(a), want) ||
        !PyArray_IS_C_CONTIGUOUS(a) || !PyArray_ISALIGNED(a))
        PyErr_Format(PyExc_TypeError, "%s: expected a contiguous 1-D array of %S", name, want);
    else if (size >= 0 && PyArray_DIM(a, 0) != size)
        PyErr_Format(PyExc_ValueError, "%s: expected %zd items, got %zd", name, (Py_ssize_t)size,
                     (Py_ssize_t)PyArray_DIM(a, 0));
    else {
        data = PyArray_DATA(a);
        if (found != NULL)
            *found = PyArray_DIM(a, 0);
    }
    Py_DECREF(want);
    return data;
}

int bs_py_optional(PyObject *o, const char *name, int type, npy_intp size, const void **data)
{
    *data = NULL;
    if (o == NULL || o == Py_None)
        return 0;
    *data = bs_py_array(o, name, type, size, NULL);
    return *data != NULL ? 0 : -1;
}

float *bs_py_floats(PyObject *o, const char *name, npy_intp size)
{
    float *data = bs_py_array(o, name, NPY_FLOAT32, size, NULL);
    if (data != NULL && !PyArray_ISWRITEABLE((PyArrayObject *)o)) {
        PyErr_Format(PyExc_ValueError, "%s: the array is read-only", name);
        return NULL;
    }
    return data;
}

int bs_py_pair(PyObject *o, const char *name, PyObject **first, PyObject **second)
{
    if (o == NULL || o == Py_None)
        return 0;
    if (PyTuple_Check(o) && PyArg_ParseTuple(o, "OO", first, second))
        return 1;
    PyErr_Format(PyExc_TypeError, "%s: expected a tuple of two arrays, or None", name);
    return -1;
}

int bs_py_batch(const bs_py_model *self, PyObject *ids, PyObject *types, PyObject *positions,
                PyObject *cu_seqlens, PyObject *keys, bs_batch *b)
{
    npy_intp T, offsets;
    memset(b, 0, sizeof *b);
    b->ids = bs_py_array(ids, "ids", NPY_INT32, -1, &T);
    if (b->ids == NULL)
        return -1;
    b->cu_seqlens = bs_py_array(cu_seqlens, "cu_seqlens", NPY_INT64, -1, &offsets);
    if (b->cu_seqlens == NULL)
        return -1;
    b->n_tokens = T;
    b->n_sequences = offsets - 1;
    if (bs_py_optional(types, "types", NPY_INT32, T, (const void **)&b->types) < 0 ||
        bs_py_optional(positions, "positions", NPY_INT32, T, (const void **)&b->positions) < 0 ||
        bs_py_optional(keys, "keys", NPY_UINT64, offsets - 1, (const void **)&b->keys) < 0)
        return -1;
    bs_error e = BS_ERROR_INIT;
    return bs_batch_check(b, &self->model.config, &e) == BS_OK ? 0 : bs_raise(&e);
}

PyObject *bs_py_logits(const bs_py_model *self, int64_t rows)
{
    npy_intp shape[2] = {rows, self->model.config.num_labels};
    if (self->model.config.masked_lm) {
        PyErr_SetString(PyExc_ValueError, "the model predicts masked tokens; it has no classifier");
        return NULL;
    }
    return PyArray_SimpleNew(2, shape, NPY_FLOAT32);
}

static const char *const precision_names[] = {"float32", "bfloat16", "int8"};

int bs_py_precision(const bs_py_model *self, const char *name, bs_precision *out)
{
    for (int i = 0; i < 3; i++)
        if (strcmp(name, precision_names[i]) == 0) {
            *out = (bs_precision)i;
            if (bs_model_can(&self->model, *out))
                return 0;
            PyErr_Format(PyExc_ValueError,
                         "precision '%s' needs AVX512-BF16 or AMX, which is not to be had with "
                         "the kernels in use (%s); use 'float32'",
                         name, self->model.kernels->name);
            return -1;
        }
    PyErr_Format(PyExc_ValueError,
                 "precision is '%s', expected 'float32', 'bfloat16' or 'int8'", name);
    return -1;
}

int bs_py_options(const bs_py_model *self, long long freeze, int training,
                  unsigned long long seed, long long step, const char *precision,
                  bs_pass_options *o)
{
    if (freeze < 0 || freeze > self->model.config.num_layers) {
        PyErr_Format(PyExc_ValueError, "freeze is %lld, expected 0 to %lld", freeze,
                     (long long)self->model.config.num_layers);
        return -1;
    }
    if (step < 0 || step > UINT32_MAX) {
        PyErr_Format(PyExc_ValueError, "step is %lld, expected 0 to %lld", step,
                     (long long)UINT32_MAX);
        return -1;
    }
    *o = (bs_pass_options){.freeze = freeze, .training = training, .seed = seed,
                           .step = (uint32_t)step};
    if (precision != NULL && bs_py_precision(self, precision, &o->precision) < 0)
        return -1;
    if (o->precision == BS_INT8) {
        PyErr_SetString(PyExc_ValueError, "precision 'int8' is for scoring; train in 'float32' or "
                                          "'bfloat16'");
        return -1;
    }
    return 0;
}

int bs_py_rates(const bs_py_model *self, PyObject *o, const float **rates)
{
    const npy_intp groups = self->model.config.num_layers + 2;
    if (bs_py_optional(o, "rates", NPY_FLOAT32, groups, (const void **)rates) < 0)
        return -1;
    for (npy_intp i = 0; *rates != NULL && i < groups; i++)
        if (!(isfinite((*rates)[i]) && (*rates)[i] >= 0.0f)) {
            PyErr_Format(PyExc_ValueError, "rates: item %zd is not a finite number >= 0",
                         (Py_ssize_t)i);
            return -1;
        }
    return 0;
}
