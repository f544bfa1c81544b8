/* The type bertsent._core.Session. */
#ifndef BS_PY_SESSION_H
#define BS_PY_SESSION_H

#include "python/py_common.h"

int bs_py_add_session(PyObject *module);

#endif
