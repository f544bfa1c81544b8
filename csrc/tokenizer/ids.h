/* Growing lists of token ids and, where wanted, of the characters that each stands for. */
#ifndef BS_TOKENIZER_IDS_H
#define BS_TOKENIZER_IDS_H

#include <stdbool.h>

#include "core/status.h"
#include "tokenizer/text.h"

/* Of a token: while a text is read, the units at which its first and its last character start;
 * afterwards its first character and the one behind its last, counted in characters. */
typedef struct {
    int64_t start, stop;
} bs_span;

typedef struct {
    int32_t *data;
    bs_span *spans; /* as many, if `track` */
    int64_t n, capacity;
    bool track; /* set before the first reservation */
} bs_ids;

bs_status bs_ids_reserve(bs_ids *ids, int64_t more, bs_error *e);
void bs_ids_free(bs_ids *ids);

/* Appends one; there must be room. */
static inline void bs_ids_push(bs_ids *ids, int32_t id, bs_span span)
{
    if (ids->track)
        ids->spans[ids->n] = span;
    ids->data[ids->n++] = id;
}

/* Moves `count` of them, which may overlap with where they go. */
void bs_ids_move(bs_ids *ids, int64_t to, int64_t from, int64_t count);

/* Of the [first, ids->n), which are all that there are, keeps the first `head` and the last
 * `tail`. */
void bs_ids_keep(bs_ids *ids, int64_t first, int64_t head, int64_t tail);

/* Makes characters of the units in the spans of [first, last), which belong to `text`. */
void bs_spans_finish(bs_ids *ids, int64_t first, int64_t last, const bs_text *text);

#endif
