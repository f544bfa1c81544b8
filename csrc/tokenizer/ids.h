/* Growing lists of token ids and, if wanted, of the characters that each token stands for. */
#ifndef BS_TOKENIZER_IDS_H
#define BS_TOKENIZER_IDS_H

#include <stdbool.h>

#include "core/status.h"
#include "tokenizer/text.h"

/* The place of a token. While a text is read, the units at which its first and last character
 * start; afterwards its first character and the one past its last, counted in characters. */
typedef struct {
    int64_t start, stop;
} bs_span;

typedef struct {
    int32_t *data;
    bs_span *spans; /* one per id, if `track` */
    int64_t n, capacity;
    bool track; /* set before the first bs_ids_reserve */
} bs_ids;

bs_status bs_ids_reserve(bs_ids *ids, int64_t more, bs_error *e);
void bs_ids_free(bs_ids *ids);

/* Appends one id; there must be room. */
static inline void bs_ids_push(bs_ids *ids, int32_t id, bs_span span)
{
    if (ids->track)
        ids->spans[ids->n] = span;
    ids->data[ids->n++] = id;
}

/* Moves `count` ids and their spans; the ranges may overlap. */
void bs_ids_move(bs_ids *ids, int64_t to, int64_t from, int64_t count);

/* Keeps the first `head` and the last `tail` of the ids [first, ids->n). */
void bs_ids_keep(bs_ids *ids, int64_t first, int64_t head, int64_t tail);

/* Converts the spans of [first, last), which belong to `text`, from units to characters. */
void bs_spans_finish(bs_ids *ids, int64_t first, int64_t last, const bs_text *text);

#endif
