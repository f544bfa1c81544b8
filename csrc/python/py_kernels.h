/* What the two files of kernel_call share. */
#ifndef BS_PY_KERNELS_H
#define BS_PY_KERNELS_H

#include "python/py_common.h"

#include "kernels/kernels.h"

typedef struct {
    const char *name;
    PyObject *(*call)(const bs_kernels *, PyObject *);
} bs_kernel_call;

/* Those below fp32. */
extern const bs_kernel_call bs_low_calls[];
extern const size_t bs_low_call_count;

typedef struct {
    float *data;   /* NULL for None */
    npy_intp size; /* elements */
    npy_intp rows, cols;
} floats;

/* "O&" converter: a contiguous array. */
static inline int to_floats(PyObject *o, void *out_)
{
    floats *out = out_;
    if (!PyArray_Check(o) || PyArray_TYPE((PyArrayObject *)o) != NPY_FLOAT32 ||
        !(PyArray_FLAGS((PyArrayObject *)o) & NPY_ARRAY_C_CONTIGUOUS)) {
        PyErr_SetString(PyExc_TypeError, "expected a C-contiguous float32 array");
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

static inline PyObject *no_match(void)
{
    PyErr_SetString(PyExc_ValueError, "array sizes do not fit together");
    return NULL;
}

#endif
