#include "python/py_arguments.h"

#include <math.h>
#include <string.h>

#include "model/stored.h"

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

/* The data of a new array like `o` and with its values, or NULL with an exception set. */
static const void *copy_of(PyObject **copies, PyArrayObject *a)
{
    PyObject *copy = NULL;
    int status = -1;
    if (*copies == NULL)
        *copies = PyList_New(0);
    if (*copies != NULL)
        copy = PyArray_SimpleNew(PyArray_NDIM(a), PyArray_DIMS(a), PyArray_TYPE(a));
    if (copy != NULL) {
        memcpy(PyArray_DATA((PyArrayObject *)copy), PyArray_DATA(a), (size_t)PyArray_NBYTES(a));
        status = PyList_Append(*copies, copy);
    }
    Py_XDECREF(copy);
    return status == 0 ? PyArray_DATA((PyArrayObject *)copy) : NULL;
}

const void *bs_py_copy(PyObject **copies, PyObject *o, const char *name, int type, npy_intp size,
                       npy_intp *found)
{
    return bs_py_array(o, name, type, size, found) != NULL ? copy_of(copies, (PyArrayObject *)o)
                                                           : NULL;
}

int bs_py_optional(PyObject **copies, PyObject *o, const char *name, int type, npy_intp size,
                   const void **data)
{
    *data = NULL;
    if (o == NULL || o == Py_None)
        return 0;
    *data = bs_py_copy(copies, o, name, type, size, NULL);
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

const float *bs_py_matrix(PyObject **copies, PyObject *o, const char *name, npy_intp rows,
                          npy_intp cols)
{
    PyArrayObject *a = PyArray_Check(o) ? (PyArrayObject *)o : NULL;
    if (a == NULL || PyArray_NDIM(a) != 2 || PyArray_TYPE(a) != NPY_FLOAT32 ||
        !PyArray_ISCARRAY_RO(a)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a contiguous 2-D array of float32", name);
        return NULL;
    }
    if (PyArray_DIM(a, 0) != rows || PyArray_DIM(a, 1) != cols) {
        PyErr_Format(PyExc_ValueError, "%s: expected shape (%zd, %zd), got (%zd, %zd)", name,
                     (Py_ssize_t)rows, (Py_ssize_t)cols, (Py_ssize_t)PyArray_DIM(a, 0),
                     (Py_ssize_t)PyArray_DIM(a, 1));
        return NULL;
    }
    return copy_of(copies, a);
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

int bs_py_batch(const bs_model *model, PyObject **copies, PyObject *ids, PyObject *types,
                PyObject *positions, PyObject *cu_seqlens, PyObject *keys, bs_batch *b)
{
    npy_intp T, offsets;
    memset(b, 0, sizeof *b);
    b->ids = bs_py_copy(copies, ids, "ids", NPY_INT32, -1, &T);
    if (b->ids == NULL)
        return -1;
    b->cu_seqlens = bs_py_copy(copies, cu_seqlens, "cu_seqlens", NPY_INT64, -1, &offsets);
    if (b->cu_seqlens == NULL)
        return -1;
    b->n_tokens = T;
    b->n_sequences = offsets - 1;
    if (bs_py_optional(copies, types, "types", NPY_INT32, T, (const void **)&b->types) < 0 ||
        bs_py_optional(copies, positions, "positions", NPY_INT32, T,
                       (const void **)&b->positions) < 0 ||
        bs_py_optional(copies, keys, "keys", NPY_UINT64, offsets - 1,
                       (const void **)&b->keys) < 0)
        return -1;
    bs_error e = BS_ERROR_INIT;
    return bs_batch_check(b, &model->config, &e) == BS_OK ? 0 : bs_raise(&e);
}

PyObject *bs_py_logits(const bs_model *model, int64_t rows)
{
    npy_intp shape[2] = {rows, model->config.num_labels};
    if (bs_predicts_masked(&model->config)) {
        PyErr_SetString(PyExc_ValueError, "the model predicts masked tokens; it has no classifier");
        return NULL;
    }
    return PyArray_SimpleNew(2, shape, NPY_FLOAT32);
}

const bs_loss *bs_py_loss(const char *name)
{
    const bs_loss *loss = bs_loss_find(name);
    const char *names[16];
    int count = 0;
    if (loss != NULL)
        return loss;
    while (count < 16 && bs_loss_list(count) != NULL) {
        names[count] = bs_loss_list(count)->name;
        count++;
    }
    PyObject *expected = bs_py_one_of(names, count);
    if (expected != NULL)
        PyErr_Format(PyExc_ValueError, "loss is '%s', expected %U", name, expected);
    Py_XDECREF(expected);
    return NULL;
}

int bs_py_precision(const bs_model *model, const char *name, bs_precision *out)
{
    for (int i = 0; i < BS_PRECISION_COUNT; i++)
        if (strcmp(name, bs_precision_names[i]) == 0) {
            *out = (bs_precision)i;
            if (bs_model_can(model, *out))
                return 0;
            PyErr_Format(PyExc_ValueError,
                         "precision '%s' needs AVX512-BF16 or AMX, which is not to be had with "
                         "the kernels in use (%s); use 'float32'",
                         name, bs_isa_rows[model->kernels->isa].name);
            return -1;
        }
    PyObject *known = bs_py_one_of(bs_precision_names, BS_PRECISION_COUNT);
    if (known != NULL)
        PyErr_Format(PyExc_ValueError, "precision is '%s', expected %U", name, known);
    Py_XDECREF(known);
    return -1;
}

int bs_py_options(const bs_model *model, long long freeze, int training,
                  unsigned long long seed, long long step, const char *precision,
                  bs_pass_options *o)
{
    if (freeze < 0 || freeze > model->config.num_layers) {
        PyErr_Format(PyExc_ValueError, "freeze is %lld, expected 0 to %lld", freeze,
                     (long long)model->config.num_layers);
        return -1;
    }
    if (step < 0 || step > UINT32_MAX) {
        PyErr_Format(PyExc_ValueError, "step is %lld, expected 0 to %lld", step,
                     (long long)UINT32_MAX);
        return -1;
    }
    *o = (bs_pass_options){.freeze = freeze, .training = training, .seed = seed,
                           .step = (uint32_t)step};
    if (precision != NULL && bs_py_precision(model, precision, &o->precision) < 0)
        return -1;
    if (o->precision == BS_INT8) {
        PyErr_SetString(PyExc_ValueError, "precision 'int8' is for scoring; train in 'float32' or "
                                          "'bfloat16'");
        return -1;
    }
    return 0;
}

int bs_py_rates(const bs_model *model, PyObject **copies, PyObject *o, const float **rates)
{
    const npy_intp groups = model->config.num_layers + 2;
    if (bs_py_optional(copies, o, "rates", NPY_FLOAT32, groups, (const void **)rates) < 0)
        return -1;
    for (npy_intp i = 0; *rates != NULL && i < groups; i++)
        if (!(isfinite((*rates)[i]) && (*rates)[i] >= 0.0f)) {
            PyErr_Format(PyExc_ValueError, "rates: item %zd is not a finite number >= 0",
                         (Py_ssize_t)i);
            return -1;
        }
    return 0;
}

int bs_py_stored(const bs_model *model, PyObject **copies, PyObject *o,
                 const bs_pass_options *options, bs_batch *batch, bs_stored_rows *stored)
{
    const int64_t H = model->config.hidden_size;
    PyObject *rows, *first;
    npy_intp size;
    bs_error e = BS_ERROR_INIT;
    const int given = bs_py_pair(o, "stored", &rows, &first);
    if (given <= 0)
        return given;
    stored->bf16 = PyArray_Check(rows) && PyArray_TYPE((PyArrayObject *)rows) == NPY_UINT16;
    stored->data =
        bs_py_array(rows, "stored", stored->bf16 ? NPY_UINT16 : NPY_FLOAT32, -1, &size);
    if (stored->data == NULL)
        return -1;
    /* The rows are as large as the texts are long, and are only read as numbers. */
    batch->stored_at = bs_py_copy(copies, first, "first", NPY_INT64, batch->n_sequences, NULL);
    if (batch->stored_at == NULL)
        return -1;
    stored->count = size / H;
    batch->stored = stored;
    return bs_stored_check(batch, &model->config, options, &e) == BS_OK ? 0 : bs_raise(&e);
}
