/* A batch: sequences laid end to end, without padding. */
#ifndef BS_MODEL_BATCH_H
#define BS_MODEL_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "model/config.h"

/* What the first trained layer reads, a row a token, computed before; with all layers frozen what
 * the head reads, a row a sequence. See model/stored.h. */
typedef struct {
    const void *data; /* (count, H) */
    int64_t count;
    bool bf16;        /* or float32 */
} bs_stored_rows;

typedef struct {
    int64_t n_tokens;          /* T */
    int64_t n_sequences;       /* B */
    const int32_t *ids;        /* (T,) */
    const int32_t *types;      /* (T,), or NULL: all 0 */
    const int32_t *positions;  /* (T,), or NULL: 0, 1, 2, ... in each sequence */
    const int64_t *cu_seqlens; /* (B + 1,); sequence s begins at cu_seqlens[s] - cu_seqlens[0] */
    const uint64_t *keys;      /* (B,) what dropout knows a sequence by, or NULL: 0, 1, 2, ... */
    const bs_stored_rows *stored; /* or NULL: all is computed from the ids */
    const int64_t *stored_at;  /* (B,) the stored row at which each sequence begins */
} bs_batch;

/* Every id, type, position and length against the model's; names the sequence at fault. */
bs_status bs_batch_check(const bs_batch *b, const bs_config *c, bs_error *e);

/* The sequences [first, last) as a batch of their own, sharing memory. */
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
