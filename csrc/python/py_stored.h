/* A method of _core.Model that computes the rows of frozen layers. */
#ifndef BS_PY_STORED_H
#define BS_PY_STORED_H

#include "python/py_common.h"

PyObject *bs_py_frozen_rows(PyObject *self, PyObject *args, PyObject *kwargs);

#endif
