/* Attention with one query per sequence, over the layer's input instead of keys and values.
 *
 * The score of q and the key W_k x_j + b_k is (W_k^T q) x_j + q b_k. The sum of the values
 * W_v x_j + b_v, weighted by probabilities p_j, is W_v (sum_j p_j x_j) + b_v. So two products over
 * the tokens, with one row per head, replace the product that computes a key and a value of every
 * token. Everything is fp32.
 *
 * Scoring in int8 does not use this. A model that was saved in int8 has only its quantised weights,
 * so products with fp32 weights would differ after saving. */
#include "model/attention_wanted.h"

#include <math.h>

#include "kernels/gemm.h"
#include "model/attention_head.h"
#include "model/relative.h"

bool bs_attention_of_input(const bs_pass *p, int64_t layer)
{
    return bs_layer_is_narrow(&p->model->config, layer) && !p->keep && !p->options.training &&
           p->options.precision != BS_INT8;
}

int64_t bs_attention_wanted_scratch(const bs_config *c, int64_t longest)
{
    return c->num_heads * (c->hidden_size + longest);
}

void bs_attention_wanted_forward(void *job_, int64_t s, int worker)
{
    const bs_attention_job *job = job_;
    const bs_pass *p = job->p;
    const bs_config *c = &p->model->config;
    const bs_kernels *k = p->model->kernels;
    const bs_layer_offsets *o = &p->model->table.layers[job->layer];
    const bs_layer_state *y = &p->layers[job->layer];
    const int64_t H = c->hidden_size, A = c->num_heads, D = H / A;
    const int64_t L = bs_batch_length(&p->batch, s);
    const float *key = p->model->parameters + o->qkv_weight + H * H, *value = key + H * H;
    const float *key_bias = p->model->parameters + o->qkv_bias + H, *value_bias = key_bias + H;
    const float *x = y->x + p->first_rows[s] * H, *q = y->q + s * H;
    float *context = y->context + s * H;
    float *rows = bs_pass_scratch(p, worker), *scores = rows + A * H; /* (A, H), (A, L) */
    const float scale = 1.0f / sqrtf((float)D);

    for (int64_t h = 0; h < A; h++) {
        bs_gemm_small(k, &(bs_small_product){.m = 1, .n = H, .k = D, .alpha = scale,
                                             .a = q + h * D, .lda = D, .b = key + h * D * H,
                                             .ldb = H, .c = rows + h * H, .ldc = H});
        /* Equal for all keys, so softmax cancels it, unless it is not finite. */
        float common = 0.0f;
        for (int64_t i = h * D; i < (h + 1) * D; i++)
            common += scale * q[i] * key_bias[i];
        for (int64_t j = 0; j < L; j++)
            scores[h * L + j] = common;
        if (p->relative != NULL)
            k->axpy(scores + h * L, bs_relative_row(p, h), 1.0f, L);
    }
    bs_gemm_small(k, &(bs_small_product){.trans_b = true, .m = A, .n = L, .k = H, .alpha = 1.0f,
                                         .beta = 1.0f, .a = rows, .lda = H, .b = x, .ldb = H,
                                         .c = scores, .ldc = L});
    for (int64_t h = 0; h < A; h++)
        k->softmax_row(scores + h * L, NULL, L);
    bs_gemm_small(k, &(bs_small_product){.m = A, .n = H, .k = L, .alpha = 1.0f, .a = scores,
                                         .lda = L, .b = x, .ldb = H, .c = rows, .ldc = H});
    for (int64_t h = 0; h < A; h++)
        bs_gemm_small(k, &(bs_small_product){.trans_b = true, .m = 1, .n = D, .k = H,
                                             .alpha = 1.0f, .a = rows + h * H, .lda = H,
                                             .b = value + h * D * H, .ldb = H,
                                             .c = context + h * D, .ldc = D});
    k->bias_add(context, value_bias, 1, H, H);
}
