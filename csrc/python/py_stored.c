#include "python/py_stored.h"

#include "python/py_arguments.h"
#include "python/py_model_object.h"
#include "python/py_question.h"
#include "train/frozen.h"

PyObject *bs_py_frozen_rows(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids",  "types", "positions", "cu_seqlens", "layer",
                            "rows", "n_threads", "micro_batch_tokens", "precision", NULL};
    const char *precision = NULL;
    bs_py_model *self = (bs_py_model *)self_;
    const bs_config *c = &self->model.config;
    PyObject *ids, *types, *positions, *cu_seqlens, *rows_, *copies = NULL;
    PyObject *result = NULL;
    long long layer, tokens = 0;
    int n_threads = 1;
    bs_batch batch;
    bs_pass_options options;
    bs_py_question question;
    float *rows;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOLO|$iLs", names, &ids, &types, &positions,
                                     &cu_seqlens, &layer, &rows_, &n_threads, &tokens,
                                     &precision) ||
        bs_py_batch(&self->model, &copies, ids, types, positions, cu_seqlens, NULL, &batch) < 0 ||
        bs_py_options(&self->model, layer, 0, 0, 0, precision, &options) < 0)
        goto done;
    if (bs_predicts_masked(c) || layer == 0) {
        PyErr_SetString(PyExc_ValueError, "frozen_rows: expected a classifier and a layer from 1");
        goto done;
    }
    const int64_t count = layer < c->num_layers ? batch.n_tokens : batch.n_sequences;
    rows = bs_py_floats(rows_, "rows", count * c->hidden_size);
    if (rows == NULL || bs_py_pass_lock(self, tokens, &options) < 0)
        goto done;
    bs_py_interruptible(&question);
    bs_frozen_rows(&self->model, &batch, layer, &options, n_threads, &self->arena, rows, &e);
    bs_py_write_unlock(self);
    if (bs_py_answered(&question) < 0)
        goto done;
    if (e.status == BS_OK)
        result = Py_NewRef(Py_None);
    else
        bs_raise(&e);
done:
    Py_XDECREF(copies);
    return result;
}
