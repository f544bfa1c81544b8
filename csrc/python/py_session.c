/* The type Session: forward and backward as separate calls, for losses that the caller computes. */
#include "python/py_session.h"

#include "model/pass.h"
#include "python/py_arguments.h"
#include "python/py_model_object.h"

typedef struct {
    PyObject_HEAD
    bs_py_model *model;
    PyObject *arrays; /* copies of the arrays of the batch, which the pass reads, or NULL */
    bs_arena arena;
    bs_pass pass;
    bool busy;        /* a call is running in some thread */
    bool ready;       /* forward has been called and backward has not */
    uint64_t version; /* of the parameters when forward was called */
    int n_threads;
} session;

static PyObject *session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"model", "n_threads", NULL};
    PyObject *model;
    int n_threads = 1;
    bs_module_state *state = PyType_GetModuleState(type);
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O!|i", names, state->model_type, &model,
                                     &n_threads))
        return NULL;
    session *self = (session *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->model = (bs_py_model *)Py_NewRef(model);
        self->n_threads = n_threads;
    }
    return (PyObject *)self;
}

static void session_dealloc(PyObject *self_)
{
    session *self = (session *)self_;
    PyTypeObject *type = Py_TYPE(self);
    bs_arena_free(&self->arena);
    Py_XDECREF(self->model);
    Py_XDECREF(self->arrays);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Refuses a second call while one is running, since both would use the same pass. */
static int begin_call(session *self)
{
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "the session is in use by another thread");
        return -1;
    }
    self->busy = true;
    return 0;
}

static PyObject *session_forward(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids",    "types",    "positions", "cu_seqlens", "keys",
                            "freeze", "training", "seed",      "step",       "precision",
                            NULL};
    const char *precision = NULL;
    session *self = (session *)self_;
    PyObject *ids, *types, *positions, *cu_seqlens, *keys, *logits = NULL;
    long long freeze = 0, step = 0;
    int training = 0;
    unsigned long long seed = 0;
    bs_batch batch;
    bs_pass_options options;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO|$LpKLs", names, &ids, &types, &positions,
                                     &cu_seqlens, &keys, &freeze, &training, &seed, &step,
                                     &precision) ||
        begin_call(self) < 0)
        return NULL;
    /* The copies of the arrays are kept for the backward pass, which reads them again. */
    self->ready = false;
    Py_CLEAR(self->arrays);
    if (bs_py_batch(&self->model->model, &self->arrays, ids, types, positions, cu_seqlens, keys,
                    &batch) < 0 ||
        bs_py_options(&self->model->model, freeze, training, seed, step, precision, &options) < 0 ||
        (logits = bs_py_logits(&self->model->model, batch.n_sequences)) == NULL ||
        bs_py_read_lock(self->model, options.precision, true, self->n_threads) < 0)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    if (bs_pass_begin(&self->pass, &self->model->model, &batch, &options, true, self->n_threads,
                      &self->arena, &e) == BS_OK) {
        bs_pass_forward(&self->pass);
        self->version = self->model->version;
        memcpy(PyArray_DATA((PyArrayObject *)logits), self->pass.logits,
               (size_t)PyArray_NBYTES((PyArrayObject *)logits));
        self->ready = true;
    }
    bs_py_read_unlock(self->model);
    Py_END_ALLOW_THREADS
    if (e.status != BS_OK)
        bs_raise(&e);
done:
    if (!self->ready)
        Py_CLEAR(logits);
    self->busy = false;
    return logits;
}

/* The data of a C-contiguous float32 array of `size` items and any shape, or NULL with an exception
 * set. */
static float *floats_of(PyObject *o, const char *name, npy_intp size)
{
    PyArrayObject *a = PyArray_Check(o) ? (PyArrayObject *)o : NULL;
    if (a == NULL || PyArray_TYPE(a) != NPY_FLOAT32 || !PyArray_IS_C_CONTIGUOUS(a) ||
        !PyArray_ISBEHAVED(a) || PyArray_SIZE(a) != size) {
        PyErr_Format(PyExc_ValueError, "%s: expected a writable contiguous float32 array of %zd items",
                     name, (Py_ssize_t)size);
        return NULL;
    }
    return PyArray_DATA(a);
}

static PyObject *session_backward(PyObject *self_, PyObject *args)
{
    session *self = (session *)self_;
    const bs_model *model = &self->model->model;
    PyObject *d_logits_, *grads_, *result = NULL;
    const float *d_logits;
    float *grads;
    if (!PyArg_ParseTuple(args, "OO", &d_logits_, &grads_) || begin_call(self) < 0)
        return NULL;
    if (!self->ready) {
        PyErr_SetString(PyExc_RuntimeError,
                        "call forward first: each backward uses up one forward");
        goto done;
    }
    d_logits = floats_of(d_logits_, "d_logits",
                         self->pass.batch.n_sequences * model->config.num_labels);
    grads = d_logits != NULL ? floats_of(grads_, "grads", model->table.total) : NULL;
    /* Nothing can be stale: without a change of the parameters, no weights are packed anew. */
    if (grads == NULL || bs_py_lock_shared(self->model) < 0)
        goto done;
    if (self->version == self->model->version) {
        self->ready = false;
        Py_BEGIN_ALLOW_THREADS
        bs_pass_backward(&self->pass, d_logits, grads);
        Py_END_ALLOW_THREADS
        result = Py_NewRef(Py_None);
    } else {
        PyErr_SetString(PyExc_RuntimeError,
                        "the parameters have changed since forward: call it again");
    }
    bs_py_read_unlock(self->model);
done:
    self->busy = false;
    return result;
}

static PyMethodDef session_methods[] = {
    {"forward", (PyCFunction)(void (*)(void))session_forward, METH_VARARGS | METH_KEYWORDS,
     "forward($self, ids, types, positions, cu_seqlens, keys, *, freeze=0, training=False,\n"
     "seed=0, step=0, precision='float32')\n--\n\n"
     "Return the logits (B, C) and keep what backward needs."},
    {"backward", session_backward, METH_VARARGS,
     "backward($self, d_logits, grads, /)\n--\n\n"
     "Add the gradient to the trained part of grads, given the gradient at the logits.\n\n"
     "To be called once after each forward."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot session_slots[] = {
    {Py_tp_new, session_new},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, session_methods},
    {Py_tp_doc, "Session(model, n_threads=1)\n--\n\n"
                "One pass at a time, forward and then backward."},
    {0, NULL},
};

static PyType_Spec session_spec = {
    .name = "bertsent._core.Session",
    .basicsize = sizeof(session),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = session_slots,
};

int bs_py_add_session(PyObject *module)
{
    bs_module_state *state = PyModule_GetState(module);
    return bs_py_add_type(module, &session_spec, &state->session_type);
}
