/* A libFuzzer target: a tokenizer and a batch of texts are made of the input, and what comes out
 * is held against a slow tokenizer and against itself, in every storage width, on every
 * instruction set, cut short, and on two threads.
 *
 *     tests/fuzz/run -max_total_time=60
 *
 * The first four bytes are switches; the rest is a small language for texts, see texts_read. */
#include <stdio.h>
#include <stdlib.h>

#include "core/cpu.h"
#include "core/pool.h"
#include "plain_tokenizer.h"
#include "tokenizer/scan.h"

#define MAX_TEXTS 24
#define MAX_CODES 12000  /* of all texts together */
#define MAX_DERIVED 64   /* tokens of a vocabulary that the input brings */
#define TILED_UNITS 200000 /* so many are several tasks */

#define CHECK(condition, ...)                                                                    \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            fprintf(stderr, "%s:%d: %s does not hold: ", __FILE__, __LINE__, #condition);        \
            fprintf(stderr, __VA_ARGS__);                                                        \
            fputc('\n', stderr);                                                                 \
            abort();                                                                             \
        }                                                                                        \
    } while (0)

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
    {"abab", 32, true, false, false}, /* and more that are sought in the text as it comes */
    {"foo", 6, false, true, false},   {"Foo Bar", 7, false, true, true},
    {"é!", 9, true, true, false},     {"中文", 25, false, true, false},
    {"foo", 39, true, true, false},   /* and after normalisation */
};
static const int added_counts[4] = {5, 0, 10, 15};

static const int word_limits[4] = {100, 1, 5, 17};
static const char *const prefixes[4] = {"##", "", "#", "é"};

typedef struct {
    bs_tokenizer tok;
    plain_tokenizer plain;
    bs_text vocab[N_WORDS > MAX_DERIVED + 3 ? N_WORDS : MAX_DERIVED + 3];
    bs_added_token added[PLAIN_MAX_ADDED];
    int n_vocab, n_added;
} fixture;

static bs_text text_of(const char *s)
{
    return (bs_text){s, (int64_t)strlen(s), BS_TEXT_UTF8};
}

static void fixture_init(fixture *f, int normalizer, int limit, int added, const char *prefix)
{
    bs_error e = BS_ERROR_INIT;
    bs_tokenizer_options options = {
        .normalizer = {.clean_text = normalizer & 1, .tokenize_chinese_chars = normalizer & 2,
                       .strip_accents = normalizer & 4, .lowercase = normalizer & 8},
        .prefix = text_of(prefix), .max_word_chars = limit,
        .unk_id = 0, .cls_id = 1, .sep_id = 2,
    };
    f->n_added = added;
    for (int i = 0; i < added; i++)
        f->added[i] = (bs_added_token){
            text_of(added_list[i].content), added_list[i].id % f->n_vocab,
            added_list[i].single_word, added_list[i].normalized, added_list[i].special};
    CHECK(bs_tokenizer_init(&f->tok, f->vocab, f->n_vocab, &options, f->added, f->n_added, &e)
              == BS_OK,
          "%s", e.text);
    plain_init(&f->plain, &f->tok, f->vocab, f->n_vocab, options.prefix, f->added, f->n_added);
}

static void fixture_clear(fixture *f)
{
    plain_clear(&f->plain);
    bs_tokenizer_clear(&f->tok);
}

/* One of the tokenizers with the list above; made when first wanted, and kept. */
static const fixture *fixture_fixed(int normalizer, int limit, int added)
{
    static fixture *made[16][4][4];
    fixture **f = &made[normalizer][limit][added];
    if (*f == NULL) {
        *f = must_alloc(NULL, sizeof **f);
        for (int i = 0; i < N_WORDS; i++)
            (*f)->vocab[i] = text_of(words[i]);
        (*f)->n_vocab = N_WORDS;
        fixture_init(*f, normalizer, word_limits[limit], added_counts[added], "##");
    }
    return *f;
}

/* --- texts -------------------------------------------------------------------------------- */

typedef struct {
    uint32_t *codes;
    int64_t starts[MAX_TEXTS + 1];
    int n;
} text_list;

static const uint32_t odd[80] = {
    /* letters whose case or decomposition is not simple, syllables, ligatures */
    0xC0, 0xE9, 0xDF, 0x130, 0x131, 0x149, 0x17F, 0x1C4, 0x1F0, 0x212A, 0x212B, 0x1E9B, 0x1E9E,
    0x3A3, 0x3C2, 0x390, 0x1FB7, 0xFB01, 0xAC00, 0xAC01, 0xD7A3, 0x1100, 0x1161, 0x11A8, 0x1D5E,
    0xA64A, 0x10400, 0x1D400,
    /* marks of several classes */
    0x300, 0x301, 0x327, 0x323, 0x345, 0x34F, 0x302E, 0x302F, 0x1D165, 0x1D16D, 0x93C, 0x903,
    0xF71, 0x3099, 0x488, 0x344, 0xE01EF, 0xFE0F, 0x1B44, 0x1E944,
    /* what goes, what separates */
    0x00, 0x7F, 0x85, 0xA0, 0xAD, 0x180E, 0x2009, 0x200B, 0x200D, 0x2028, 0x3000, 0xFEFF, 0xFFFD,
    0xFFFF, 0xE000, 0x10FFFF, 0xE0001,
    /* what stands alone */
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

/* Bytes below 0x80 are themselves, 0x80 to 0xCF odd characters, 0xD0 to 0xDF strings; the rest
 * takes more bytes: 0xE0 two and 0xE1 three that are a number, 0xE8 to 0xEF one that says how
 * often the last 1, 2 ... 128 characters come again, 0xF0 to 0xF3 one that says how far from the
 * next 64th or 4,096th place filling stops, and 0xFF begins another text. */
static void texts_read(text_list *texts, const uint8_t *data, size_t size)
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

static bool is_surrogate(uint32_t code)
{
    return code >= 0xD800 && code < 0xE000;
}

/* The text in memory of its own, of just that size; in UCS-4 if the form cannot hold it. */
static bs_text text_make(const text_list *texts, int i, bs_text_form form)
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

/* The first text cut at spaces is a vocabulary; what begins with + continues a word. */
static void fixture_derive(fixture *f, const text_list *texts, int normalizer, int limit,
                           int added, const char *prefix)
{
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
    fixture_init(f, normalizer, limit, added, prefix);
}

static void derived_clear(fixture *f)
{
    fixture_clear(f);
    for (int i = 3; i < f->n_vocab; i++)
        free((void *)f->vocab[i].data);
}

/* --- what is checked ---------------------------------------------------------------------- */

typedef struct {
    bs_status status;
    int64_t item; /* at fault */
    int64_t n_texts;
    int32_t *ids;
    int64_t *offsets;
    uint8_t *cut;
} outcome;

static void outcome_clear(outcome *o)
{
    free(o->ids);
    free(o->offsets);
    free(o->cut);
}

static outcome run(const bs_tokenizer *tok, const bs_text *texts, int64_t n,
                   const bs_batch_options *options)
{
    outcome o = {.n_texts = n, .item = -1};
    bs_batch *batch = NULL;
    bs_error e = BS_ERROR_INIT;
    o.status = bs_batch_encode(tok, texts, NULL, n, options, &batch, &e);
    if (o.status != BS_OK) {
        CHECK(batch == NULL && e.text[0] != '\0' && e.status == o.status, "a mute failure");
        CHECK(e.item >= 0 && e.item < n, "item %lld", (long long)e.item);
        o.item = e.item;
        return o;
    }
    const int64_t total = bs_batch_total(batch);
    o.ids = must_alloc(NULL, sizeof *o.ids * (size_t)total);
    o.offsets = must_alloc(NULL, sizeof *o.offsets * (size_t)(n + 1));
    o.cut = must_alloc(NULL, (size_t)n);
    bs_batch_copy(batch, o.ids, o.offsets, o.cut, NULL, NULL);
    bs_batch_free(batch);
    CHECK(o.offsets[0] == 0 && o.offsets[n] == total, "%lld", (long long)o.offsets[n]);
    for (int64_t i = 0; i < n; i++)
        CHECK(o.offsets[i] <= o.offsets[i + 1] && o.cut[i] <= (options->max_length > 0), "%lld",
              (long long)i);
    for (int64_t k = 0; k < total; k++)
        CHECK(o.ids[k] >= 0 && o.ids[k] < tok->vocab.size, "%d", o.ids[k]);
    return o;
}

static void check_equal(const outcome *a, const outcome *b, const char *what, int detail)
{
    CHECK(a->status == b->status && a->item == b->item, "%s %d: %d at %lld, %d at %lld", what,
          detail, a->status, (long long)a->item, b->status, (long long)b->item);
    if (a->status != BS_OK)
        return;
    for (int64_t i = 0; i < a->n_texts; i++)
        CHECK(a->offsets[i + 1] == b->offsets[i + 1] && a->cut[i] == b->cut[i]
                  && memcmp(a->ids + a->offsets[i], b->ids + a->offsets[i],
                            sizeof *a->ids * (size_t)(a->offsets[i + 1] - a->offsets[i])) == 0,
              "%s %d, text %lld", what, detail, (long long)i);
}

/* Against the slow tokenizer; texts with surrogates must have failed. */
static void check_plain(const fixture *f, const text_list *texts, const bs_batch_options *options,
                        const outcome *o)
{
    bs_ids ids = {0};
    for (int i = 0; i < texts->n; i++)
        for (int64_t k = texts->starts[i]; k < texts->starts[i + 1]; k++)
            if (is_surrogate(texts->codes[k])) {
                CHECK(o->status == BS_ERR_VALUE && o->item == i, "surrogate in text %d", i);
                return;
            }
    CHECK(o->status == BS_OK, "status %d", o->status);
    const int extra = options->add_special;
    for (int i = 0; i < texts->n; i++) {
        const int32_t *got = o->ids + o->offsets[i];
        const int64_t n = o->offsets[i + 1] - o->offsets[i] - 2 * extra;
        ids.n = 0;
        plain_encode(&f->plain, texts->codes + texts->starts[i],
                     texts->starts[i + 1] - texts->starts[i], options->plain_specials, &ids);
        CHECK(n == ids.n, "text %d: %lld ids, not %lld", i, (long long)n, (long long)ids.n);
        for (int64_t k = 0; k < n; k++)
            CHECK(got[k + extra] == ids.data[k], "text %d, id %lld: %d, not %d", i, (long long)k,
                  got[k + extra], ids.data[k]);
        CHECK(!extra || (got[0] == 1 && got[n + 1] == 2), "text %d: no [CLS] or [SEP]", i);
    }
    free(ids.data);
}

/* What is cut is the beginning of the whole. A fault in what is not read goes unnoticed. */
static void check_cut(const bs_tokenizer *tok, const bs_text *texts, const outcome *whole,
                      const bs_batch_options *options)
{
    const int64_t extra = options->add_special ? 1 : 0, limit = options->max_length - 2 * extra;
    outcome o = run(tok, texts, whole->n_texts, options);
    CHECK(o.status == whole->status || o.status == BS_OK, "status %d", o.status);
    CHECK(o.status == BS_OK || o.item >= whole->item, "item %lld", (long long)o.item);
    for (int64_t i = 0; i < whole->n_texts && whole->status == BS_OK; i++) {
        const int64_t full = whole->offsets[i + 1] - whole->offsets[i] - 2 * extra;
        const int64_t n = o.offsets[i + 1] - o.offsets[i] - 2 * extra;
        CHECK(o.cut[i] == (full > limit) && n == (full > limit ? limit : full),
              "text %lld: %lld of %lld", (long long)i, (long long)n, (long long)full);
        CHECK(memcmp(o.ids + o.offsets[i], whole->ids + whole->offsets[i],
                     sizeof *o.ids * (size_t)(n + extra)) == 0
                  && (!extra || o.ids[o.offsets[i] + n + 1] == 2),
              "text %lld differs", (long long)i);
    }
    outcome_clear(&o);
}

/* The texts again and again, so that there are several tasks, on two threads. */
static void check_threads(const bs_tokenizer *tok, const bs_text *texts, const outcome *whole,
                          const bs_batch_options *options)
{
    bs_batch_options two = *options;
    int64_t units = 0;
    two.n_threads = 2;
    for (int64_t i = 0; i < whole->n_texts; i++)
        units += texts[i].length + 32;
    const int64_t rounds = TILED_UNITS / units + 1, n = whole->n_texts;
    bs_text *tiled = must_alloc(NULL, sizeof *tiled * (size_t)(rounds * n));
    for (int64_t i = 0; i < rounds * n; i++)
        tiled[i] = texts[i % n];
    outcome o = run(tok, tiled, rounds * n, &two);
    CHECK(o.status == whole->status && o.item == whole->item, "status %d", o.status);
    for (int64_t i = 0; i < rounds * n && o.status == BS_OK; i++) {
        const int64_t length = whole->offsets[i % n + 1] - whole->offsets[i % n];
        CHECK(o.offsets[i + 1] - o.offsets[i] == length
                  && memcmp(o.ids + o.offsets[i], whole->ids + whole->offsets[i % n],
                            sizeof *o.ids * (size_t)length) == 0,
              "text %lld in round %lld", (long long)(i % n), (long long)(i / n));
    }
    outcome_clear(&o);
    free(tiled);
}

/* How a processor with less would read the same texts. */
static void check_scans(const bs_tokenizer *tok, const bs_text *texts, const outcome *whole,
                        const bs_batch_options *options)
{
    const bs_scan_fn *scans[4] = {bs_scan_none, bs_scan_portable};
    int n = 2;
#ifdef BS_X86
    const bs_cpu cpu = bs_cpu_detect();
    if (cpu.avx2)
        scans[n++] = bs_scan_avx2;
    if (cpu.avx512)
        scans[n++] = bs_scan_avx512;
#endif
    for (int i = 0; i < n; i++) {
        bs_tokenizer other = *tok; /* what it points to is shared */
        memcpy(other.normalizer.scan, scans[i], sizeof other.normalizer.scan);
        memcpy(other.plain.scan, scans[i], sizeof other.plain.scan);
        outcome o = run(&other, texts, whole->n_texts, options);
        check_equal(whole, &o, "scanner", i);
        outcome_clear(&o);
    }
}

/* Bytes as they come, as UTF-8 and as numbers of four bytes: mostly no text at all. */
static void check_garbage(const bs_tokenizer *tok, const uint8_t *data, size_t size,
                          const bs_batch_options *options, const bs_batch_options *shorter)
{
    for (int k = 0; k < 2; k++) {
        const bs_text_form form = k == 0 ? BS_TEXT_UTF8 : BS_TEXT_UCS4;
        uint8_t *copy = must_alloc(NULL, size);
        if (size > 0)
            memcpy(copy, data, size);
        const bs_text texts[2] = {{copy, (int64_t)size / (k == 0 ? 1 : 4), form},
                                  {copy, (int64_t)size / (k == 0 ? 2 : 8), form}};
        outcome whole = run(tok, texts, 2, options);
        check_cut(tok, texts, &whole, shorter);
        check_scans(tok, texts, &whole, options);
        outcome_clear(&whole);
        free(copy);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return bs_pool_init(NULL) == BS_OK ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bs_text_form forms[4] = {BS_TEXT_UCS4, BS_TEXT_UCS2, BS_TEXT_LATIN1,
                                          BS_TEXT_UTF8};
    text_list list;
    fixture derived = {0};
    outcome reference = {0};

    if (size < 4)
        return 0;
    const int normalizer = ~data[0] & 15, limit = data[0] >> 4 & 3, added = data[1] & 3;
    const bool is_derived = (data[0] & 0xC0) == 0xC0;
    const bool threads = (data[1] & 0x70) == 0x70, garbage = (data[1] & 0x70) == 0x60;
    const bs_batch_options options = {.add_special = !(data[1] & 4),
                                      .plain_specials = data[1] & 8, .n_threads = 1};
    bs_batch_options shorter = options;
    shorter.max_length = 2 + (data[2] < 128 ? data[2] : (data[2] - 127) * 40);

    texts_read(&list, data + 4, size - 4);
    const fixture *f = &derived;
    if (is_derived)
        fixture_derive(&derived, &list, normalizer, word_limits[limit], added_counts[added],
                       prefixes[data[3] & 3]);
    else
        f = fixture_fixed(normalizer, limit, added);

    for (int k = 0; k < 4; k++) {
        bs_text texts[MAX_TEXTS];
        for (int i = 0; i < list.n; i++)
            texts[i] = text_make(&list, i, forms[k]);
        outcome o = run(&f->tok, texts, list.n, &options);
        if (k == 0) {
            check_plain(f, &list, &options, &o);
            reference = o;
        } else {
            check_equal(&reference, &o, "form", forms[k]);
            outcome_clear(&o);
        }
        if ((data[3] >> 2 & 3) == k) {
            check_scans(&f->tok, texts, &reference, &options);
            check_cut(&f->tok, texts, &reference, &shorter);
            if (threads)
                check_threads(&f->tok, texts, &reference, &options);
        }
        for (int i = 0; i < list.n; i++)
            free((void *)texts[i].data);
    }
    if (garbage)
        check_garbage(&f->tok, data + 4, size - 4, &options, &shorter);
    outcome_clear(&reference);
    free(list.codes);
    if (is_derived)
        derived_clear(&derived);
    return 0;
}
