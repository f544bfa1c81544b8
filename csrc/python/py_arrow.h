/* Arrow strings: the type bertsent._core.ArrowTexts, which owns them, and the function
 * bertsent._core.arrow_texts, which takes them from the capsules of Arrow's PyCapsule interface. */
#ifndef BS_PY_ARROW_H
#define BS_PY_ARROW_H

#include "python/py_common.h"

#include "tokenizer/text.h"

/* Returns the number of texts in an ArrowTexts. */
Py_ssize_t bs_py_arrow_count(PyObject *texts);

/* Writes the texts of an ArrowTexts to `out`, which must have space for all of them. They are
 * valid as long as the object lives. Returns 0, or -1 with an exception set if a value is missing
 * or invalid; tokenizer/arrow.h says what is checked. */
int bs_py_arrow_read(PyObject *texts, const char *name, bs_text *out);

int bs_py_add_arrow(PyObject *module);

#endif
