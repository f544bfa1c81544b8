/* What the Model type and the Session type share: arguments in py_arguments.c, the rest in
 * py_model.c. */
#ifndef BS_PY_MODEL_H
#define BS_PY_MODEL_H

#include "python/py_common.h"

#include <pthread.h>

#include "model/pass.h"

typedef struct {
    PyObject_HEAD
    bs_model model;
    PyObject *params;      /* the array that model.parameters points into */
    bs_arena arena;        /* of training calls, which hold the lock alone */
    pthread_rwlock_t lock; /* scoring shares it */
    uint64_t generation;   /* of the process, when the lock was made */
    uint64_t version;      /* of the parameters */
    bs_stage_clock clock;
    bool timed;            /* training and scoring count to the clock */
} bs_py_model;

/* A 1-D C-contiguous aligned array of one type; size -1: any, told in *found unless that is NULL.
 * NULL on mismatch, with an exception set. */
void *bs_py_array(PyObject *o, const char *name, int type, npy_intp size, npy_intp *found);

/* The same, but None and NULL give NULL; returns -1 on error. */
int bs_py_optional(PyObject *o, const char *name, int type, npy_intp size, const void **data);

/* Likewise float32 that may be written to. */
float *bs_py_floats(PyObject *o, const char *name, npy_intp size);

/* The two arrays of a tuple: 1, or 0 for None and NULL, or -1 with an exception set. */
int bs_py_pair(PyObject *o, const char *name, PyObject **first, PyObject **second);

/* Factors of the learning rate, one a group; None or NULL: all 1. */
int bs_py_rates(const bs_py_model *self, PyObject *o, const float **rates);

#define BS_PY_ADAMW {.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f}

/* Checks the arrays of a batch; 0, or -1 with an exception set. keys may be NULL. */
int bs_py_batch(const bs_py_model *self, PyObject *ids, PyObject *types, PyObject *positions,
                PyObject *cu_seqlens, PyObject *keys, bs_batch *b);

/* Checks freeze and step; `precision` is a name or NULL for float32. */
int bs_py_options(const bs_py_model *self, long long freeze, int training,
                  unsigned long long seed, long long step, const char *precision,
                  bs_pass_options *o);

/* A tuple (rows, first) of stored rows into `stored`, to which `batch` then points; None or NULL
 * leaves it. Needs the options complete; -1 with an exception set. */
int bs_py_stored(const bs_py_model *self, PyObject *o, const bs_pass_options *options,
                 bs_batch *batch, bs_stored_rows *stored);

/* "O&"-like: the precision of a name that this model can compute in; -1 with an exception set. */
int bs_py_precision(const bs_py_model *self, const char *name, bs_precision *out);

/* A new float32 array (rows, C); an error where the head is no classifier. */
PyObject *bs_py_logits(const bs_py_model *self, int64_t rows);

/* To be called with the GIL before the lock is taken: a fork may have left it taken. */
void bs_py_model_renew_lock(bs_py_model *self);

/* Without the GIL: takes the lock for reading, with the weights packed for the precision. On
 * failure the lock is not held. */
bs_status bs_py_read_lock(bs_py_model *self, bs_precision precision, bool backward, int n_threads,
                          bs_error *e);

/* Without the GIL: takes the lock alone for a training call, whose options get what depends on it:
 * micro-batches of so many tokens, and the clock. */
void bs_py_write_lock(bs_py_model *self, long long tokens, bs_pass_options *options);

/* With the lock: the clock of a call that begins, or NULL. */
bs_stage_clock *bs_py_start_clock(bs_py_model *self);

/* Methods of the Model type, in py_train.c, py_stored.c and py_mlm.c. */
PyObject *bs_py_forward_backward(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *bs_py_train_step(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *bs_py_apply(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *bs_py_frozen_rows(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *bs_py_mlm_loss(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *bs_py_mlm_train_step(PyObject *self, PyObject *args, PyObject *kwargs);

int bs_py_add_session(PyObject *module);

#endif
