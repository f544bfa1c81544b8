/* What the Python side shares. The only headers that may include Python.h lie in this folder. */
#ifndef BS_PY_COMMON_H
#define BS_PY_COMMON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_1_22_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL bertsent_ARRAY_API
#ifndef BS_PY_DEFINES_ARRAY_API
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include "core/status.h"

typedef struct {
    PyObject *tokenizer_type;
    PyObject *model_type;
    PyObject *session_type;
} bs_module_state;

/* Sets the Python exception that belongs to the record; returns -1. */
int bs_raise(const bs_error *e);

/* Adds a type made from `spec` to the module, keeps it in *slot. 0, or -1 with an exception set. */
int bs_py_add_type(PyObject *module, PyType_Spec *spec, PyObject **slot);

int bs_py_add_tokenizer(PyObject *module);
int bs_py_add_model(PyObject *module);
int bs_py_add_kernels(PyObject *module);

#endif
