/* Methods of _core.Model for masked language modelling. */
#ifndef BS_PY_MLM_H
#define BS_PY_MLM_H

#include "python/py_common.h"

PyObject *bs_py_mlm_loss(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *bs_py_mlm_train_step(PyObject *self, PyObject *args, PyObject *kwargs);

#endif
