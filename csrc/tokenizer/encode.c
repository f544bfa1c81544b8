#include <stdlib.h>

#include "tokenizer/bpe_words.h"
#include "tokenizer/scan.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/words.h"

#define STRETCH 4096 /* characters normalised at a time */

void bs_scratch_free(bs_scratch *scratch)
{
    bs_normbuf_free(&scratch->norm);
    bs_normbuf_free(&scratch->whole);
    bs_bytes_free(&scratch->bytes);
    bs_bpe_scratch_free(&scratch->merging);
    free(scratch->starts);
    free(scratch->ends);
    free(scratch->pieces);
    free(scratch->cache);
    memset(scratch, 0, sizeof *scratch);
}

/* Empties a buffer that may be in any state. */
static bs_status norm_begin(const bs_tokenizer *tok, bs_normbuf *norm, bool track, bs_error *e)
{
    norm->n_marks = norm->n_mark_sources = 0;
    norm->track = track;
    if (bs_normbuf_reserve(norm, 0, tok->options.max_word_chars + 1, e) != BS_OK)
        return e->status;
    bs_normbuf_restart(norm, 0, 0);
    return BS_OK;
}

/* Empties the buffer in which the stretches of a text wait. */
static bs_status stretches_begin(const bs_tokenizer *tok, bs_scratch *scratch, bool track,
                                 bs_error *e)
{
    if (!tok->byte_level)
        return norm_begin(tok, &scratch->norm, track, e);
    bs_bytes_begin(&scratch->bytes, track);
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

/* Appends the ids of a stretch. */
static bs_status stretch_encode(const bs_tokenizer *tok, const bs_normalizer *how,
                                bs_scratch *scratch, const bs_text *text, int64_t from, int64_t to,
                                bool last, int64_t enough, bs_ids *ids, bs_error *e)
{
    int64_t bad = -1;
    if (tok->byte_level) {
        const bs_status status =
            bs_bpe_encode(tok, scratch, text, from, to, last, enough, ids, &bad, e);
        return bad >= 0 ? text_error(text, bad, e) : status;
    }
    if (normalize(tok, how, text, from, to, &scratch->norm, e) != BS_OK)
        return e->status;
    return bs_words_encode(tok, scratch, last, enough, ids, e);
}

/* The end of a stretch that begins at `from`, which lies between two characters. */
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

/* The ids of one text as they are collected. */
typedef struct {
    bs_ids *ids;
    int64_t first;  /* index of the first one */
    int64_t enough; /* number of ids at which reading may stop */
    bs_wanted wanted;
    int64_t left_out; /* dropped so far, between head and tail */
    bool plain_specials;
} gathering;

/* Drops what is in neither head nor tail. Done rarely enough that the cost stays proportional to
 * the number of ids. */
static void gathering_thin(gathering *g)
{
    const int64_t most = g->wanted.head + g->wanted.tail, n = g->ids->n - g->first;
    if (g->enough == INT64_MAX && n - most > g->wanted.tail + STRETCH) {
        g->left_out += n - most;
        bs_ids_keep(g->ids, g->first, g->wanted.head, g->wanted.tail);
    }
}

bool bs_looks_empty(uint32_t code)
{
    return code == 0x120 || (code < 0x110000 && bs_char_is_space(code));
}

/* Takes the white space around an added token out of its span, as bs_bpe_trim does for the tokens of
 * bytes. In the library, with `add_prefix_space`, a single space stays if the token begins a window that is
 * not the first; here it does not. */
static void token_trim(const bs_tokenizer *tok, const bs_text *text, bool first,
                       bs_special_match *match)
{
    const int64_t start = match->start;
    int64_t at = start, count = 0;
    for (; match->start < match->stop && bs_looks_empty(bs_text_next(text, &at, match->stop)); count++)
        match->start = at;
    if (count == 1 && tok->bpe_options.add_prefix_space && (first || start == 0))
        match->start = start;
    while (match->stop > match->start) {
        const int64_t last = bs_text_before(text, match->stop);
        at = last;
        if (!bs_looks_empty(bs_text_next(text, &at, match->stop)))
            break;
        match->stop = last;
    }
}

/* Appends an added token. A token of white space that the token before it has taken whole is not
 * appended. */
static bs_status token_put(const bs_tokenizer *tok, gathering *g, bs_special_match match,
                           const bs_text *text, bs_error *e)
{
    if (match.start >= match.stop)
        return BS_OK;
    if (tok->options.trim_offsets)
        token_trim(tok, text, g->ids->n == g->first, &match);
    if (bs_ids_reserve(g->ids, 1, e) != BS_OK)
        return e->status;
    bs_ids_push(g->ids, match.id, (bs_span){match.start, bs_text_before(text, match.stop)});
    return BS_OK;
}

/* Encodes text from `at` on in stretches; an added token of `special` ends a stretch. With `thin`,
 * drops what is in neither head nor tail on the way. */
static bs_status encode_plain(const bs_tokenizer *tok, const bs_normalizer *how,
                              const bs_special *special, bs_scratch *scratch, const bs_text *text,
                              int64_t at, gathering *g, bool thin, bs_error *e)
{
    bs_ids *ids = g->ids;
    const int64_t start = at;
    int64_t search = at;
    int64_t taken = at, spaces = 0; /* taken: end of the token before, white space included */
    bs_special_match match = {0};

    if (stretches_begin(tok, scratch, ids->track, e) != BS_OK)
        return e->status;
    /* At the end of the text, tokens of white space that the last one took may be left. */
    while ((at < text->length || (special->n_tokens > 0 && search < text->length))
           && ids->n < g->enough) {
        /* As much again as waits, so that a long word takes linear time. */
        int64_t wanted = scratch->bytes.n > STRETCH ? scratch->bytes.n : STRETCH;
        if (g->enough - ids->n < STRETCH / 5)
            wanted = (g->enough - ids->n) * 5 + 64;
        int64_t to = stretch_end(text, at, wanted);
        bool found = false;
        if (special->n_tokens > 0 && search < to)
            found = bs_special_next(special, text, start, search, to, g->plain_specials,
                                    &match, &search);
        if (found) {
            search = match.stop;
            bs_special_widen(&match, text, taken, &spaces);
            to = match.start > at ? match.start : at;
            if (tok->byte_level) /* white space that belongs to the token */
                bs_bytes_take_back(&scratch->bytes, text,
                                   match.start > taken ? match.start : taken, at);
            taken = match.stop;
        }
        const bool last = found || to == text->length;
        if (stretch_encode(tok, how, scratch, text, at, to, last, g->enough, ids, e) != BS_OK)
            return e->status;
        at = to;
        if (found) {
            at = match.stop > at ? match.stop : at;
            if (token_put(tok, g, match, text, e) != BS_OK)
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
    memcpy(how.scan, bs_scan_none, sizeof how.scan); /* scanners keep tabs as they are */
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
    if (tok->byte_level)
        return bs_error_set(e, BS_ERR_VALUE, -1, "a byte-level tokenizer normalizes nothing");
    return whole_normalize(tok, scratch, text, 0, text->length, false, e);
}

/* Encodes the text between two raw added tokens, in which those that are matched after
 * normalisation are found. */
static bs_status between_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                                int64_t from, int64_t to, gathering *g, bs_error *e)
{
    bs_ids *ids = g->ids;
    const int64_t n = ids->n;
    if (tok->byte_level) { /* without normalisation */
        const bs_text up_to = {text->data, to, text->form};
        return encode_plain(tok, NULL, &tok->normalized, scratch, &up_to, from, g, false, e);
    }
    if (whole_normalize(tok, scratch, text, from, to, ids->track, e) != BS_OK)
        return e->status;
    const bs_text inner = {scratch->whole.bytes, scratch->whole.n, BS_TEXT_UTF8};
    if (encode_plain(tok, &tok->plain, &tok->normalized, scratch, &inner, 0, g, false, e)
        != BS_OK)
        return e->status;
    for (int64_t i = n; ids->track && i < ids->n; i++) {
        ids->spans[i].start = scratch->whole.sources[ids->spans[i].start];
        ids->spans[i].stop = scratch->whole.sources[ids->spans[i].stop];
    }
    return BS_OK;
}

/* The slow path, for tokenizers with added tokens that are matched after normalisation. */
static bs_status encode_normalized(const bs_tokenizer *tok, bs_scratch *scratch,
                                   const bs_text *text, gathering *g, bs_error *e)
{
    bs_ids *ids = g->ids;
    int64_t at = 0, search = 0, spaces = 0;
    while ((at < text->length || search < text->length) && ids->n < g->enough) {
        bs_special_match match = {text->length, text->length, -1, false, false};
        const bool found = bs_special_next(&tok->raw, text, 0, search, text->length,
                                           g->plain_specials, &match, &search);
        search = match.stop;
        bs_special_widen(&match, text, at, &spaces);
        if (match.start > at
            && between_encode(tok, scratch, text, at, match.start, g, e) != BS_OK)
            return e->status;
        if (found && ids->n < g->enough && token_put(tok, g, match, text, e) != BS_OK)
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
        status = encode_plain(tok, &tok->normalizer, &tok->raw, scratch, text, 0, &g, true, e);
    if (status == BS_OK) {
        *count = ids->n - first + g.left_out;
        bs_ids_keep(ids, first, wanted->head, wanted->tail);
    }
    return status;
}
