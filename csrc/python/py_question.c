#include "python/py_question.h"

/* Raises a signal that the package has deferred. Returns 0, or -1 with an exception set. */
static int check_deferred(void)
{
    int status = 0;
    PyObject *name = PyUnicode_FromString("bertsent.system.interrupts");
    PyObject *module = name != NULL ? PyImport_GetModule(name) : NULL;
    if (module != NULL) {
        PyObject *done = PyObject_CallMethod(module, "check_interrupts", NULL);
        status = done != NULL ? 0 : -1;
        Py_XDECREF(done);
    } else if (PyErr_Occurred()) {
        status = -1;
    }
    Py_XDECREF(module);
    Py_XDECREF(name);
    return status;
}

static bool is_interrupted(void *q_)
{
    bs_py_question *q = q_;
    PyEval_RestoreThread(q->state);
    const bool stop = PyErr_CheckSignals() < 0 || check_deferred() < 0;
    q->state = PyEval_SaveThread();
    return stop;
}

void bs_py_interruptible(bs_py_question *q)
{
    *q = (bs_py_question){.question = {.stop = is_interrupted, .arg = q}};
    q->state = PyEval_SaveThread();
    bs_pool_ask(&q->question);
}

int bs_py_answered(bs_py_question *q)
{
    bs_pool_ask(NULL);
    PyEval_RestoreThread(q->state);
    return atomic_load(&q->question.stopped) ? -1 : 0;
}
