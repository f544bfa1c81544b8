/* Multi-head self-attention, one task per (sequence, head).
 *
 * A block of queries is processed with all keys of its sequence at once. Its scores fit into the
 * second-level cache, so nothing of size (length, length) is ever stored. The backward pass
 * recomputes the probabilities from the scores and their log-sum-exp. */
#include "model/attention.h"

#include <stddef.h>

#include "core/pool.h"
#include "kernels/gemm.h"
#include "model/attention_bf16.h"
#include "model/attention_head.h"
#include "model/attention_packed.h"
#include "model/attention_wanted.h"
#include "model/relative.h"

/* The number of scores in one block: 256 KB. */
#define BLOCK_SCORES (1 << 16)

static int64_t scores_size(int64_t longest)
{
    return longest > BLOCK_SCORES ? longest : BLOCK_SCORES;
}

/* The number of queries in a block. */
static int64_t block_of(const bs_attention_head *h)
{
    const int64_t block = BLOCK_SCORES / h->keys;
    return block < 1 ? 1 : block < h->queries ? block : h->queries;
}

static void block_scores(const bs_kernels *k, const bs_attention_head *h, float *s, int64_t row,
                         int64_t rows)
{
    bs_gemm_small(k, &(bs_small_product){.trans_b = true, .m = rows, .n = h->keys, .k = h->D,
                                         .alpha = h->scale, .a = h->q + row * h->y->ld_q,
                                         .lda = h->y->ld_q, .b = h->k, .ldb = h->y->ld_kv, .c = s,
                                         .ldc = h->keys});
    for (int64_t i = 0; i < rows; i++)
        bs_attention_head_bias(h, s + i * h->keys, row + i, 1.0f);
}

/* S = scale Q K^T + biases by distance;  P = dropout(softmax(S));  context = P V */
static void forward_head(void *job_, int64_t task, int worker)
{
    const bs_attention_job *job = job_;
    const bs_pass *p = job->p;
    const bs_kernels *k = p->model->kernels;
    bs_attention_head h = bs_attention_head_of(p, job->layer, task);
    const int64_t H = p->model->config.hidden_size;
    float *s = bs_pass_scratch(p, worker), *mask = s + 2 * scores_size(p->longest);
    const int64_t block = block_of(&h);
    for (int64_t row = 0; row < h.queries; row += block) {
        const int64_t rows = h.queries - row < block ? h.queries - row : block;
        block_scores(k, &h, s, row, rows);
        for (int64_t i = 0; i < rows; i++)
            h.lse[row + i] = k->softmax_row(
                s + i * h.keys, bs_attention_head_mask(&h, mask, row + i), h.keys);
        bs_gemm_small(k, &(bs_small_product){
                             .m = rows, .n = h.D, .k = h.keys, .alpha = 1.0f, .a = s,
                             .lda = h.keys, .b = h.v, .ldb = h.y->ld_kv, .ldc = H,
                             .c = h.y->context + (h.query_row + row) * H + h.head * h.D});
    }
}

/* Not for single queries: packing all keys and values would take longer than it saves. */
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
    /* A shorter sequence may need more, because its blocks have more queries. */
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
    const bs_kernels *k = p->model->kernels;
    bs_attention_head h = bs_attention_head_of(p, job->layer, task);
    const int64_t H = p->model->config.hidden_size, at = h.head * h.D;
    float *s = bs_pass_scratch(p, worker), *d = s + scores_size(p->longest);
    float *mask = d + scores_size(p->longest);
    float *distances = bs_attention_head_distances(&h, worker);
    const int64_t block = block_of(&h);
    float *d_k = job->d_k + h.key_row * job->ld_dkv + at;
    float *d_v = job->d_v + h.key_row * job->ld_dkv + at;
    for (int64_t row = 0; row < h.queries; row += block) {
        const int64_t rows = h.queries - row < block ? h.queries - row : block;
        const float *d_context = job->d_context + (h.query_row + row) * H + at;
        const float *q = h.q + row * h.y->ld_q;
        const float earlier = row > 0 ? 1.0f : 0.0f; /* keeps what earlier blocks added */
        block_scores(k, &h, s, row, rows);
        bs_gemm_small(k, &(bs_small_product){.trans_b = true, .m = rows, .n = h.keys, .k = h.D,
                                             .alpha = 1.0f, .a = d_context, .lda = H, .b = h.v,
                                             .ldb = h.y->ld_kv, .c = d, .ldc = h.keys});
        for (int64_t i = 0; i < rows; i++) {
            k->softmax_backward_row(s + i * h.keys, d + i * h.keys,
                                    bs_attention_head_mask(&h, mask, row + i), h.lse[row + i],
                                    h.scale, h.keys);
            if (distances != NULL)
                k->axpy(distances + h.keys - 1 - (row + i), d + i * h.keys, 1.0f / h.scale,
                        h.keys);
        }
        bs_small_product for_keys = {.trans_a = true, .m = h.keys, .n = h.D, .k = rows,
                                     .alpha = 1.0f, .beta = earlier, .a = s, .lda = h.keys,
                                     .b = d_context, .ldb = H, .c = d_v, .ldc = job->ld_dkv};
        bs_gemm_small(k, &for_keys);
        bs_gemm_small(k, &(bs_small_product){
                             .m = rows, .n = h.D, .k = h.keys, .alpha = 1.0f, .a = d,
                             .lda = h.keys, .b = h.k, .ldb = h.y->ld_kv, .ldc = job->ld_dq,
                             .c = job->d_q + (h.query_row + row) * job->ld_dq + at});
        for_keys.a = d, for_keys.b = q, for_keys.ldb = h.y->ld_q, for_keys.c = d_k;
        bs_gemm_small(k, &for_keys);
    }
    if (distances != NULL)
        bs_relative_fold(job->p, h.s, h.head, distances, h.keys);
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
