#include "python/py_texts.h"

#include "python/py_arrow.h"

int bs_py_text_of(PyObject *str, bs_text *text)
{
#if PY_VERSION_HEX < 0x030c0000
    if (PyUnicode_READY(str) < 0)
        return -1;
#endif
    text->data = PyUnicode_DATA(str);
    text->length = PyUnicode_GET_LENGTH(str);
    text->form = (bs_text_form)PyUnicode_KIND(str);
    return 0;
}

/* Sets the TypeError for an item that is not a str. */
static void not_a_text(const char *name, Py_ssize_t i, PyObject *item)
{
    const char *type = Py_TYPE(item)->tp_name;
    if (item == Py_None)
        PyErr_Format(PyExc_TypeError, "%s[%zd]: expected str, got None", name, i);
    else if (PyFloat_Check(item) || PyLong_Check(item))
        PyErr_Format(PyExc_TypeError, "%s[%zd]: expected str, got %s (%S)", name, i, type, item);
    else
        PyErr_Format(PyExc_TypeError, "%s[%zd]: expected str, got %s", name, i, type);
}

static int texts_reserve(bs_py_texts *out, Py_ssize_t n)
{
    out->texts = PyMem_New(bs_text, (size_t)n + 1);
    out->n = n;
    if (out->texts != NULL)
        return 0;
    PyErr_NoMemory();
    return -1;
}

static int strings_get(PyObject *arg, const char *name, bs_py_texts *out)
{
    /* A tuple of our own, so that no string disappears while the GIL is released. */
    PyObject *items = out->owner = PySequence_Tuple(arg);
    if (items == NULL || texts_reserve(out, PyTuple_GET_SIZE(items)) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < out->n; i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i);
        if (!PyUnicode_Check(item)) {
            not_a_text(name, i, item);
            return -1;
        }
        if (bs_py_text_of(item, &out->texts[i]) < 0)
            return -1;
    }
    return 0;
}

int bs_py_texts_get(const bs_module_state *state, PyObject *arg, const char *name,
                    bs_py_texts *out)
{
    if (Py_TYPE(arg) != (PyTypeObject *)state->arrow_type)
        return strings_get(arg, name, out);
    out->owner = Py_NewRef(arg);
    if (texts_reserve(out, bs_py_arrow_count(arg)) < 0)
        return -1;
    return bs_py_arrow_read(arg, name, out->texts);
}

void bs_py_texts_release(bs_py_texts *texts)
{
    PyMem_Free(texts->texts);
    Py_XDECREF(texts->owner);
}
