/* bertsent._core.Tokenizer */
#include "python/py_common.h"

#include "tokenizer/tokenizer.h"

typedef struct {
    PyObject_HEAD
    bs_tokenizer tok;
    int ready;
} tokenizer_object;

/* The storage of a str, borrowed. */
static int text_of(PyObject *str, bs_text *text)
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
static void not_a_text(Py_ssize_t i, PyObject *item)
{
    const char *type = Py_TYPE(item)->tp_name;
    if (item == Py_None)
        PyErr_Format(PyExc_TypeError, "texts[%zd]: expected str, got None", i);
    else if (PyFloat_Check(item) || PyLong_Check(item))
        PyErr_Format(PyExc_TypeError, "texts[%zd]: expected str, got %s (%S)", i, type, item);
    else
        PyErr_Format(PyExc_TypeError, "texts[%zd]: expected str, got %s", i, type);
}

/* UTF-8 of a str, borrowed; None has length 0. */
static int utf8_of(PyObject *str, const char *what, Py_ssize_t i, bs_text *text)
{
    Py_ssize_t length = 0;
    const char *bytes = "";
    if (str != Py_None) {
        if (!PyUnicode_Check(str)) {
            PyErr_Format(PyExc_TypeError, "%s[%zd]: expected str, got %s", what, i,
                         Py_TYPE(str)->tp_name);
            return -1;
        }
        bytes = PyUnicode_AsUTF8AndSize(str, &length);
        if (bytes == NULL)
            return -1;
    }
    *text = (bs_text){bytes, length, BS_TEXT_UTF8};
    return 0;
}

static int added_of(PyObject *list, bs_added_token *added)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(list); i++) {
        PyObject *content;
        int id, single_word, normalized, special;
        PyObject *item = PyTuple_GET_ITEM(list, i);
        if (!PyTuple_Check(item)
            || !PyArg_ParseTuple(item, "Uippp", &content, &id, &single_word, &normalized,
                                 &special)) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "added: expected tuples");
            return -1;
        }
        added[i] = (bs_added_token){.id = id, .single_word = single_word != 0,
                                    .normalized = normalized != 0, .special = special != 0};
        if (utf8_of(content, "added", i, &added[i].content) < 0)
            return -1;
    }
    return 0;
}

static int check_id(const char *name, int id, Py_ssize_t size)
{
    if (id >= 0 && id < size)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s is %d; the vocabulary has ids 0 to %zd", name, id,
                 size - 1);
    return -1;
}

static int tokenizer_init(tokenizer_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"vocab", "unk_id", "cls_id", "sep_id", "clean_text", "lowercase",
                            "strip_accents", "tokenize_chinese_chars", "max_word_chars", "prefix",
                            "added", NULL};
    PyObject *vocab_arg, *prefix = NULL, *added_arg = NULL, *vocab = NULL, *added = NULL;
    int unk_id = -1, cls_id = -1, sep_id = -1, clean = 1, lower = 1, strip = 1, cjk = 1;
    long long max_word_chars = 100;
    bs_tokenizer_options options = {.prefix = {"##", 2, BS_TEXT_UTF8}};
    bs_text *tokens = NULL;
    bs_added_token *specials = NULL;
    bs_error e = BS_ERROR_INIT;
    int result = -1;

    if (self->ready) {
        PyErr_SetString(PyExc_RuntimeError, "a tokenizer is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$iiippppLUO", names, &vocab_arg, &unk_id,
                                     &cls_id, &sep_id, &clean, &lower, &strip, &cjk,
                                     &max_word_chars, &prefix, &added_arg))
        return -1;
    vocab = PySequence_Tuple(vocab_arg);
    added = added_arg == NULL ? PyTuple_New(0) : PySequence_Tuple(added_arg);
    if (vocab == NULL || added == NULL)
        goto done;
    const Py_ssize_t size = PyTuple_GET_SIZE(vocab);
    if (check_id("unk_id", unk_id, size) < 0 || check_id("cls_id", cls_id, size) < 0
        || check_id("sep_id", sep_id, size) < 0)
        goto done;
    tokens = PyMem_Calloc((size_t)size + 1, sizeof *tokens);
    specials = PyMem_Calloc((size_t)PyTuple_GET_SIZE(added) + 1, sizeof *specials);
    if (tokens == NULL || specials == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < size; i++)
        if (utf8_of(PyTuple_GET_ITEM(vocab, i), "vocab", i, &tokens[i]) < 0)
            goto done;
    if (added_of(added, specials) < 0)
        goto done;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(added); i++)
        if (check_id("the id of an added token", specials[i].id, size) < 0)
            goto done;
    if (prefix != NULL && utf8_of(prefix, "prefix", 0, &options.prefix) < 0)
        goto done;
    options.normalizer = (bs_charmap_options){clean != 0, cjk != 0, strip != 0, lower != 0};
    options.max_word_chars = max_word_chars;
    options.unk_id = unk_id;
    options.cls_id = cls_id;
    options.sep_id = sep_id;
    if (bs_tokenizer_init(&self->tok, tokens, size, &options, specials,
                          (int)PyTuple_GET_SIZE(added), &e) != BS_OK) {
        bs_raise(&e);
        goto done;
    }
    self->ready = 1;
    result = 0;
done:
    PyMem_Free(tokens);
    PyMem_Free(specials);
    Py_XDECREF(vocab);
    Py_XDECREF(added);
    return result;
}

static void tokenizer_dealloc(tokenizer_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->ready)
        bs_tokenizer_clear(&self->tok);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static int check_ready(const tokenizer_object *self)
{
    if (self->ready)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "the tokenizer was not initialised");
    return -1;
}

/* Raises what a failed text calls for, naming the item. */
static void raise_for_text(const bs_error *e)
{
    bs_error named = BS_ERROR_INIT;
    if (e->item < 0) {
        bs_raise(e);
        return;
    }
    bs_error_set(&named, e->status, e->item, "texts[%lld]: %.200s", (long long)e->item, e->text);
    bs_raise(&named);
}

/* Encodes borrowed texts with the GIL released; (ids, offsets, truncated), or NULL. */
static PyObject *encode_texts(tokenizer_object *self, const bs_text *texts, npy_intp n,
                              const bs_batch_options *options)
{
    bs_batch *batch = NULL;
    bs_error e = BS_ERROR_INIT;
    bs_status status;
    PyObject *ids = NULL, *offsets = NULL, *cut = NULL, *result = NULL;

    Py_BEGIN_ALLOW_THREADS
    status = bs_batch_encode(&self->tok, texts, n, options, &batch, &e);
    Py_END_ALLOW_THREADS
    if (status != BS_OK) {
        raise_for_text(&e);
        goto done;
    }
    npy_intp total = bs_batch_total(batch), n_offsets = n + 1;
    ids = PyArray_SimpleNew(1, &total, NPY_INT32);
    offsets = PyArray_SimpleNew(1, &n_offsets, NPY_INT64);
    cut = PyArray_SimpleNew(1, &n, NPY_BOOL);
    if (ids == NULL || offsets == NULL || cut == NULL)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    bs_batch_copy(batch, PyArray_DATA((PyArrayObject *)ids),
                  PyArray_DATA((PyArrayObject *)offsets), PyArray_DATA((PyArrayObject *)cut));
    Py_END_ALLOW_THREADS
    result = PyTuple_Pack(3, ids, offsets, cut);
done:
    bs_batch_free(batch);
    Py_XDECREF(ids);
    Py_XDECREF(offsets);
    Py_XDECREF(cut);
    return result;
}

static int check_max_length(const bs_batch_options *options)
{
    const int64_t least = options->add_special ? 2 : 1;
    if (options->max_length == 0 || options->max_length >= least)
        return 0;
    PyErr_Format(PyExc_ValueError, "max_length is %lld; it must be at least %d",
                 (long long)options->max_length, (int)least);
    return -1;
}

PyDoc_STRVAR(encode_batch_doc,
             "encode_batch(texts, max_length=0, n_threads=1, add_special=True, "
             "plain_specials=False) -> (ids, offsets, truncated)");

static PyObject *tokenizer_encode_batch(tokenizer_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"texts", "max_length", "n_threads", "add_special", "plain_specials",
                            NULL};
    PyObject *texts_arg, *items = NULL, *result = NULL;
    bs_text *texts = NULL;
    long long max_length = 0;
    int n_threads = 1, add_special = 1, plain_specials = 0;

    if (check_ready(self) < 0
        || !PyArg_ParseTupleAndKeywords(args, kwargs, "O|Lipp", names, &texts_arg, &max_length,
                                        &n_threads, &add_special, &plain_specials))
        return NULL;
    const bs_batch_options options = {max_length, add_special != 0, plain_specials != 0,
                                      n_threads};
    if (check_max_length(&options) < 0)
        return NULL;
    /* A tuple of our own: nobody can take a string away while the GIL is released. */
    items = PySequence_Tuple(texts_arg);
    if (items == NULL)
        return NULL;
    const Py_ssize_t n = PyTuple_GET_SIZE(items);
    texts = PyMem_Malloc(sizeof *texts * (size_t)(n + 1));
    if (texts == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i);
        if (!PyUnicode_Check(item)) {
            not_a_text(i, item);
            goto done;
        }
        if (text_of(item, &texts[i]) < 0)
            goto done;
    }
    result = encode_texts(self, texts, n, &options);
done:
    PyMem_Free(texts);
    Py_DECREF(items);
    return result;
}

PyDoc_STRVAR(normalize_doc, "normalize(text) -> the text as it is before it is split");

static PyObject *tokenizer_normalize(tokenizer_object *self, PyObject *str)
{
    bs_text text;
    bs_scratch scratch = {0};
    bs_error e = BS_ERROR_INIT;
    PyObject *result = NULL;

    if (check_ready(self) < 0)
        return NULL;
    if (!PyUnicode_Check(str)) {
        PyErr_Format(PyExc_TypeError, "expected str, got %s", Py_TYPE(str)->tp_name);
        return NULL;
    }
    if (text_of(str, &text) < 0)
        return NULL;
    if (bs_text_normalize(&self->tok, &scratch, &text, &e) != BS_OK)
        bs_raise(&e);
    else
        result = PyUnicode_DecodeUTF8((const char *)scratch.whole.bytes,
                                      (Py_ssize_t)scratch.whole.n, "strict");
    bs_scratch_free(&scratch);
    return result;
}

static PyMethodDef tokenizer_methods[] = {
    {"encode_batch", (PyCFunction)(void (*)(void))tokenizer_encode_batch,
     METH_VARARGS | METH_KEYWORDS, encode_batch_doc},
    {"normalize", (PyCFunction)tokenizer_normalize, METH_O, normalize_doc},
    {NULL},
};

static PyType_Slot tokenizer_slots[] = {
    {Py_tp_init, tokenizer_init},
    {Py_tp_dealloc, tokenizer_dealloc},
    {Py_tp_methods, tokenizer_methods},
    {Py_tp_doc, "The tokenizer of the engine. Use bertsent.WordPieceTokenizer."},
    {0, NULL},
};

static PyType_Spec tokenizer_spec = {
    .name = "bertsent._core.Tokenizer",
    .basicsize = sizeof(tokenizer_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = tokenizer_slots,
};

int bs_py_add_tokenizer(PyObject *module)
{
    bs_module_state *state = PyModule_GetState(module);
    return bs_py_add_type(module, &tokenizer_spec, &state->tokenizer_type);
}
