/* The type Model: its methods for scoring and sizes, and the table of all its methods. Types, sizes
 * and ranges of arguments are checked before the GIL is released; the engine itself never raises.
 * Methods that train are in py_train.c, py_mlm.c and py_stored.c, the one for explanations is in
 * py_attribution.c. */
#include "python/py_model.h"

#include "model/score.h"
#include "python/py_arguments.h"
#include "python/py_attribution.h"
#include "python/py_config.h"
#include "python/py_mlm.h"
#include "python/py_model_object.h"
#include "python/py_question.h"
#include "python/py_stored.h"
#include "python/py_train.h"
#include "train/step.h"

/* ---- construction ---- */

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"config", "params", NULL};
    PyObject *config, *params;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO", names, &config, &params))
        return NULL;
    bs_py_model *self = (bs_py_model *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    bs_py_model_make_lock(self);
    if (bs_py_config(config, &self->model.config) < 0)
        goto fail;
    if (bs_model_make(&self->model, &e) != BS_OK) {
        bs_raise(&e);
        goto fail;
    }
    self->model.parameters = bs_py_floats(params, "params", self->model.table.total);
    if (self->model.parameters == NULL)
        goto fail;
    self->params = Py_NewRef(params);
    return (PyObject *)self;
fail:
    Py_DECREF(self);
    return NULL;
}

static void model_dealloc(PyObject *self_)
{
    bs_py_model *self = (bs_py_model *)self_;
    PyTypeObject *type = Py_TYPE(self);
    bs_model_free(&self->model);
    bs_arena_free(&self->arena);
    bs_fair_lock_destroy(&self->lock);
    Py_XDECREF(self->params);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- methods ---- */

static PyObject *model_time_stages(PyObject *self_, PyObject *on_)
{
#define NAME(id, name) name,
    static const char *const names[] = {BS_STAGES(NAME)};
#undef NAME
    bs_py_model *self = (bs_py_model *)self_;
    const int on = PyObject_IsTrue(on_);
    if (on < 0)
        return NULL;
    PyObject *found = self->timed ? PyDict_New() : Py_NewRef(Py_None);
    for (int i = 0; found != NULL && self->timed && i < BS_STAGE_COUNT; i++) {
        PyObject *seconds = PyFloat_FromDouble(self->clock.seconds[i]);
        if (seconds == NULL || PyDict_SetItemString(found, names[i], seconds) < 0)
            Py_CLEAR(found);
        Py_XDECREF(seconds);
    }
    self->timed = on;
    self->clock = (bs_stage_clock){0};
    return found;
}

static PyObject *model_score(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids",       "types",        "positions", "cu_seqlens",
                            "n_threads", "chunk_tokens", "precision", "pooled", NULL};
    bs_py_model *self = (bs_py_model *)self_;
    PyObject *ids, *types, *positions, *cu_seqlens, *copies = NULL, *logits = NULL;
    PyObject *pooled_ = Py_None;
    float *pooled = NULL;
    int n_threads = 1;
    long long chunk_tokens = 0;
    const char *precision = "float32";
    bs_pass_options options = {0};
    bs_batch batch;
    bs_py_question question;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOO|$iLsO", names, &ids, &types, &positions,
                                     &cu_seqlens, &n_threads, &chunk_tokens, &precision,
                                     &pooled_) ||
        bs_py_precision(&self->model, precision, &options.precision) < 0 ||
        bs_py_batch(&self->model, &copies, ids, types, positions, cu_seqlens, NULL, &batch) < 0 ||
        (pooled_ != Py_None &&
         (pooled = bs_py_floats(pooled_, "pooled",
                                batch.n_sequences * self->model.config.hidden_size)) == NULL) ||
        (logits = bs_py_logits(&self->model, batch.n_sequences)) == NULL ||
        bs_py_read_lock(self, options.precision, false, n_threads) < 0)
        goto fail;
    bs_py_interruptible(&question);
    options.tokens = chunk_tokens;
    options.clock = bs_py_start_clock(self);
    bs_score(&self->model, &batch, &options, n_threads, PyArray_DATA((PyArrayObject *)logits),
             pooled, &e);
    bs_py_read_unlock(self);
    if (bs_py_answered(&question) < 0)
        goto fail;
    if (e.status == BS_OK)
        goto done;
    bs_raise(&e);
fail:
    Py_CLEAR(logits);
done:
    Py_XDECREF(copies);
    return logits;
}

static PyObject *model_pass_size(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"cu_seqlens", "freeze", "keep", "n_threads", "precision",
                            "stored", NULL};
    static const bs_stored_rows some = {0};
    const char *precision = "float32";
    bs_py_model *self = (bs_py_model *)self_;
    PyObject *cu_seqlens, *copies = NULL, *size = NULL;
    long long freeze = 0;
    int keep = 1, n_threads = 1, stored = 0;
    npy_intp offsets;
    bs_batch batch = {0};
    bs_pass_options options;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$Lpisp", names, &cu_seqlens, &freeze, &keep,
                                     &n_threads, &precision, &stored) ||
        bs_py_options(&self->model, freeze, 0, 0, 0, NULL, &options) < 0 ||
        bs_py_precision(&self->model, precision, &options.precision) < 0 ||
        (batch.cu_seqlens = bs_py_copy(&copies, cu_seqlens, "cu_seqlens", NPY_INT64, -1,
                                       &offsets)) == NULL)
        goto done;
    batch.n_sequences = offsets - 1;
    batch.n_tokens = offsets > 0 ? batch.cu_seqlens[offsets - 1] : 0;
    batch.stored = stored ? &some : NULL;
    if (bs_batch_check_offsets(&batch, &self->model.config, &e) != BS_OK) {
        bs_raise(&e);
        goto done;
    }
    size = PyLong_FromSize_t(bs_pass_size(&self->model, &batch, &options, keep, n_threads));
done:
    Py_XDECREF(copies);
    return size;
}

static PyObject *model_part_tokens(PyObject *self_, PyObject *name)
{
    bs_precision precision;
    const char *text = PyUnicode_AsUTF8(name);
    if (text == NULL || bs_py_precision(&((bs_py_model *)self_)->model, text, &precision) < 0)
        return NULL;
    return Py_BuildValue("LL", (long long)bs_micro_batch_tokens(precision),
                         (long long)bs_chunk_tokens(precision));
}

static PyObject *model_packed_size(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"precision", "backward", NULL};
    bs_py_model *self = (bs_py_model *)self_;
    const char *name;
    int backward = 0;
    bs_precision precision;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s|$p", names, &name, &backward) ||
        bs_py_precision(&self->model, name, &precision) < 0)
        return NULL;
    return PyLong_FromSize_t(bs_model_packed_size(&self->model, precision, backward));
}

static PyObject *model_touch(PyObject *self_, PyObject *unused)
{
    bs_py_model *self = (bs_py_model *)self_;
    (void)unused;
    bs_py_write_lock_anyway(self);
    self->version++;
    bs_model_changed(&self->model, 0);
    bs_py_write_unlock(self);
    Py_RETURN_NONE;
}

static PyObject *model_copy_settled(PyObject *self_, PyObject *args)
{
    bs_py_model *self = (bs_py_model *)self_;
    const npy_intp total = self->model.table.total;
    PyObject *from_, *to_, *steps = NULL;
    float **arrays = NULL;
    if (!PyArg_ParseTuple(args, "O!O!", &PyTuple_Type, &from_, &PyTuple_Type, &to_))
        return NULL;
    const Py_ssize_t n = PyTuple_GET_SIZE(from_);
    if (PyTuple_GET_SIZE(to_) != n) {
        PyErr_SetString(PyExc_ValueError, "copy_settled: expected as many targets as sources");
        goto done;
    }
    arrays = PyMem_New(float *, 2 * (size_t)n + 1);
    if (arrays == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        arrays[2 * i] = bs_py_floats(PyTuple_GET_ITEM(from_, i), "sources", total);
        arrays[2 * i + 1] = bs_py_floats(PyTuple_GET_ITEM(to_, i), "targets", total);
        if (arrays[2 * i] == NULL || arrays[2 * i + 1] == NULL)
            goto done;
    }
    if (bs_py_lock_shared(self) < 0)
        goto done;
    const unsigned long long found = self->steps;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < n; i++)
        memmove(arrays[2 * i + 1], arrays[2 * i], (size_t)total * sizeof(float));
    bs_py_read_unlock(self);
    Py_END_ALLOW_THREADS
    steps = PyLong_FromUnsignedLongLong(found);
done:
    PyMem_Free(arrays);
    return steps;
}

static PyObject *model_params(PyObject *self_, void *unused)
{
    (void)unused;
    return Py_NewRef(((bs_py_model *)self_)->params);
}

#define KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

/* What several signatures share. */
#define BATCH "$self, ids, types, positions, cu_seqlens"
#define ADAMW "lr=0.0, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, max_grad_norm=0.0"

static PyMethodDef model_methods[] = {
    {"score", KEYWORDS(model_score), METH_VARARGS | METH_KEYWORDS,
     "score(" BATCH ", *, n_threads=1, chunk_tokens=0, precision='float32', pooled=None)\n--\n\n"
     "Return the logits (B, C) of the sequences, without dropout.\n\n"
     "The arrays are those of csrc/model/batch.h. chunk_tokens is the approximate number of\n"
     "tokens that go through the model at once; 0 stands for the default, see part_tokens. The\n"
     "input (B, H) of the head is written to pooled, if that is given."},
    {"attribute", KEYWORDS(bs_py_attribute), METH_VARARGS | METH_KEYWORDS,
     "attribute(" BATCH ", baseline, along, weights, *, n_threads=1,\n"
     "chunk_tokens=0, precision='float32', gradients=None)\n--\n\n"
     "Return the logits (B, C) and what each token (T,) contributes to an output.\n\n"
     "Word embeddings lie between those of the ids `baseline` (T,) and those of ids, at `along`\n"
     "(B,) from 0 to 1. The output is the sum of the logits times weights (B, C). Its gradient (T, E)\n"
     "at the word embeddings is written to gradients, if that is given. See\n"
     "csrc/model/attribution.h."},
    {"pass_size", KEYWORDS(model_pass_size), METH_VARARGS | METH_KEYWORDS,
     "pass_size($self, cu_seqlens, *, freeze=0, keep=True, n_threads=1, precision='float32',\n"
     "stored=False)\n--\n\n"
     "Return the number of bytes that one pass over these sequences takes.\n\n"
     "keep: buffers are kept for the backward pass. stored: the pass starts from stored rows."},
    {"part_tokens", model_part_tokens, METH_O,
     "part_tokens($self, precision, /)\n--\n\n"
     "Return the default numbers of tokens of a micro-batch and of a chunk in scoring."},
    {"packed_size", KEYWORDS(model_packed_size), METH_VARARGS | METH_KEYWORDS,
     "packed_size($self, precision, *, backward=False)\n--\n\n"
     "Return the size of the packed weights in bytes, with `backward` for training."},
    {"forward_backward", KEYWORDS(bs_py_forward_backward), METH_VARARGS | METH_KEYWORDS,
     "forward_backward(" BATCH ", keys, targets, weights, grads, *, freeze=0, training=False,\n"
     "seed=0, step=0, n_threads=1, micro_batch_tokens=0, precision='float32',\n"
     "label_smoothing=0.0, freeze_dropout=False, windows=None, stored=None,\n"
     "loss='cross_entropy', positive_weights=None, teacher=None, temperature=0.0)\n--\n\n"
     "Return the loss and the logits (N, C); write the gradient to the trained part of grads.\n\n"
     "targets are class ids (N,) or a matrix (N, C), as the loss asks (csrc/model/loss.h).\n"
     "windows is a tuple (first, shares), see csrc/model/windows.h. stored is a tuple of the\n"
     "precomputed rows, float32 or bfloat16 as uint16, and the first row of each sequence, see\n"
     "csrc/model/stored.h. teacher, for the losses of distillation, is a tuple of its logits (N, C),\n"
     "the temperature and the weight of its part of the loss. temperature is that of the\n"
     "contrastive loss of vectors, see csrc/model/contrastive.h."},
    {"frozen_rows", KEYWORDS(bs_py_frozen_rows), METH_VARARGS | METH_KEYWORDS,
     "frozen_rows(" BATCH ", layer, rows, *, n_threads=1, micro_batch_tokens=0,\n"
     "precision='float32')\n--\n\n"
     "Write the input (T, H) of a layer to rows or, if layer is the number of layers, the input\n"
     "(B, H) of the head."},
    {"train_step", KEYWORDS(bs_py_train_step), METH_VARARGS | METH_KEYWORDS,
     "train_step(" BATCH ", keys, targets, weights, grads, exp_avg, exp_avg_sq, *, freeze=0,\n"
     "training=True, seed=0, step=0, " ADAMW ",\n"
     "n_threads=1, micro_batch_tokens=0, precision='float32', label_smoothing=0.0, rates=None,\n"
     "freeze_dropout=False, windows=None, stored=None, loss='cross_entropy',\n"
     "positive_weights=None, teacher=None, temperature=0.0)\n--\n\n"
     "Do what forward_backward and apply do. Return the loss, the logits and the norm.\n\n"
     "If the loss or the norm is not finite, raise FloatingPointError and change nothing."},
    {"apply", KEYWORDS(bs_py_apply), METH_VARARGS | METH_KEYWORDS,
     "apply($self, grads, exp_avg, exp_avg_sq, *, freeze=0, step=0, " ADAMW ",\n"
     "n_threads=1, rates=None)\n--\n\n"
     "Update the trained parameters by AdamW and return the gradient's norm before clipping.\n\n"
     "step counts from 0. rates holds learning-rate factors of the embeddings, each layer and\n"
     "the head."},
    {"time_stages", model_time_stages, METH_O,
     "time_stages($self, on, /)\n--\n\n"
     "Switch the timing of stages on or off. Return the seconds of each stage of train_step,\n"
     "forward_backward and score since it was switched on, or None if it was off.\n\n"
     "Only for one call at a time."},
    {"mlm_loss", KEYWORDS(bs_py_mlm_loss), METH_VARARGS | METH_KEYWORDS,
     "mlm_loss(" BATCH ", keys, tokens, labels, grads=None, *, freeze=0, training=False, seed=0,\n"
     "step=0, n_threads=1, micro_batch_tokens=0, precision='float32')\n--\n\n"
     "Return the mean loss over the masked tokens and how many of them are predicted correctly.\n\n"
     "tokens are the indices of the masked tokens, labels their true ids. The gradient is written\n"
     "to the trained part of grads, if that is given."},
    {"mlm_train_step", KEYWORDS(bs_py_mlm_train_step), METH_VARARGS | METH_KEYWORDS,
     "mlm_train_step(" BATCH ", keys, tokens, labels, grads, exp_avg, exp_avg_sq, *, freeze=0,\n"
     "training=True, seed=0, step=0, " ADAMW ",\n"
     "n_threads=1, micro_batch_tokens=0, precision='float32', rates=None)\n--\n\n"
     "Do what mlm_loss and apply do. Return the loss, the correct predictions and the norm."},
    {"touch", model_touch, METH_NOARGS,
     "touch($self, /)\n--\n\n"
     "Must be called after the parameters were changed from outside the engine.\n\n"
     "It waits for the calls that are running, and no signal ends this wait."},
    {"copy_settled", model_copy_settled, METH_VARARGS,
     "copy_settled($self, sources, targets, /)\n--\n\n"
     "Copy arrays of the size of the parameters as they are between two training steps.\n\n"
     "Both are tuples. Return how many training steps this object had done."},
    {NULL, NULL, 0, NULL},
};

static PyObject *model_reserved(PyObject *self_, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(((bs_py_model *)self_)->arena.size);
}

static PyObject *model_allocations(PyObject *self_, void *unused)
{
    const bs_py_model *self = (bs_py_model *)self_;
    int64_t count = self->arena.allocations + self->model.decoder.allocations;
    (void)unused;
    for (size_t i = 0; i < sizeof self->model.packed / sizeof *self->model.packed; i++)
        count += self->model.packed[i].arena.allocations;
    return PyLong_FromLongLong(count);
}

static PyGetSetDef model_getset[] = {
    {"params", model_params, NULL, "The flat array of parameters.", NULL},
    {"reserved", model_reserved, NULL, "The number of bytes reserved for training passes.", NULL},
    {"allocations", model_allocations, NULL,
     "How many times memory was allocated for training passes and for packed weights.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot model_slots[] = {
    {Py_tp_new, model_new},
    {Py_tp_dealloc, model_dealloc},
    {Py_tp_methods, model_methods},
    {Py_tp_getset, model_getset},
    {Py_tp_doc, "Model(config, params)\n--\n\n"
                "An encoder and its head over a flat float32 array of parameters."},
    {0, NULL},
};

static PyType_Spec model_spec = {
    .name = "bertsent._core.Model",
    .basicsize = sizeof(bs_py_model),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = model_slots,
};

int bs_py_add_model(PyObject *module)
{
    bs_module_state *state = PyModule_GetState(module);
    return bs_py_add_type(module, &model_spec, &state->model_type);
}
