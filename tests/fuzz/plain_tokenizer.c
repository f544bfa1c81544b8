#include "plain_tokenizer.h"

#include "common.h"

static void ids_put(bs_ids *ids, int32_t id)
{
    if (bs_ids_reserve(ids, 1, NULL) != BS_OK)
        abort();
    ids->data[ids->n++] = id;
}

/* Decodes UTF-8, which must be valid. */
static uint32_t *decode(const uint8_t *bytes, int64_t length, int64_t *n)
{
    uint32_t *codes = must_alloc(NULL, sizeof *codes * (size_t)length);
    int64_t at = 0;
    *n = 0;
    while (at < length) {
        const uint32_t code = bs_utf8_next(bytes, &at, length);
        if (code == BS_CODE_BAD) {
            fprintf(stderr, "the normalised text is not UTF-8\n");
            abort();
        }
        codes[(*n)++] = code;
    }
    return codes;
}

static uint32_t *normalized(const plain_tokenizer *plain, const bs_text *text, int64_t *n)
{
    bs_scratch scratch = {0};
    bs_error e = BS_ERROR_INIT;
    if (bs_text_normalize(plain->tok, &scratch, text, &e) != BS_OK) {
        fprintf(stderr, "part of a valid text is not valid: %s\n", e.text);
        abort();
    }
    uint32_t *codes = decode(scratch.whole.bytes, scratch.whole.n, n);
    bs_scratch_free(&scratch);
    return codes;
}

/* Shared, because creating one takes longer than most texts. */
static const bs_charmap *map_as_it_is(void)
{
    static bs_charmap map;
    static bool made;
    const bs_charmap_options as_it_is = {0};
    if (!made && bs_charmap_init(&map, &as_it_is, NULL) != BS_OK)
        abort();
    made = true;
    return &map;
}

void plain_init(plain_tokenizer *plain, const bs_tokenizer *tok, const bs_text *vocab,
                int n_vocab, bs_text prefix, const bs_added_token *added, int n_added)
{
    memset(plain, 0, sizeof *plain);
    plain->tok = tok;
    plain->vocab = vocab;
    plain->n_vocab = n_vocab;
    plain->prefix = prefix;
    plain->added = added;
    plain->n_added = n_added;
    plain->map = map_as_it_is();
    if (n_added > PLAIN_MAX_ADDED)
        abort();
    for (int i = 0; i < n_added; i++) {
        const bs_text *text = &added[i].content;
        plain->content[i].codes = added[i].normalized
                                      ? normalized(plain, text, &plain->content[i].n)
                                      : decode(text->data, text->length, &plain->content[i].n);
    }
    for (int i = 0; i < n_vocab; i++)
        if (vocab[i].length < (int64_t)sizeof plain->lengths)
            plain->lengths[vocab[i].length] = 1;
}

void plain_clear(plain_tokenizer *plain)
{
    for (int i = 0; i < plain->n_added; i++)
        free(plain->content[i].codes);
}

/* The id of a piece, or -1; if there are several, the last one. */
static int32_t find(const plain_tokenizer *plain, const uint8_t *piece, int64_t length, bool tail)
{
    const int64_t before = tail ? plain->prefix.length : 0, whole = before + length;
    if (whole >= (int64_t)sizeof plain->lengths || !plain->lengths[whole])
        return -1;
    for (int i = plain->n_vocab - 1; i >= 0; i--) {
        const uint8_t *token = plain->vocab[i].data;
        if (plain->vocab[i].length == whole
            && memcmp(token, plain->prefix.data, (size_t)before) == 0
            && memcmp(token + before, piece, (size_t)length) == 0)
            return i;
    }
    return -1;
}

static void word_encode(const plain_tokenizer *plain, const uint32_t *codes, int64_t n,
                        bs_ids *ids)
{
    const bs_tokenizer_options *options = &plain->tok->options;
    const int64_t first = ids->n;
    uint8_t *bytes = NULL;
    int64_t length = 0, start = 0;

    if (n == 0)
        return;
    if (n > options->max_word_chars)
        goto unknown;
    bytes = must_alloc(NULL, (size_t)n * 4);
    for (int64_t i = 0; i < n; i++)
        length += bs_utf8_put(bytes + length, codes[i]);
    while (start < length) {
        int64_t end = length;
        int32_t id = -1;
        while (end > start && (id = find(plain, bytes + start, end - start, start > 0)) < 0)
            end--;
        if (id < 0)
            goto unknown;
        ids_put(ids, id);
        start = end;
    }
    free(bytes);
    return;
unknown:
    free(bytes);
    ids->n = first;
    ids_put(ids, options->unk_id);
}

static void words_encode(const plain_tokenizer *plain, const uint32_t *codes, int64_t n,
                         bs_ids *ids)
{
    int64_t start = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t kind = BS_CHAR_KIND(bs_charmap_get(plain->map, codes[i]));
        if (kind == BS_CHAR_WORD)
            continue;
        if (kind != BS_CHAR_ALONE && kind != BS_CHAR_SPACE) {
            fprintf(stderr, "U+%04X is of kind %u in normalised text\n", codes[i], kind);
            abort();
        }
        word_encode(plain, codes + start, i - start, ids);
        if (kind == BS_CHAR_ALONE)
            word_encode(plain, codes + i, 1, ids);
        start = i + 1;
    }
    word_encode(plain, codes + start, n - start, ids);
}

/* The longest added token at `at`, of those searched before or after normalisation, or -1. */
static int added_at(const plain_tokenizer *plain, bool after, const uint32_t *codes, int64_t at,
                    int64_t n)
{
    int found = -1;
    for (int i = 0; i < plain->n_added; i++) {
        const int64_t length = plain->content[i].n;
        if (plain->added[i].normalized == after && length > 0 && length <= n - at
            && memcmp(codes + at, plain->content[i].codes, sizeof *codes * (size_t)length) == 0
            && (found < 0 || length >= plain->content[found].n))
            found = i;
    }
    return found;
}

static void text_encode(const plain_tokenizer *plain, bool after, const uint32_t *codes,
                        int64_t n, bool plain_specials, bs_ids *ids);

static void between_encode(const plain_tokenizer *plain, bool after, const uint32_t *codes,
                           int64_t n, bool plain_specials, bs_ids *ids)
{
    if (after) {
        words_encode(plain, codes, n, ids);
        return;
    }
    const bs_text text = {codes, n, BS_TEXT_UCS4};
    int64_t n_inner;
    uint32_t *inner = normalized(plain, &text, &n_inner);
    text_encode(plain, true, inner, n_inner, plain_specials, ids);
    free(inner);
}

static void text_encode(const plain_tokenizer *plain, bool after, const uint32_t *codes,
                        int64_t n, bool plain_specials, bs_ids *ids)
{
    int64_t done = 0, at = 0, spaces = 0; /* spaces: end of the known white space */
    while (at < n) {
        const int i = added_at(plain, after, codes, at, n);
        if (i < 0) {
            at++;
            continue;
        }
        const bs_added_token *token = &plain->added[i];
        const int64_t stop = at + plain->content[i].n;
        const bool letters = (at > 0 && bs_char_is_letter(codes[at - 1]))
                             || (stop < n && bs_char_is_letter(codes[stop]));
        if ((plain_specials && token->special) || (token->single_word && letters)) {
            at = stop;
            continue;
        }
        int64_t left = at, right = stop;
        while (token->lstrip && left > done && bs_char_is_space(codes[left - 1]))
            left--;
        if (token->lstrip && left < done) /* the token before took it */
            left = done;
        if (token->rstrip && right < spaces)
            right = spaces;
        while (token->rstrip && right < n && bs_char_is_space(codes[right]))
            right++;
        spaces = right > spaces ? right : spaces;
        if (done < left)
            between_encode(plain, after, codes + done, left - done, plain_specials, ids);
        if (left < right) /* or the token before took it all */
            ids_put(ids, token->id);
        done = right;
        at = stop; /* so that a token may begin in the white space of the one before */
    }
    between_encode(plain, after, codes + done, n - done, plain_specials, ids);
}

void plain_encode(const plain_tokenizer *plain, const uint32_t *codes, int64_t n,
                  bool plain_specials, bs_ids *ids)
{
    text_encode(plain, false, codes, n, plain_specials, ids);
}
