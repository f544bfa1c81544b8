#include <stdlib.h>

#include "tokenizer/scan.h"
#include "tokenizer/tokenizer.h"

#define STRETCH 4096   /* characters normalised at once */
#define CACHE_AFTER 64 /* words split before a cache is worth its memory */

void bs_scratch_free(bs_scratch *scratch)
{
    bs_normbuf_free(&scratch->norm);
    bs_normbuf_free(&scratch->whole);
    free(scratch->starts);
    free(scratch->ends);
    free(scratch->pieces);
    free(scratch->cache);
    memset(scratch, 0, sizeof *scratch);
}

static bs_status words_reserve(bs_scratch *scratch, int64_t words, bool track, bs_error *e)
{
    if (scratch->cap_words >= words)
        return BS_OK;
    free(scratch->starts);
    free(scratch->ends);
    free(scratch->pieces);
    scratch->starts = malloc(sizeof *scratch->starts * (size_t)words);
    scratch->ends = malloc(sizeof *scratch->ends * (size_t)words);
    scratch->pieces = track ? malloc(sizeof *scratch->pieces * (size_t)words) : NULL;
    scratch->cap_words = words;
    if (scratch->starts == NULL || scratch->ends == NULL || (track && scratch->pieces == NULL)) {
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
    int64_t n;
    if (length <= BS_SHORT) {
        uint64_t low, high;
        bs_word_load(bytes, (uint32_t)length, &low, &high);
        n = bs_vocab_split_short(&tok->vocab, low, high, (uint32_t)length, ids);
    } else {
        ids[0] = bs_vocab_find_long(&tok->vocab, bytes, length);
        n = ids[0] >= 0 ? 1 : bs_wordpiece_split(&tok->wordpiece, bytes, length, ids);
    }
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

/* The pieces of the words in the buffer, up to `stop`. Returns behind the last piece, and in
 * *n_words how many words were looked at. `track` is a constant: it costs nothing if false. */
static inline int32_t *words_look_up(const bs_tokenizer *tok, bs_scratch *scratch,
                                     int64_t *n_words, int32_t *to, const int32_t *stop,
                                     bool track)
{
    const bs_normbuf *norm = &scratch->norm;
    const uint32_t *starts = scratch->starts, *ends = scratch->ends;
    const bs_vocab *vocab = &tok->vocab;
    const int32_t *const first = to;
    const int64_t n = *n_words;
    int64_t i = 0;
    for (; i < n && to < stop; i++) {
        const uint8_t *bytes = norm->bytes + starts[i];
        const uint32_t length = ends[i] - starts[i];
        if (track)
            scratch->pieces[i] = (uint32_t)(to - first);
        if (length <= BS_SHORT) {
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
    *n_words = i;
    return to;
}

/* The spans of the pieces of `n_words` words; their ids are [ids->n, n). */
static void words_place(const bs_tokenizer *tok, const bs_scratch *scratch, int64_t n_words,
                        bs_ids *ids, int64_t n)
{
    const int64_t *sources = scratch->norm.sources;
    const int64_t *lengths = tok->vocab.starts;
    for (int64_t i = 0; i < n_words; i++) {
        const int64_t first = ids->n + scratch->pieces[i];
        const int64_t end = i + 1 < n_words ? ids->n + scratch->pieces[i + 1] : n;
        int64_t at = scratch->starts[i];
        for (int64_t k = first; k < end; k++) {
            const int32_t id = ids->data[k];
            int64_t stop = scratch->ends[i]; /* of the last piece, or of a whole word */
            if (k + 1 < end)
                stop = at + lengths[id + 1] - lengths[id] - (k > first ? tok->prefix_length : 0);
            ids->spans[k] = (bs_span){sources[at], sources[stop - 1]};
            at = stop;
        }
    }
}

/* Encodes the words in the buffer and leaves the last one there if it may go on. Stops soon after
 * `enough` ids. */
static bs_status words_encode(const bs_tokenizer *tok, bs_scratch *scratch, bool last,
                              int64_t enough, bs_ids *ids, bs_error *e)
{
    bs_normbuf *norm = &scratch->norm;
    int64_t keep = 0;

    if (last)
        bs_normbuf_flush(norm);
    if (norm->n > UINT32_MAX - 2 * BS_NORM_SLACK)
        return bs_error_set(e, BS_ERR_MEMORY, -1, "a word is too long for its characters' places");
    if (words_reserve(scratch, norm->n + 64, ids->track, e) != BS_OK
        || bs_ids_reserve(ids, norm->n + 64, e) != BS_OK)
        return BS_ERR_MEMORY;
    int64_t n_words = words_list(norm, scratch->starts, scratch->ends);
    if (!last && n_words > 0 && scratch->ends[n_words - 1] == norm->n
        && !(norm->cut[norm->n >> 6] >> (norm->n & 63) & 1)) {
        n_words--;
        keep = norm->n - scratch->starts[n_words];
    }

    int32_t *to = ids->data + ids->n;
    const int32_t *stop = ids->data + (enough < ids->capacity ? enough : ids->capacity);
    if (ids->track) {
        to = words_look_up(tok, scratch, &n_words, to, stop, true);
        words_place(tok, scratch, n_words, ids, to - ids->data);
    } else {
        to = words_look_up(tok, scratch, &n_words, to, stop, false);
    }
    ids->n = to - ids->data;
    bs_normbuf_restart(norm, keep, 4 * (tok->options.max_word_chars + 1));
    return BS_OK;
}

/* Makes an empty buffer of one that was left in any state. */
static bs_status norm_begin(const bs_tokenizer *tok, bs_normbuf *norm, bool track, bs_error *e)
{
    norm->n_marks = norm->n_mark_sources = 0;
    norm->track = track;
    if (bs_normbuf_reserve(norm, 0, tok->options.max_word_chars + 1, e) != BS_OK)
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
    if (bs_normbuf_reserve(norm, to - from, tok->options.max_word_chars + 1, e) != BS_OK)
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

/* The ids of one text as they gather. */
typedef struct {
    bs_ids *ids;
    int64_t first;  /* of them */
    int64_t enough; /* where reading may stop */
    bs_wanted wanted;
    int64_t left_out; /* between head and tail, so far */
    bool plain_specials;
} gathering;

/* Leaves out what is in neither head nor tail, now and then: in proportion to what came. */
static void gathering_thin(gathering *g)
{
    const int64_t most = g->wanted.head + g->wanted.tail, n = g->ids->n - g->first;
    if (g->enough == INT64_MAX && n - most > g->wanted.tail + STRETCH) {
        g->left_out += n - most;
        bs_ids_keep(g->ids, g->first, g->wanted.head, g->wanted.tail);
    }
}

/* A token of white space of which the token before has left nothing is none. */
static bs_status token_put(gathering *g, const bs_special_match *match, const bs_text *text,
                           bs_error *e)
{
    if (match->start >= match->stop)
        return BS_OK;
    if (bs_ids_reserve(g->ids, 1, e) != BS_OK)
        return e->status;
    bs_ids_push(g->ids, match->id,
                (bs_span){match->start, bs_text_before(text, match->stop)});
    return BS_OK;
}

/* Encodes text in stretches, an added token of `special` ending a stretch. `thin`: see above. */
static bs_status encode_plain(const bs_tokenizer *tok, const bs_normalizer *how,
                              const bs_special *special, bs_scratch *scratch, const bs_text *text,
                              gathering *g, bool thin, bs_error *e)
{
    bs_ids *ids = g->ids;
    int64_t at = 0, search = 0, taken = 0; /* taken: by the token before, white space included */
    bs_special_match match = {0};

    if (norm_begin(tok, &scratch->norm, ids->track, e) != BS_OK)
        return e->status;
    while (at < text->length && ids->n < g->enough) {
        int64_t wanted = STRETCH;
        if (g->enough - ids->n < STRETCH / 5)
            wanted = (g->enough - ids->n) * 5 + 64;
        int64_t to = stretch_end(text, at, wanted);
        bool found = false;
        if (special->n_tokens > 0 && search < to)
            found = bs_special_next(special, text, 0, search, to, g->plain_specials, &match,
                                    &search);
        if (found)
            to = match.start;
        if (normalize(tok, how, text, at, to, &scratch->norm, e) != BS_OK
            || words_encode(tok, scratch, found || to == text->length, g->enough, ids, e) != BS_OK)
            return e->status;
        at = to;
        if (found) {
            at = search = match.stop;
            bs_special_widen(&match, text, taken);
            taken = match.stop;
            if (token_put(g, &match, text, e) != BS_OK)
                return e->status;
        }
        if (thin)
            gathering_thin(g);
    }
    return BS_OK;
}

static bs_status whole_normalize(const bs_tokenizer *tok, bs_scratch *scratch,
                                 const bs_text *text, int64_t from, int64_t to, bool track,
                                 bs_error *e)
{
    bs_normalizer how = tok->normalizer;
    memcpy(how.scan, bs_scan_none, sizeof how.scan); /* it would leave a tab a tab */
    if (norm_begin(tok, &scratch->whole, track, e) != BS_OK)
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
    return whole_normalize(tok, scratch, text, 0, text->length, false, e);
}

/* The slow way, for tokenizers with added tokens that are sought after normalisation. */
static bs_status encode_normalized(const bs_tokenizer *tok, bs_scratch *scratch,
                                   const bs_text *text, gathering *g, bs_error *e)
{
    bs_ids *ids = g->ids;
    int64_t at = 0, search = 0;
    while (at < text->length && ids->n < g->enough) {
        const int64_t n = ids->n;
        bs_special_match match = {text->length, text->length, -1, false, false};
        const bool found = bs_special_next(&tok->raw, text, 0, search, text->length,
                                           g->plain_specials, &match, &search);
        search = match.stop;
        bs_special_widen(&match, text, at);
        if (match.start > at) {
            if (whole_normalize(tok, scratch, text, at, match.start, ids->track, e) != BS_OK)
                return e->status;
            const bs_text inner = {scratch->whole.bytes, scratch->whole.n, BS_TEXT_UTF8};
            if (encode_plain(tok, &tok->plain, &tok->normalized, scratch, &inner, g, false, e)
                != BS_OK)
                return e->status;
        }
        for (int64_t i = n; ids->track && i < ids->n; i++) {
            ids->spans[i].start = scratch->whole.sources[ids->spans[i].start];
            ids->spans[i].stop = scratch->whole.sources[ids->spans[i].stop];
        }
        if (found && ids->n < g->enough && token_put(g, &match, text, e) != BS_OK)
            return e->status;
        gathering_thin(g);
        at = match.stop;
    }
    return BS_OK;
}

bs_status bs_text_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                         const bs_wanted *wanted, bool plain_specials, bs_ids *ids,
                         int64_t *count, bs_error *e)
{
    const int64_t first = ids->n;
    const bool stops = wanted->tail == 0 && !wanted->all;
    gathering g = {ids, first, stops ? first + wanted->head + 1 : INT64_MAX, *wanted, 0,
                   plain_specials};
    bs_status status;

    if (tok->normalized.n_tokens > 0)
        status = encode_normalized(tok, scratch, text, &g, e);
    else
        status = encode_plain(tok, &tok->normalizer, &tok->raw, scratch, text, &g, true, e);
    if (status == BS_OK) {
        *count = ids->n - first + g.left_out;
        bs_ids_keep(ids, first, wanted->head, wanted->tail);
    }
    return status;
}
