#include "model/stored.h"

#include <string.h>

#include "core/pool.h"

/* The number of stored rows of a sequence. */
static int64_t rows_of(const bs_batch *b, const bs_config *c, int64_t freeze, int64_t sequence)
{
    return freeze < c->num_layers ? bs_batch_length(b, sequence) : 1;
}

bs_status bs_stored_check(const bs_batch *b, const bs_config *c, const bs_pass_options *options,
                          bs_error *e)
{
    const int64_t freeze = options->freeze, count = b->stored->count;
    const bool drops = c->hidden_dropout > 0.0f || c->attention_dropout > 0.0f ||
                       c->attention_output_dropout > 0.0f;
    if (freeze == 0)
        return bs_error_set(e, BS_ERR_VALUE, -1, "stored rows need layers that are frozen");
    if (options->training && drops && !options->freeze_dropout)
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "stored rows need freeze_dropout: dropout acts in what is frozen");
    for (int64_t s = 0; s < b->n_sequences; s++) {
        const int64_t at = b->stored_at[s], rows = rows_of(b, c, freeze, s);
        if (at < 0 || at > count - rows)
            return bs_error_set(e, BS_ERR_INDEX, s,
                                "sequence %lld: its %lld stored rows begin at %lld, but there are "
                                "%lld in all",
                                (long long)s, (long long)rows, (long long)at, (long long)count);
    }
    return BS_OK;
}

static void read_sequence(void *p_, int64_t s, int worker)
{
    const bs_pass *p = p_;
    const bs_stored_rows *stored = p->batch.stored;
    const int64_t H = p->model->config.hidden_size, L = p->model->config.num_layers;
    const int64_t n = rows_of(&p->batch, &p->model->config, p->first, s) * H;
    const int64_t at = p->batch.stored_at[s] * H;
    float *to = p->embedding_out + (p->first < L ? p->first_rows[s] : s) * H;
    (void)worker;
    if (!stored->bf16) {
        memcpy(to, (const float *)stored->data + at, (size_t)n * sizeof *to);
        return;
    }
    /* a bfloat16 is the upper half of a float32 */
    const uint16_t *from = (const uint16_t *)stored->data + at;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)from[i] << 16;
        memcpy(to + i, &bits, sizeof bits);
    }
}

void bs_stored_read(bs_pass *p)
{
    bs_pool_run(p->n_threads, p->batch.n_sequences, read_sequence, p);
}
