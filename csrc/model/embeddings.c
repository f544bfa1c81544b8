/* Word, position and type embeddings, LayerNorm and dropout. */
#include <string.h>

#include "core/pool.h"
#include "model/pass.h"

/* Columns of the tables that one task of the backward pass owns. */
#define COLUMN_BLOCK 64

static inline int64_t position_of(const bs_pass *p, int64_t t)
{
    return p->batch.positions != NULL ? p->batch.positions[t]
                                      : t - p->first_rows[p->sequence_of[t]];
}

static inline int64_t type_of(const bs_pass *p, int64_t t)
{
    return p->batch.types != NULL ? p->batch.types[t] : 0;
}

static void forward_rows(void *p_, int64_t task, int worker)
{
    const bs_pass *p = p_;
    const bs_kernels *k = p->model->kernels;
    const bs_config *c = &p->model->config;
    const bs_parameter_table *o = &p->model->table;
    const float *w = p->model->parameters;
    const int64_t H = c->hidden_size, T = p->batch.n_tokens;
    const int64_t end = (task + 1) * BS_ROW_BLOCK < T ? (task + 1) * BS_ROW_BLOCK : T;
    float *scratch = bs_pass_scratch(p, worker);
    for (int64_t t = task * BS_ROW_BLOCK; t < end; t++) {
        float *sum = p->embedding_sum + t * H, *out = p->embedding_out + t * H;
        memcpy(sum, w + o->word + p->batch.ids[t] * H, (size_t)H * sizeof(float));
        k->axpy(sum, w + o->type + type_of(p, t) * H, 1.0f, H);
        k->axpy(sum, w + o->position + position_of(p, t) * H, 1.0f, H);
        k->layernorm_row(out, &p->embedding_mean[t], &p->embedding_rstd[t], sum,
                         w + o->embedding_gamma, w + o->embedding_beta, H, c->layer_norm_eps);
        const float *mask =
            bs_pass_mask(p, scratch, c->hidden_dropout, -1, BS_SITE_EMBEDDING, t, H);
        if (mask != NULL)
            k->multiply(out, out, mask, H);
    }
}

void bs_embeddings_forward(bs_pass *p)
{
    bs_pool_run(p->n_threads, bs_row_blocks(p->batch.n_tokens), forward_rows, p);
}

/* Through dropout and LayerNorm, in place; sums for gamma and beta into the block's partials. */
static void backward_rows(void *p_, int64_t task, int worker)
{
    const bs_pass *p = p_;
    const bs_kernels *k = p->model->kernels;
    const bs_config *c = &p->model->config;
    const float *gamma = p->model->parameters + p->model->table.embedding_gamma;
    const int64_t H = c->hidden_size, T = p->batch.n_tokens;
    const int64_t end = (task + 1) * BS_ROW_BLOCK < T ? (task + 1) * BS_ROW_BLOCK : T;
    float *scratch = bs_pass_scratch(p, worker), *partial = p->partials + task * 3 * H;
    memset(partial, 0, (size_t)(2 * H) * sizeof(float));
    for (int64_t t = task * BS_ROW_BLOCK; t < end; t++) {
        float *d = p->d_a + t * H;
        const float *mask =
            bs_pass_mask(p, scratch, c->hidden_dropout, -1, BS_SITE_EMBEDDING, t, H);
        if (mask != NULL)
            k->multiply(d, d, mask, H);
        k->layernorm_backward_row(d, partial, partial + H, d, p->embedding_sum + t * H, gamma,
                                  p->embedding_mean[t], p->embedding_rstd[t], H);
    }
}

typedef struct {
    bs_pass *p;
    const float *d_sum;
    float *gradients;
} scatter_job;

/* One block of columns for all tokens, in their order: no two tasks meet. */
static void scatter_columns(void *job_, int64_t task, int worker)
{
    const scatter_job *job = job_;
    const bs_pass *p = job->p;
    const bs_kernels *k = p->model->kernels;
    const bs_parameter_table *o = &p->model->table;
    const int64_t H = p->model->config.hidden_size, pad = p->model->config.pad_token_id;
    const int64_t col = task * COLUMN_BLOCK;
    const int64_t n = H - col < COLUMN_BLOCK ? H - col : COLUMN_BLOCK;
    float *g = job->gradients + col;
    (void)worker;
    for (int64_t t = 0; t < p->batch.n_tokens; t++) {
        const float *d = job->d_sum + t * H + col;
        if (p->batch.ids[t] != pad)
            k->axpy(g + o->word + p->batch.ids[t] * H, d, 1.0f, n);
        k->axpy(g + o->position + position_of(p, t) * H, d, 1.0f, n);
        k->axpy(g + o->type + type_of(p, t) * H, d, 1.0f, n);
    }
}

void bs_embeddings_backward(bs_pass *p, float *gradients)
{
    const bs_kernels *k = p->model->kernels;
    const bs_parameter_table *o = &p->model->table;
    const int64_t H = p->model->config.hidden_size, blocks = bs_row_blocks(p->batch.n_tokens);
    scatter_job job = {p, p->d_a, gradients};
    bs_pool_run(p->n_threads, blocks, backward_rows, p);
    for (int64_t i = 0; i < blocks; i++) {
        k->axpy(gradients + o->embedding_gamma, p->partials + i * 3 * H, 1.0f, H);
        k->axpy(gradients + o->embedding_beta, p->partials + i * 3 * H + H, 1.0f, H);
    }
    bs_pool_run(p->n_threads, (H + COLUMN_BLOCK - 1) / COLUMN_BLOCK, scatter_columns, &job);
}
