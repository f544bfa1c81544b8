#include <stdlib.h>

#include "tokenizer/scan.h"
#include "tokenizer/tokenizer.h"

#define STRETCH 4096   /* characters normalised at once */
#define CACHE_AFTER 64 /* words split before a cache is worth its memory */

bs_status bs_ids_reserve(bs_ids *ids, int64_t more, bs_error *e)
{
    if (ids->capacity - ids->n >= more)
        return BS_OK;
    const int64_t capacity = (ids->n + more) + ids->n / 2 + 1024;
    int32_t *data = realloc(ids->data, sizeof *data * (size_t)capacity);
    if (data == NULL)
        return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for token ids");
    ids->data = data;
    ids->capacity = capacity;
    return BS_OK;
}

void bs_scratch_free(bs_scratch *scratch)
{
    bs_normbuf_free(&scratch->norm);
    bs_normbuf_free(&scratch->whole);
    free(scratch->starts);
    free(scratch->ends);
    free(scratch->cache);
    memset(scratch, 0, sizeof *scratch);
}

static bs_status words_reserve(bs_scratch *scratch, int64_t words, bs_error *e)
{
    if (scratch->cap_words >= words)
        return BS_OK;
    free(scratch->starts);
    free(scratch->ends);
    scratch->starts = malloc(sizeof *scratch->starts * (size_t)words);
    scratch->ends = malloc(sizeof *scratch->ends * (size_t)words);
    scratch->cap_words = words;
    if (scratch->starts == NULL || scratch->ends == NULL) {
        scratch->cap_words = 0;
        return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for the words of a text");
    }
    return BS_OK;
}

static inline int64_t positions_put(uint32_t *to, int64_t n, uint64_t bits, uint32_t base)
{
    while (bits != 0) {
        to[n++] = base + (uint32_t)__builtin_ctzll(bits);
        bits &= bits - 1;
    }
    return n;
}

/* Lists where words start and end. A word that reaches the end of the buffer is listed too. */
static int64_t words_list(const bs_normbuf *norm, uint32_t *starts, uint32_t *ends)
{
    int64_t n_starts = 0, n_ends = 0;
    uint64_t carry = 0;
    for (int64_t i = 0; i <= norm->n >> 6; i++) {
        const uint64_t word = norm->word[i], cut = norm->cut[i];
        const uint64_t before = word << 1 | carry;
        n_starts = positions_put(starts, n_starts, word & (~before | cut), (uint32_t)i * 64);
        n_ends = positions_put(ends, n_ends, before & (~word | cut), (uint32_t)i * 64);
        carry = word >> 63;
    }
    return n_starts;
}

/* A word that is not in the vocabulary as a whole: its pieces, or one [UNK]. */
static int64_t word_split(const bs_tokenizer *tok, const uint8_t *bytes, int64_t length,
                          int32_t *ids)
{
    const int64_t limit = tok->options.max_word_chars;
    if (length > limit) { /* in bytes, which are no fewer than the characters */
        int64_t chars = 0;
        for (int64_t i = 0; i < length && chars <= limit; i++)
            chars += (bytes[i] & 0xC0) != 0x80;
        if (chars > limit) {
            ids[0] = tok->options.unk_id;
            return 1;
        }
    }
    if (length > 16) {
        ids[0] = bs_vocab_find_long(&tok->vocab, bytes, length);
        if (ids[0] >= 0)
            return 1;
    }
    const int64_t n = bs_wordpiece_split(&tok->wordpiece, bytes, length, ids);
    if (n > 0)
        return n;
    ids[0] = tok->options.unk_id;
    return 1;
}

/* The same by the cache, for a word of at most 16 bytes. The new entry replaces what was in its
 * place, so that no text can make the cache slow. */
static inline int64_t word_split_cached(const bs_tokenizer *tok, bs_scratch *scratch,
                                        const uint8_t *bytes, uint32_t length, uint64_t low,
                                        uint64_t high, uint64_t hash, int32_t *ids)
{
    if (scratch->cache == NULL) {
        if (++scratch->n_split > CACHE_AFTER)
            scratch->cache = calloc(BS_CACHE_WORDS, sizeof *scratch->cache);
        return word_split(tok, bytes, length, ids); /* also if there is no memory for it */
    }
    bs_cached_word *slot = &scratch->cache[hash % BS_CACHE_WORDS];
    if (slot->low == low && slot->high == high && slot->length == length) {
        for (int i = 0; i < slot->count; i++)
            ids[i] = slot->ids[i];
        return slot->count;
    }
    const int64_t n = word_split(tok, bytes, length, ids);
    if (n <= BS_CACHE_IDS) {
        slot->low = low;
        slot->high = high;
        slot->length = length;
        slot->count = (int32_t)n;
        memcpy(slot->ids, ids, sizeof *ids * (size_t)n);
    }
    return n;
}

/* Encodes the words in the buffer, leaves the last one there if it may go on, and says in *n_out
 * how many pieces there are now, which stops growing soon after `enough`. */
static bs_status words_encode(const bs_tokenizer *tok, bs_scratch *scratch, bool last,
                              int64_t enough, bs_ids *ids, bs_error *e)
{
    bs_normbuf *norm = &scratch->norm;
    int64_t keep = 0;

    if (last)
        bs_normbuf_flush(norm);
    if (words_reserve(scratch, norm->n + 64, e) != BS_OK
        || bs_ids_reserve(ids, norm->n + 64, e) != BS_OK)
        return BS_ERR_MEMORY;
    const uint32_t *starts = scratch->starts, *ends = scratch->ends;
    int64_t n_words = words_list(norm, scratch->starts, scratch->ends);
    if (!last && n_words > 0 && ends[n_words - 1] == norm->n
        && !(norm->cut[norm->n >> 6] >> (norm->n & 63) & 1)) {
        n_words--;
        keep = norm->n - starts[n_words];
    }

    const bs_vocab *vocab = &tok->vocab;
    int32_t *to = ids->data + ids->n;
    int32_t *const stop = ids->data + (enough < ids->capacity ? enough : ids->capacity);
    for (int64_t i = 0; i < n_words && to < stop; i++) {
        const uint8_t *bytes = norm->bytes + starts[i];
        const uint32_t length = ends[i] - starts[i];
        if (length <= 16) {
            uint64_t low, high;
            bs_word_load(bytes, length, &low, &high);
            const uint64_t hash = bs_word_hash(low, high);
            const int32_t id = bs_vocab_find_short(vocab, low, high, length, hash);
            if (id >= 0) {
                *to++ = id;
                continue;
            }
            to += word_split_cached(tok, scratch, bytes, length, low, high, hash, to);
            continue;
        }
        to += word_split(tok, bytes, length, to);
    }
    ids->n = to - ids->data;
    bs_normbuf_restart(norm, keep, 4 * (tok->options.max_word_chars + 1));
    return BS_OK;
}

/* Makes an empty buffer of one that was left in any state. */
static bs_status norm_begin(const bs_tokenizer *tok, bs_normbuf *norm, bs_error *e)
{
    norm->n_marks = 0;
    if (bs_normbuf_reserve(norm, 0, (int)tok->options.max_word_chars + 1, e) != BS_OK)
        return e->status;
    bs_normbuf_restart(norm, 0, 0);
    return BS_OK;
}

static bs_status text_error(const bs_text *text, int64_t at, bs_error *e)
{
    if (text->form == BS_TEXT_UTF8)
        return bs_error_set(e, BS_ERR_VALUE, -1, "invalid UTF-8 at byte %lld", (long long)at);
    const uint32_t code = bs_text_next(text, &at, text->length);
    return bs_error_set(e, BS_ERR_VALUE, -1, "lone surrogate U+%04X at character %lld",
                        (unsigned)code, (long long)at - 1);
}

static bs_status normalize(const bs_tokenizer *tok, const bs_normalizer *how, const bs_text *text,
                           int64_t from, int64_t to, bs_normbuf *norm, bs_error *e)
{
    int64_t bad = 0;
    const int max_marks = (int)tok->options.max_word_chars + 1;
    if (bs_normbuf_reserve(norm, to - from, max_marks, e) != BS_OK)
        return BS_ERR_MEMORY;
    if (bs_normalize(how, text, from, to, norm, &bad) != BS_OK)
        return text_error(text, bad, e);
    return BS_OK;
}

/* Where a stretch that begins at `from` may end: between characters. */
static int64_t stretch_end(const bs_text *text, int64_t from, int64_t wanted)
{
    const uint8_t *bytes = text->data;
    if (text->length - from <= wanted)
        return text->length;
    int64_t to = from + wanted;
    for (int i = 0; i < 3 && text->form == BS_TEXT_UTF8 && (bytes[to] & 0xC0) == 0x80; i++)
        to--;
    return to;
}

/* Encodes text in stretches until `enough` ids are there, an added token of `special` ending a
 * stretch. */
static bs_status encode_plain(const bs_tokenizer *tok, const bs_normalizer *how,
                              const bs_special *special, bs_scratch *scratch, const bs_text *text,
                              int64_t enough, bool plain_specials, bs_ids *ids, bs_error *e)
{
    int64_t at = 0, search = 0;
    bs_special_match match = {0};

    if (norm_begin(tok, &scratch->norm, e) != BS_OK)
        return e->status;
    while (at < text->length && ids->n < enough) {
        int64_t wanted = STRETCH;
        if (enough - ids->n < STRETCH / 5)
            wanted = (enough - ids->n) * 5 + 64;
        int64_t to = stretch_end(text, at, wanted);
        bool found = false;
        if (special->n_tokens > 0 && search < to)
            found = bs_special_next(special, text, 0, search, to, plain_specials, &match, &search);
        if (found)
            to = match.start;
        if (normalize(tok, how, text, at, to, &scratch->norm, e) != BS_OK)
            return e->status;
        if (words_encode(tok, scratch, found || to == text->length, enough, ids, e) != BS_OK)
            return e->status;
        at = to;
        if (found) {
            if (bs_ids_reserve(ids, 1, e) != BS_OK)
                return e->status;
            ids->data[ids->n++] = match.id;
            at = search = match.stop;
        }
    }
    return BS_OK;
}

static bs_status whole_normalize(const bs_tokenizer *tok, bs_scratch *scratch,
                                 const bs_text *text, int64_t from, int64_t to, bs_error *e)
{
    bs_normalizer how = tok->normalizer;
    memcpy(how.scan, bs_scan_none, sizeof how.scan); /* it would leave a tab a tab */
    if (norm_begin(tok, &scratch->whole, e) != BS_OK)
        return e->status;
    scratch->whole.keep_spaces = true;
    if (normalize(tok, &how, text, from, to, &scratch->whole, e) != BS_OK)
        return e->status;
    bs_normbuf_flush(&scratch->whole);
    return BS_OK;
}

bs_status bs_text_normalize(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                            bs_error *e)
{
    return whole_normalize(tok, scratch, text, 0, text->length, e);
}

/* The slow way, for tokenizers with added tokens that are sought after normalisation. */
static bs_status encode_normalized(const bs_tokenizer *tok, bs_scratch *scratch,
                                   const bs_text *text, int64_t enough, bool plain_specials,
                                   bs_ids *ids, bs_error *e)
{
    int64_t at = 0, search = 0;
    while (at < text->length && ids->n < enough) {
        bs_special_match match = {text->length, text->length, -1, false};
        const bool found = bs_special_next(&tok->raw, text, 0, search, text->length,
                                           plain_specials, &match, &search);
        if (whole_normalize(tok, scratch, text, at, match.start, e) != BS_OK)
            return e->status;
        const bs_text inner = {scratch->whole.bytes, scratch->whole.n, BS_TEXT_UTF8};
        if (encode_plain(tok, &tok->plain, &tok->normalized, scratch, &inner, enough,
                         plain_specials, ids, e) != BS_OK)
            return e->status;
        if (found && ids->n < enough) {
            if (bs_ids_reserve(ids, 1, e) != BS_OK)
                return e->status;
            ids->data[ids->n++] = match.id;
        }
        at = search = match.stop;
    }
    return BS_OK;
}

bs_status bs_text_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                         int64_t limit, bool plain_specials, bs_ids *ids, bool *cut, bs_error *e)
{
    const int64_t first = ids->n;
    const int64_t enough = limit > INT64_MAX - first - 1 ? INT64_MAX / 8 : first + limit + 1;
    bs_status status;

    if (tok->normalized.n_tokens > 0)
        status = encode_normalized(tok, scratch, text, enough, plain_specials, ids, e);
    else
        status = encode_plain(tok, &tok->normalizer, &tok->raw, scratch, text, enough,
                              plain_specials, ids, e);
    *cut = status == BS_OK && ids->n - first > limit;
    if (*cut)
        ids->n = first + limit;
    return status;
}
