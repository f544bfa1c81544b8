/* Texts as Python holds them, borrowed for the length of a call. */
#ifndef BS_PY_TEXTS_H
#define BS_PY_TEXTS_H

#include "python/py_common.h"

#include "tokenizer/text.h"

typedef struct {
    bs_text *texts;
    Py_ssize_t n;
    PyObject *owner; /* keeps what they point into */
    Py_buffer *buffers;
    Py_ssize_t n_buffers;
} bs_py_texts;

/* Borrows the texts of `arg`: a sequence of str, or an object whose attribute `utf8_chunks` is a
 * list of (offsets, bytes, first, count, wide), as Arrow lays strings out: text i of a chunk is
 * bytes[offsets[first + i]:offsets[first + i + 1]], the offsets being int64 if `wide`, else int32.
 * `name` is what the argument is called in errors. 0, or -1 with an exception set; in both cases
 * *out, zero before, is to be released. */
int bs_py_texts_get(PyObject *arg, const char *name, bs_py_texts *out);
void bs_py_texts_release(bs_py_texts *texts);

/* The storage of a str, borrowed. */
int bs_py_text_of(PyObject *str, bs_text *text);

#endif
