#include "python/py_config.h"

#include <string.h>

#include "model/loss.h"
#include "model/parameters.h"

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

/* Sets *out if the configuration has the key. */
static int config_flag(PyObject *config, const char *key, bool *out)
{
    if (!PyMapping_HasKeyString(config, key))
        return 0;
    PyObject *value = PyMapping_GetItemString(config, key);
    const int is_true = value != NULL ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    *out = is_true == 1;
    return is_true < 0 ? -1 : 0;
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

/* Stores in *out which of `names` the configuration has under `key`. If the key is `optional` and
 * missing, *out is left. Returns 0, or -1 with an exception set. */
static int config_name(PyObject *config, const char *key, bool optional,
                       const char *const *names, int count, int *out)
{
    if (optional && !PyMapping_HasKeyString(config, key))
        return 0;
    PyObject *value = PyMapping_GetItemString(config, key);
    const char *name = value != NULL ? PyUnicode_AsUTF8(value) : NULL;
    int result = -1;
    for (int i = 0; name != NULL && i < count; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = i;
            result = 0;
        }
    PyObject *expected = name != NULL && result < 0 ? bs_py_one_of(names, count) : NULL;
    if (expected != NULL)
        PyErr_Format(PyExc_ValueError, "config: %s is '%s', expected %U", key, name, expected);
    Py_XDECREF(expected);
    Py_XDECREF(value);
    return result;
}

static int config_names(PyObject *config, bs_config *c)
{
#define NAME(id, name, drops_input, dense, activation) name,
    static const char *const heads[] = {BS_HEADS(NAME)};
#undef NAME
    static const char *const poolings[] = {"cls", "mean"};
    int activation = 0, pooling = 0, head = BS_HEAD_POOLED;
    if (config_name(config, "hidden_act", false, bs_activation_names, BS_ACTIVATION_COUNT,
                    &activation) < 0 ||
        config_name(config, "pooling", true, poolings, 2, &pooling) < 0 ||
        config_name(config, "head", true, heads, BS_HEAD_COUNT, &head) < 0)
        return -1;
    c->activation = (bs_activation)activation;
    c->mean_pooling = pooling == 1;
    c->head = (bs_head_kind)head;
    return 0;
}

int bs_py_config(PyObject *o, bs_config *c)
{
    memset(c, 0, sizeof *c);
    if (config_number(o, "vocab_size", &c->vocab_size) < 0 ||
        config_number(o, "hidden_size", &c->hidden_size) < 0 ||
        config_number(o, PyMapping_HasKeyString(o, "embedding_size") ? "embedding_size"
                                                                     : "hidden_size",
                      &c->embedding_size) < 0 ||
        config_number(o, "num_hidden_layers", &c->num_layers) < 0 ||
        config_number(o, "num_attention_heads", &c->num_heads) < 0 ||
        config_number(o, "intermediate_size", &c->intermediate_size) < 0 ||
        config_number(o, "max_position_embeddings", &c->max_positions) < 0 ||
        (PyMapping_HasKeyString(o, "position_offset") &&
         config_number(o, "position_offset", &c->position_offset) < 0) ||
        config_number(o, "type_vocab_size", &c->type_vocab_size) < 0 ||
        config_number(o, "num_labels", &c->num_labels) < 0 ||
        config_number(o, "pad_token_id", &c->pad_token_id) < 0 ||
        config_rate(o, "layer_norm_eps", &c->layer_norm_eps) < 0 ||
        config_rate(o, "hidden_dropout_prob", &c->hidden_dropout) < 0 ||
        config_rate(o, "attention_probs_dropout_prob", &c->attention_dropout) < 0 ||
        config_rate(o, "classifier_dropout", &c->classifier_dropout) < 0 ||
        config_rate(o, PyMapping_HasKeyString(o, "attention_output_dropout_prob")
                           ? "attention_output_dropout_prob"
                           : "hidden_dropout_prob",
                    &c->attention_output_dropout) < 0 ||
        config_flag(o, "positions_skip_padding", &c->skips_padding) < 0 ||
        config_flag(o, "relative_bias", &c->relative_bias) < 0 ||
        config_names(o, c) < 0)
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
    if (bs_py_config(config_, &config) < 0)
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

static PyObject *trained_from(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"config", "freeze", NULL};
    PyObject *mapping;
    long long freeze;
    bs_config config;
    bs_parameter_table table = {0};
    bs_error e = BS_ERROR_INIT;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OL", names, &mapping, &freeze) ||
        bs_py_config(mapping, &config) < 0)
        return NULL;
    if (freeze < 0 || freeze > config.num_layers)
        return PyErr_Format(PyExc_ValueError, "freeze is %lld, expected 0 to %lld", freeze,
                            (long long)config.num_layers);
    if (bs_parameter_table_make(&table, &config, &e) != BS_OK) {
        bs_raise(&e);
        return NULL;
    }
    const int64_t first = bs_parameter_table_trained_from(&table, &config, freeze);
    bs_parameter_table_free(&table);
    return PyLong_FromLongLong(first);
}

static PyObject *loss_names(PyObject *module, PyObject *unused)
{
    PyObject *list = PyList_New(0);
    const bs_loss *loss;
    (void)module, (void)unused;
    for (int i = 0; list != NULL && (loss = bs_loss_list(i)) != NULL; i++)
        if (bs_py_append(list, loss->name) < 0)
            Py_CLEAR(list);
    return list;
}

static PyMethodDef functions[] = {
    {"parameter_table", parameter_table, METH_O,
     "parameter_table(config, /)\n--\n\n"
     "Return the number of parameters and, for each tensor, its name, shape, offset, layer and\n"
     "whether weight decay applies. Embeddings are layer -1; the head follows the last layer."},
    {"trained_from", (PyCFunction)(void (*)(void))trained_from, METH_VARARGS | METH_KEYWORDS,
     "trained_from(config, freeze)\n--\n\n"
     "Return the offset from which all parameters are trained when the first `freeze` layers are\n"
     "frozen, and with them the embeddings."},
    {"loss_names", loss_names, METH_NOARGS,
     "loss_names()\n--\n\nReturn the names of the losses that train_step takes."},
    {NULL, NULL, 0, NULL},
};

int bs_py_add_config(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
