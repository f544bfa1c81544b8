/* Reads configurations, and the module's functions about configurations and losses. */
#ifndef BS_PY_CONFIG_H
#define BS_PY_CONFIG_H

#include "python/py_common.h"

#include "model/config.h"

/* Reads and checks a configuration. Returns 0, or -1 with an exception set. */
int bs_py_config(PyObject *mapping, bs_config *c);

int bs_py_add_config(PyObject *module);

#endif
