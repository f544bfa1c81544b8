/* Checks and converts the arguments of Model and Session: arrays, batches, options. Functions that
 * return int return 0, or -1 with an exception set, unless they say otherwise. */
#ifndef BS_PY_ARGUMENTS_H
#define BS_PY_ARGUMENTS_H

#include "python/py_common.h"

#include "model/loss.h"
#include "model/pass_state.h"

/* The data of a 1-D C-contiguous aligned array of a type and size, or NULL with an exception set.
 * size -1 accepts any size and stores it in *found, unless that is NULL. */
void *bs_py_array(PyObject *o, const char *name, int type, npy_intp size, npy_intp *found);

/* The data of a copy of such an array, so that what was checked is what is used, whatever other
 * threads write to the array meanwhile. Appends the copy to the list *copies, which is made if it is
 * NULL, and which the caller releases. */
const void *bs_py_copy(PyObject **copies, PyObject *o, const char *name, int type, npy_intp size,
                       npy_intp *found);

/* The same, except that None and NULL give NULL data. Returns 0, or -1 with an exception set. */
int bs_py_optional(PyObject **copies, PyObject *o, const char *name, int type, npy_intp size,
                   const void **data);

/* The data of a writable float32 array, or NULL with an exception set. */
float *bs_py_floats(PyObject *o, const char *name, npy_intp size);

/* The data of a copy of a C-contiguous float32 array (rows, cols), or NULL with an exception set. */
const float *bs_py_matrix(PyObject **copies, PyObject *o, const char *name, npy_intp rows,
                          npy_intp cols);

/* Unpacks a tuple of two arrays. Returns 1, 0 for None and NULL, or -1 with an exception set. */
int bs_py_pair(PyObject *o, const char *name, PyObject **first, PyObject **second);

/* Learning-rate factors, one per group: embeddings, layers, head. None or NULL: all 1. */
int bs_py_rates(const bs_model *model, PyObject **copies, PyObject *o, const float **rates);

#define BS_PY_ADAMW {.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f}

/* Copies and checks the arrays of a batch. keys may be NULL. */
int bs_py_batch(const bs_model *model, PyObject **copies, PyObject *ids, PyObject *types,
                PyObject *positions, PyObject *cu_seqlens, PyObject *keys, bs_batch *b);

/* Checks freeze, step and precision, a name or NULL for float32. */
int bs_py_options(const bs_model *model, long long freeze, int training,
                  unsigned long long seed, long long step, const char *precision,
                  bs_pass_options *o);

/* Reads a tuple (rows, first) of stored rows into `stored` and lets `batch` point to it. None or
 * NULL leaves both. The options must be complete. */
int bs_py_stored(const bs_model *model, PyObject **copies, PyObject *o,
                 const bs_pass_options *options, bs_batch *batch, bs_stored_rows *stored);

/* The loss of that name, or NULL with an exception set. */
const bs_loss *bs_py_loss(const char *name);

/* The precision of that name, if the model can compute in it. */
int bs_py_precision(const bs_model *model, const char *name, bs_precision *out);

/* A new float32 array (rows, C). Fails if the head is not a classifier's. */
PyObject *bs_py_logits(const bs_model *model, int64_t rows);

#endif
