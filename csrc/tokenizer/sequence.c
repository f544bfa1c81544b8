/* One text or a pair of them: [CLS] first [SEP] second [SEP], cut to a length or into windows. */
#include "tokenizer/tokenizer.h"

#define MANY (INT64_MAX / 4) /* more than any text has, and twice that can be counted */

static int64_t head_of(bs_cut_form form, int64_t room)
{
    if (form == BS_KEEP_ENDS)
        return room / 4 + (room % 4 != 0); /* 128 of 510, as Sun et al. 2019 have it */
    return form == BS_KEEP_TAIL ? 0 : room;
}

/* What is wanted of a text that gets at most `room` pieces, perhaps fewer. */
static bs_wanted wanted_of(bs_cut_form form, int64_t room)
{
    if (form == BS_KEEP_WINDOWS)
        return (bs_wanted){MANY, 0, false};
    return (bs_wanted){head_of(form, room), form == BS_KEEP_HEAD ? 0 : room, false};
}

/* How many pieces each of a pair keeps, of `n` there are, so that there are no more than `room`:
 * the rule of the library. Counts greater than `room` need not be exact unless both are. */
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

/* Encodes a pair behind [CLS], the [SEP] between them included. */
static bs_status pair_encode(const bs_tokenizer *tok, bs_scratch *scratch,
                             const bs_text *const texts[2], const bs_batch_options *o,
                             int64_t room, bs_ids *ids, int64_t *n_first, bool *cut,
                             int *at_fault, bs_error *e)
{
    const int n_sep = o->add_special ? 1 : 0;
    const int64_t start = ids->n;
    bs_wanted wanted = wanted_of(o->form, room);
    int64_t n[2], keep[2], second = 0;

    for (;;) {
        for (int i = 0; i < 2; i++) {
            *at_fault = i;
            if (bs_ids_reserve(ids, 1, e) != BS_OK)
                return e->status;
            if (i == 1 && n_sep)
                bs_ids_push(ids, tok->options.sep_id, (bs_span){0, 0});
            second = ids->n;
            if (bs_text_encode(tok, scratch, texts[i], &wanted, o->plain_specials, ids, &n[i], e)
                != BS_OK)
                return e->status;
        }
        /* An odd piece goes to the longer one: which is that, if neither was read to its end? */
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

    /* Of each there is now no more than what it was wanted of; less of it may be kept. */
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
        bs_spans_finish(ids, start, start + keep[0], texts[0]);
        bs_spans_finish(ids, second, ids->n, texts[1]);
    }
    *n_first = second - start;
    return BS_OK;
}

/* Makes windows of the pieces from `start` on, which are more than `room`. Behind the first [CLS],
 * which is there, and before the last [SEP], which is not. */
static bs_status windows_cut(const bs_tokenizer *tok, const bs_batch_options *o, int64_t room,
                             bs_ids *ids, int64_t start, bs_error *e)
{
    const bs_span none = {0, 0};
    const int64_t n = ids->n - start, step = room - o->stride, extra = o->add_special ? 2 : 0;
    const int64_t last = (n - room + step - 1) / step; /* windows, but for the first */
    const int64_t end = start + last * (room + extra) + n - last * step;
    if (bs_ids_reserve(ids, end - ids->n, e) != BS_OK)
        return e->status;
    /* From the last on, since each lies behind all that is still to be moved. */
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
    return BS_OK;
}

static bs_status single_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                               const bs_batch_options *o, int64_t room, bs_ids *ids, bool *cut,
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
        bs_spans_finish(ids, start, ids->n, text);
    return *cut && o->form == BS_KEEP_WINDOWS ? windows_cut(tok, o, room, ids, start, e) : BS_OK;
}

bs_status bs_sequence_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *first,
                             const bs_text *second, const bs_batch_options *options, bs_ids *ids,
                             int64_t *n_first, bool *cut, int *at_fault, bs_error *e)
{
    const bs_text *const texts[2] = {first, second};
    const int64_t extra = !options->add_special ? 0 : second == NULL ? 2 : 3;
    const bool cuts = options->max_length > 0 && options->max_length < MANY;
    const int64_t room = cuts ? options->max_length - extra : MANY;
    const bs_span none = {0, 0};
    bs_batch_options how = *options;
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
