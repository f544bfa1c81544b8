/* What the engine runs on, for Python: instruction sets, precisions, BLAS. */
#ifndef BS_PY_RUNTIME_H
#define BS_PY_RUNTIME_H

#include "python/py_common.h"

int bs_py_add_runtime(PyObject *module);

#endif
