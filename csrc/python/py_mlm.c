#include "python/py_mlm.h"

#include "python/py_arguments.h"
#include "python/py_model_object.h"
#include "train/mlm_step.h"

/* Checks the arguments that both methods share: batch, targets and, unless `grads` is NULL, the
 * gradient buffer. Returns 0, or -1 with an exception set. */
static int masked_batch(const bs_py_model *self, PyObject **copies, PyObject *const o[7],
                        PyObject *grads, bs_batch *batch, bs_mlm_targets *targets,
                        float **gradients)
{
    bs_error e = BS_ERROR_INIT;
    npy_intp count;
    if (!bs_predicts_masked(&self->model.config)) {
        PyErr_SetString(PyExc_ValueError, "the model's head is a classifier; make one with "
                                          "head='masked_lm' to predict masked tokens");
        return -1;
    }
    *targets = (bs_mlm_targets){0};
    if (bs_py_batch(&self->model, copies, o[0], o[1], o[2], o[3], o[4], batch) < 0 ||
        (targets->tokens = bs_py_copy(copies, o[5], "tokens", NPY_INT64, -1, &count)) == NULL ||
        (targets->labels = bs_py_copy(copies, o[6], "labels", NPY_INT32, count, NULL)) == NULL)
        return -1;
    targets->count = count;
    if (bs_mlm_targets_check(targets, batch, &self->model.config, &e) != BS_OK)
        return bs_raise(&e);
    if (grads == NULL)
        return 0;
    *gradients = bs_py_floats(grads, "grads", self->model.table.total);
    return *gradients != NULL ? 0 : -1;
}

PyObject *bs_py_mlm_loss(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids",    "types",  "positions", "cu_seqlens", "keys",
                            "tokens", "labels", "grads",     "freeze",     "training",
                            "seed",   "step",   "n_threads", "micro_batch_tokens", "precision",
                            NULL};
    const char *precision = NULL;
    bs_py_model *self = (bs_py_model *)self_;
    PyObject *o[7], *grads = NULL, *copies = NULL, *found = NULL;
    long long freeze = 0, step = 0, tokens = 0;
    int training = 0, n_threads = 1;
    unsigned long long seed = 0;
    bs_batch batch;
    bs_mlm_targets targets;
    bs_mlm_result result = {0};
    bs_pass_options options;
    float *gradients = NULL;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOO|O$LpKLiLs", names, &o[0], &o[1], &o[2],
                                     &o[3], &o[4], &o[5], &o[6], &grads, &freeze, &training, &seed,
                                     &step, &n_threads, &tokens, &precision) ||
        masked_batch(self, &copies, o, grads == Py_None ? NULL : grads, &batch, &targets,
                     &gradients) < 0 ||
        bs_py_options(&self->model, freeze, training, seed, step, precision, &options) < 0 ||
        bs_py_pass_lock(self, tokens, &options) < 0)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    bs_mlm_loss_and_gradients(&self->model, &batch, &targets, &options, n_threads, &self->arena,
                              gradients, &result, &e);
    bs_py_write_unlock(self);
    Py_END_ALLOW_THREADS
    if (e.status == BS_OK)
        found = Py_BuildValue("dL", result.loss, (long long)result.hits);
    else
        bs_raise(&e);
done:
    Py_XDECREF(copies);
    return found;
}

PyObject *bs_py_mlm_train_step(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids",     "types",      "positions",     "cu_seqlens",    "keys",
                            "tokens",  "labels",     "grads",         "exp_avg",       "exp_avg_sq",
                            "freeze",  "training",   "seed",          "step",          "lr",
                            "beta1",   "beta2",      "eps",           "weight_decay",
                            "max_grad_norm", "n_threads", "micro_batch_tokens", "precision",
                            "rates",   NULL};
    const char *precision = NULL;
    bs_py_model *self = (bs_py_model *)self_;
    PyObject *o[7], *grads, *exp_avg_, *exp_avg_sq_, *rates = NULL;
    PyObject *copies = NULL, *found = NULL;
    long long freeze = 0, step = 0, tokens = 0;
    int training = 1, n_threads = 1;
    unsigned long long seed = 0;
    bs_adamw_options adamw = BS_PY_ADAMW;
    bs_batch batch;
    bs_mlm_targets targets;
    bs_mlm_result result = {0};
    bs_pass_options options;
    float *gradients, *exp_avg, *exp_avg_sq;
    double norm = 0.0;
    bs_error e = BS_ERROR_INIT;
    const npy_intp total = self->model.table.total;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOOOOO|$LpKLffffffiLsO", names, &o[0],
                                     &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &grads, &exp_avg_,
                                     &exp_avg_sq_, &freeze, &training, &seed, &step,
                                     &adamw.learning_rate, &adamw.beta1, &adamw.beta2, &adamw.eps,
                                     &adamw.weight_decay, &adamw.max_grad_norm, &n_threads,
                                     &tokens, &precision, &rates) ||
        masked_batch(self, &copies, o, grads, &batch, &targets, &gradients) < 0 ||
        bs_py_rates(&self->model, &copies, rates, &adamw.rates) < 0 ||
        bs_py_options(&self->model, freeze, training, seed, step, precision, &options) < 0 ||
        (exp_avg = bs_py_floats(exp_avg_, "exp_avg", total)) == NULL ||
        (exp_avg_sq = bs_py_floats(exp_avg_sq_, "exp_avg_sq", total)) == NULL ||
        bs_py_pass_lock(self, tokens, &options) < 0)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    bs_mlm_train_step(&self->model, &batch, &targets, &options, &adamw, n_threads, &self->arena,
                      gradients, exp_avg, exp_avg_sq, &result, &norm, &e);
    bs_py_model_trained(self, &e);
    bs_py_write_unlock(self);
    Py_END_ALLOW_THREADS
    if (e.status == BS_OK)
        found = Py_BuildValue("dLd", result.loss, (long long)result.hits, norm);
    else
        bs_raise(&e);
done:
    Py_XDECREF(copies);
    return found;
}
