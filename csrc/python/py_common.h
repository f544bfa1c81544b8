/* Includes and helpers of all files in csrc/python, the only folder that includes Python.h. */
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
    PyObject *arrow_type;
    PyObject *tokenizer_type;
    PyObject *byte_level_type;
    PyObject *model_type;
    PyObject *session_type;
} bs_module_state;

/* Raises the Python exception for an error record. Returns -1. */
int bs_raise(const bs_error *e);

/* A new str "'a', 'b' or 'c'" for messages, or NULL with an exception set. */
PyObject *bs_py_one_of(const char *const *names, int count);

/* Creates a type from `spec`, stores it in *slot and adds it to the module. Returns 0, or -1 with
 * an exception set. */
int bs_py_add_type(PyObject *module, PyType_Spec *spec, PyObject **slot);

/* Appends a string to a list. 0, or -1 with an exception set. */
int bs_py_append(PyObject *list, const char *text);

#endif
