#include "python/py_attribution.h"

#include "model/attribution.h"
#include "python/py_arguments.h"
#include "python/py_model_object.h"
#include "python/py_question.h"

PyObject *bs_py_attribute(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids",       "types",        "positions", "cu_seqlens", "baseline",
                            "along",     "weights",      "n_threads", "chunk_tokens",
                            "precision", "gradients",    NULL};
    bs_py_model *self = (bs_py_model *)self_;
    const bs_config *c = &self->model.config;
    PyObject *ids, *types, *positions, *cu_seqlens, *baseline, *along, *weights_;
    PyObject *copies = NULL, *logits = NULL, *scores = NULL, *result = NULL;
    PyObject *gradients_ = Py_None;
    const float *weights;
    float *gradients = NULL;
    const char *precision = "float32";
    int n_threads = 1;
    long long chunk_tokens = 0;
    bs_batch batch;
    bs_pass_options options;
    bs_py_question question;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOO|$iLsO", names, &ids, &types, &positions,
                                     &cu_seqlens, &baseline, &along, &weights_, &n_threads,
                                     &chunk_tokens, &precision, &gradients_) ||
        bs_py_options(&self->model, 0, 0, 0, 0, precision, &options) < 0 ||
        bs_py_batch(&self->model, &copies, ids, types, positions, cu_seqlens, NULL, &batch) < 0 ||
        (batch.baseline = bs_py_copy(&copies, baseline, "baseline", NPY_INT32, batch.n_tokens,
                                     NULL)) == NULL ||
        (batch.along = bs_py_copy(&copies, along, "along", NPY_FLOAT32, batch.n_sequences,
                                  NULL)) == NULL)
        goto done;
    if (bs_attribution_check(&batch, c, &e) != BS_OK) {
        bs_raise(&e);
        goto done;
    }
    npy_intp tokens = batch.n_tokens;
    if ((weights = bs_py_matrix(&copies, weights_, "weights", batch.n_sequences,
                                c->num_labels)) == NULL ||
        (gradients_ != Py_None &&
         (gradients = bs_py_floats(gradients_, "gradients",
                                   batch.n_tokens * c->embedding_size)) == NULL) ||
        (logits = bs_py_logits(&self->model, batch.n_sequences)) == NULL ||
        (scores = PyArray_SimpleNew(1, &tokens, NPY_FLOAT32)) == NULL ||
        bs_py_read_lock(self, options.precision, true, n_threads) < 0)
        goto done;
    bs_py_interruptible(&question);
    options.tokens = chunk_tokens;
    bs_attribute(&self->model, &batch, weights, &options, n_threads,
                 PyArray_DATA((PyArrayObject *)logits), PyArray_DATA((PyArrayObject *)scores),
                 gradients, &e);
    bs_py_read_unlock(self);
    if (bs_py_answered(&question) < 0)
        goto done;
    if (e.status == BS_OK)
        result = PyTuple_Pack(2, logits, scores);
    else
        bs_raise(&e);
done:
    Py_XDECREF(copies);
    Py_XDECREF(logits);
    Py_XDECREF(scores);
    return result;
}
