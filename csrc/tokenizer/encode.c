#include <stdlib.h>

#include "tokenizer/scan.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/words.h"

#define STRETCH 4096 /* characters normalised at once */

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
    int64_t at = 0, search = 0;
    int64_t taken = 0, spaces = 0; /* taken: by the token before, white space included */
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
        const bool last = found || to == text->length;
        if (normalize(tok, how, text, at, to, &scratch->norm, e) != BS_OK
            || bs_words_encode(tok, scratch, last, g->enough, ids, e) != BS_OK)
            return e->status;
        at = to;
        if (found) {
            at = search = match.stop;
            bs_special_widen(&match, text, taken, &spaces);
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
    int64_t at = 0, search = 0, spaces = 0;
    while (at < text->length && ids->n < g->enough) {
        const int64_t n = ids->n;
        bs_special_match match = {text->length, text->length, -1, false, false};
        const bool found = bs_special_next(&tok->raw, text, 0, search, text->length,
                                           g->plain_specials, &match, &search);
        search = match.stop;
        bs_special_widen(&match, text, at, &spaces);
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
