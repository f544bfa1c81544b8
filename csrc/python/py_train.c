#include "python/py_train.h"

#include "python/py_arguments.h"
#include "python/py_model_object.h"
#include "train/step.h"

/* Reads a tuple (first, shares) into `w` and *n_texts. None or NULL leaves both. Returns 0, or -1
 * with an exception set. */
static int windows_of(PyObject **copies, PyObject *o, int64_t n_sequences, bs_windows *w,
                      int64_t *n_texts)
{
    PyObject *first, *shares;
    npy_intp offsets;
    bs_error e = BS_ERROR_INIT;
    const int given = bs_py_pair(o, "windows", &first, &shares);
    if (given <= 0)
        return given;
    w->first = bs_py_copy(copies, first, "windows", NPY_INT64, -1, &offsets);
    w->shares = bs_py_copy(copies, shares, "shares", NPY_FLOAT32, n_sequences, NULL);
    if (w->first == NULL || w->shares == NULL)
        return -1;
    w->n_texts = *n_texts = offsets - 1;
    return bs_windows_check(w, n_sequences, &e) == BS_OK ? 0 : bs_raise(&e);
}

/* Reads a tuple (logits, temperature, weight) into `t`, if its loss takes a teacher; otherwise it
 * must be None or NULL. Returns 0, or -1 with an exception set. */
static int teacher_of(PyObject **copies, PyObject *o, int64_t n_texts, int64_t C, bs_targets *t)
{
    PyObject *logits;
    const bool wanted = t->loss->takes_ids && t->loss->takes_matrix;
    if (o == NULL || o == Py_None) {
        if (wanted)
            PyErr_Format(PyExc_TypeError, "%s needs a teacher", t->loss->name);
        return wanted ? -1 : 0;
    }
    if (!wanted) {
        PyErr_Format(PyExc_TypeError, "%s takes no teacher", t->loss->name);
        return -1;
    }
    if (!PyTuple_Check(o) ||
        !PyArg_ParseTuple(o, "Off", &logits, &t->temperature, &t->teacher_weight)) {
        PyErr_SetString(PyExc_TypeError,
                        "teacher: expected a tuple of an array and two numbers, or None");
        return -1;
    }
    t->matrix = bs_py_matrix(copies, logits, "teacher", n_texts, C);
    return t->matrix != NULL ? 0 : -1;
}

/* Checks the arguments that train_step and forward_backward share: batch, windows, targets with
 * their weights, and gradient buffer. Returns the number of texts, or -1 with an exception set. */
static int64_t batch_and_targets(const bs_py_model *self, PyObject **copies, PyObject *const o[7],
                                 PyObject *grads, const char *loss, PyObject *windows_,
                                 PyObject *positive_weights, PyObject *teacher, bs_batch *batch,
                                 bs_windows *windows, bs_targets *targets, float **gradients)
{
    const int64_t C = self->model.config.num_labels;
    bs_error e = BS_ERROR_INIT;
    targets->loss = bs_py_loss(loss);
    if (targets->loss != NULL &&
        targets->loss->whole_step != bs_returns_vectors(&self->model.config)) {
        PyErr_Format(PyExc_ValueError, "%s needs a model that returns %s", loss,
                     targets->loss->whole_step ? "vectors" : "logits");
        return -1;
    }
    if (targets->loss == NULL ||
        bs_py_batch(&self->model, copies, o[0], o[1], o[2], o[3], o[4], batch) < 0)
        return -1;
    int64_t n_texts = batch->n_sequences;
    if (windows_of(copies, windows_, batch->n_sequences, windows, &n_texts) < 0)
        return -1;
    targets->windows = windows->n_texts > 0 ? windows : NULL;
    if (targets->loss->takes_ids)
        targets->ids = bs_py_copy(copies, o[5], "targets", NPY_INT32, n_texts, NULL);
    else
        targets->matrix = bs_py_matrix(copies, o[5], "targets", n_texts, C);
    if ((targets->ids == NULL && targets->matrix == NULL) ||
        teacher_of(copies, teacher, n_texts, C, targets) < 0 ||
        bs_py_optional(copies, o[6], "weights", NPY_FLOAT32, n_texts,
                       (const void **)&targets->weights) < 0 ||
        bs_py_optional(copies, positive_weights, "positive_weights", NPY_FLOAT32, C,
                       (const void **)&targets->positive_weights) < 0)
        return -1;
    if (bs_targets_check(targets, n_texts, C, &e) != BS_OK)
        return bs_raise(&e);
    *gradients = bs_py_floats(grads, "grads", self->model.table.total);
    return *gradients != NULL ? n_texts : -1;
}

PyObject *bs_py_forward_backward(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids",    "types",   "positions", "cu_seqlens", "keys",
                            "targets", "weights", "grads",    "freeze",     "training",
                            "seed",   "step",    "n_threads", "micro_batch_tokens",
                            "precision", "label_smoothing", "freeze_dropout", "windows",
                            "stored", "loss", "positive_weights", "teacher",
                            "temperature", NULL};
    const char *precision = NULL, *loss_name = "cross_entropy";
    bs_py_model *self = (bs_py_model *)self_;
    PyObject *o[7], *grads, *windows_ = NULL, *stored_ = NULL, *positive = Py_None;
    PyObject *teacher = NULL;
    PyObject *copies = NULL, *logits = NULL, *found = NULL;
    long long freeze = 0, step = 0, tokens = 0;
    int training = 0, n_threads = 1, freeze_dropout = 0;
    unsigned long long seed = 0;
    bs_batch batch;
    bs_targets targets = {0};
    bs_windows windows = {0};
    bs_stored_rows stored;
    int64_t n_texts;
    bs_pass_options options;
    float *gradients;
    double loss = 0.0;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOOO|$LpKLiLsfpOOsOOf", names, &o[0], &o[1],
                                     &o[2], &o[3], &o[4], &o[5], &o[6], &grads, &freeze,
                                     &training, &seed,
                                     &step, &n_threads, &tokens, &precision,
                                     &targets.label_smoothing, &freeze_dropout, &windows_,
                                     &stored_, &loss_name, &positive, &teacher,
                                     &targets.temperature) ||
        (n_texts = batch_and_targets(self, &copies, o, grads, loss_name, windows_, positive, teacher,
                                     &batch, &windows, &targets, &gradients)) < 0 ||
        bs_py_options(&self->model, freeze, training, seed, step, precision, &options) < 0)
        goto done;
    options.freeze_dropout = freeze_dropout;
    if (bs_py_stored(&self->model, &copies, stored_, &options, &batch, &stored) < 0 ||
        (logits = bs_py_logits(&self->model, n_texts)) == NULL ||
        bs_py_pass_lock(self, tokens, &options) < 0)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    bs_loss_and_gradients(&self->model, &batch, &targets, &options, n_threads, &self->arena,
                          PyArray_DATA((PyArrayObject *)logits), gradients, &loss, &e);
    bs_py_write_unlock(self);
    Py_END_ALLOW_THREADS
    if (e.status == BS_OK)
        found = Py_BuildValue("dO", loss, logits);
    else
        bs_raise(&e);
done:
    Py_XDECREF(copies);
    Py_XDECREF(logits);
    return found;
}

PyObject *bs_py_train_step(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids",          "types",         "positions", "cu_seqlens", "keys",
                            "targets",      "weights",       "grads",     "exp_avg",    "exp_avg_sq",
                            "freeze",       "training",      "seed",      "step",       "lr",
                            "beta1",        "beta2",         "eps",       "weight_decay",
                            "max_grad_norm", "n_threads",    "micro_batch_tokens",
                            "precision",    "label_smoothing", "rates",   "freeze_dropout",
                            "windows",      "stored",        "loss",      "positive_weights",
                            "teacher",      "temperature",   NULL};
    const char *precision = NULL, *loss_name = "cross_entropy";
    bs_py_model *self = (bs_py_model *)self_;
    PyObject *o[7], *grads, *exp_avg_, *exp_avg_sq_, *rates = NULL, *windows_ = NULL;
    PyObject *stored_ = NULL, *positive = Py_None, *teacher = NULL;
    PyObject *copies = NULL, *logits = NULL, *found = NULL;
    long long freeze = 0, step = 0, tokens = 0;
    int training = 1, n_threads = 1, freeze_dropout = 0;
    unsigned long long seed = 0;
    bs_adamw_options adamw = BS_PY_ADAMW;
    bs_batch batch;
    bs_targets targets = {0};
    bs_windows windows = {0};
    bs_stored_rows stored;
    int64_t n_texts;
    bs_pass_options options;
    float *gradients, *exp_avg, *exp_avg_sq;
    double loss = 0.0, norm = 0.0;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOOOOO|$LpKLffffffiLsfOpOOsOOf", names,
                                     &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &grads,
                                     &exp_avg_,
                                     &exp_avg_sq_, &freeze, &training, &seed, &step,
                                     &adamw.learning_rate, &adamw.beta1, &adamw.beta2, &adamw.eps,
                                     &adamw.weight_decay, &adamw.max_grad_norm, &n_threads,
                                     &tokens, &precision, &targets.label_smoothing, &rates,
                                     &freeze_dropout, &windows_, &stored_, &loss_name, &positive,
                                     &teacher, &targets.temperature) ||
        (n_texts = batch_and_targets(self, &copies, o, grads, loss_name, windows_, positive, teacher,
                                     &batch, &windows, &targets, &gradients)) < 0 ||
        bs_py_rates(&self->model, &copies, rates, &adamw.rates) < 0 ||
        bs_py_options(&self->model, freeze, training, seed, step, precision, &options) < 0 ||
        (exp_avg = bs_py_floats(exp_avg_, "exp_avg", self->model.table.total)) == NULL ||
        (exp_avg_sq = bs_py_floats(exp_avg_sq_, "exp_avg_sq", self->model.table.total)) == NULL)
        goto done;
    options.freeze_dropout = freeze_dropout;
    if (bs_py_stored(&self->model, &copies, stored_, &options, &batch, &stored) < 0 ||
        (logits = bs_py_logits(&self->model, n_texts)) == NULL ||
        bs_py_pass_lock(self, tokens, &options) < 0)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    bs_train_step(&self->model, &batch, &targets, &options, &adamw, n_threads, &self->arena,
                  PyArray_DATA((PyArrayObject *)logits), gradients, exp_avg, exp_avg_sq, &loss,
                  &norm, &e);
    bs_py_model_trained(self, &e);
    bs_py_write_unlock(self);
    Py_END_ALLOW_THREADS
    if (e.status == BS_OK)
        found = Py_BuildValue("dOd", loss, logits, norm);
    else
        bs_raise(&e);
done:
    Py_XDECREF(copies);
    Py_XDECREF(logits);
    return found;
}

PyObject *bs_py_apply(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"grads", "exp_avg", "exp_avg_sq", "freeze",       "step",
                            "lr",    "beta1",   "beta2",      "eps",          "weight_decay",
                            "max_grad_norm",    "n_threads",  "rates", NULL};
    bs_py_model *self = (bs_py_model *)self_;
    PyObject *grads_, *exp_avg_, *exp_avg_sq_, *rates = NULL, *copies = NULL, *found = NULL;
    long long freeze = 0, step = 0;
    int n_threads = 1;
    bs_adamw_options adamw = BS_PY_ADAMW;
    bs_pass_options options;
    float *grads, *exp_avg, *exp_avg_sq;
    double norm = 0.0;
    bs_error e = BS_ERROR_INIT;
    const npy_intp total = self->model.table.total;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|$LLffffffiO", names, &grads_, &exp_avg_,
                                     &exp_avg_sq_, &freeze, &step, &adamw.learning_rate,
                                     &adamw.beta1, &adamw.beta2, &adamw.eps, &adamw.weight_decay,
                                     &adamw.max_grad_norm, &n_threads, &rates) ||
        bs_py_rates(&self->model, &copies, rates, &adamw.rates) < 0 ||
        bs_py_options(&self->model, freeze, 0, 0, step, NULL, &options) < 0 ||
        (grads = bs_py_array(grads_, "grads", NPY_FLOAT32, total, NULL)) == NULL ||
        (exp_avg = bs_py_floats(exp_avg_, "exp_avg", total)) == NULL ||
        (exp_avg_sq = bs_py_floats(exp_avg_sq_, "exp_avg_sq", total)) == NULL ||
        bs_py_write_lock(self) < 0)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    bs_optimizer_apply(&self->model, freeze, grads, exp_avg, exp_avg_sq, step, &adamw, n_threads,
                       &norm, &e);
    bs_py_model_trained(self, &e);
    bs_py_write_unlock(self);
    Py_END_ALLOW_THREADS
    if (e.status == BS_OK)
        found = PyFloat_FromDouble(norm);
    else
        bs_raise(&e);
done:
    Py_XDECREF(copies);
    return found;
}
