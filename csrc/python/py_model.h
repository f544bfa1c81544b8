/* The type bertsent._core.Model. */
#ifndef BS_PY_MODEL_H
#define BS_PY_MODEL_H

#include "python/py_common.h"

int bs_py_add_model(PyObject *module);

#endif
