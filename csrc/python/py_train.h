/* Methods of _core.Model that train a classifier: the gradient, the update, and a step of both. */
#ifndef BS_PY_TRAIN_H
#define BS_PY_TRAIN_H

#include "python/py_common.h"

PyObject *bs_py_forward_backward(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *bs_py_train_step(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *bs_py_apply(PyObject *self, PyObject *args, PyObject *kwargs);

#endif
