/* Pooler, dropout and classifier: logits = dropout(tanh(h Wp^T + bp)) Wc^T + bc, where h is the
 * last layer's output for [CLS], or the mean of that for all tokens. */
#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "model/pass.h"

void bs_means_forward(bs_pass *p)
{
    const int64_t H = p->model->config.hidden_size;
    for (int64_t s = 0; p->means != NULL && s < p->batch.n_sequences; s++) {
        const int64_t n = bs_batch_length(&p->batch, s);
        const float *x = p->tokens + p->first_rows[s] * H;
        float *mean = p->means + s * H;
        memset(mean, 0, (size_t)H * sizeof *mean);
        for (int64_t t = 0; t < n; t++)
            p->model->kernels->axpy(mean, x + t * H, 1.0f / (float)n, H);
    }
}

/* Spreads the gradient at the means (B, H) in p->d_a over their tokens (T, H), left there too. */
static void mean_backward(bs_pass *p)
{
    const int64_t H = p->model->config.hidden_size;
    float *d = p->d_c;
    memset(d, 0, (size_t)(p->batch.n_tokens * H) * sizeof *d);
    for (int64_t s = 0; s < p->batch.n_sequences; s++) {
        const int64_t n = bs_batch_length(&p->batch, s);
        for (int64_t t = p->first_rows[s]; t < p->first_rows[s] + n; t++)
            p->model->kernels->axpy(d + t * H, p->d_a + s * H, 1.0f / (float)n, H);
    }
    p->d_c = p->d_a;
    p->d_a = d;
}

void bs_head_forward(bs_pass *p)
{
    const bs_config *c = &p->model->config;
    const bs_parameter_table *o = &p->model->table;
    const float *w = p->model->parameters;
    const bs_kernels *k = p->model->kernels;
    const int64_t B = p->batch.n_sequences, H = c->hidden_size, C = c->num_labels;
    bs_means_forward(p);
    bs_gemm g = {.trans_b = true, .m = B, .n = H, .k = H, .alpha = 1.0f, .a = p->encoded,
                 .lda = H, .b = w + o->pooler_weight, .ldb = H, .c = p->pooled, .ldc = H};
    bs_gemm_run(&p->gemm, &g, 1);
    k->bias_add(p->pooled, w + o->pooler_bias, B, H, H);
    for (int64_t i = 0; i < B * H; i++)
        p->pooled[i] = tanhf(p->pooled[i]);
    for (int64_t s = 0; s < B; s++) {
        const float *mask = bs_pass_mask(p, bs_pass_scratch(p, 0), c->classifier_dropout,
                                         c->num_layers, BS_SITE_POOLED, p->first_rows[s], H);
        if (mask != NULL)
            k->multiply(p->dropped + s * H, p->pooled + s * H, mask, H);
        else
            memcpy(p->dropped + s * H, p->pooled + s * H, (size_t)H * sizeof(float));
    }
    bs_gemm_small(false, true, B, C, H, 1.0f, p->dropped, H, w + o->classifier_weight, H, 0.0f,
                  p->logits, C);
    k->bias_add(p->logits, w + o->classifier_bias, B, C, C);
}

void bs_head_backward(bs_pass *p, const float *d_logits, float *gradients)
{
    const bs_config *c = &p->model->config;
    const bs_parameter_table *o = &p->model->table;
    const float *w = p->model->parameters;
    const bs_kernels *k = p->model->kernels;
    const int64_t B = p->batch.n_sequences, H = c->hidden_size, C = c->num_labels;
    float *d_pooled = p->d_b;
    bs_gemm_small(true, false, C, H, B, 1.0f, d_logits, C, p->dropped, H, 1.0f,
                  gradients + o->classifier_weight, H);
    k->column_sum(gradients + o->classifier_bias, d_logits, B, C, C);

    bs_gemm_small(false, false, B, H, C, 1.0f, d_logits, C, w + o->classifier_weight, H, 0.0f,
                  d_pooled, H);
    for (int64_t s = 0; s < B; s++) {
        float *d = d_pooled + s * H;
        const float *y = p->pooled + s * H;
        const float *mask = bs_pass_mask(p, bs_pass_scratch(p, 0), c->classifier_dropout,
                                         c->num_layers, BS_SITE_POOLED, p->first_rows[s], H);
        if (mask != NULL)
            k->multiply(d, d, mask, H);
        for (int64_t j = 0; j < H; j++)
            d[j] *= 1.0f - y[j] * y[j];
    }
    k->column_sum(gradients + o->pooler_bias, d_pooled, B, H, H);
    bs_gemm group[2] = {
        {.trans_a = true, .m = H, .n = H, .k = B, .alpha = 1.0f, .a = d_pooled, .lda = H,
         .b = p->encoded, .ldb = H, .beta = 1.0f, .c = gradients + o->pooler_weight, .ldc = H},
        {.m = B, .n = H, .k = H, .alpha = 1.0f, .a = d_pooled, .lda = H,
         .b = w + o->pooler_weight, .ldb = H, .c = p->d_a, .ldc = H},
    };
    const bool below = p->options.freeze < c->num_layers;
    bs_gemm_run(&p->gemm, group, below ? 2 : 1);
    if (below && p->means != NULL)
        mean_backward(p);
}
