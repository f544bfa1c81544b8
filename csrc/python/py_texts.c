#include "python/py_texts.h"

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

/* Sets the TypeError for an item that is no text. */
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
    /* A tuple of our own: nobody can take a string away while the GIL is released. */
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

static int64_t offset_at(const char *offsets, int wide, Py_ssize_t i)
{
    int64_t far = 0;
    int32_t near = 0;
    if (wide)
        memcpy(&far, offsets + i * 8, 8);
    else
        memcpy(&near, offsets + i * 4, 4);
    return wide ? far : near;
}

/* Appends the texts of one chunk. `at`: how many there are before it. */
static int chunk_get(PyObject *chunk, const char *name, Py_ssize_t at, bs_py_texts *out)
{
    PyObject *offsets_arg, *bytes_arg;
    Py_ssize_t first, count;
    int wide;
    if (!PyArg_ParseTuple(chunk, "OOnnp", &offsets_arg, &bytes_arg, &first, &count, &wide))
        return -1;
    Py_buffer *offsets = &out->buffers[out->n_buffers];
    if (PyObject_GetBuffer(offsets_arg, offsets, PyBUF_SIMPLE) < 0)
        return -1;
    out->n_buffers++;
    Py_buffer *bytes = &out->buffers[out->n_buffers];
    if (PyObject_GetBuffer(bytes_arg, bytes, PyBUF_SIMPLE) < 0)
        return -1;
    out->n_buffers++;
    const Py_ssize_t n_offsets = offsets->len / (wide ? 8 : 4);
    if (first < 0 || count < 0 || at > out->n - count
        || (count > 0 && (n_offsets <= count || first > n_offsets - count - 1))) {
        PyErr_Format(PyExc_ValueError, "%s: the Arrow buffers are too short", name);
        return -1;
    }
    int64_t start = count > 0 ? offset_at(offsets->buf, wide, first) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        const int64_t stop = offset_at(offsets->buf, wide, first + i + 1);
        if (start < 0 || stop < start || stop > bytes->len) {
            PyErr_Format(PyExc_ValueError, "%s[%zd]: the Arrow offsets are broken", name, at + i);
            return -1;
        }
        out->texts[at + i] =
            (bs_text){(const char *)bytes->buf + start, stop - start, BS_TEXT_UTF8};
        start = stop;
    }
    return 0;
}

static int chunks_get(PyObject *list, const char *name, bs_py_texts *out)
{
    PyObject *chunks = out->owner = PySequence_Tuple(list);
    Py_ssize_t n = 0, at = 0;
    if (chunks == NULL)
        return -1;
    const Py_ssize_t n_chunks = PyTuple_GET_SIZE(chunks);
    for (Py_ssize_t i = 0; i < n_chunks; i++) {
        PyObject *chunk = PyTuple_GET_ITEM(chunks, i);
        if (!PyTuple_Check(chunk) || PyTuple_GET_SIZE(chunk) != 5) {
            PyErr_Format(PyExc_TypeError, "%s: a chunk is a tuple of five", name);
            return -1;
        }
        const Py_ssize_t count = PyLong_AsSsize_t(PyTuple_GET_ITEM(chunk, 3));
        if (count == -1 && PyErr_Occurred())
            return -1;
        if (count < 0 || count > PY_SSIZE_T_MAX / (Py_ssize_t)sizeof(bs_text) / 2 - n) {
            PyErr_Format(PyExc_ValueError, "%s: a chunk of %zd texts", name, count);
            return -1;
        }
        n += count;
    }
    out->buffers = PyMem_New(Py_buffer, (size_t)n_chunks * 2 + 1);
    if (out->buffers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (texts_reserve(out, n) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < n_chunks; i++) {
        PyObject *chunk = PyTuple_GET_ITEM(chunks, i);
        if (chunk_get(chunk, name, at, out) < 0)
            return -1;
        at += PyLong_AsSsize_t(PyTuple_GET_ITEM(chunk, 3));
    }
    return 0;
}

int bs_py_texts_get(PyObject *arg, const char *name, bs_py_texts *out)
{
    int result;
    if (PyTuple_CheckExact(arg) || PyList_CheckExact(arg))
        return strings_get(arg, name, out);
    PyObject *chunks = PyObject_GetAttrString(arg, "utf8_chunks");
    if (chunks == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return -1;
        PyErr_Clear();
        return strings_get(arg, name, out);
    }
    result = chunks_get(chunks, name, out);
    Py_DECREF(chunks);
    return result;
}

void bs_py_texts_release(bs_py_texts *texts)
{
    for (Py_ssize_t i = 0; i < texts->n_buffers; i++)
        PyBuffer_Release(&texts->buffers[i]);
    PyMem_Free(texts->buffers);
    PyMem_Free(texts->texts);
    Py_XDECREF(texts->owner);
}
