#include "inputs.h"

#include <stdlib.h>

/* --- vocabularies ------------------------------------------------------------------------- */

#define X16 "xxxxxxxxxxxxxxxx"
#define X96 X16 X16 X16 X16 X16 X16

static const char *const words[] = {
    "[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "[X]", "foo", "Foo Bar", "bar", "é!", "",
    "a", "b", "c", "x", "A", "0", "é", "e", "ß", "ss", "i", "ı", "σ", "ς", "中", "文", "ᄀ", "가",
    "😀", "ab", "aab", "abab", "ababab", "aaaaaaab", "ba", "movie", "moviest", "un", "foobar",
    "abababababababa", "abababababababab", "ababababababababa", "abcabcabcabcabcabcabcabcabcabc",
    X16, X16 "x", X96, X96 "xxxx", X96 "xxxxx", "!", ".", "[", "]", "#", "##", "###", "!!", "a",
    "\xcc\x81", "e\xcc\x81", "\xe3\x80\xae", "\x01", "\xe2\x80\x8d", "ᄀ\xe1\x85\xa1", "a!",
    "##a", "##b", "##c", "##x", "##aa", "##aab", "##ab", "##ba", "##bab", "##babab", "##é", "##e",
    "##\xcc\x81", "##\xe3\x80\xae", "##\xf0\x9d\x85\xa5", "##\xe1\x85\xa1", "##\xe1\x86\xa8",
    "##st", "##s", "##t", "##aff", "##able", "##!", "##文", "##😀", "##" X16, "##" X16 "x",
    "##" X96, "##bababababababab", "##babababababababababab", "##a", "##\x01", "##ss",
};
#define N_WORDS ((int)(sizeof words / sizeof *words))

static const struct {
    const char *content;
    int id;
    bool single_word, normalized, special;
} added_list[] = {
    {"[UNK]", 0, false, false, true}, {"[CLS]", 1, false, false, true},
    {"[SEP]", 2, false, false, true}, {"[PAD]", 3, false, false, true},
    {"[MASK]", 4, false, false, true}, /* a BERT's */
    {"[X]", 5, false, false, false},  {"bar", 8, true, false, false},
    {"\xe3\x80\xae\xf0\x9d\x85\xa5", 60, false, false, false}, {"ab", 30, false, false, true},
    {"abab", 32, true, false, false}, {"\xe3\x80\x80", 15, false, false, false},
    {" x", 14, false, false, false},  /* and more that are searched for in the raw text */
    {"foo", 6, false, true, false},   {"Foo Bar", 7, false, true, true},
    {"é!", 9, true, true, false},     {"中文", 25, false, true, false},
    {"foo", 39, true, true, false},   /* and in the normalised text */
};
static const int added_counts[4] = {5, 0, 12, 17};

static const int word_limits[4] = {100, 1, 5, 17};
static const char *const prefixes[4] = {"##", "", "#", "é"};

_Static_assert(N_WORDS <= MAX_VOCAB, "a fixture has room for the words");

static bs_text text_of(const char *s)
{
    return (bs_text){s, (int64_t)strlen(s), BS_TEXT_UTF8};
}

/* The flags for white space are distributed so that each combination occurs. */
static void fixture_init(fixture *f, int normalizer, int limit, int added, bool strips,
                         const char *prefix)
{
    bs_error e = BS_ERROR_INIT;
    bs_tokenizer_options options = {
        .normalizer = {.clean_text = normalizer & 1, .tokenize_chinese_chars = normalizer & 2,
                       .strip_accents = normalizer & 4, .lowercase = normalizer & 8},
        .prefix = text_of(prefix), .max_word_chars = limit,
        .unk_id = 0, .cls_id = 1, .sep_id = 2, .pair_separators = 1,
    };
    f->n_added = added;
    f->strips = strips;
    for (int i = 0; i < added; i++)
        f->added[i] = (bs_added_token){
            text_of(added_list[i].content), added_list[i].id % f->n_vocab,
            added_list[i].single_word, added_list[i].normalized, added_list[i].special,
            strips && (i + 1) & 1, strips && (i + 1) & 2};
    CHECK(bs_tokenizer_init(&f->tok, f->vocab, f->n_vocab, &options, f->added, f->n_added, &e)
              == BS_OK,
          "%s", e.text);
    plain_init(&f->plain, &f->tok, f->vocab, f->n_vocab, options.prefix, f->added, f->n_added);
}

/* One of the tokenizers with the list above, created at its first use and kept. */
const fixture *fixture_fixed(int normalizer, int limit, int added, bool strips)
{
    static fixture *made[16][4][4][2];
    fixture **f = &made[normalizer][limit][added][strips];
    if (*f == NULL) {
        *f = must_alloc(NULL, sizeof **f);
        for (int i = 0; i < N_WORDS; i++)
            (*f)->vocab[i] = text_of(words[i]);
        (*f)->n_vocab = N_WORDS;
        fixture_init(*f, normalizer, word_limits[limit], added_counts[added], strips, "##");
    }
    return *f;
}

/* --- texts -------------------------------------------------------------------------------- */

static const uint32_t odd[80] = {
    /* letters whose case or decomposition is not simple, syllables, ligatures */
    0xC0, 0xE9, 0xDF, 0x130, 0x131, 0x149, 0x17F, 0x1C4, 0x1F0, 0x212A, 0x212B, 0x1E9B, 0x1E9E,
    0x3A3, 0x3C2, 0x390, 0x1FB7, 0xFB01, 0xAC00, 0xAC01, 0xD7A3, 0x1100, 0x1161, 0x11A8, 0x1D5E,
    0xA64A, 0x10400, 0x1D400,
    /* marks of several classes */
    0x300, 0x301, 0x327, 0x323, 0x345, 0x34F, 0x302E, 0x302F, 0x1D165, 0x1D16D, 0x93C, 0x903,
    0xF71, 0x3099, 0x488, 0x344, 0xE01EF, 0xFE0F, 0x1B44, 0x1E944,
    /* removed characters, separators */
    0x00, 0x7F, 0x85, 0xA0, 0xAD, 0x180E, 0x2009, 0x200B, 0x200D, 0x2028, 0x3000, 0xFEFF, 0xFFFD,
    0xFFFF, 0xE000, 0x10FFFF, 0xE0001,
    /* characters that are words by themselves */
    0xA1, 0xB7, 0x37E, 0x1FEF, 0x2014, 0x2260, 0x3001, 0x4E2D, 0x6587, 0x2B81F, 0x2B820, 0x2B920,
    0x2F800, 0x1F600, 0xFF01,
};

static const char *const snippets[16] = {
    "[SEP]", "[CLS]", "[MASK", "[X]", " foo ", "Foo Bar", " bar.", "é!", "中文", X96,
    "abababababababab", "<br /><br />", "The movie isn't un-foobar! ", "e\xcc\x81\xe3\x80\xae",
    "\r\n\t", "Unaffable moviest",
};

static void code_put(text_list *texts, uint32_t code)
{
    if (texts->starts[texts->n] < MAX_CODES)
        texts->codes[texts->starts[texts->n]++] = code;
}

/* Copies the last `count` characters of the text `times` times. */
static void repeat(text_list *texts, int64_t count, int times)
{
    const int64_t length = texts->starts[texts->n] - texts->starts[texts->n - 1];
    if (count > length)
        count = length;
    for (int64_t i = 0; i < count * times; i++)
        code_put(texts, texts->codes[texts->starts[texts->n] - count]);
}

/* Bytes below 0x80 are themselves, 0x80 to 0xCF unusual characters, 0xD0 to 0xDF strings. Others
 * are followed by more bytes: 0xE0 by two and 0xE1 by three that form a code point, 0xE8 to 0xEF by
 * the number of times that the last 1, 2 ... 128 characters are repeated, 0xF0 to 0xF3 by the
 * distance from the next multiple of 64 or 4,096 to which to fill. 0xFF begins another text. */
void texts_read(text_list *texts, const uint8_t *data, size_t size)
{
    texts->codes = must_alloc(NULL, sizeof *texts->codes * MAX_CODES);
    texts->starts[0] = texts->starts[1] = 0;
    texts->n = 1;
    for (size_t i = 0; i < size; i++) {
        const uint8_t op = data[i];
        const uint8_t a = i + 1 < size ? data[i + 1] : 0, b = i + 2 < size ? data[i + 2] : 0;
        if (op < 0x80) {
            code_put(texts, op);
        } else if (op < 0xD0) {
            code_put(texts, odd[op - 0x80]);
        } else if (op < 0xE0) {
            const bs_text text = text_of(snippets[op - 0xD0]);
            for (int64_t at = 0; at < text.length;)
                code_put(texts, bs_text_next(&text, &at, text.length));
        } else if (op == 0xE0) {
            code_put(texts, (uint32_t)a << 8 | b);
            i += 2;
        } else if (op == 0xE1) {
            const uint32_t low = i + 3 < size ? data[i + 3] : 0;
            code_put(texts, ((uint32_t)a << 16 | (uint32_t)b << 8 | low) % 0x110000);
            i += 3;
        } else if (op >= 0xE8 && op < 0xF0) {
            repeat(texts, 1 << (op - 0xE8), a);
            i++;
        } else if (op >= 0xF0 && op < 0xF4) {
            const int64_t begin = texts->starts[texts->n - 1], every = op & 1 ? 4096 : 64;
            const int64_t length = texts->starts[texts->n] - begin;
            int64_t count = every - length % every - a % 40;
            for (int64_t k = 0; k < count; k++)
                code_put(texts, op & 2 ? (uint32_t)"ab ab, x"[k & 7] : 'x');
            i++;
        } else if (op == 0xFF && texts->n < MAX_TEXTS) {
            texts->n++;
            texts->starts[texts->n] = texts->starts[texts->n - 1];
        }
    }
}

bool is_surrogate(uint32_t code)
{
    return code >= 0xD800 && code < 0xE000;
}

/* A copy of the text of exactly its size; in UCS-4 if the form cannot represent it. */
bs_text text_make(const text_list *texts, int i, bs_text_form form)
{
    const uint32_t *codes = texts->codes + texts->starts[i];
    const int64_t n = texts->starts[i + 1] - texts->starts[i];
    uint32_t highest = 0;
    for (int64_t k = 0; k < n; k++)
        highest = codes[k] > highest ? codes[k] : highest;
    if ((form == BS_TEXT_LATIN1 && highest > 0xFF) || (form == BS_TEXT_UCS2 && highest > 0xFFFF))
        form = BS_TEXT_UCS4;
    if (form == BS_TEXT_UTF8) {
        uint8_t *bytes = must_alloc(NULL, (size_t)n * 4);
        int64_t length = 0;
        for (int64_t k = 0; k < n; k++)
            length += bs_utf8_put(bytes + length, codes[k]);
        return (bs_text){must_alloc(bytes, (size_t)length), length, form};
    }
    void *data = must_alloc(NULL, (size_t)n * form);
    for (int64_t k = 0; k < n; k++)
        if (form == BS_TEXT_LATIN1)
            ((uint8_t *)data)[k] = (uint8_t)codes[k];
        else if (form == BS_TEXT_UCS2)
            ((uint16_t *)data)[k] = (uint16_t)codes[k];
        else
            ((uint32_t *)data)[k] = codes[k];
    return (bs_text){data, n, form};
}

/* The words of the first text are a vocabulary; those that begin with + continue a word. */
void fixture_derive(fixture *f, const text_list *texts, int normalizer, int limit, int added,
                    bool strips, int which_prefix)
{
    const char *prefix = prefixes[which_prefix];
    const uint32_t *codes = texts->codes, *end = codes + texts->starts[1];
    for (f->n_vocab = 0; f->n_vocab < 3; f->n_vocab++)
        f->vocab[f->n_vocab] = text_of(words[f->n_vocab]);
    for (int k = 0; k < MAX_DERIVED && codes < end; k++) {
        uint8_t *bytes = must_alloc(NULL, strlen(prefix) + 4 * (size_t)(end - codes));
        int64_t n = 0;
        if (*codes == '+') {
            n = (int64_t)strlen(prefix);
            memcpy(bytes, prefix, (size_t)n);
            codes++;
        }
        for (; codes < end && *codes != ' '; codes++)
            if (!is_surrogate(*codes))
                n += bs_utf8_put(bytes + n, *codes);
        codes += codes < end;
        f->vocab[f->n_vocab++] = (bs_text){bytes, n, BS_TEXT_UTF8};
    }
    fixture_init(f, normalizer, word_limits[limit], added_counts[added], strips, prefix);
}

void derived_clear(fixture *f)
{
    plain_clear(&f->plain);
    bs_tokenizer_clear(&f->tok);
    for (int i = 3; i < f->n_vocab; i++)
        free((void *)f->vocab[i].data);
}
