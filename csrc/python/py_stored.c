/* _core.Model's entries for stored rows: what frozen layers make of texts, and reading it. */
#include "python/py_model.h"

#include "model/stored.h"
#include "train/frozen.h"

int bs_py_stored(const bs_py_model *self, PyObject *o, const bs_pass_options *options,
                 bs_batch *batch, bs_stored_rows *stored)
{
    const int64_t H = self->model.config.hidden_size;
    PyObject *rows, *first;
    npy_intp size;
    bs_error e = BS_ERROR_INIT;
    const int given = bs_py_pair(o, "stored", &rows, &first);
    if (given <= 0)
        return given;
    stored->bf16 = PyArray_Check(rows) && PyArray_TYPE((PyArrayObject *)rows) == NPY_UINT16;
    stored->data =
        bs_py_array(rows, "stored", stored->bf16 ? NPY_UINT16 : NPY_FLOAT32, -1, &size);
    batch->stored_at = bs_py_array(first, "first", NPY_INT64, batch->n_sequences, NULL);
    if (stored->data == NULL || batch->stored_at == NULL)
        return -1;
    stored->count = size / H;
    batch->stored = stored;
    return bs_stored_check(batch, &self->model.config, options, &e) == BS_OK ? 0 : bs_raise(&e);
}

PyObject *bs_py_frozen_rows(PyObject *self_, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids",  "types", "positions", "cu_seqlens", "layer",
                            "rows", "n_threads", "micro_batch_tokens", "precision", NULL};
    const char *precision = NULL;
    bs_py_model *self = (bs_py_model *)self_;
    const bs_config *c = &self->model.config;
    PyObject *ids, *types, *positions, *cu_seqlens, *rows_;
    long long layer, tokens = 0;
    int n_threads = 1;
    bs_batch batch;
    bs_pass_options options;
    float *rows;
    bs_error e = BS_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOLO|$iLs", names, &ids, &types, &positions,
                                     &cu_seqlens, &layer, &rows_, &n_threads, &tokens,
                                     &precision) ||
        bs_py_batch(self, ids, types, positions, cu_seqlens, NULL, &batch) < 0 ||
        bs_py_options(self, layer, 0, 0, 0, precision, &options) < 0)
        return NULL;
    if (c->masked_lm || layer == 0) {
        PyErr_SetString(PyExc_ValueError, "frozen_rows: expected a classifier and a layer from 1");
        return NULL;
    }
    const int64_t count = layer < c->num_layers ? batch.n_tokens : batch.n_sequences;
    rows = bs_py_floats(rows_, "rows", count * c->hidden_size);
    if (rows == NULL)
        return NULL;
    bs_py_model_renew_lock(self);
    Py_BEGIN_ALLOW_THREADS
    bs_py_write_lock(self, tokens, &options);
    bs_frozen_rows(&self->model, &batch, layer, &options, n_threads, &self->arena, rows, &e);
    pthread_rwlock_unlock(&self->lock);
    Py_END_ALLOW_THREADS
    if (e.status != BS_OK) {
        bs_raise(&e);
        return NULL;
    }
    Py_RETURN_NONE;
}
