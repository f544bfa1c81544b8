#include "model/classifier_head.h"

#include <math.h>
#include <string.h>

#include "kernels/gemm.h"

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

/* Turns the gradient at the means (B, H) in p->d_a into that at the tokens (T, H), also there. */
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

/* The dropout mask of a sequence's row at one site, or NULL. */
static const float *mask_of(const bs_pass *p, int site, int64_t s)
{
    const bs_config *c = &p->model->config;
    return bs_pass_mask(p, bs_pass_scratch(p, 0), c->classifier_dropout, c->num_layers, site,
                        p->first_rows[s], c->hidden_size);
}

/* y (B, H) = dropout(x) */
static void drop(const bs_pass *p, float *y, const float *x, int site)
{
    const int64_t H = p->model->config.hidden_size;
    for (int64_t s = 0; s < p->batch.n_sequences; s++) {
        const float *mask = mask_of(p, site, s);
        if (mask != NULL)
            p->model->kernels->multiply(y + s * H, x + s * H, mask, H);
        else
            memcpy(y + s * H, x + s * H, (size_t)H * sizeof(float));
    }
}

/* d (B, H) *= mask */
static void drop_backward(const bs_pass *p, float *d, int site)
{
    const int64_t H = p->model->config.hidden_size;
    for (int64_t s = 0; s < p->batch.n_sequences; s++) {
        const float *mask = mask_of(p, site, s);
        if (mask != NULL)
            p->model->kernels->multiply(d + s * H, d + s * H, mask, H);
    }
}

/* The input of the dense layer or, without one, of the dropout before the output layer. */
static const float *dense_input(const bs_pass *p)
{
    return p->dense_in != NULL ? p->dense_in : p->encoded;
}

static void dense_forward(bs_pass *p, const bs_head_parts *head)
{
    const bs_parameter_table *o = &p->model->table;
    const float *w = p->model->parameters;
    const bs_kernels *k = p->model->kernels;
    const int64_t B = p->batch.n_sequences, H = p->model->config.hidden_size;
    float *sum = p->dense_sum != NULL ? p->dense_sum : p->dense;
    bs_gemm g = {.trans_b = true, .m = B, .n = H, .k = H, .alpha = 1.0f, .a = dense_input(p),
                 .lda = H, .b = w + o->dense_weight, .ldb = H, .c = sum, .ldc = H};
    bs_gemm_run(&p->gemm, &g, 1);
    if (head->dense == BS_DENSE_ACTIVATION) {
        k->bias_activation(p->dense, sum, w + o->dense_bias, B, H, H, head->activation);
        return;
    }
    k->bias_add(p->dense, w + o->dense_bias, B, H, H);
    for (int64_t i = 0; i < B * H; i++)
        p->dense[i] = tanhf(p->dense[i]);
}

/* Takes the gradient d (B, H) after the activation, which is overwritten. If layers below the head
 * are trained, leaves the gradient at the dense layer's input in p->d_a. */
static void dense_backward(bs_pass *p, const bs_head_parts *head, float *d, bool below,
                           float *gradients)
{
    const bs_parameter_table *o = &p->model->table;
    const float *w = p->model->parameters;
    const bs_kernels *k = p->model->kernels;
    const int64_t B = p->batch.n_sequences, H = p->model->config.hidden_size;
    if (head->dense == BS_DENSE_ACTIVATION)
        k->activation_backward(p->dense, d, p->dense_sum, B, H, H, head->activation);
    else
        for (int64_t i = 0; i < B * H; i++)
            d[i] *= 1.0f - p->dense[i] * p->dense[i];
    bs_gemm group[2] = {
        {.trans_a = true, .m = H, .n = H, .k = B, .alpha = 1.0f, .a = d, .lda = H,
         .b = dense_input(p), .ldb = H, .beta = 1.0f,
         .c = bs_gradient_at(gradients, o->dense_weight), .ldc = H},
        {.m = B, .n = H, .k = H, .alpha = 1.0f, .a = d, .lda = H, .b = w + o->dense_weight,
         .ldb = H, .c = p->d_a, .ldc = H},
    };
    if (p->options.to_words) {
        bs_gemm_run(&p->gemm, group + 1, 1);
        return;
    }
    k->column_sum(gradients + o->dense_bias, d, B, H, H);
    bs_gemm_run(&p->gemm, group, below ? 2 : 1);
}

void bs_classifier_head_forward(bs_pass *p)
{
    const bs_config *c = &p->model->config;
    const bs_head_parts *head = &bs_heads[c->head];
    const bs_parameter_table *o = &p->model->table;
    const float *w = p->model->parameters;
    const int64_t B = p->batch.n_sequences, H = c->hidden_size, C = c->num_labels;
    bs_means_forward(p);
    if (bs_returns_vectors(c)) {
        memcpy(p->logits, p->encoded, (size_t)(B * H) * sizeof(float));
        return;
    }
    if (head->drops_input)
        drop(p, p->dense_in, p->encoded, BS_SITE_HEAD_DENSE);
    if (head->dense != BS_NO_DENSE)
        dense_forward(p, head);
    drop(p, p->output_in, p->dense != NULL ? p->dense : dense_input(p), BS_SITE_HEAD_OUTPUT);
    const bs_small_product logits = {.trans_b = true, .m = B, .n = C, .k = H, .alpha = 1.0f,
                                     .a = p->output_in, .lda = H, .b = w + o->output_weight,
                                     .ldb = H, .c = p->logits, .ldc = C};
    bs_gemm_small(p->model->kernels, &logits);
    p->model->kernels->bias_add(p->logits, w + o->output_bias, B, C, C);
}

/* Leaves the gradient at the tokens in p->d_a, given that at the vectors (B, H). */
static void vectors_backward(bs_pass *p, const float *d_vectors)
{
    const int64_t B = p->batch.n_sequences, H = p->model->config.hidden_size;
    memcpy(p->d_a, d_vectors, (size_t)(B * H) * sizeof(float));
    if (p->means != NULL)
        mean_backward(p);
}

void bs_classifier_head_backward(bs_pass *p, const float *d_logits, float *gradients)
{
    const bs_config *c = &p->model->config;
    if (bs_returns_vectors(c)) {
        vectors_backward(p, d_logits);
        return;
    }
    const bs_head_parts *head = &bs_heads[c->head];
    const bs_parameter_table *o = &p->model->table;
    const float *w = p->model->parameters;
    const int64_t B = p->batch.n_sequences, H = c->hidden_size, C = c->num_labels;
    const bool below = p->options.freeze < c->num_layers;
    float *d = head->dense != BS_NO_DENSE ? p->d_b : p->d_a;
    const bs_small_product for_weight = {.trans_a = true, .m = C, .n = H, .k = B, .alpha = 1.0f,
                                         .beta = 1.0f, .a = d_logits, .lda = C,
                                         .b = p->output_in, .ldb = H,
                                         .c = bs_gradient_at(gradients, o->output_weight),
                                         .ldc = H};
    const bs_small_product for_input = {.m = B, .n = H, .k = C, .alpha = 1.0f, .a = d_logits,
                                        .lda = C, .b = w + o->output_weight, .ldb = H, .c = d,
                                        .ldc = H};
    if (!p->options.to_words) {
        bs_gemm_small(p->model->kernels, &for_weight);
        p->model->kernels->column_sum(gradients + o->output_bias, d_logits, B, C, C);
    }
    bs_gemm_small(p->model->kernels, &for_input);
    drop_backward(p, d, BS_SITE_HEAD_OUTPUT);
    if (head->dense != BS_NO_DENSE)
        dense_backward(p, head, d, below, gradients);
    if (below && head->drops_input)
        drop_backward(p, p->d_a, BS_SITE_HEAD_DENSE);
    if (below && p->means != NULL)
        mean_backward(p);
}
