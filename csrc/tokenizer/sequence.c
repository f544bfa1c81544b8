/* Encodes one text, or a pair as [CLS] first [SEP] second [SEP], cut to a length or into
 * windows. There may be two [SEP] between the texts of a pair. */
#include "tokenizer/bpe_words.h"
#include "tokenizer/tokenizer.h"

#define MANY (INT64_MAX / 4) /* more pieces than any text has; twice that does not overflow */

bs_status bs_encode_options_check(const bs_tokenizer *tok, const bs_encode_options *options,
                                  bool pairs, bs_error *e)
{
    const int64_t special = pairs ? 2 + tok->options.pair_separators : 2;
    const int64_t least = options->add_special ? special : 1;
    if (options->max_length != 0 && options->max_length < least)
        return bs_error_set(e, BS_ERR_VALUE, -1, "max_length is %lld; it must be at least %d",
                            (long long)options->max_length, (int)least);
    if (options->which < BS_CUT_LONGEST || options->which > BS_CUT_SECOND
        || options->form < BS_KEEP_HEAD || options->form > BS_KEEP_WINDOWS
        || (options->form == BS_KEEP_WINDOWS && pairs))
        return bs_error_set(e, BS_ERR_VALUE, -1, "there is no such way to cut");
    const int64_t room = options->max_length - (options->add_special ? 2 : 0);
    if (options->stride < 0
        || (options->form == BS_KEEP_WINDOWS && options->max_length != 0
            && options->stride >= room))
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "stride is %lld; it must leave room for a token",
                            (long long)options->stride);
    return BS_OK;
}

static int64_t head_of(bs_cut_form form, int64_t room)
{
    if (form == BS_KEEP_ENDS)
        return room / 4 + (room % 4 != 0); /* 128 of 510, as in Sun et al. 2019 */
    return form == BS_KEEP_TAIL ? 0 : room;
}

/* The pieces to keep of a text that gets at most `room` of them, perhaps fewer. */
static bs_wanted wanted_of(bs_cut_form form, int64_t room)
{
    if (form == BS_KEEP_WINDOWS)
        return (bs_wanted){MANY, 0, false};
    return (bs_wanted){head_of(form, room), form == BS_KEEP_HEAD ? 0 : room, false};
}

/* How many of its n pieces each text of a pair keeps, so that there are no more than `room`: the
 * library's rule. Counts greater than `room` need not be exact unless both are. */
static bs_status rooms_of_pair(bs_cut_which which, int64_t room, const int64_t n[2],
                               int64_t keep[2], bs_error *e)
{
    keep[0] = n[0];
    keep[1] = n[1];
    if (n[0] <= room && n[1] <= room - n[0])
        return BS_OK;
    if (room == 0) {
        keep[0] = keep[1] = 0;
        return BS_OK;
    }
    if (which == BS_CUT_LONGEST) {
        const int shorter = n[0] > n[1], longer = !shorter;
        keep[longer] = n[shorter] < room ? room - n[shorter] : 0;
        if (keep[longer] < n[shorter]) {
            keep[shorter] = room / 2;
            keep[longer] = room - room / 2;
        }
        return BS_OK;
    }
    const int cut = which == BS_CUT_SECOND;
    if (n[!cut] >= room)
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "cannot be cut to max_length: the other text of the pair takes all "
                            "of its %lld pieces; pass truncation=\"longest_first\"",
                            (long long)room);
    keep[cut] = room - n[!cut];
    return BS_OK;
}

/* Takes spaces out of the spans of the tokens of a text or a window, if they are not part of it. */
static void spans_trim(const bs_tokenizer *tok, bs_ids *ids, int64_t first, int64_t last)
{
    if (ids->track && tok->byte_level && tok->options.trim_offsets)
        bs_bpe_trim(tok, ids, first, last);
}

/* Takes what looks like white space out of the spans of WordPiece's tokens that begin or end with it.
 * Spans are those before bs_spans_finish. Those of added tokens have none left. */
static void pieces_trim(const bs_tokenizer *tok, const bs_text *text, bs_ids *ids, int64_t first,
                        int64_t last)
{
    for (int64_t i = first; i < last; i++) {
        const int64_t begin = tok->vocab.starts[ids->data[i]];
        const bs_text token = {tok->vocab.pool + begin,
                               tok->vocab.starts[ids->data[i] + 1] - begin, BS_TEXT_UTF8};
        bs_span *span = &ids->spans[i];
        for (int64_t at = 0; at < token.length && span->start <= span->stop;) {
            int64_t next = span->start;
            if (!bs_looks_empty(bs_text_next(&token, &at, token.length))
                || !bs_looks_empty(bs_text_next(text, &next, text->length)))
                break;
            span->start = next;
        }
        for (int64_t at = token.length; at > 0 && span->start <= span->stop && span->stop > 0;) {
            int64_t next = at = bs_text_before(&token, at), end = span->stop;
            if (!bs_looks_empty(bs_text_next(&token, &next, token.length))
                || !bs_looks_empty(bs_text_next(text, &end, text->length)))
                break;
            span->stop = bs_text_before(text, span->stop);
        }
    }
}

/* Turns the spans of the tokens of a text, or of a part of them, into characters. */
static void spans_finish(const bs_tokenizer *tok, const bs_text *text, bs_ids *ids, int64_t first,
                         int64_t last)
{
    if (tok->empty_ends)
        pieces_trim(tok, text, ids, first, last);
    bs_spans_finish(ids, first, last, text);
}

/* Encodes a pair after [CLS], including each [SEP] between the texts. */
static bs_status pair_encode(const bs_tokenizer *tok, bs_scratch *scratch,
                             const bs_text *const texts[2], const bs_encode_options *o,
                             int64_t room, bs_ids *ids, int64_t *n_first, bool *cut,
                             int *at_fault, bs_error *e)
{
    const int n_sep = o->add_special ? tok->options.pair_separators : 0;
    const int64_t start = ids->n;
    bs_wanted wanted = wanted_of(o->form, room);
    int64_t n[2], keep[2], second = 0;

    for (;;) {
        for (int i = 0; i < 2; i++) {
            *at_fault = i;
            if (bs_ids_reserve(ids, n_sep, e) != BS_OK)
                return e->status;
            for (int j = 0; i == 1 && j < n_sep; j++)
                bs_ids_push(ids, tok->options.sep_id, (bs_span){0, 0});
            second = ids->n;
            if (bs_text_encode(tok, scratch, texts[i], &wanted, o->plain_specials, ids, &n[i], e)
                != BS_OK)
                return e->status;
        }
        /* With odd room the longer text gets one more piece, so counts must be exact. */
        if (wanted.tail > 0 || wanted.all || o->which != BS_CUT_LONGEST || room % 2 == 0
            || n[0] <= room || n[1] <= room)
            break;
        wanted.all = true;
        ids->n = start;
    }
    *at_fault = o->which == BS_CUT_SECOND;
    if (rooms_of_pair(o->which, room, n, keep, e) != BS_OK)
        return e->status;
    *cut = keep[0] < n[0] || keep[1] < n[1];

    /* Each text now has at most the pieces it asked for; it may keep fewer. */
    if (keep[1] < n[1]) {
        const int64_t head = head_of(o->form, keep[1]);
        bs_ids_keep(ids, second, head, keep[1] - head);
    }
    if (keep[0] < n[0]) {
        const int64_t rest = second - n_sep, n_rest = ids->n - rest;
        const int64_t head = head_of(o->form, keep[0]), tail = keep[0] - head;
        bs_ids_move(ids, start + head, rest - tail, tail + n_rest);
        second = start + keep[0] + n_sep;
        ids->n = start + keep[0] + n_rest;
    }
    if (ids->track) {
        spans_finish(tok, texts[0], ids, start, start + keep[0]);
        spans_finish(tok, texts[1], ids, second, ids->n);
        spans_trim(tok, ids, start, start + keep[0]);
        spans_trim(tok, ids, second, ids->n);
    }
    *n_first = second - start;
    return BS_OK;
}

/* Cuts the pieces from `start` on, which are more than `room`, into windows. The first [CLS] is
 * already there; the last [SEP] is added later. */
static bs_status windows_cut(const bs_tokenizer *tok, const bs_encode_options *o, int64_t room,
                             bs_ids *ids, int64_t start, bs_error *e)
{
    const bs_span none = {0, 0};
    const int64_t n = ids->n - start, step = room - o->stride, extra = o->add_special ? 2 : 0;
    const int64_t last = (n - room + step - 1) / step; /* number of windows after the first */
    const int64_t end = start + last * (room + extra) + n - last * step;
    if (bs_ids_reserve(ids, end - ids->n, e) != BS_OK)
        return e->status;
    /* Backwards, since each window's place is past all that still has to move. */
    for (int64_t i = last; i > 0; i--) {
        const int64_t at = start + i * (room + extra);
        bs_ids_move(ids, at, start + i * step, i < last ? room : n - last * step);
        if (o->add_special) {
            ids->n = at - 2;
            bs_ids_push(ids, tok->options.sep_id, none);
            bs_ids_push(ids, tok->options.cls_id, none);
        }
    }
    ids->n = end;
    for (int64_t i = 0; i <= last; i++) {
        const int64_t at = start + i * (room + extra);
        spans_trim(tok, ids, at, i < last ? at + room : end);
    }
    return BS_OK;
}

static bs_status single_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                               const bs_encode_options *o, int64_t room, bs_ids *ids, bool *cut,
                               bs_error *e)
{
    const int64_t start = ids->n, head = head_of(o->form, room);
    const bs_wanted wanted = wanted_of(o->form, room);
    int64_t n = 0;

    if (bs_text_encode(tok, scratch, text, &wanted, o->plain_specials, ids, &n, e) != BS_OK)
        return e->status;
    *cut = n > room;
    if (*cut && o->form != BS_KEEP_WINDOWS)
        bs_ids_keep(ids, start, head, room - head);
    if (ids->track)
        spans_finish(tok, text, ids, start, ids->n);
    if (*cut && o->form == BS_KEEP_WINDOWS)
        return windows_cut(tok, o, room, ids, start, e);
    spans_trim(tok, ids, start, ids->n);
    return BS_OK;
}

bs_status bs_sequence_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *first,
                             const bs_text *second, const bs_encode_options *options, bs_ids *ids,
                             int64_t *n_first, bool *cut, int *at_fault, bs_error *e)
{
    const bs_text *const texts[2] = {first, second};
    const int64_t in_pair = second != NULL ? tok->options.pair_separators : 0;
    const int64_t extra = options->add_special ? 2 + in_pair : 0;
    const bool cuts = options->max_length > 0 && options->max_length < MANY;
    const int64_t room = cuts ? options->max_length - extra : MANY;
    const bs_span none = {0, 0};
    bs_encode_options how = *options;
    bs_status status;

    *at_fault = 0;
    if (!cuts)
        how.form = BS_KEEP_HEAD;
    if (bs_ids_reserve(ids, 2, e) != BS_OK)
        return e->status;
    if (options->add_special)
        bs_ids_push(ids, tok->options.cls_id, none);
    if (second != NULL) {
        status = pair_encode(tok, scratch, texts, &how, room, ids, n_first, cut, at_fault, e);
        *n_first += options->add_special;
    } else {
        const int64_t before = ids->n;
        status = single_encode(tok, scratch, first, &how, room, ids, cut, e);
        *n_first = ids->n - before + extra;
    }
    if (status == BS_OK)
        status = bs_ids_reserve(ids, 1, e);
    if (status == BS_OK && options->add_special)
        bs_ids_push(ids, tok->options.sep_id, none);
    return status;
}
