#include "python/py_arrow.h"

#include "tokenizer/arrow.h"

typedef struct {
    PyObject_HEAD
    bs_arrow arrow;
} arrow_object;

Py_ssize_t bs_py_arrow_count(PyObject *texts)
{
    return (Py_ssize_t)((arrow_object *)texts)->arrow.n_texts;
}

int bs_py_arrow_read(PyObject *texts, const char *name, bs_text *out)
{
    bs_error e = BS_ERROR_INIT, named = BS_ERROR_INIT;
    if (bs_arrow_texts(&((arrow_object *)texts)->arrow, out, &e) == BS_OK)
        return 0;
    bs_error_set(&named, e.status, e.item, "%s[%lld]: %.200s", name, (long long)e.item, e.text);
    return bs_raise(&named);
}

/* Reads a whole stream. Returns 1, or 0 if it does not hold strings or fails, or -1 with an
 * exception set. */
static int read_stream(bs_arrow *arrow, struct ArrowArrayStream *stream)
{
    bool strings;
    bs_status status;
    bs_error e = BS_ERROR_INIT;
    Py_BEGIN_ALLOW_THREADS
    status = bs_arrow_read_stream(arrow, stream, &strings, &e);
    Py_END_ALLOW_THREADS
    return status == BS_OK ? strings : bs_raise(&e);
}

/* Takes ownership of an array. Returns 1, or 0 if it does not hold strings, or -1 with an
 * exception set. */
static int read_array(bs_arrow *arrow, const struct ArrowSchema *schema, struct ArrowArray *array)
{
    bs_error e = BS_ERROR_INIT;
    struct ArrowArray chunk = *array;
    if (!bs_arrow_find_layout(arrow, schema))
        return 0;
    array->release = NULL;
    return bs_arrow_append(arrow, &chunk, &e) == BS_OK ? 1 : bs_raise(&e);
}

PyDoc_STRVAR(arrow_texts_doc,
             "arrow_texts($module, first, second=None, /)\n--\n\n"
             "Return ArrowTexts or None.\n\n"
             "The arguments are the capsules that `__arrow_c_stream__` or `__arrow_c_array__`\n"
             "returned: a stream, or a schema and an array. Their strings are borrowed. None if\n"
             "they hold another type, or if the stream fails, since some producers cannot export\n"
             "all of their types.");

static PyObject *arrow_texts(PyObject *module, PyObject *args)
{
    const bs_module_state *state = PyModule_GetState(module);
    PyTypeObject *type = (PyTypeObject *)state->arrow_type;
    PyObject *first, *second = Py_None, *result = NULL;
    int found = -1;

    if (!PyArg_ParseTuple(args, "O|O", &first, &second))
        return NULL;
    arrow_object *self = (arrow_object *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (second == Py_None) {
        struct ArrowArrayStream *stream = PyCapsule_GetPointer(first, "arrow_array_stream");
        if (stream != NULL && stream->release == NULL)
            PyErr_SetString(PyExc_ValueError, "the Arrow stream was read before");
        else if (stream != NULL)
            found = read_stream(&self->arrow, stream);
    } else {
        struct ArrowSchema *schema = PyCapsule_GetPointer(first, "arrow_schema");
        struct ArrowArray *array =
            schema == NULL ? NULL : PyCapsule_GetPointer(second, "arrow_array");
        if (array != NULL && (schema->release == NULL || array->release == NULL))
            PyErr_SetString(PyExc_ValueError, "the Arrow array was read before");
        else if (array != NULL)
            found = read_array(&self->arrow, schema, array);
    }
    if (found >= 0)
        result = Py_NewRef(found ? (PyObject *)self : Py_None);
    Py_DECREF(self);
    return result;
}

static void arrow_dealloc(arrow_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *kind, *value, *traceback;
    PyErr_Fetch(&kind, &value, &traceback); /* a release callback may run Python code */
    bs_arrow_clear(&self->arrow);
    PyErr_Restore(kind, value, traceback);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static Py_ssize_t arrow_length(arrow_object *self)
{
    return (Py_ssize_t)self->arrow.n_texts;
}

PyDoc_STRVAR(first_missing_doc,
             "first_missing($self)\n--\n\nReturn the index of the first missing value, or None.");

static PyObject *arrow_first_missing(arrow_object *self, PyObject *unused)
{
    const int64_t at = bs_arrow_first_missing(&self->arrow);
    (void)unused;
    if (at >= 0)
        return PyLong_FromLongLong(at);
    Py_RETURN_NONE;
}

static PyMethodDef arrow_methods[] = {
    {"first_missing", (PyCFunction)arrow_first_missing, METH_NOARGS, first_missing_doc},
    {NULL},
};

static PyType_Slot arrow_slots[] = {
    {Py_tp_dealloc, arrow_dealloc},
    {Py_tp_methods, arrow_methods},
    {Py_sq_length, arrow_length},
    {Py_tp_doc, "Texts in Arrow's memory, created by arrow_texts."},
    {0, NULL},
};

static PyType_Spec arrow_spec = {
    .name = "bertsent._core.ArrowTexts",
    .basicsize = sizeof(arrow_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = arrow_slots,
};

static PyMethodDef functions[] = {
    {"arrow_texts", arrow_texts, METH_VARARGS, arrow_texts_doc},
    {NULL},
};

int bs_py_add_arrow(PyObject *module)
{
    bs_module_state *state = PyModule_GetState(module);
    if (PyModule_AddFunctions(module, functions) < 0)
        return -1;
    return bs_py_add_type(module, &arrow_spec, &state->arrow_type);
}
