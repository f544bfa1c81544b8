/* Attention of one query for each sequence, over the layer's input in place of keys and values.
 *
 * Its score with the key W_k x_j + b_k is (W_k^T q) x_j + q b_k; the sum of values W_v x_j + b_v by
 * probabilities is W_v (sum_j p_j x_j) + b_v. So two products over the tokens with as many rows as
 * there are heads take the place of one that makes a key and a value of every token. All in fp32.
 *
 * Not in int8, where weights that were quantised and saved are all there is. */
#include <math.h>

#include "kernels/gemm.h"
#include "model/attention.h"

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
        bs_gemm_small(false, false, 1, H, D, scale, q + h * D, D, key + h * D * H, H, 0.0f,
                      rows + h * H, H);
        /* The same for all keys, so that softmax does not see it, unless it is not finite. */
        float common = 0.0f;
        for (int64_t i = h * D; i < (h + 1) * D; i++)
            common += scale * q[i] * key_bias[i];
        for (int64_t j = 0; j < L; j++)
            scores[h * L + j] = common;
    }
    bs_gemm_small(false, true, A, L, H, 1.0f, rows, H, x, H, 1.0f, scores, L);
    for (int64_t h = 0; h < A; h++)
        k->softmax_row(scores + h * L, NULL, L);
    bs_gemm_small(false, false, A, H, L, 1.0f, scores, L, x, H, 0.0f, rows, H);
    for (int64_t h = 0; h < A; h++)
        bs_gemm_small(false, true, 1, D, H, 1.0f, rows + h * H, H, value + h * D * H, H, 0.0f,
                      context + h * D, D);
    k->bias_add(context, value_bias, 1, H, H);
}
