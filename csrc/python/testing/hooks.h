/* What the files behind kernel_call share. */
#ifndef BS_PY_TESTING_HOOKS_H
#define BS_PY_TESTING_HOOKS_H

#include "python/py_common.h"

#include "kernels/kernels.h"

typedef struct {
    const char *name;
    PyObject *(*call)(const bs_kernels *, PyObject *);
} bs_kernel_call;

/* The row-wise kernels, the kernels of packed operands and below fp32, and the tiled products. The
 * last entry of each list has no name. */
extern const bs_kernel_call bs_row_calls[];
extern const bs_kernel_call bs_packed_calls[];
extern const bs_kernel_call bs_gemm_calls[];

int bs_py_add_kernel_hooks(PyObject *module);

/* Raises an error that table k lacks a kernel. Returns NULL. */
PyObject *bs_no_kernel(const bs_kernels *k, const char *name);

typedef struct {
    float *data;   /* NULL for None */
    npy_intp size; /* elements */
    npy_intp rows, cols;
} floats;

typedef struct {
    char *data;
    npy_intp size, rows, cols;
} bytes;

/* The array, or NULL with an exception set. Any argument may be written to, so all have to be
 * writable. */
static inline PyArrayObject *contiguous(PyObject *o, int type, const char *wanted)
{
    if (!PyArray_Check(o) || PyArray_TYPE((PyArrayObject *)o) != type ||
        !PyArray_IS_C_CONTIGUOUS((PyArrayObject *)o) ||
        !PyArray_ISWRITEABLE((PyArrayObject *)o) || PyArray_NDIM((PyArrayObject *)o) > 2) {
        PyErr_Format(PyExc_TypeError,
                     "expected a writable C-contiguous %s array of at most 2 dimensions", wanted);
        return NULL;
    }
    return (PyArrayObject *)o;
}

static inline npy_intp rows_of(PyArrayObject *a)
{
    return PyArray_NDIM(a) > 1 ? PyArray_DIM(a, 0) : 1;
}

static inline npy_intp cols_of(PyArrayObject *a)
{
    return PyArray_NDIM(a) > 0 ? PyArray_DIM(a, PyArray_NDIM(a) - 1) : 1;
}

/* "O&" converters: a contiguous array. */
static inline int to_floats(PyObject *o, void *out)
{
    PyArrayObject *a = contiguous(o, NPY_FLOAT32, "float32");
    if (a != NULL)
        *(floats *)out = (floats){PyArray_DATA(a), PyArray_SIZE(a), rows_of(a), cols_of(a)};
    return a != NULL;
}

static inline int to_floats_or_none(PyObject *o, void *out)
{
    if (o != Py_None)
        return to_floats(o, out);
    *(floats *)out = (floats){0};
    return 1;
}

static inline int to_bytes(PyObject *o, void *out)
{
    PyArrayObject *a = contiguous(o, NPY_UINT8, "uint8");
    if (a != NULL)
        *(bytes *)out = (bytes){PyArray_DATA(a), PyArray_SIZE(a), rows_of(a), cols_of(a)};
    return a != NULL;
}

static inline int to_activation(PyObject *o, void *out)
{
    const long act = PyLong_AsLong(o);
    if (act == -1 && PyErr_Occurred())
        return 0;
    if (act < 0 || act >= BS_ACTIVATION_COUNT) {
        PyErr_Format(PyExc_ValueError, "no activation has the number %ld", act);
        return 0;
    }
    *(bs_activation *)out = (bs_activation)act;
    return 1;
}

static inline PyObject *no_match(void)
{
    PyErr_SetString(PyExc_ValueError, "array sizes do not fit together");
    return NULL;
}

#endif
