/* Masked language modelling (Devlin et al. 2019), over the rows x (M, H) of masked tokens:
 *
 *   u = x Wt^T + bt;  y = LayerNorm(act(u));  logits = y E^T + b
 *
 * E (V, H) are the word embeddings. Logits are computed for a chunk of rows at a time, and each row
 * is overwritten by its gradient. */
#include "model/mlm_head.h"

#include <string.h>

#include "core/pool.h"
#include "kernels/gemm.h"

/* The approximate number of logits in a chunk: enough rows to make reading E worthwhile. */
#define CHUNK_FLOATS (INT64_C(1) << 24)
#define LEAST_CHUNK 64
/* The number of columns of logits that one task sums. */
#define COLUMN_BLOCK 1024

bs_status bs_mlm_targets_check(const bs_mlm_targets *t, const bs_batch *b, const bs_config *c,
                               bs_error *e)
{
    for (int64_t i = 0; i < t->count; i++) {
        if (t->tokens[i] < (i > 0 ? t->tokens[i - 1] + 1 : 0) || t->tokens[i] >= b->n_tokens)
            return bs_error_set(e, BS_ERR_INDEX, i,
                                "masked token %lld: %lld is out of range or order, expected "
                                "rising numbers from 0 to %lld",
                                (long long)i, (long long)t->tokens[i],
                                (long long)b->n_tokens - 1);
        if (t->labels[i] < 0 || t->labels[i] >= c->vocab_size)
            return bs_error_set(e, BS_ERR_INDEX, i,
                                "masked token %lld: id %d is out of range, expected 0 to %lld",
                                (long long)i, (int)t->labels[i], (long long)c->vocab_size - 1);
    }
    return BS_OK;
}

/* ---- the packed decoder ---- */

static size_t forward_size(const bs_model *m)
{
    const bs_config *c = &m->config;
    return (size_t)bs_round_up(
        (int64_t)bs_packed_size(m->kernels, BS_BFLOAT16, c->hidden_size, c->vocab_size), 64);
}

static bs_packed decoder_of(const bs_model *m, bool backward)
{
    return (bs_packed){.panels = m->decoder.block + (backward ? forward_size(m) : 0)};
}

typedef struct {
    const bs_model *m;
    int64_t forward_panels;
} pack_job;

static void pack_panel(void *job_, int64_t task, int worker)
{
    const pack_job *job = job_;
    const bs_model *m = job->m;
    const bool backward = task >= job->forward_panels;
    const int64_t H = m->config.hidden_size, V = m->config.vocab_size;
    const int64_t panel = backward ? task - job->forward_panels : task;
    const int64_t n = backward ? H : V, k = backward ? V : H;
    const int64_t wide = m->kernels->columns, first = panel * wide;
    const int64_t columns = bs_panel_columns(m->kernels, n, first);
    const float *word = m->parameters + m->table.word;
    char *to = decoder_of(m, backward).panels;
    to += panel * bs_packed_groups(BS_BFLOAT16_ELEMENTS, k) * 4 * wide;
    (void)worker;
    if (backward)
        m->kernels->bf16_panel(to, word + first, k, columns, H);
    else
        m->kernels->bf16_panel_transposed(to, word + first * H, columns, k, H);
}

bs_status bs_mlm_pack(bs_model *m, bs_precision precision, bool backward, int n_threads,
                      bs_error *e)
{
    const bs_config *c = &m->config;
    size_t size = forward_size(m);
    if (precision == BS_FLOAT32)
        return BS_OK;
    if (backward)
        size += bs_packed_size(m->kernels, BS_BFLOAT16, c->vocab_size, c->hidden_size);
    if (bs_arena_reserve(&m->decoder, size, e) != BS_OK)
        return e->status;
    pack_job job = {m, bs_panels(m->kernels, c->vocab_size)};
    int64_t panels = job.forward_panels;
    if (backward)
        panels += bs_panels(m->kernels, c->hidden_size);
    bs_pool_run(n_threads, panels, pack_panel, &job);
    return BS_OK;
}

/* ---- the head ---- */

typedef struct {
    const bs_model *m;
    bs_precision precision;
    const bs_mlm_targets *targets;
    bs_gemm_workers gemm;
    int64_t M, chunk;
    bs_packed forward, backward; /* of the decoder */
    float *x, *u, *acted, *y, *d; /* (M, H); d is the gradient at y, acted and u in turn */
    float *mean, *rstd;           /* (M,) */
    float *partials;              /* sums over blocks of rows, 2H each */
    float *logits;                /* (chunk, V), then their gradient */
    double *losses;               /* (M,) */
    int64_t *hits;                /* (M,) 0 or 1 */
    int64_t first, rows;          /* the current chunk */
    float share;                  /* the weight of one masked token in the loss */
    float *gradients;             /* or NULL */
} mlm_head;

static bs_gemm logits_product(const mlm_head *h)
{
    const bs_config *c = &h->m->config;
    const int64_t H = c->hidden_size, V = c->vocab_size;
    return (bs_gemm){.trans_b = true, .m = h->rows, .n = V, .k = H, .alpha = 1.0f,
                     .a = h->y + h->first * H, .lda = H, .b = h->m->parameters + h->m->table.word,
                     .ldb = H, .c = h->logits, .ldc = V, .precision = h->precision,
                     .packed = h->precision != BS_FLOAT32 ? &h->forward : NULL};
}

/* d_y (rows, H) = d_logits E */
static bs_gemm input_gradient(const mlm_head *h)
{
    const bs_config *c = &h->m->config;
    const int64_t H = c->hidden_size, V = c->vocab_size;
    return (bs_gemm){.m = h->rows, .n = H, .k = V, .alpha = 1.0f, .a = h->logits, .lda = V,
                     .b = h->m->parameters + h->m->table.word, .ldb = H,
                     .c = h->d + h->first * H, .ldc = H, .precision = h->precision,
                     .packed = h->precision != BS_FLOAT32 ? &h->backward : NULL};
}

/* d_E (V, H) += d_logits^T y */
static bs_gemm weight_gradient(const mlm_head *h)
{
    const bs_config *c = &h->m->config;
    const int64_t H = c->hidden_size, V = c->vocab_size;
    return (bs_gemm){.trans_a = true, .m = V, .n = H, .k = h->rows, .alpha = 1.0f,
                     .a = h->logits, .lda = V, .b = h->y + h->first * H, .ldb = H, .beta = 1.0f,
                     .c = h->gradients + h->m->table.word, .ldc = H, .precision = h->precision};
}

static void lay_out(mlm_head *h, bs_arena *a, bool backward)
{
    const bs_config *c = &h->m->config;
    const bs_kernels *k = h->m->kernels;
    const int64_t M = h->M, H = c->hidden_size, V = c->vocab_size;
    const int64_t most = CHUNK_FLOATS / V > LEAST_CHUNK ? CHUNK_FLOATS / V : LEAST_CHUNK;
    const int64_t chunks = (M + most - 1) / most;
    h->chunk = chunks > 0 ? (M + chunks - 1) / chunks : 0;
    h->x = bs_arena_floats(a, M * H);
    h->u = bs_arena_floats(a, M * H);
    h->acted = bs_arena_floats(a, M * H);
    h->y = bs_arena_floats(a, M * H);
    h->d = backward ? bs_arena_floats(a, M * H) : NULL;
    h->mean = bs_arena_floats(a, M);
    h->rstd = bs_arena_floats(a, M);
    h->partials = bs_arena_floats(a, bs_row_blocks(M) * 2 * H);
    h->logits = bs_arena_floats(a, h->chunk * V);
    h->losses = bs_arena_take(a, (size_t)M, sizeof *h->losses);
    h->hits = bs_arena_take(a, (size_t)M, sizeof *h->hits);
    h->first = 0, h->rows = h->chunk;
    const bs_packed held = {0};
    bs_gemm g = {.m = h->chunk, .n = V, .k = H, .precision = h->precision, .packed = &held};
    size_t scratch = bs_gemm_scratch(k, &g);
    if (backward) {
        const bs_gemm for_y = {.m = h->chunk, .n = H, .k = V, .precision = h->precision,
                               .packed = &held};
        const bs_gemm for_word = {.trans_a = true, .m = V, .n = H, .k = h->chunk,
                                  .precision = h->precision};
        const size_t both = bs_gemm_scratch(k, &for_y) + bs_gemm_scratch(k, &for_word);
        scratch = both > scratch ? both : scratch;
    }
    h->gemm.scratch = bs_arena_take(a, scratch, 1);
}

size_t bs_mlm_size(const bs_model *m, bs_precision precision, int64_t count, bool backward)
{
    bs_arena nowhere = {0};
    mlm_head counting = {.m = m, .precision = precision, .M = count};
    lay_out(&counting, &nowhere, backward);
    return nowhere.used;
}

/* The end of a task's block of the M rows. */
static int64_t block_end(const mlm_head *h, int64_t task)
{
    const int64_t end = (task + 1) * BS_ROW_BLOCK;
    return end < h->M ? end : h->M;
}

static void transform_rows(void *h_, int64_t task, int worker)
{
    const mlm_head *h = h_;
    const bs_kernels *k = h->m->kernels;
    const bs_config *c = &h->m->config;
    const bs_parameter_table *o = &h->m->table;
    const float *w = h->m->parameters;
    const int64_t H = c->hidden_size, first = task * BS_ROW_BLOCK, end = block_end(h, task);
    (void)worker;
    k->bias_activation(h->acted + first * H, h->u + first * H, w + o->transform_bias, end - first,
                       H, H, c->activation);
    for (int64_t i = first; i < end; i++)
        k->layernorm_row(h->y + i * H, &h->mean[i], &h->rstd[i], h->acted + i * H,
                         w + o->transform_gamma, w + o->transform_beta, H, c->layer_norm_eps);
}

/* Computes the loss of one row of logits and whether it is a hit; overwrites it by its gradient. */
static void predict_row(void *h_, int64_t task, int worker)
{
    const mlm_head *h = h_;
    const bs_kernels *k = h->m->kernels;
    const int64_t V = h->m->config.vocab_size, i = h->first + task;
    const int32_t label = h->targets->labels[i];
    float *s = h->logits + task * V;
    int64_t above = 0;
    (void)worker;
    k->bias_add(s, h->m->parameters + h->m->table.decoder_bias, 1, V, V);
    const float own = s[label];
    for (int64_t j = 0; j < V; j++)
        above += s[j] > own;
    h->hits[i] = above == 0;
    h->losses[i] = (double)k->softmax_row(s, NULL, V) - (double)own;
    if (h->gradients == NULL)
        return;
    s[label] -= 1.0f;
    for (int64_t j = 0; j < V; j++)
        s[j] *= h->share;
}

static void sum_columns(void *h_, int64_t task, int worker)
{
    const mlm_head *h = h_;
    const int64_t V = h->m->config.vocab_size, first = task * COLUMN_BLOCK;
    (void)worker;
    h->m->kernels->column_sum(h->gradients + h->m->table.decoder_bias + first, h->logits + first,
                              h->rows, V - first < COLUMN_BLOCK ? V - first : COLUMN_BLOCK, V);
}

/* Through LayerNorm and activation, in place in d. Sums for gamma and beta go to the partials. */
static void transform_rows_backward(void *h_, int64_t task, int worker)
{
    const mlm_head *h = h_;
    const bs_kernels *k = h->m->kernels;
    const bs_config *c = &h->m->config;
    const float *gamma = h->m->parameters + h->m->table.transform_gamma;
    const int64_t H = c->hidden_size, first = task * BS_ROW_BLOCK, end = block_end(h, task);
    float *partial = h->partials + task * 2 * H;
    (void)worker;
    memset(partial, 0, (size_t)(2 * H) * sizeof *partial);
    for (int64_t i = first; i < end; i++)
        k->layernorm_backward_row(h->d + i * H, partial, partial + H, h->d + i * H,
                                  h->acted + i * H, gamma, h->mean[i], h->rstd[i], H);
    k->activation_backward(h->acted + first * H, h->d + first * H, h->u + first * H, end - first,
                           H, H, c->activation);
}

/* Computes the gradient at p->tokens, in p->d_a, from the gradient at y in d. */
static void transform_backward(mlm_head *h, bs_pass *p)
{
    const bs_kernels *k = h->m->kernels;
    const bs_parameter_table *o = &h->m->table;
    const int64_t M = h->M, H = h->m->config.hidden_size;
    float *g = h->gradients, *d_x = h->y;
    bs_pool_run(p->n_threads, bs_row_blocks(M), transform_rows_backward, h);
    for (int64_t i = 0; i < bs_row_blocks(M); i++) {
        k->axpy(g + o->transform_gamma, h->partials + i * 2 * H, 1.0f, H);
        k->axpy(g + o->transform_beta, h->partials + i * 2 * H + H, 1.0f, H);
    }
    k->column_sum(g + o->transform_bias, h->d, M, H, H);
    bs_gemm group[2] = {
        {.trans_a = true, .m = H, .n = H, .k = M, .alpha = 1.0f, .a = h->d, .lda = H, .b = h->x,
         .ldb = H, .beta = 1.0f, .c = g + o->transform_weight, .ldc = H},
        {.m = M, .n = H, .k = H, .alpha = 1.0f, .a = h->d, .lda = H,
         .b = h->m->parameters + o->transform_weight, .ldb = H, .c = d_x, .ldc = H},
    };
    bs_gemm_run(&h->gemm, group, 2);
    memset(p->d_a, 0, (size_t)(p->batch.n_tokens * H) * sizeof *p->d_a);
    for (int64_t i = 0; i < M; i++)
        memcpy(p->d_a + (h->targets->tokens[i] - h->targets->origin) * H, d_x + i * H,
               (size_t)H * sizeof *d_x);
}

void bs_mlm_head(bs_pass *p, const bs_mlm_targets *targets, int64_t weight, float *gradients,
                 bs_mlm_result *result)
{
    const bs_model *m = p->model;
    const int64_t M = targets->count, H = m->config.hidden_size, V = m->config.vocab_size;
    mlm_head h = {.m = m, .precision = p->options.precision, .targets = targets, .gemm = p->gemm,
                  .M = M, .share = 1.0f / (float)weight, .gradients = gradients};
    if (h.precision != BS_FLOAT32) {
        h.forward = decoder_of(m, false);
        h.backward = decoder_of(m, true);
    }
    lay_out(&h, p->arena, gradients != NULL);
    for (int64_t i = 0; i < M; i++)
        memcpy(h.x + i * H, p->tokens + (targets->tokens[i] - targets->origin) * H,
               (size_t)H * sizeof *h.x);
    bs_gemm g = {.trans_b = true, .m = M, .n = H, .k = H, .alpha = 1.0f, .a = h.x, .lda = H,
                 .b = m->parameters + m->table.transform_weight, .ldb = H, .c = h.u, .ldc = H};
    bs_gemm_run(&h.gemm, &g, 1);
    bs_pool_run(p->n_threads, bs_row_blocks(M), transform_rows, &h);
    for (h.first = 0; h.first < M; h.first += h.chunk) {
        h.rows = M - h.first < h.chunk ? M - h.first : h.chunk;
        g = logits_product(&h);
        bs_gemm_run(&h.gemm, &g, 1);
        bs_pool_run(p->n_threads, h.rows, predict_row, &h);
        bs_stage_mark(p->options.clock, BS_STAGE_HEAD);
        if (gradients == NULL)
            continue;
        bs_pool_run(p->n_threads, (V + COLUMN_BLOCK - 1) / COLUMN_BLOCK, sum_columns, &h);
        bs_gemm group[2] = {input_gradient(&h), weight_gradient(&h)};
        /* If the embeddings are frozen, so is the decoder. */
        bs_gemm_run(&h.gemm, group, p->options.freeze == 0 ? 2 : 1);
        bs_stage_mark(p->options.clock, BS_STAGE_HEAD_BACKWARD);
    }
    for (int64_t i = 0; i < M; i++) {
        result->loss += h.losses[i] / (double)weight;
        result->hits += h.hits[i];
    }
    if (gradients == NULL)
        return;
    transform_backward(&h, p);
    bs_stage_mark(p->options.clock, BS_STAGE_HEAD_BACKWARD);
}
