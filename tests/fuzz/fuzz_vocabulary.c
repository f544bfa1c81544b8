/* Tokenizers made of any vocabulary, added tokens, prefix and settings, which then read a few texts
 * of the same bytes. What the tokenizer refuses must be invalid; what it returns is compared with
 * the slow tokenizer. Options of a batch are any numbers, which are either refused or give a result
 * with the promised lengths. */
#include "common.h"
#include "core/pool.h"
#include "outcome.h"

#define MAX_TOKEN 80

/* Bytes that make pieces overlap, and a few characters of several bytes. */
static bs_text read_token(reader *r)
{
    static const char *const pieces[] = {"a", "b", "ab", "#", "##", "!", " ", "é", "中", "[", "]",
                                         "A", "\xcc\x81", "\xf0\x9f\x98\x80", "x", "aa"};
    char token[MAX_TOKEN + 8] = "";
    const int n = read_one_in(r, 4) ? read_below(r, 40) : read_below(r, 6);
    const bool repeats = n > 6;
    int piece = read_below(r, 16);
    if (read_one_in(r, 3))
        strcat(token, "##");
    for (int i = 0; i < n && strlen(token) < MAX_TOKEN; i++) {
        strcat(token, pieces[piece]);
        if (!repeats || read_one_in(r, 8))
            piece = read_below(r, 16);
    }
    const size_t length = strlen(token);
    uint8_t *bytes = must_alloc(NULL, length);
    memcpy(bytes, token, length);
    if (length > 0 && read_one_in(r, 24)) /* not always UTF-8 */
        bytes[read_byte(r) % length] = read_byte(r);
    return (bs_text){bytes, (int64_t)length, BS_TEXT_UTF8};
}

static bool is_utf8(const bs_text *text)
{
    for (int64_t at = 0; at < text->length;)
        if (bs_text_next(text, &at, text->length) == BS_CODE_BAD)
            return false;
    return true;
}

typedef struct {
    bs_text vocab[MAX_VOCAB], prefix;
    bs_added_token added[PLAIN_MAX_ADDED];
    int n_vocab, n_added;
    bool valid; /* all is UTF-8 and within bounds */
    bs_tokenizer_options options;
} parts;

static void read_parts(reader *r, parts *p)
{
    const int flags = read_byte(r);
    p->n_vocab = 3 + read_below(r, 40);
    p->n_added = read_one_in(r, 2) ? read_below(r, PLAIN_MAX_ADDED + 1) : read_below(r, 3);
    p->prefix = read_one_in(r, 4) ? read_token(r) : (bs_text){must_alloc(NULL, 2), 2, BS_TEXT_UTF8};
    if (p->prefix.length == 2)
        memcpy((void *)p->prefix.data, "##", 2);
    p->valid = is_utf8(&p->prefix);
    p->options = (bs_tokenizer_options){
        .normalizer = {flags & 1, flags & 2, flags & 4, flags & 8},
        .prefix = p->prefix,
        .max_word_chars = read_one_in(r, 16) ? read_hostile(r) : 1 + read_below(r, 120),
        .unk_id = read_below(r, p->n_vocab),
        .cls_id = read_below(r, p->n_vocab),
        .sep_id = read_below(r, p->n_vocab),
        .pair_separators = 1 + read_below(r, 2),
    };
    p->valid = p->valid && p->options.max_word_chars >= 1
               && p->options.max_word_chars <= BS_MAX_WORD_CHARS;
    for (int i = 0; i < p->n_added; i++) {
        const int how = read_byte(r);
        p->added[i] = (bs_added_token){read_token(r), read_below(r, p->n_vocab), how & 1, how & 2,
                                       how & 4, how & 8, how & 16};
        p->valid = p->valid && is_utf8(&p->added[i].content);
    }
    for (int i = 0; i < p->n_vocab; i++)
        p->vocab[i] = read_token(r);
}

static void free_parts(parts *p)
{
    for (int i = 0; i < p->n_vocab; i++)
        free((void *)p->vocab[i].data);
    for (int i = 0; i < p->n_added; i++)
        free((void *)p->added[i].content.data);
    free((void *)p->prefix.data);
}

/* A copy of a token, or what follows its prefix. */
static bs_text copy_token(const parts *p, int i)
{
    const bs_text *token = &p->vocab[i], *prefix = &p->prefix;
    int64_t from = 0;
    if (token->length >= prefix->length
        && memcmp(token->data, prefix->data, (size_t)prefix->length) == 0)
        from = prefix->length;
    const bs_text copy = {must_alloc(NULL, (size_t)(token->length - from)), token->length - from,
                          BS_TEXT_UTF8};
    memcpy((void *)copy.data, (const char *)token->data + from, (size_t)copy.length);
    return copy;
}

/* A text of tokens and of pieces of the same kind, in UTF-8 and as code points. */
static bs_text read_text(reader *r, const parts *p, uint32_t **codes, int64_t *n_codes)
{
    uint8_t *bytes = NULL;
    int64_t length = 0;
    for (int n = read_below(r, 12); n >= 0; n--) {
        const bs_text token = read_one_in(r, 3) ? read_token(r)
                                                : copy_token(p, read_below(r, p->n_vocab));
        bytes = must_alloc(bytes, (size_t)(length + token.length));
        memcpy(bytes + length, token.data, (size_t)token.length);
        length += token.length;
        free((void *)token.data);
    }
    const bs_text text = {bytes, length, BS_TEXT_UTF8};
    *codes = must_alloc(NULL, sizeof **codes * (size_t)length);
    *n_codes = 0;
    for (int64_t at = 0; at < length;)
        if (((*codes)[(*n_codes)++] = bs_text_next(&text, &at, length)) == BS_CODE_BAD) {
            *n_codes = -1;
            break;
        }
    return text;
}

static void check_ids(const plain_tokenizer *plain, const bs_tokenizer *tok, const bs_text *text,
                      const uint32_t *codes, int64_t n_codes, bool plain_specials)
{
    const bs_encode_options options = {.plain_specials = plain_specials, .n_threads = 1};
    outcome o = run(tok, text, NULL, 1, &options);
    bs_ids ids = {0};
    CHECK((o.status == BS_OK) == (n_codes >= 0), "status %d", o.status);
    if (o.status == BS_OK) {
        plain_encode(plain, codes, n_codes, plain_specials, &ids);
        CHECK(o.offsets[1] == ids.n, "%lld ids, not %lld", (long long)o.offsets[1],
              (long long)ids.n);
        for (int64_t k = 0; k < ids.n; k++)
            CHECK(o.ids[k] == ids.data[k], "id %lld: %d, not %d", (long long)k, o.ids[k],
                  ids.data[k]);
    }
    free(ids.data);
    outcome_clear(&o);
}

/* Any options: those that are not refused give what they promise, which `run` checks. */
static void check_options(reader *r, const bs_tokenizer *tok, const bs_text texts[2])
{
    const bool pairs = read_one_in(r, 3);
    const bs_encode_options options = {
        .max_length = read_one_in(r, 3) ? read_hostile(r) : read_below(r, 20),
        .which = (bs_cut_which)(read_one_in(r, 16) ? (int)read_hostile(r) : read_below(r, 3)),
        .form = (bs_cut_form)(read_one_in(r, 16) ? (int)read_hostile(r) : read_below(r, 4)),
        .stride = read_one_in(r, 3) ? read_hostile(r) : read_below(r, 8),
        .add_special = read_one_in(r, 2),
        .plain_specials = read_one_in(r, 2),
        .spans = read_one_in(r, 2),
        .n_threads = read_one_in(r, 16) ? (int)read_hostile(r) : 1,
    };
    bs_error e = BS_ERROR_INIT;
    if (bs_encode_options_check(tok, &options, pairs, &e) != BS_OK) {
        CHECK(e.status == BS_ERR_VALUE && e.text[0] != '\0', "status %d", e.status);
        return;
    }
    outcome o = run(tok, texts, pairs ? texts + 1 : NULL, 1, &options);
    outcome_clear(&o);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return bs_pool_init(NULL) == BS_OK ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    reader r = {data, size};
    parts p = {0};
    bs_tokenizer tok;
    bs_error e = BS_ERROR_INIT;
    read_parts(&r, &p);
    const bs_status status = bs_tokenizer_init(&tok, p.vocab, p.n_vocab, &p.options, p.added,
                                               p.n_added, &e);
    CHECK(status == BS_OK || (status == BS_ERR_VALUE && e.text[0] != '\0' && !p.valid),
          "status %d: %s", status, e.text);
    if (status == BS_OK) {
        plain_tokenizer plain;
        bs_text texts[2];
        uint32_t *codes[2];
        int64_t n_codes[2];
        if (p.valid)
            plain_init(&plain, &tok, p.vocab, p.n_vocab, p.prefix, p.added, p.n_added);
        for (int i = 0; i < 2; i++) {
            texts[i] = read_text(&r, &p, &codes[i], &n_codes[i]);
            if (p.valid)
                check_ids(&plain, &tok, &texts[i], codes[i], n_codes[i], i == 1);
        }
        for (int i = 0; i < 3; i++)
            check_options(&r, &tok, texts);
        for (int i = 0; i < 2; i++) {
            free((void *)texts[i].data);
            free(codes[i]);
        }
        if (p.valid)
            plain_clear(&plain);
        bs_tokenizer_clear(&tok);
    }
    free_parts(&p);
    return 0;
}
