/* _core.Model: the engine's entries over NumPy arrays. Types, sizes and ranges are checked
 * here and in py_arguments.c, before the GIL is released; nothing below this folder raises. Those
 * that train are in py_train.c, py_mlm.c and py_stored.c. */
#include "python/py_model.h"

#include <string.h>

#include "core/pool.h"
#include "model/score.h"
#include "train/step.h"

/* ---- lock: many may read, one may write; void after a fork ---- */

void bs_py_model_renew_lock(bs_py_model *self)
{
    if (self->generation == bs_fork_generation())
        return;
    pthread_rwlock_init(&self->lock, NULL);
    self->generation = bs_fork_generation();
}

bs_status bs_py_read_lock(bs_py_model *self, bs_precision precision, bool backward, int n_threads,
                          bs_error *e)
{
    for (;;) {
        pthread_rwlock_rdlock(&self->lock);
        if (bs_model_fresh(&self->model, precision, backward))
            return BS_OK;
        pthread_rwlock_unlock(&self->lock);
        pthread_rwlock_wrlock(&self->lock);
        const bs_status status =
            bs_model_pack(&self->model, precision, backward, n_threads, e);
        pthread_rwlock_unlock(&self->lock);
        if (status != BS_OK)
            return status;
    }
}

void bs_py_write_lock(bs_py_model *self, long long tokens, bs_pass_options *options)
{
    pthread_rwlock_wrlock(&self->lock);
    options->tokens = tokens;
    options->clock = bs_py_start_clock(self);
}

/* ---- making one ---- */

static int config_number(PyObject *config, const char *key, int64_t *out)
{
    PyObject *value = PyMapping_GetItemString(config, key);
    if (value == NULL)
        return -1;
    const long long number = PyLong_AsLongLong(value);
    Py_DECREF(value);
    if (number == -1 && PyErr_Occurred())
        return -1;
    *out = number;
    return 0;
}

static int config_rate(PyObject *config, const char *key, float *out)
{
    PyObject *value = PyMapping_GetItemString(config, key);
    if (value == NULL)
        return -1;
    const double number = PyFloat_AsDouble(value);
    Py_DECREF(value);
    if (number == -1.0 && PyErr_Occurred())
        return -1;
    *out = (float)number;
    return 0;
}

static int config_activation(PyObject *config, bs_activation *out)
{
    static const char *const names[] = {"gelu", "gelu_new", "relu"};
    PyObject *value = PyMapping_GetItemString(config, "hidden_act");
    const char *name = value != NULL ? PyUnicode_AsUTF8(value) : NULL;
    int result = -1;
    for (int i = 0; name != NULL && i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (bs_activation)i;
            result = 0;
        }
    if (name != NULL && result < 0)
        PyErr_Format(PyExc_ValueError,
                     "config: hidden_act is '%s', expected 'gelu', 'gelu_new' or 'relu'", name);
    Py_XDECREF(value);
    return result;
}

/* "cls" or "mean"; a configuration that says nothing means [CLS]. */
static int config_pooling(PyObject *config, bool *mean)
{
    PyObject *value;
    int result = -1;
    if (!PyMapping_HasKeyString(config, "pooling"))
        return 0;
    value = PyMapping_GetItemString(config, "pooling");
    const char *name = value != NULL ? PyUnicode_AsUTF8(value) : NULL;
    if (name != NULL && (strcmp(name, "cls") == 0 || strcmp(name, "mean") == 0)) {
        *mean = strcmp(name, "mean") == 0;
        result = 0;
    } else if (name != NULL)
        PyErr_Format(PyExc_ValueError, "config: pooling is '%s', expected 'cls' or 'mean'", name);
    Py_XDECREF(value);
    return result;
}

/* "classifier" or "masked_lm"; a configuration that says nothing means the former. */
static int config_head(PyObject *config, bool *masked_lm)
{
    PyObject *value;
    int result = -1;
    if (!PyMapping_HasKeyString(config, "head"))
        return 0;
    value = PyMapping_GetItemString(config, "head");
    const char *name = value != NULL ? PyUnicode_AsUTF8(value) : NULL;
    if (name != NULL && (strcmp(name, "classifier") == 0 || strcmp(name, "masked_lm") == 0)) {
        *masked_lm = strcmp(name, "masked_lm") == 0;
        result = 0;
    } else if (name != NULL)
        PyErr_Format(PyExc_ValueError,
                     "config: head is '%s', expected 'classifier' or 'masked_lm'", name);
    Py_XDECREF(value);
    return result;
}

static int read_config(PyObject *o, bs_config *c)
{
    memset(c, 0, sizeof *c);
    if (config_number(o, "vocab_size", &c->vocab_size) < 0 ||
        config_number(o, "hidden_size", &c->hidden_size) < 0 ||
        config_number(o, "num_hidden_layers", &c->num_layers) < 0 ||
        config_number(o, "num_attention_heads", &c->num_heads) < 0 ||
        config_number(o, "intermediate_size", &c->intermediate_size) < 0 ||
        config_number(o, "max_position_embeddings", &c->max_positions) < 0 ||
        config_number(o, "type_vocab_size", &c->type_vocab_size) < 0 ||
        config_number(o, "num_labels", &c->num_labels) < 0 ||
        config_number(o, "pad_token_id", &c->pad_token_id) < 0 ||
        config_rate(o, "layer_norm_eps", &c->layer_norm_eps) < 0 ||
        config_rate(o, "hidden_dropout_prob", &c->hidden_dropout) < 0 ||
        config_rate(o, "attention_probs_dropout_prob", &c->attention_dropout) < 0 ||
        config_rate(o, "classifier_dropout", &c->classifier_dropout) < 0 ||
        config_activation(o, &c->activation) < 0 || config_pooling(o, &c->mean_pooling) < 0 ||
        config_head(o, &c->masked_lm) < 0)
        return -1;
    bs_error e = BS_ERROR_INIT;
    return bs_config_check(c, &e) == BS_OK ? 0 : bs_raise(&e);
}

static PyObject *parameter_table(PyObject *module, PyObject *config_)
{
    bs_config config;
    bs_parameter_table table = {0};
    bs_error e = BS_ERROR_INIT;
    PyObject *list = NULL, *result = NULL;
    (void)module;
    if (read_config(config_, &config) < 0)
        return NULL;
    if (bs_parameter_table_make(&table, &config, &e) != BS_OK) {
        bs_raise(&e);
        return NULL;
    }
    list = PyList_New(table.count);
    for (int64_t i = 0; list != NULL && i < table.count; i++) {
        const bs_parameter *p = &table.entries[i];
        PyObject *shape = p->shape[1] > 0
                              ? Py_BuildValue("LL", (long long)p->shape[0], (long long)p->shape[1])
                              : Py_BuildValue("(L)", (long long)p->shape[0]);
        PyObject *entry = shape == NULL ? NULL
                                        : Py_BuildValue("sNLiO", p->name, shape,
                                                        (long long)p->offset, p->layer,
                                                        p->decay ? Py_True : Py_False);
        if (entry == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, entry);
    }
    if (list != NULL)
        result = Py_BuildValue("LN", (long long)table.total, list);
    bs_parameter_table_free(&table);
    return result;
}

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
    pthread_rwlock_init(&self->lock, NULL);
    self->generation = bs_fork_generation();
    if (read_config(config, &self->model.config) < 0)
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
    pthread_rwlock_destroy(&self->lock);
    Py_XDECREF(self->params);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- methods ---- */

/* (on) -> seconds of each stage since it was switched on, or None */
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

bs_stage_clock *bs_py_start_clock(bs_py_model *self)
{
    if (!self->timed)
        return NULL;
    bs_stage_begin(&self->clock);
    return &self->clock;
}

static PyObject *model_score(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids",       "types",        "positions", "cu_seqlens",
                            "n_threads", "chunk_tokens", "precision", NULL};
    bs_py_model *self = (bs_py_model *)self_;
    PyObject *ids, *types, *positions, *cu_seqlens;
    int n_threads = 1;
    long long chunk_tokens = 0;
    const char *precision = "float32";
    bs_pass_options options = {0};
    bs_batch batch;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOO|$iLs", names, &ids, &types, &positions,
                                     &cu_seqlens, &n_threads, &chunk_tokens, &precision) ||
        bs_py_precision(self, precision, &options.precision) < 0 ||
        bs_py_batch(self, ids, types, positions, cu_seqlens, NULL, &batch) < 0)
        return NULL;
    PyObject *logits = bs_py_logits(self, batch.n_sequences);
    if (logits == NULL)
        return NULL;
    bs_py_model_renew_lock(self);
    Py_BEGIN_ALLOW_THREADS
    options.tokens = chunk_tokens;
    options.clock = bs_py_start_clock(self);
    if (bs_py_read_lock(self, options.precision, false, n_threads, &e) == BS_OK) {
        bs_score(&self->model, &batch, &options, n_threads, PyArray_DATA((PyArrayObject *)logits),
                 &e);
        pthread_rwlock_unlock(&self->lock);
    }
    Py_END_ALLOW_THREADS
    if (e.status != BS_OK) {
        Py_DECREF(logits);
        bs_raise(&e);
        return NULL;
    }
    return logits;
}

static PyObject *model_pass_size(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"cu_seqlens", "freeze", "keep", "n_threads", "precision",
                            "stored", NULL};
    static const bs_stored_rows some = {0};
    const char *precision = "float32";
    bs_py_model *self = (bs_py_model *)self_;
    PyObject *cu_seqlens;
    long long freeze = 0;
    int keep = 1, n_threads = 1, stored = 0;
    npy_intp offsets;
    bs_batch batch = {0};
    bs_pass_options options;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$Lpisp", names, &cu_seqlens, &freeze, &keep,
                                     &n_threads, &precision, &stored) ||
        bs_py_options(self, freeze, 0, 0, 0, NULL, &options) < 0 ||
        bs_py_precision(self, precision, &options.precision) < 0 ||
        (batch.cu_seqlens = bs_py_array(cu_seqlens, "cu_seqlens", NPY_INT64, -1, &offsets)) == NULL)
        return NULL;
    if (offsets < 2) {
        PyErr_SetString(PyExc_ValueError, "cu_seqlens: expected at least 2 items");
        return NULL;
    }
    batch.n_sequences = offsets - 1;
    batch.n_tokens = batch.cu_seqlens[offsets - 1];
    batch.stored = stored ? &some : NULL;
    return PyLong_FromSize_t(bs_pass_size(&self->model, &batch, &options, keep, n_threads));
}

static PyObject *model_part_tokens(PyObject *self_, PyObject *name)
{
    bs_precision precision;
    const char *text = PyUnicode_AsUTF8(name);
    if (text == NULL || bs_py_precision((bs_py_model *)self_, text, &precision) < 0)
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
        bs_py_precision(self, name, &precision) < 0)
        return NULL;
    return PyLong_FromSize_t(bs_model_packed_size(&self->model, precision, backward));
}

static PyObject *model_touch(PyObject *self_, PyObject *unused)
{
    bs_py_model *self = (bs_py_model *)self_;
    (void)unused;
    bs_py_model_renew_lock(self);
    Py_BEGIN_ALLOW_THREADS
    pthread_rwlock_wrlock(&self->lock);
    self->version++;
    bs_model_changed(&self->model, 0);
    pthread_rwlock_unlock(&self->lock);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *model_params(PyObject *self_, void *unused)
{
    (void)unused;
    return Py_NewRef(((bs_py_model *)self_)->params);
}

#define KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef model_methods[] = {
    {"score", KEYWORDS(model_score), METH_VARARGS | METH_KEYWORDS,
     "score(ids, types, positions, cu_seqlens, *, n_threads=1, chunk_tokens=0,\n"
     "precision='float32') -> logits (B, C)"},
    {"pass_size", KEYWORDS(model_pass_size), METH_VARARGS | METH_KEYWORDS,
     "pass_size(cu_seqlens, *, freeze=0, keep=True, n_threads=1, precision='float32',\n"
     "stored=False) -> bytes that one pass through these sequences takes, all at once"},
    {"part_tokens", model_part_tokens, METH_O,
     "part_tokens(precision) -> (micro_batch_tokens, chunk_tokens) that 0 stands for"},
    {"packed_size", KEYWORDS(model_packed_size), METH_VARARGS | METH_KEYWORDS,
     "packed_size(precision, *, backward=False) -> bytes that the packed weights take"},
    {"forward_backward", KEYWORDS(bs_py_forward_backward), METH_VARARGS | METH_KEYWORDS,
     "forward_backward(ids, types, positions, cu_seqlens, keys, labels, weights, grads, *,\n"
     "freeze=0, training=False, seed=0, step=0, n_threads=1, micro_batch_tokens=0,\n"
     "precision='float32', label_smoothing=0, freeze_dropout=False, windows=None, stored=None)\n"
     "-> (loss, logits); windows: (first, shares), see model/windows.h; stored: (rows, first),\n"
     "float32 or, as uint16, bfloat16, and where each sequence begins, see model/stored.h"},
    {"frozen_rows", KEYWORDS(bs_py_frozen_rows), METH_VARARGS | METH_KEYWORDS,
     "frozen_rows(ids, types, positions, cu_seqlens, layer, rows, *, n_threads=1,\n"
     "micro_batch_tokens=0, precision='float32'): writes what the layer reads (T, H) to rows, or\n"
     "with the number of layers what the head does (B, H)"},
    {"train_step", KEYWORDS(bs_py_train_step), METH_VARARGS | METH_KEYWORDS,
     "train_step(ids, types, positions, cu_seqlens, keys, labels, weights, grads, exp_avg,\n"
     "exp_avg_sq, *, freeze=0, training=True, seed=0, step=0, lr, beta1=0.9, beta2=0.999,\n"
     "eps=1e-8, weight_decay=0, max_grad_norm=0, n_threads=1, micro_batch_tokens=0,\n"
     "precision='float32', label_smoothing=0, rates=None, freeze_dropout=False, windows=None,\n"
     "stored=None) -> (loss, logits, norm)"},
    {"apply", KEYWORDS(bs_py_apply), METH_VARARGS | METH_KEYWORDS,
     "apply(grads, exp_avg, exp_avg_sq, *, freeze=0, step=0, lr, beta1=0.9, beta2=0.999,\n"
     "eps=1e-8, weight_decay=0, max_grad_norm=0, n_threads=1, rates=None) -> norm"},
    {"time_stages", model_time_stages, METH_O,
     "time_stages(on) -> seconds of each stage of train_step, forward_backward and score since it\n"
     "was switched on, or None; for one call at a time"},
    {"mlm_loss", KEYWORDS(bs_py_mlm_loss), METH_VARARGS | METH_KEYWORDS,
     "mlm_loss(ids, types, positions, cu_seqlens, keys, tokens, labels, grads=None, *, freeze=0,\n"
     "training=False, seed=0, step=0, n_threads=1, micro_batch_tokens=0, precision='float32')\n"
     "-> (loss, hits); tokens: which of the batch are predicted, labels: what they are"},
    {"mlm_train_step", KEYWORDS(bs_py_mlm_train_step), METH_VARARGS | METH_KEYWORDS,
     "mlm_train_step(ids, types, positions, cu_seqlens, keys, tokens, labels, grads, exp_avg,\n"
     "exp_avg_sq, *, freeze=0, training=True, seed=0, step=0, lr, beta1=0.9, beta2=0.999,\n"
     "eps=1e-8, weight_decay=0, max_grad_norm=0, n_threads=1, micro_batch_tokens=0,\n"
     "precision='float32', rates=None) -> (loss, hits, norm)"},
    {"touch", model_touch, METH_NOARGS, "Says that the parameters were written from outside."},
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
    {"params", model_params, NULL, "The flat parameter buffer.", NULL},
    {"reserved", model_reserved, NULL, "Bytes that training has reserved for passes.", NULL},
    {"allocations", model_allocations, NULL,
     "How often memory was allocated for training's passes and for packed weights.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot model_slots[] = {
    {Py_tp_new, model_new},
    {Py_tp_dealloc, model_dealloc},
    {Py_tp_methods, model_methods},
    {Py_tp_getset, model_getset},
    {Py_tp_doc, "Model(config, params): a BERT over a flat float32 buffer that NumPy owns."},
    {0, NULL},
};

static PyType_Spec model_spec = {
    .name = "bertsent._core.Model",
    .basicsize = sizeof(bs_py_model),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = model_slots,
};

static PyMethodDef functions[] = {
    {"parameter_table", parameter_table, METH_O,
     "parameter_table(config) -> (total, [(name, shape, offset, layer, decay), ...])"},
    {NULL, NULL, 0, NULL},
};

int bs_py_add_model(PyObject *module)
{
    bs_module_state *state = PyModule_GetState(module);
    if (bs_py_add_type(module, &model_spec, &state->model_type) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
