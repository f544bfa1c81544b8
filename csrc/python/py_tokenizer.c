#include "python/py_tokenizer.h"

#include "python/py_question.h"
#include "python/py_texts.h"
#include "tokenizer/tokenizer.h"

typedef struct {
    PyObject_HEAD
    bs_tokenizer tok;
    int ready;
} tokenizer_object;

/* Borrows the UTF-8 of a str; None gives an empty text. Returns 0, or -1 with an exception set. */
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

/* Borrows a str as it is stored; None gives an empty text. */
static int stored_of(PyObject *str, const char *what, Py_ssize_t i, bs_text *text)
{
    if (str == Py_None || !PyUnicode_Check(str))
        return utf8_of(str, what, i, text);
    return bs_py_text_of(str, text);
}

/* The texts of a sequence of str, which may also contain None, as UTF-8 or as they are `stored`;
 * they borrow from *items, a list or tuple that nothing changes meanwhile, since the GIL is not
 * released. The caller frees both. */
static int texts_of(PyObject *sequence, const char *what, bool stored, PyObject **items,
                    bs_text **texts)
{
    *items = PySequence_Fast(sequence, "expected a sequence of str");
    if (*items == NULL)
        return -1;
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(*items);
    *texts = PyMem_Calloc((size_t)n + 1, sizeof **texts);
    if (*texts == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if ((stored ? stored_of : utf8_of)(PySequence_Fast_GET_ITEM(*items, i), what, i, &(*texts)[i])
            < 0)
            return -1;
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

static int check_separators(int count)
{
    if (count == 1 || count == 2)
        return 0;
    PyErr_Format(PyExc_ValueError, "pair_separators is %d, expected 1 or 2", count);
    return -1;
}

/* The added tokens of a sequence of tuples, likewise, for a vocabulary of some size. */
static int added_of(PyObject *sequence, Py_ssize_t size, PyObject **items, bs_added_token **tokens)
{
    PyObject *list = *items = sequence == NULL ? PyTuple_New(0) : PySequence_Tuple(sequence);
    if (list == NULL)
        return -1;
    bs_added_token *added = *tokens =
        PyMem_Calloc((size_t)PyTuple_GET_SIZE(list) + 1, sizeof *added);
    if (added == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(list); i++) {
        PyObject *content;
        int id, single_word, normalized, special, lstrip, rstrip;
        PyObject *item = PyTuple_GET_ITEM(list, i);
        if (!PyTuple_Check(item)
            || !PyArg_ParseTuple(item, "Uippppp", &content, &id, &single_word, &normalized,
                                 &special, &lstrip, &rstrip)) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "added: expected tuples");
            return -1;
        }
        added[i] = (bs_added_token){.id = id, .single_word = single_word != 0,
                                    .normalized = normalized != 0, .special = special != 0,
                                    .lstrip = lstrip != 0, .rstrip = rstrip != 0};
        if (utf8_of(content, "added", i, &added[i].content) < 0
            || check_id("the id of an added token", id, size) < 0)
            return -1;
    }
    return 0;
}

static int tokenizer_init(tokenizer_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"vocab", "unk_id", "cls_id", "sep_id", "clean_text", "lowercase",
                            "strip_accents", "tokenize_chinese_chars", "max_word_chars", "prefix",
                            "added", "pair_separators", "trim_offsets", NULL};
    PyObject *vocab_arg, *prefix = NULL, *added_arg = NULL, *vocab = NULL, *added = NULL;
    int unk_id = -1, cls_id = -1, sep_id = -1, clean = 1, lower = 1, strip = 1, cjk = 1;
    int pair_separators = 1, trim_offsets = 0;
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
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$iiippppLUOip", names, &vocab_arg, &unk_id,
                                     &cls_id, &sep_id, &clean, &lower, &strip, &cjk,
                                     &max_word_chars, &prefix, &added_arg, &pair_separators,
                                     &trim_offsets))
        return -1;
    if (check_separators(pair_separators) < 0
        || texts_of(vocab_arg, "vocab", false, &vocab, &tokens) < 0)
        goto done;
    const Py_ssize_t size = PySequence_Fast_GET_SIZE(vocab);
    if (check_id("unk_id", unk_id, size) < 0 || check_id("cls_id", cls_id, size) < 0
        || check_id("sep_id", sep_id, size) < 0
        || added_of(added_arg, size, &added, &specials) < 0)
        goto done;
    if (prefix != NULL && utf8_of(prefix, "prefix", 0, &options.prefix) < 0)
        goto done;
    options.normalizer = (bs_charmap_options){clean != 0, cjk != 0, strip != 0, lower != 0};
    options.max_word_chars = max_word_chars;
    options.unk_id = unk_id;
    options.cls_id = cls_id;
    options.sep_id = sep_id;
    options.pair_separators = pair_separators;
    options.trim_offsets = trim_offsets != 0;
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

static int byte_level_init(tokenizer_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"vocab", "merges", "cls_id", "sep_id", "add_prefix_space",
                            "trim_offsets", "added", "pair_separators", NULL};
    PyObject *vocab_arg, *merges_arg, *added_arg = NULL;
    PyObject *vocab = NULL, *merges = NULL, *added = NULL;
    int cls_id = -1, sep_id = -1, add_prefix_space = 0, trim_offsets = 1, separators = 1;
    bs_text *tokens = NULL, *pairs = NULL;
    bs_added_token *specials = NULL;
    bs_error e = BS_ERROR_INIT;
    int result = -1;

    if (self->ready) {
        PyErr_SetString(PyExc_RuntimeError, "a tokenizer is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|$iippOi", names, &vocab_arg, &merges_arg,
                                     &cls_id, &sep_id, &add_prefix_space, &trim_offsets,
                                     &added_arg, &separators)
        || check_separators(separators) < 0
        || texts_of(vocab_arg, "vocab", true, &vocab, &tokens) < 0
        || texts_of(merges_arg, "merges", true, &merges, &pairs) < 0)
        goto done;
    const Py_ssize_t size = PySequence_Fast_GET_SIZE(vocab);
    if (check_id("cls_id", cls_id, size) < 0 || check_id("sep_id", sep_id, size) < 0
        || added_of(added_arg, size, &added, &specials) < 0)
        goto done;
    const bs_bpe_options options = {cls_id, sep_id, separators, add_prefix_space != 0,
                                    trim_offsets != 0};
    if (bs_tokenizer_init_bpe(&self->tok, tokens, size, pairs, PySequence_Fast_GET_SIZE(merges), &options,
                              specials, (int)PyTuple_GET_SIZE(added), &e) != BS_OK) {
        bs_raise(&e);
        goto done;
    }
    self->ready = 1;
    result = 0;
done:
    PyMem_Free(tokens);
    PyMem_Free(pairs);
    PyMem_Free(specials);
    Py_XDECREF(vocab);
    Py_XDECREF(merges);
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

/* Raises the exception for a text that failed, with its index among the `n` texts. */
static void raise_for_text(const bs_error *e, int64_t n)
{
    bs_error named = BS_ERROR_INIT;
    if (e->item < 0) {
        bs_raise(e);
        return;
    }
    bs_error_set(&named, e->status, e->item, "%s[%lld]: %.200s",
                 e->item < n ? "texts" : "text_pairs", (long long)(e->item % n), e->text);
    bs_raise(&named);
}

/* Encodes texts with the GIL released. Returns what encode_batch returns, or NULL. */
static PyObject *encode_texts(tokenizer_object *self, const bs_text *texts,
                              const bs_text *seconds, npy_intp n, const bs_encode_options *options)
{
    bs_encodings *batch = NULL;
    bs_py_question question;
    bs_error e = BS_ERROR_INIT;
    bs_status status;
    PyObject *ids = NULL, *offsets = NULL, *cut = NULL, *result = NULL;
    PyObject *n_first = Py_NewRef(Py_None), *spans = Py_NewRef(Py_None);
    PyObject *windows = Py_NewRef(Py_None);

    bs_py_interruptible(&question);
    status = bs_encodings_make(&self->tok, texts, seconds, n, options, &batch, &e);
    if (bs_py_answered(&question) < 0)
        goto done;
    if (status != BS_OK) {
        raise_for_text(&e, n);
        goto done;
    }
    npy_intp total = bs_encodings_total(batch), n_windows = n + 1, span_shape[2] = {total, 2};
    npy_intp n_offsets = bs_encodings_sequences(batch) + 1;
    ids = PyArray_SimpleNew(1, &total, NPY_INT32);
    offsets = PyArray_SimpleNew(1, &n_offsets, NPY_INT64);
    cut = PyArray_SimpleNew(1, &n, NPY_BOOL);
    if (seconds != NULL)
        Py_SETREF(n_first, PyArray_SimpleNew(1, &n, NPY_INT64));
    if (options->spans)
        Py_SETREF(spans, PyArray_SimpleNew(2, span_shape, NPY_INT64));
    if (options->form == BS_KEEP_WINDOWS)
        Py_SETREF(windows, PyArray_SimpleNew(1, &n_windows, NPY_INT64));
    if (ids == NULL || offsets == NULL || cut == NULL || n_first == NULL || spans == NULL ||
        windows == NULL)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    bs_encodings_copy(batch, PyArray_DATA((PyArrayObject *)ids),
                      PyArray_DATA((PyArrayObject *)offsets), PyArray_DATA((PyArrayObject *)cut),
                      seconds != NULL ? PyArray_DATA((PyArrayObject *)n_first) : NULL,
                      options->spans ? PyArray_DATA((PyArrayObject *)spans) : NULL,
                      windows != Py_None ? PyArray_DATA((PyArrayObject *)windows) : NULL);
    Py_END_ALLOW_THREADS
    result = PyTuple_Pack(6, ids, offsets, cut, n_first, spans, windows);
done:
    bs_encodings_free(batch);
    Py_XDECREF(ids);
    Py_XDECREF(offsets);
    Py_XDECREF(cut);
    Py_XDECREF(n_first);
    Py_XDECREF(spans);
    Py_XDECREF(windows);
    return result;
}

PyDoc_STRVAR(encode_batch_doc,
             "encode_batch($self, texts, max_length=0, n_threads=1, add_special=True,\n"
             "plain_specials=False, seconds=None, which=0, form=0, spans=False, stride=0)\n--\n\n"
             "Return ids, offsets, truncated, n_first, spans and windows.\n\n"
             "The last three may be None. texts and seconds are sequences of str, or ArrowTexts.\n"
             "which and form count the values of bs_cut_which and bs_cut_form in\n"
             "csrc/tokenizer/tokenizer.h.");

static PyObject *tokenizer_encode_batch(tokenizer_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"texts", "max_length", "n_threads", "add_special", "plain_specials",
                            "seconds", "which", "form", "spans", "stride", NULL};
    const bs_module_state *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *texts_arg, *seconds_arg = Py_None, *result = NULL;
    bs_py_texts texts = {0}, seconds = {0};
    bs_error e = BS_ERROR_INIT;
    long long max_length = 0, stride = 0;
    int n_threads = 1, add_special = 1, plain_specials = 0, which = 0, form = 0, spans = 0;

    if (check_ready(self) < 0
        || !PyArg_ParseTupleAndKeywords(args, kwargs, "O|LippOiipL", names, &texts_arg, &max_length,
                                        &n_threads, &add_special, &plain_specials, &seconds_arg,
                                        &which, &form, &spans, &stride))
        return NULL;
    const bs_encode_options options = {
        .max_length = max_length,
        .which = (bs_cut_which)which,
        .form = (bs_cut_form)form,
        .stride = stride,
        .add_special = add_special != 0,
        .plain_specials = plain_specials != 0,
        .spans = spans != 0,
        .n_threads = n_threads,
    };
    if (bs_encode_options_check(&self->tok, &options, seconds_arg != Py_None, &e) != BS_OK) {
        bs_raise(&e);
        goto done;
    }
    if (bs_py_texts_get(state, texts_arg, "texts", &texts) < 0)
        goto done;
    if (seconds_arg != Py_None && bs_py_texts_get(state, seconds_arg, "text_pairs", &seconds) < 0)
        goto done;
    if (seconds_arg != Py_None && seconds.n != texts.n) {
        PyErr_Format(PyExc_ValueError, "there are %zd texts, but %zd text_pairs", texts.n,
                     seconds.n);
        goto done;
    }
    result = encode_texts(self, texts.texts, seconds_arg == Py_None ? NULL : seconds.texts,
                          texts.n, &options);
done:
    bs_py_texts_release(&texts);
    bs_py_texts_release(&seconds);
    return result;
}

PyDoc_STRVAR(normalize_doc, "normalize($self, text, /)\n--\n\n"
                            "Return the text as it is before it is split.");

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
    if (bs_py_text_of(str, &text) < 0)
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

static PyMethodDef byte_level_methods[] = {
    {"encode_batch", (PyCFunction)(void (*)(void))tokenizer_encode_batch,
     METH_VARARGS | METH_KEYWORDS, encode_batch_doc},
    {NULL},
};

static PyType_Slot tokenizer_slots[] = {
    {Py_tp_init, tokenizer_init},
    {Py_tp_dealloc, tokenizer_dealloc},
    {Py_tp_methods, tokenizer_methods},
    {Py_tp_doc, "Tokenizer(vocab, *, unk_id=-1, cls_id=-1, sep_id=-1, clean_text=True,\n"
                "lowercase=True, strip_accents=True, tokenize_chinese_chars=True,\n"
                "max_word_chars=100, prefix='##', added=(), pair_separators=1,\n"
                "trim_offsets=False)\n--\n\n"
                "The engine's WordPiece tokenizer, used by bertsent.WordPieceTokenizer."},
    {0, NULL},
};

static PyType_Spec tokenizer_spec = {
    .name = "bertsent._core.Tokenizer",
    .basicsize = sizeof(tokenizer_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = tokenizer_slots,
};

static PyType_Slot byte_level_slots[] = {
    {Py_tp_init, byte_level_init},
    {Py_tp_dealloc, tokenizer_dealloc},
    {Py_tp_methods, byte_level_methods},
    {Py_tp_doc, "ByteLevelTokenizer(vocab, merges, *, cls_id=-1, sep_id=-1,\n"
                "add_prefix_space=False, trim_offsets=True, added=(), pair_separators=1)\n--\n\n"
                "The engine's byte-level BPE tokenizer."},
    {0, NULL},
};

static PyType_Spec byte_level_spec = {
    .name = "bertsent._core.ByteLevelTokenizer",
    .basicsize = sizeof(tokenizer_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = byte_level_slots,
};

int bs_py_add_tokenizer(PyObject *module)
{
    bs_module_state *state = PyModule_GetState(module);
    if (bs_py_add_type(module, &tokenizer_spec, &state->tokenizer_type) < 0)
        return -1;
    return bs_py_add_type(module, &byte_level_spec, &state->byte_level_type);
}
