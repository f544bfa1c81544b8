/* Calls that can be interrupted while they run. */
#ifndef BS_PY_QUESTION_H
#define BS_PY_QUESTION_H

#include "core/pool.h"
#include "python/py_common.h"

typedef struct {
    bs_question question;
    PyThreadState *state;
} bs_py_question;

/* Releases the GIL. Until bs_py_answered, signals are handled while tasks of the pool run in this
 * thread, and a handler that raises stops them; so does `check_interrupts` of
 * bertsent/system/interrupts.py. Results are then garbage, and nothing may be kept of them. */
void bs_py_interruptible(bs_py_question *q);

/* Takes the GIL again. Returns 0, or -1 with an exception set if the call was interrupted. */
int bs_py_answered(bs_py_question *q);

#endif
