/* The texts of a Python object, borrowed for the length of a call. */
#ifndef BS_PY_TEXTS_H
#define BS_PY_TEXTS_H

#include "python/py_common.h"

#include "tokenizer/text.h"

typedef struct {
    bs_text *texts;
    Py_ssize_t n;
    PyObject *owner; /* keeps their memory alive */
} bs_py_texts;

/* Borrows the texts of `arg`, a sequence of str or an ArrowTexts. `name` is the argument's name in
 * messages. *out must be zero before. Returns 0, or -1 with an exception set; *out must be released
 * in both cases. */
int bs_py_texts_get(const bs_module_state *state, PyObject *arg, const char *name,
                    bs_py_texts *out);
void bs_py_texts_release(bs_py_texts *texts);

/* Borrows the storage of a str. Returns 0, or -1 with an exception set. */
int bs_py_text_of(PyObject *str, bs_text *text);

#endif
