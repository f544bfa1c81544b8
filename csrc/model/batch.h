/* A batch: sequences laid end to end, without padding. */
#ifndef BS_MODEL_BATCH_H
#define BS_MODEL_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "model/config.h"

/* Precomputed input of the first trained layer, one row a token. If all layers are frozen, the
 * input of the head, one row a sequence. See model/stored.h. */
typedef struct {
    const void *data; /* (count, H) */
    int64_t count;
    bool bf16;        /* otherwise float32 */
} bs_stored_rows;

typedef struct {
    int64_t n_tokens;          /* T */
    int64_t n_sequences;       /* B */
    const int32_t *ids;        /* (T,) */
    const int32_t *types;      /* (T,) or NULL: all 0 */
    const int32_t *positions;  /* (T,) or NULL: 0, 1, 2, ... in each sequence */
    const int64_t *cu_seqlens; /* (B + 1,); sequence s begins at cu_seqlens[s] - cu_seqlens[0] */
    const uint64_t *keys;      /* (B,) or NULL: 0, 1, 2, ...; keys of dropout's random bits */
    const bs_stored_rows *stored; /* or NULL: everything is computed from the ids */
    const int64_t *stored_at;  /* (B,) the first stored row of each sequence */
    const int32_t *baseline;   /* (T,) or NULL: word embeddings lie between those of these ids and */
    const float *along;        /* (B,) of `ids`, at 0 and at 1 */
} bs_batch;

/* Checks every id, token type, position and length against the model. The message names the
 * sequence at fault. */
bs_status bs_batch_check(const bs_batch *b, const bs_config *c, bs_error *e);

/* Checks only the offsets, and that no sequence is too long; sequences may be empty. */
bs_status bs_batch_check_offsets(const bs_batch *b, const bs_config *c, bs_error *e);

/* The sequences [first, last) as a batch that shares the memory of `b`. */
bs_batch bs_batch_slice(const bs_batch *b, int64_t first, int64_t last);

static inline int64_t bs_batch_begin(const bs_batch *b, int64_t s)
{
    return b->cu_seqlens[s] - b->cu_seqlens[0];
}

static inline int64_t bs_batch_length(const bs_batch *b, int64_t s)
{
    return b->cu_seqlens[s + 1] - b->cu_seqlens[s];
}

int64_t bs_batch_longest(const bs_batch *b);

#endif
