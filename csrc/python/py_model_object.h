/* The object bertsent._core.Model, its lock and its clock. Many scoring calls share the lock, a
 * training call holds it alone. */
#ifndef BS_PY_MODEL_OBJECT_H
#define BS_PY_MODEL_OBJECT_H

#include "python/py_common.h"

#include "core/fair_lock.h"
#include "model/pass_state.h"

typedef struct {
    PyObject_HEAD
    bs_model model;
    PyObject *params;      /* the array that owns model.parameters */
    bs_arena arena;        /* of training calls */
    bs_fair_lock lock;
    uint64_t generation;   /* of the process when the lock was created */
    uint64_t version;      /* of the parameters */
    uint64_t steps;        /* training steps that were done */
    bs_stage_clock clock;
    bool timed;            /* training and scoring use the clock */
} bs_py_model;

/* Creates the lock of a new object. */
void bs_py_model_make_lock(bs_py_model *self);

/* Takes the lock for scoring, with the weights packed for the precision. To be called with the GIL,
 * which is released while the call waits; a signal handler that raises ends the wait. Returns 0, or
 * -1 with an exception set and without the lock. */
int bs_py_read_lock(bs_py_model *self, bs_precision precision, bool backward, int n_threads);

/* The same, with the weights as they are. */
int bs_py_lock_shared(bs_py_model *self);

/* The same for a call that changes the model or uses its buffers. */
int bs_py_write_lock(bs_py_model *self);

/* The same for a change that was already made and must be marked: no signal ends the wait, so it
 * cannot fail. */
void bs_py_write_lock_anyway(bs_py_model *self);

/* As bs_py_write_lock, and sets the options `tokens` and `clock` of a pass. */
int bs_py_pass_lock(bs_py_model *self, long long tokens, bs_pass_options *options);

/* To be called with the lock after a training step that ended with `e`. */
void bs_py_model_trained(bs_py_model *self, const bs_error *e);

/* Both may be called without the GIL. */
void bs_py_read_unlock(bs_py_model *self);
void bs_py_write_unlock(bs_py_model *self);

/* Starts the clock of a call and returns it, or NULL if calls are not timed. To be called with the
 * lock. */
bs_stage_clock *bs_py_start_clock(bs_py_model *self);

#endif
