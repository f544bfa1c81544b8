/* Multi-head self-attention, one task for each (sequence, head).
 *
 * A block of query rows meets all keys of its sequence at once: its scores fit
 * in the second-level cache, so nothing of size (length, length) is ever stored.
 * Backward computes the probabilities again from the scores and their log sum exp. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "core/pool.h"
#include "kernels/gemm.h"
#include "model/attention.h"

/* Scores that one block holds: 256 KB. */
#define BLOCK_SCORES (1 << 16)

static int64_t scores_size(int64_t longest)
{
    return longest > BLOCK_SCORES ? longest : BLOCK_SCORES;
}

/* Not for single queries, as it packs all keys and values. */
bool bs_attention_in_bf16(const bs_pass *p, int64_t layer)
{
    return p->options.precision != BS_FLOAT32 && p->model->kernels->bf16_product != NULL &&
           !bs_layer_is_narrow(&p->model->config, layer);
}

bs_head bs_head_of(const bs_pass *p, int64_t layer, int64_t task)
{
    const bs_config *c = &p->model->config;
    const bs_layer_state *y = &p->layers[layer];
    const bool narrow = bs_layer_is_narrow(c, layer);
    bs_head h = {.p = p, .y = y};
    h.s = task / c->num_heads;
    h.head = task % c->num_heads;
    h.D = c->hidden_size / c->num_heads;
    h.keys = bs_batch_length(&p->batch, h.s);
    h.key_row = p->first_rows[h.s];
    h.queries = narrow ? 1 : h.keys;
    h.query_row = narrow ? h.s : h.key_row;
    if (bs_attention_in_bf16(p, layer)) {
        h.ld16 = y->qkv.ld;
        h.q16 = y->qkv.data + h.key_row * h.ld16 + 2 * h.head * h.D;
        h.k16 = h.q16 + 2 * c->hidden_size;
        h.v16 = h.k16 + 2 * c->hidden_size;
    } else {
        h.q = y->q + h.query_row * y->ld_q + h.head * h.D;
        h.k = y->k + h.key_row * y->ld_kv + h.head * h.D;
        h.v = y->v + h.key_row * y->ld_kv + h.head * h.D;
    }
    h.lse = y->lse + h.query_row * c->num_heads + h.head * h.queries;
    h.scale = 1.0f / sqrtf((float)h.D);
    h.drops = bs_pass_drops(p, layer) && c->attention_dropout > 0.0f;
    h.dropout = (bs_dropout_row){
        .key = p->sequence_keys[h.s],
        .site = (uint32_t)(layer + 1) << 8 | BS_SITE_ATTENTION,
        .head = (uint32_t)h.head,
        .threshold = bs_dropout_threshold(c->attention_dropout),
    };
    return h;
}

const float *bs_head_mask(bs_head *h, float *mask, int64_t i)
{
    if (!h->drops)
        return NULL;
    h->dropout.row = (uint32_t)i;
    h->p->model->kernels->dropout_mask(mask, &h->dropout, h->keys);
    return mask;
}

/* Queries at a time. */
static int64_t block_of(const bs_head *h)
{
    const int64_t block = BLOCK_SCORES / h->keys;
    return block < 1 ? 1 : block < h->queries ? block : h->queries;
}

static void block_scores(const bs_head *h, float *s, int64_t row, int64_t rows)
{
    bs_gemm_small(false, true, rows, h->keys, h->D, h->scale, h->q + row * h->y->ld_q, h->y->ld_q,
                  h->k, h->y->ld_kv, 0.0f, s, h->keys);
}

/* S = scale Q K^T;  P = dropout(softmax(S));  context = P V */
static void forward_head(void *job_, int64_t task, int worker)
{
    const bs_attention_job *job = job_;
    const bs_pass *p = job->p;
    bs_head h = bs_head_of(p, job->layer, task);
    const int64_t H = p->model->config.hidden_size;
    float *s = bs_pass_scratch(p, worker), *mask = s + 2 * scores_size(p->longest);
    const int64_t block = block_of(&h);
    for (int64_t row = 0; row < h.queries; row += block) {
        const int64_t rows = h.queries - row < block ? h.queries - row : block;
        block_scores(&h, s, row, rows);
        for (int64_t i = 0; i < rows; i++)
            h.lse[row + i] = p->model->kernels->softmax_row(s + i * h.keys,
                                                          bs_head_mask(&h, mask, row + i), h.keys);
        bs_gemm_small(false, false, rows, h.D, h.keys, 1.0f, s, h.keys, h.v, h.y->ld_kv, 0.0f,
                      h.y->context + (h.query_row + row) * H + h.head * h.D, H);
    }
}

/* As with bfloat16, not for single queries. */
static bool is_packed(const bs_pass *p, int64_t layer)
{
    return p->model->kernels->fp32_product != NULL && !bs_attention_in_bf16(p, layer) &&
           !bs_layer_is_narrow(&p->model->config, layer);
}

int64_t bs_attention_scratch(const bs_pass *p)
{
    const int64_t D = p->model->config.hidden_size / p->model->config.num_heads;
    const int64_t wanted = bs_attention_wanted_scratch(&p->model->config, p->longest);
    const bs_kernels *k = p->model->kernels;
    int64_t most = 2 * scores_size(p->longest) + (p->longest + 15) / 16 * 16;
    most = most > wanted ? most : wanted;
    /* A shorter sequence may need more: its blocks have more queries. */
    for (int64_t keys = k->columns; keys < p->longest + k->columns; keys += k->columns) {
        const int64_t n = keys < p->longest ? keys : p->longest;
        const int64_t some = bs_attention_in_bf16(p, 0)
                                 ? bs_attention_bf16_scratch(k, n, D, p->keep)
                             : is_packed(p, 0) ? bs_attention_packed_scratch(k, n, D, p->keep)
                                               : 0;
        most = some > most ? some : most;
    }
    return most;
}

void bs_attention_forward(bs_pass *p, int64_t layer)
{
    bs_attention_job job = {.p = p, .layer = layer};
    if (bs_attention_of_input(p, layer)) {
        bs_pool_run(p->n_threads, p->batch.n_sequences, bs_attention_wanted_forward, &job);
        return;
    }
    bs_pool_run(p->n_threads, p->batch.n_sequences * p->model->config.num_heads,
                bs_attention_in_bf16(p, layer) ? bs_attention_bf16_forward
                : is_packed(p, layer)          ? bs_attention_packed_forward
                                               : forward_head,
                &job);
}

/* dP = d_context V^T;  dS = scale P (dP mask - sum(P dP mask))
 * dV = (P mask)^T d_context;  dQ = dS K;  dK = dS^T Q */
static void backward_head(void *job_, int64_t task, int worker)
{
    const bs_attention_job *job = job_;
    const bs_pass *p = job->p;
    bs_head h = bs_head_of(p, job->layer, task);
    const int64_t H = p->model->config.hidden_size, at = h.head * h.D;
    float *s = bs_pass_scratch(p, worker), *d = s + scores_size(p->longest);
    float *mask = d + scores_size(p->longest);
    const int64_t block = block_of(&h);
    float *d_k = job->d_k + h.key_row * job->ld_dkv + at;
    float *d_v = job->d_v + h.key_row * job->ld_dkv + at;
    for (int64_t row = 0; row < h.queries; row += block) {
        const int64_t rows = h.queries - row < block ? h.queries - row : block;
        const float *d_context = job->d_context + (h.query_row + row) * H + at;
        const float *q = h.q + row * h.y->ld_q;
        const float earlier = row > 0 ? 1.0f : 0.0f; /* what earlier blocks have added */
        block_scores(&h, s, row, rows);
        bs_gemm_small(false, true, rows, h.keys, h.D, 1.0f, d_context, H, h.v, h.y->ld_kv, 0.0f, d,
                      h.keys);
        for (int64_t i = 0; i < rows; i++)
            p->model->kernels->softmax_backward_row(s + i * h.keys, d + i * h.keys,
                                                    bs_head_mask(&h, mask, row + i), h.lse[row + i],
                                                    h.scale, h.keys);
        bs_gemm_small(true, false, h.keys, h.D, rows, 1.0f, s, h.keys, d_context, H, earlier, d_v,
                      job->ld_dkv);
        bs_gemm_small(false, false, rows, h.D, h.keys, 1.0f, d, h.keys, h.k, h.y->ld_kv, 0.0f,
                      job->d_q + (h.query_row + row) * job->ld_dq + at, job->ld_dq);
        bs_gemm_small(true, false, h.keys, h.D, rows, 1.0f, d, h.keys, q, h.y->ld_q, earlier, d_k,
                      job->ld_dkv);
    }
}

void bs_attention_backward(bs_pass *p, int64_t layer, const float *d_context, float *d_q,
                           int64_t ld_dq, float *d_k, float *d_v, int64_t ld_dkv)
{
    bs_attention_job job = {p, layer, d_context, d_q, d_k, d_v, ld_dq, ld_dkv};
    bs_pool_run(p->n_threads, p->batch.n_sequences * p->model->config.num_heads,
                bs_attention_in_bf16(p, layer) ? bs_attention_bf16_backward
                : is_packed(p, layer)          ? bs_attention_packed_backward
                                               : backward_head,
                &job);
}
