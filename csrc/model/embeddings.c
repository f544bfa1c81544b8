/* Word, position and type embeddings (T, E), LayerNorm and dropout. If E is not H, a linear layer in
 * fp32 follows. */
#include "model/embeddings.h"

#include <string.h>

#include "core/pool.h"
#include "kernels/gemm.h"

/* The number of columns of the tables that one task of the backward pass owns. */
#define COLUMN_BLOCK 64

static inline int64_t position_of(const bs_pass *p, int64_t t)
{
    const int32_t *given = p->batch.positions != NULL ? p->batch.positions : p->positions;
    return given != NULL ? given[t] : t - p->first_rows[p->sequence_of[t]];
}

static inline int64_t type_of(const bs_pass *p, int64_t t)
{
    return p->batch.types != NULL ? p->batch.types[t] : 0;
}

/* The word embedding of a token or, on a path from a baseline, what lies between both. At the ends
 * of the path, it is exactly one of them. */
static void read_word(const bs_pass *p, float *to, int64_t t)
{
    const int64_t E = p->model->config.embedding_size;
    const float *words = p->model->parameters + p->model->table.word;
    const float *own = words + p->batch.ids[t] * E;
    if (p->batch.baseline == NULL || p->batch.baseline[t] == p->batch.ids[t]) {
        memcpy(to, own, (size_t)E * sizeof(float));
        return;
    }
    const float *other = words + p->batch.baseline[t] * E;
    const float along = p->batch.along[p->sequence_of[t]];
    for (int64_t i = 0; i < E; i++)
        to[i] = (1.0f - along) * other[i] + along * own[i];
}

static void forward_rows(void *p_, int64_t task, int worker)
{
    const bs_pass *p = p_;
    const bs_kernels *k = p->model->kernels;
    const bs_config *c = &p->model->config;
    const bs_parameter_table *o = &p->model->table;
    const float *w = p->model->parameters;
    const int64_t E = c->embedding_size, T = p->batch.n_tokens;
    const int64_t end = (task + 1) * BS_ROW_BLOCK < T ? (task + 1) * BS_ROW_BLOCK : T;
    float *scratch = bs_pass_scratch(p, worker);
    for (int64_t t = task * BS_ROW_BLOCK; t < end; t++) {
        float *sum = p->embedding_sum + t * E, *out = p->embedding_normed + t * E;
        read_word(p, sum, t);
        if (c->type_vocab_size > 0)
            k->axpy(sum, w + o->type + type_of(p, t) * E, 1.0f, E);
        k->axpy(sum, w + o->position + position_of(p, t) * E, 1.0f, E);
        k->layernorm_row(out, &p->embedding_mean[t], &p->embedding_rstd[t], sum,
                         w + o->embedding_gamma, w + o->embedding_beta, E, c->layer_norm_eps);
        const float *mask =
            bs_pass_mask(p, scratch, c->hidden_dropout, -1, BS_SITE_EMBEDDING, t, E);
        if (mask != NULL)
            k->multiply(out, out, mask, E);
    }
}

/* out (T, H) = normed (T, E) W^T + b */
static void project(const bs_pass *p)
{
    const bs_config *c = &p->model->config;
    const float *w = p->model->parameters;
    const int64_t T = p->batch.n_tokens, H = c->hidden_size, E = c->embedding_size;
    bs_gemm g = {.trans_b = true, .m = T, .n = H, .k = E, .alpha = 1.0f,
                       .a = p->embedding_normed, .lda = E,
                       .b = w + p->model->table.projection_weight, .ldb = E,
                       .c = p->embedding_out, .ldc = H};
    bs_gemm_run(&p->gemm, &g, 1);
    p->model->kernels->bias_add(p->embedding_out, w + p->model->table.projection_bias, T, H, H);
}

/* Leaves the gradient at the linear layer's input in p->d_embedding. */
static void project_backward(const bs_pass *p, float *gradients)
{
    const bs_config *c = &p->model->config;
    const bs_parameter_table *o = &p->model->table;
    const int64_t T = p->batch.n_tokens, H = c->hidden_size, E = c->embedding_size;
    bs_gemm group[2] = {
        {.trans_a = true, .m = H, .n = E, .k = T, .alpha = 1.0f, .a = p->d_a, .lda = H,
         .b = p->embedding_normed, .ldb = E, .beta = 1.0f,
         .c = bs_gradient_at(gradients, o->projection_weight), .ldc = E},
        {.m = T, .n = E, .k = H, .alpha = 1.0f, .a = p->d_a, .lda = H,
         .b = p->model->parameters + o->projection_weight, .ldb = E, .c = p->d_embedding,
         .ldc = E},
    };
    if (p->options.to_words) {
        bs_gemm_run(&p->gemm, group + 1, 1);
        return;
    }
    bs_gemm_run(&p->gemm, group, 2);
    p->model->kernels->column_sum(gradients + o->projection_bias, p->d_a, T, H, H);
}

size_t bs_embeddings_scratch(const bs_pass *p)
{
    const bs_config *c = &p->model->config;
    const int64_t T = p->batch.n_tokens, H = c->hidden_size, E = c->embedding_size;
    const bs_kernels *k = p->model->kernels;
    if (!bs_projects_embeddings(c))
        return 0;
    const bs_gemm forward = {.trans_b = true, .m = T, .n = H, .k = E};
    const bs_gemm for_weight = {.trans_a = true, .m = H, .n = E, .k = T};
    const bs_gemm for_input = {.m = T, .n = E, .k = H};
    const size_t backward = bs_gemm_scratch(k, &for_weight) + bs_gemm_scratch(k, &for_input);
    const size_t size = bs_gemm_scratch(k, &forward);
    return p->keep && backward > size ? backward : size;
}

void bs_embeddings_forward(bs_pass *p)
{
    bs_pool_run(p->n_threads, bs_row_blocks(p->batch.n_tokens), forward_rows, p);
    if (bs_projects_embeddings(&p->model->config))
        project(p);
}

typedef struct {
    bs_pass *p;
    float *d; /* (T, E) the gradient after dropout, then at the sums */
    float *gradients;
} backward_job;

/* Through dropout and LayerNorm, in place. Sums for gamma and beta go to the block's partials. */
static void backward_rows(void *job_, int64_t task, int worker)
{
    const backward_job *job = job_;
    const bs_pass *p = job->p;
    const bs_kernels *k = p->model->kernels;
    const bs_config *c = &p->model->config;
    const float *gamma = p->model->parameters + p->model->table.embedding_gamma;
    const int64_t E = c->embedding_size, T = p->batch.n_tokens;
    const int64_t end = (task + 1) * BS_ROW_BLOCK < T ? (task + 1) * BS_ROW_BLOCK : T;
    float *scratch = bs_pass_scratch(p, worker), *partial = p->partials + task * 2 * E;
    memset(partial, 0, (size_t)(2 * E) * sizeof(float));
    for (int64_t t = task * BS_ROW_BLOCK; t < end; t++) {
        float *d = job->d + t * E;
        const float *mask =
            bs_pass_mask(p, scratch, c->hidden_dropout, -1, BS_SITE_EMBEDDING, t, E);
        if (mask != NULL)
            k->multiply(d, d, mask, E);
        k->layernorm_backward_row(d, partial, partial + E, d, p->embedding_sum + t * E, gamma,
                                  p->embedding_mean[t], p->embedding_rstd[t], E);
    }
}

/* Adds one block of columns of all tokens, in order. No two tasks write the same elements. */
static void scatter_columns(void *job_, int64_t task, int worker)
{
    const backward_job *job = job_;
    const bs_pass *p = job->p;
    const bs_kernels *k = p->model->kernels;
    const bs_parameter_table *o = &p->model->table;
    const int64_t E = p->model->config.embedding_size, pad = p->model->config.pad_token_id;
    const int64_t col = task * COLUMN_BLOCK;
    const int64_t n = E - col < COLUMN_BLOCK ? E - col : COLUMN_BLOCK;
    float *g = job->gradients + col;
    (void)worker;
    for (int64_t t = 0; t < p->batch.n_tokens; t++) {
        const float *d = job->d + t * E + col;
        if (p->batch.ids[t] != pad)
            k->axpy(g + o->word + p->batch.ids[t] * E, d, 1.0f, n);
        const int64_t position = position_of(p, t);
        if (position >= 0) /* that of padding is not trained */
            k->axpy(g + o->position + position * E, d, 1.0f, n);
        if (p->model->config.type_vocab_size > 0)
            k->axpy(g + o->type + type_of(p, t) * E, d, 1.0f, n);
    }
}

/* Computes the gradient at the sums of embeddings, and the partials. */
static backward_job to_sums(bs_pass *p, float *gradients)
{
    const bool projects = bs_projects_embeddings(&p->model->config);
    backward_job job = {p, projects ? p->d_embedding : p->d_a, gradients};
    if (projects)
        project_backward(p, gradients);
    bs_pool_run(p->n_threads, bs_row_blocks(p->batch.n_tokens), backward_rows, &job);
    return job;
}

const float *bs_embeddings_backward_to_words(bs_pass *p)
{
    return to_sums(p, NULL).d;
}

void bs_embeddings_backward(bs_pass *p, float *gradients)
{
    const bs_kernels *k = p->model->kernels;
    const bs_parameter_table *o = &p->model->table;
    const int64_t E = p->model->config.embedding_size, blocks = bs_row_blocks(p->batch.n_tokens);
    backward_job job = to_sums(p, gradients);
    for (int64_t i = 0; i < blocks; i++) {
        k->axpy(gradients + o->embedding_gamma, p->partials + i * 2 * E, 1.0f, E);
        k->axpy(gradients + o->embedding_beta, p->partials + i * 2 * E + E, 1.0f, E);
    }
    bs_pool_run(p->n_threads, (E + COLUMN_BLOCK - 1) / COLUMN_BLOCK, scatter_columns, &job);
}
