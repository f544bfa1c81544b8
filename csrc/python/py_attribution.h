/* The method attribute of the type Model. */
#ifndef BS_PY_ATTRIBUTION_H
#define BS_PY_ATTRIBUTION_H

#include "python/py_common.h"

PyObject *bs_py_attribute(PyObject *self, PyObject *args, PyObject *kwargs);

#endif
