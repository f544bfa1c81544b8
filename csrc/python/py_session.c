/* _core.Session: forward and backward as separate calls, for losses of the caller's own. */
#include "python/py_model.h"

typedef struct {
    PyObject_HEAD
    bs_py_model *model;
    PyObject *arrays; /* tuple: the batch that the pass points into */
    bs_arena arena;
    bs_pass pass;
    bool busy;        /* a call is under way in some thread */
    bool ready;       /* forward has been called, backward not yet */
    uint64_t version; /* of the parameters at forward */
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

/* One call at a time: the pass is the session's own. Set with the GIL held. */
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
    PyObject *ids, *types, *positions, *cu_seqlens, *keys;
    long long freeze = 0, step = 0;
    int training = 0;
    unsigned long long seed = 0;
    bs_batch batch;
    bs_pass_options options;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO|$LpKLs", names, &ids, &types, &positions,
                                     &cu_seqlens, &keys, &freeze, &training, &seed, &step,
                                     &precision) ||
        bs_py_batch(self->model, ids, types, positions, cu_seqlens, keys, &batch) < 0 ||
        bs_py_options(self->model, freeze, training, seed, step, precision, &options) < 0)
        return NULL;
    PyObject *logits = bs_py_logits(self->model, batch.n_sequences);
    PyObject *arrays = PyTuple_Pack(5, ids, types, positions, cu_seqlens, keys);
    if (logits == NULL || arrays == NULL) {
        Py_XDECREF(logits);
        Py_XDECREF(arrays);
        return NULL;
    }
    if (begin_call(self) < 0) {
        Py_DECREF(logits);
        Py_DECREF(arrays);
        return NULL;
    }
    self->ready = false;
    Py_XSETREF(self->arrays, arrays);
    bs_py_model_renew_lock(self->model);
    Py_BEGIN_ALLOW_THREADS
    if (bs_py_read_lock(self->model, options.precision, true, self->n_threads, &e) == BS_OK) {
        if (bs_pass_begin(&self->pass, &self->model->model, &batch, &options, true,
                          self->n_threads, &self->arena, &e) == BS_OK) {
            bs_pass_forward(&self->pass);
            self->version = self->model->version;
            memcpy(PyArray_DATA((PyArrayObject *)logits), self->pass.logits,
                   (size_t)PyArray_NBYTES((PyArrayObject *)logits));
        }
        pthread_rwlock_unlock(&self->model->lock);
    }
    Py_END_ALLOW_THREADS
    self->busy = false;
    if (e.status != BS_OK) {
        Py_DECREF(logits);
        bs_raise(&e);
        return NULL;
    }
    self->ready = true;
    return logits;
}

/* A C-contiguous float32 array of `size` items of any shape, or NULL with an exception set. */
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
    PyObject *d_logits_, *grads_;
    if (!PyArg_ParseTuple(args, "OO", &d_logits_, &grads_))
        return NULL;
    if (!self->ready || self->version != self->model->version) {
        PyErr_SetString(PyExc_RuntimeError,
                        self->ready ? "the parameters have changed since forward: call it again"
                                    : "call forward first: each backward uses up one forward");
        return NULL;
    }
    const bs_model *model = &self->model->model;
    const float *d_logits = floats_of(d_logits_, "d_logits",
                                      self->pass.batch.n_sequences * model->config.num_labels);
    float *grads = d_logits != NULL ? floats_of(grads_, "grads", model->table.total) : NULL;
    if (grads == NULL)
        return NULL;
    if (begin_call(self) < 0)
        return NULL;
    self->ready = false;
    bs_py_model_renew_lock(self->model);
    Py_BEGIN_ALLOW_THREADS
    pthread_rwlock_rdlock(&self->model->lock);
    bs_pass_backward(&self->pass, d_logits, grads);
    pthread_rwlock_unlock(&self->model->lock);
    Py_END_ALLOW_THREADS
    self->busy = false;
    Py_RETURN_NONE;
}

static PyMethodDef session_methods[] = {
    {"forward", (PyCFunction)(void (*)(void))session_forward, METH_VARARGS | METH_KEYWORDS,
     "forward(ids, types, positions, cu_seqlens, keys, *, freeze=0, training=False, seed=0,\n"
     "step=0) -> logits (B, C); keeps what backward needs"},
    {"backward", session_backward, METH_VARARGS,
     "backward(d_logits, grads): adds to the trained part of grads"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot session_slots[] = {
    {Py_tp_new, session_new},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, session_methods},
    {Py_tp_doc, "Session(model, n_threads=1): one pass at a time, forward then backward."},
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
