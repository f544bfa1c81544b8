/* The type bertsent._core.Tokenizer. */
#ifndef BS_PY_TOKENIZER_H
#define BS_PY_TOKENIZER_H

#include "python/py_common.h"

int bs_py_add_tokenizer(PyObject *module);

#endif
