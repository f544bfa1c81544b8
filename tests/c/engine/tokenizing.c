/* Tokenizing as work: one tokenizer, which all threads share. */
#include <string.h>

#include "tokenizer/tokenizer.h"
#include "work.h"

/* More text than four tasks take, each of 65,536 units. */
enum { TEXTS = 300, WORDS = 240 };

static const char *const vocabulary[] = {
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "film", "good", "bad", "e", "x", ",",
    "中", "##a", "##b", "##film", "##x", "##e",
};
/* Words of the vocabulary, words in pieces (which go to the cache of a thread), unknown ones. */
static const char *const words[] = {
    "film", "Good", "bad,", "abab", "filmfilm", "é", "xxxx", "[MASK]", "ab中", "zz", "goodfilm",
    "  ", "É\xcc\x81x",
};
static bs_tokenizer tokenizer;
static bs_text texts[TEXTS];

static bs_text text_of(const char *s)
{
    return (bs_text){s, (int64_t)strlen(s), BS_TEXT_UTF8};
}

static void make_texts(void)
{
    uint32_t state = 3;
    for (int i = 0; i < TEXTS; i++) {
        char *text = must_alloc((size_t)WORDS * 16);
        for (int k = 0; k < WORDS; k++) {
            state = state * 1664525u + 1013904223u;
            strcat(text, words[(state >> 8) % (sizeof words / sizeof *words)]);
            strcat(text, " ");
        }
        texts[i] = text_of(text);
    }
}

static void make_tokenizer(void)
{
    enum { SIZE = sizeof vocabulary / sizeof *vocabulary };
    bs_error e = BS_ERROR_INIT;
    bs_text entries[SIZE];
    const bs_added_token mask = {.content = text_of("[MASK]"), .id = 4, .special = true};
    const bs_tokenizer_options options = {
        .normalizer = {.clean_text = true, .tokenize_chinese_chars = true, .strip_accents = true,
                       .lowercase = true},
        .prefix = text_of("##"), .max_word_chars = 100, .unk_id = 1, .cls_id = 2, .sep_id = 3};
    for (int i = 0; i < SIZE; i++)
        entries[i] = text_of(vocabulary[i]);
    CHECK(bs_tokenizer_init(&tokenizer, entries, SIZE, &options, &mask, 1, &e) == BS_OK, "%s",
          e.text);
}

static result tokenize(const void *options_, int n_threads)
{
    bs_encode_options options = *(const bs_encode_options *)options_;
    result r = {0};
    bs_encodings *made;
    bs_error e = BS_ERROR_INIT;
    options.n_threads = n_threads;
    CHECK(bs_encodings_make(&tokenizer, texts, NULL, TEXTS, &options, &made, &e) == BS_OK, "%s",
          e.text);
    const size_t total = (size_t)bs_encodings_total(made);
    const size_t sequences = (size_t)bs_encodings_sequences(made);
    int32_t *ids = must_alloc(total * sizeof *ids);
    int64_t *offsets = must_alloc((sequences + 1) * sizeof *offsets), windows[TEXTS + 1];
    bs_span *spans = must_alloc(total * sizeof *spans);
    uint8_t cut[TEXTS];
    bs_encodings_copy(made, ids, offsets, cut, NULL, options.spans ? spans : NULL, windows);
    bs_encodings_free(made);
    result_add(&r, ids, total * sizeof *ids);
    result_add(&r, offsets, (sequences + 1) * sizeof *offsets);
    result_add(&r, spans, total * sizeof *spans);
    result_add(&r, windows, sizeof windows);
    result_add(&r, cut, sizeof cut);
    free(ids);
    free(offsets);
    free(spans);
    return r;
}

const work *tokenizer_work(int *n)
{
    static const bs_encode_options whole = {.add_special = true, .spans = true};
    static const bs_encode_options windows = {.max_length = 64, .form = BS_KEEP_WINDOWS,
                                              .stride = 16, .add_special = true};
    static const work made[] = {{"whole texts, with spans", tokenize, &whole},
                                {"texts in windows", tokenize, &windows}};
    if (texts[0].data == NULL) {
        make_texts();
        make_tokenizer();
    }
    *n = 2;
    return made;
}
