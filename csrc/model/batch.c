#include "model/batch.h"

#include <stddef.h>

/* Keeps T times the width of any layer from overflowing. */
#define MAX_TOKENS (INT64_C(1) << 40)

static bs_status check_sequence(const bs_batch *b, int64_t s, const bs_config *c, bs_error *e)
{
    const int64_t begin = bs_batch_begin(b, s), length = bs_batch_length(b, s);
    if (length == 0)
        return bs_error_set(e, BS_ERR_VALUE, s, "sequence %lld has no tokens", (long long)s);
    const int64_t types = c->type_vocab_size > 0 ? c->type_vocab_size : 1; /* all 0 without them */
    for (int64_t t = begin; t < begin + length; t++) {
        const struct {
            const char *what;
            int64_t value, low, limit;
        } numbers[] = {
            {"token id", b->ids[t], 0, c->vocab_size},
            {"token type", b->types != NULL ? b->types[t] : 0, 0, types},
            {"position", b->positions != NULL ? b->positions[t] : 0, c->skips_padding ? -1 : 0,
             c->max_positions},
        };
        for (int i = 0; i < 3; i++)
            if (numbers[i].value < numbers[i].low || numbers[i].value >= numbers[i].limit)
                return bs_error_set(e, BS_ERR_INDEX, s,
                                    "sequence %lld, token %lld: %s %lld is out of range, expected "
                                    "%lld to %lld",
                                    (long long)s, (long long)(t - begin), numbers[i].what,
                                    (long long)numbers[i].value, (long long)numbers[i].low,
                                    (long long)numbers[i].limit - 1);
    }
    return BS_OK;
}

bs_status bs_batch_check_offsets(const bs_batch *b, const bs_config *c, bs_error *e)
{
    if (b->n_sequences < 1)
        return bs_error_set(e, BS_ERR_VALUE, -1, "the batch is empty");
    if (b->cu_seqlens[0] != 0 || b->cu_seqlens[b->n_sequences] != b->n_tokens ||
        b->n_tokens > MAX_TOKENS)
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "cu_seqlens must begin with 0 and end with the number of tokens, %lld",
                            (long long)b->n_tokens);
    for (int64_t s = 0; s < b->n_sequences; s++) {
        if (b->cu_seqlens[s + 1] < b->cu_seqlens[s] || b->cu_seqlens[s + 1] > b->n_tokens)
            return bs_error_set(e, BS_ERR_VALUE, s, "cu_seqlens must not decrease: see entry %lld",
                                (long long)s + 1);
        const int64_t length = bs_batch_length(b, s);
        if (length > c->max_positions)
            return bs_error_set(e, BS_ERR_VALUE, s,
                                "sequence %lld has %lld tokens, the model has %lld positions",
                                (long long)s, (long long)length, (long long)c->max_positions);
    }
    return BS_OK;
}

bs_status bs_batch_check(const bs_batch *b, const bs_config *c, bs_error *e)
{
    if (bs_batch_check_offsets(b, c, e) != BS_OK)
        return e->status;
    for (int64_t s = 0; s < b->n_sequences; s++)
        if (check_sequence(b, s, c, e) != BS_OK)
            return e->status;
    return BS_OK;
}

bs_batch bs_batch_slice(const bs_batch *b, int64_t first, int64_t last)
{
    const int64_t at = bs_batch_begin(b, first);
    bs_batch part = *b;
    part.n_sequences = last - first;
    part.n_tokens = bs_batch_begin(b, last) - at;
    part.ids = b->ids + at;
    part.types = b->types != NULL ? b->types + at : NULL;
    part.positions = b->positions != NULL ? b->positions + at : NULL;
    part.cu_seqlens = b->cu_seqlens + first;
    part.keys = b->keys != NULL ? b->keys + first : NULL;
    part.stored_at = b->stored_at != NULL ? b->stored_at + first : NULL;
    part.baseline = b->baseline != NULL ? b->baseline + at : NULL;
    part.along = b->along != NULL ? b->along + first : NULL;
    return part;
}

int64_t bs_batch_longest(const bs_batch *b)
{
    int64_t longest = 0;
    for (int64_t s = 0; s < b->n_sequences; s++)
        if (bs_batch_length(b, s) > longest)
            longest = bs_batch_length(b, s);
    return longest;
}
