/* One encoder layer, forward and backward.
 *
 *   q, k, v = x Wqkv^T + b;  context = attention(q, k, v)
 *   hidden  = LayerNorm(x + dropout(context Wo^T + b))
 *   up      = hidden W1^T + b
 *   out     = LayerNorm(hidden + dropout(act(up) W2^T + b))
 *
 * The last layer computes its queries and everything after them only for the wanted rows, unless
 * the head reads all rows. */
#include "model/encoder.h"

#include <string.h>

#include "core/pool.h"
#include "kernels/gemm.h"
#include "model/attention.h"
#include "model/attention_head.h"
#include "model/attention_wanted.h"
#include "model/relative.h"

static int64_t rows_of(const bs_pass *p, int64_t layer)
{
    return bs_layer_is_narrow(&p->model->config, layer) ? p->batch.n_sequences
                                                        : p->batch.n_tokens;
}

/* The token of the batch that a row of the layer's output belongs to. */
static int64_t token_of(const bs_pass *p, int64_t layer, int64_t row)
{
    return bs_layer_is_narrow(&p->model->config, layer) ? p->first_rows[row] : row;
}

/* The packed weight of a linear layer, or NULL if the BLAS takes it unpacked. */
static const bs_packed *packed(const bs_pass *p, int64_t layer, bs_linear linear, bool backward)
{
    if (p->options.precision == BS_FLOAT32 && p->model->kernels->fp32_product == NULL)
        return NULL;
    const bs_layer_weights *w = &p->model->packed[p->options.precision].layers[layer];
    return backward ? &w->backward[linear] : &w->forward[linear];
}

/* y (rows, n) = x (rows, k) w (n, k)^T */
static bs_gemm product(const bs_pass *p, int64_t layer, bs_linear linear, float *y, int64_t ld_y,
                       const float *x, int64_t ld_x, int64_t rows)
{
    const bs_linear_shape s =
        bs_linear_shape_of(&p->model->table, &p->model->config, layer, linear);
    return (bs_gemm){.trans_b = true, .m = rows, .n = s.n, .k = s.k, .alpha = 1.0f, .a = x,
                     .lda = ld_x, .b = p->model->parameters + s.offset, .ldb = s.k, .c = y,
                     .ldc = ld_y, .precision = p->options.precision,
                     .packed = packed(p, layer, linear, false)};
}

/* d_x (rows, k) = d_y (rows, n) w (n, k) + beta d_x */
static bs_gemm input_gradient(const bs_pass *p, int64_t layer, bs_linear linear, float *d_x,
                              const float *d_y, int64_t ld_dy, int64_t rows, float beta)
{
    const bs_linear_shape s =
        bs_linear_shape_of(&p->model->table, &p->model->config, layer, linear);
    return (bs_gemm){.m = rows, .n = s.k, .k = s.n, .alpha = 1.0f, .a = d_y, .lda = ld_dy,
                     .b = p->model->parameters + s.offset, .ldb = s.k, .beta = beta, .c = d_x,
                     .ldc = s.k, .precision = p->options.precision,
                     .packed = packed(p, layer, linear, true)};
}

/* d_w (n, k) += d_y (rows, n)^T x (rows, k) */
static bs_gemm weight_gradient(const bs_pass *p, int64_t layer, bs_linear linear,
                               float *gradients, const float *d_y, int64_t ld_dy, const float *x,
                               int64_t rows)
{
    const bs_linear_shape s =
        bs_linear_shape_of(&p->model->table, &p->model->config, layer, linear);
    return (bs_gemm){.trans_a = true, .m = s.n, .n = s.k, .k = rows, .alpha = 1.0f, .a = d_y,
                     .lda = ld_dy, .b = x, .ldb = s.k, .beta = 1.0f,
                     .c = bs_gradient_at(gradients, s.offset), .ldc = s.k,
                     .precision = p->options.precision, .packs = true};
}

/* Runs products of the backward pass: gradients of weights, if they are wanted, then of inputs. */
static void run_backward(const bs_pass *p, bs_gemm *group, int weights, int inputs)
{
    if (p->options.to_words)
        bs_gemm_run(&p->gemm, group + weights, inputs);
    else
        bs_gemm_run(&p->gemm, group, weights + inputs);
}

typedef struct {
    const bs_kernels *kernels;
    float *out, *x; /* x (rows, ld) */
    const float *bias;
    int64_t rows, ld;
    bs_activation act;
    bool to_round; /* the result is the left operand of an int8 product */
} linear_epilogue;

static void add_bias(const void *arg, const float *c, int64_t ldc, int64_t row, int64_t rows,
                     int64_t col, int64_t cols)
{
    const linear_epilogue *a = arg;
    (void)c, (void)ldc;
    a->kernels->bias_add(a->x + row * a->ld + col, a->bias + col, rows, cols, a->ld);
}

static void add_bias_activate(const void *arg, const float *c, int64_t ldc, int64_t row,
                              int64_t rows, int64_t col, int64_t cols)
{
    const linear_epilogue *a = arg;
    const int64_t at = row * a->ld + col;
    (void)c, (void)ldc;
    (a->to_round ? a->kernels->bias_activation_to_round : a->kernels->bias_activation)(
        a->out + at, a->x + at, a->bias + col, rows, cols, a->ld, a->act);
}

/* x holds d_a before and d_up after; out receives act(up); bias is `up` itself. */
static void through_activation(const void *arg, const float *c, int64_t ldc, int64_t row,
                               int64_t rows, int64_t col, int64_t cols)
{
    const linear_epilogue *a = arg;
    const int64_t at = row * a->ld + col;
    (void)c, (void)ldc;
    a->kernels->activation_backward(a->out + at, a->x + at, a->bias + at, rows, cols, a->ld,
                                    a->act);
}

/* The rows of C are the columns of d_y, here x, whose sums are the gradient of the bias. The tile
 * at column 0 adds them. */
static void add_column_sums(const void *arg, const float *c, int64_t ldc, int64_t row,
                            int64_t rows, int64_t col, int64_t cols)
{
    const linear_epilogue *a = arg;
    (void)c, (void)ldc, (void)cols;
    if (col == 0)
        a->kernels->column_sum(a->out + row, a->x + row, a->rows, rows, a->ld);
}

/* ---- the two residual connections ---- */

typedef struct {
    bs_pass *p;
    int64_t layer, rows;
    int site;
    float dropout;
    float *sum, *out, *mean, *rstd; /* forward; sum holds the product at first */
    const float *residual, *bias, *gamma, *beta;
    float *d; /* backward: the gradient at out before, at sum after */
    float *d_product;
} residual_job;

static void residual_forward(void *job_, int64_t task, int worker)
{
    const residual_job *job = job_;
    const bs_pass *p = job->p;
    const bs_kernels *k = p->model->kernels;
    const bs_config *c = &p->model->config;
    const int64_t H = c->hidden_size;
    const int64_t end = (task + 1) * BS_ROW_BLOCK;
    float *scratch = bs_pass_scratch(p, worker);
    for (int64_t r = task * BS_ROW_BLOCK; r < end && r < job->rows; r++) {
        const float *mask = bs_pass_mask(p, scratch, job->dropout, job->layer, job->site,
                                         token_of(p, job->layer, r), H);
        float *sum = job->sum + r * H;
        k->residual_row(sum, sum, job->bias, mask, job->residual + r * H, H);
        k->layernorm_row(job->out + r * H, &job->mean[r], &job->rstd[r], sum, job->gamma,
                         job->beta, H, c->layer_norm_eps);
    }
}

/* Writes the sums for gamma, beta and the product's bias to the partials of the block. */
static void residual_backward(void *job_, int64_t task, int worker)
{
    const residual_job *job = job_;
    const bs_pass *p = job->p;
    const bs_kernels *k = p->model->kernels;
    const int64_t H = p->model->config.hidden_size;
    const int64_t end = (task + 1) * BS_ROW_BLOCK;
    float *scratch = bs_pass_scratch(p, worker), *partial = p->partials + task * 3 * H;
    memset(partial, 0, (size_t)(3 * H) * sizeof(float));
    for (int64_t r = task * BS_ROW_BLOCK; r < end && r < job->rows; r++) {
        float *d = job->d + r * H, *d_product = job->d_product + r * H;
        k->layernorm_backward_row(d, partial, partial + H, d, job->sum + r * H, job->gamma,
                                  job->mean[r], job->rstd[r], H);
        const float *mask = bs_pass_mask(p, scratch, job->dropout, job->layer, job->site,
                                         token_of(p, job->layer, r), H);
        if (mask != NULL)
            k->multiply(d_product, d, mask, H);
        else
            memcpy(d_product, d, (size_t)H * sizeof(float));
        k->axpy(partial + 2 * H, d_product, 1.0f, H);
    }
}

static void run_residual_backward(residual_job *job, float *d_gamma, float *d_beta, float *d_bias)
{
    const bs_pass *p = job->p;
    const bs_kernels *k = p->model->kernels;
    const int64_t H = p->model->config.hidden_size, blocks = bs_row_blocks(job->rows);
    bs_pool_run(p->n_threads, blocks, residual_backward, job);
    if (p->options.to_words)
        return;
    for (int64_t i = 0; i < blocks; i++) {
        const float *partial = p->partials + i * 3 * H;
        k->axpy(d_gamma, partial, 1.0f, H);
        k->axpy(d_beta, partial + H, 1.0f, H);
        k->axpy(d_bias, partial + 2 * H, 1.0f, H);
    }
}

/* The connection around attention or around the feed-forward part. */
static residual_job residual_of(bs_pass *p, int64_t layer, int site)
{
    const bs_layer_offsets *o = &p->model->table.layers[layer];
    const bs_layer_state *y = &p->layers[layer];
    const float *w = p->model->parameters;
    residual_job job = {.p = p, .layer = layer, .rows = rows_of(p, layer), .site = site};
    if (site == BS_SITE_PROJECTION) {
        job.dropout = p->model->config.attention_output_dropout;
        job.sum = y->sum1, job.out = y->hidden, job.mean = y->mean1, job.rstd = y->rstd1;
        job.residual = y->wanted, job.bias = w + o->attention_bias;
        job.gamma = w + o->attention_gamma, job.beta = w + o->attention_beta;
    } else {
        job.dropout = p->model->config.hidden_dropout;
        job.sum = y->sum2, job.out = y->out, job.mean = y->mean2, job.rstd = y->rstd2;
        job.residual = y->hidden, job.bias = w + o->down_bias;
        job.gamma = w + o->output_gamma, job.beta = w + o->output_beta;
    }
    return job;
}

/* ---- queries, keys and values ---- */

static void project_qkv(bs_pass *p, int64_t layer)
{
    const bs_layer_offsets *o = &p->model->table.layers[layer];
    bs_layer_state *y = &p->layers[layer];
    const float *bias = p->model->parameters + o->qkv_bias;
    const int64_t T = p->batch.n_tokens, R = rows_of(p, layer), H = p->model->config.hidden_size;
    const bs_kernels *kernels = p->model->kernels;
    if (y->wanted == y->x) {
        linear_epilogue all = {.kernels = kernels, .x = y->q, .bias = bias, .ld = 3 * H};
        const bs_result rounded = {.of = BS_OF_BIAS, .bf16 = true, .out = y->qkv.data,
                                   .ld = y->qkv.ld, .bias = bias};
        bs_gemm g = product(p, layer, LINEAR_QKV, y->q, 3 * H, y->x, H, T);
        if (bs_attention_in_bf16(p, layer))
            g.transient = true, g.into = &rounded;
        else
            g.epilogue = add_bias, g.epilogue_arg = &all;
        bs_gemm_run(&p->gemm, &g, 1);
        return;
    }
    for (int64_t r = 0; r < R; r++)
        memcpy(y->wanted + r * H, y->x + token_of(p, layer, r) * H, (size_t)H * sizeof(float));
    linear_epilogue for_q = {.kernels = kernels, .x = y->q, .bias = bias, .ld = H};
    linear_epilogue for_kv = {.kernels = kernels, .x = y->k, .bias = bias + H, .ld = 2 * H};
    bs_gemm group[2] = {product(p, layer, LINEAR_Q, y->q, H, y->wanted, H, R),
                        product(p, layer, LINEAR_KV, y->k, 2 * H, y->x, H, T)};
    group[0].epilogue = add_bias, group[0].epilogue_arg = &for_q;
    group[1].epilogue = add_bias, group[1].epilogue_arg = &for_kv;
    bs_gemm_run(&p->gemm, group, bs_attention_of_input(p, layer) ? 1 : 2);
}

/* The gradients of q, k and v, laid out as q, k and v are. */
typedef struct {
    float *q, *k, *v;
} qkv_gradient;

static qkv_gradient qkv_gradient_of(const bs_pass *p, int64_t layer)
{
    const bool narrow = bs_layer_is_narrow(&p->model->config, layer);
    const int64_t H = p->model->config.hidden_size;
    float *k = p->d_qkv + (narrow ? rows_of(p, layer) * H : H);
    return (qkv_gradient){p->d_qkv, k, k + H};
}

/* Adds what comes through q, k and v to the gradient of the residual in p->d_a (R, H). Leaves the
 * gradient at the layer's input in p->d_a (T, H). */
static void project_qkv_backward(bs_pass *p, int64_t layer, bool want_input, float *gradients)
{
    const bs_layer_offsets *o = &p->model->table.layers[layer];
    const bs_layer_state *y = &p->layers[layer];
    const bs_kernels *kernels = p->model->kernels;
    float *d_b = bs_gradient_at(gradients, o->qkv_bias);
    const int64_t T = p->batch.n_tokens, R = rows_of(p, layer), H = p->model->config.hidden_size;
    const qkv_gradient d = qkv_gradient_of(p, layer);
    if (y->wanted == y->x) {
        linear_epilogue sums = {.kernels = kernels, .out = d_b, .x = d.q, .rows = T, .ld = 3 * H};
        bs_gemm group[2] = {weight_gradient(p, layer, LINEAR_QKV, gradients, d.q, 3 * H, y->x, T),
                            input_gradient(p, layer, LINEAR_QKV, p->d_a, d.q, 3 * H, T, 1.0f)};
        group[0].epilogue = add_column_sums, group[0].epilogue_arg = &sums;
        run_backward(p, group, 1, want_input ? 1 : 0);
        return;
    }
    linear_epilogue q_sums = {.kernels = kernels, .out = d_b, .x = d.q, .rows = R, .ld = H};
    linear_epilogue kv_sums = {.kernels = kernels, .out = bs_gradient_at(d_b, H), .x = d.k, .rows = T,
                               .ld = 2 * H};
    bs_gemm group[4] = {
        weight_gradient(p, layer, LINEAR_KV, gradients, d.k, 2 * H, y->x, T),
        weight_gradient(p, layer, LINEAR_Q, gradients, d.q, H, y->wanted, R),
        input_gradient(p, layer, LINEAR_KV, p->d_b, d.k, 2 * H, T, 0.0f),
        input_gradient(p, layer, LINEAR_Q, p->d_a, d.q, H, R, 1.0f),
    };
    group[0].epilogue = add_column_sums, group[0].epilogue_arg = &kv_sums;
    group[1].epilogue = add_column_sums, group[1].epilogue_arg = &q_sums;
    run_backward(p, group, 2, want_input ? 2 : 0);
    if (!want_input)
        return;
    for (int64_t r = 0; r < R; r++)
        kernels->axpy(p->d_b + token_of(p, layer, r) * H, p->d_a + r * H, 1.0f, H);
    float *swap = p->d_a;
    p->d_a = p->d_b;
    p->d_b = swap;
}

/* ---- the layer ---- */

void bs_layer_forward(bs_pass *p, int64_t layer)
{
    const bs_config *c = &p->model->config;
    const bs_layer_offsets *o = &p->model->table.layers[layer];
    const float *w = p->model->parameters;
    bs_layer_state *y = &p->layers[layer];
    bs_stage_clock *clock = p->options.clock;
    const int64_t R = rows_of(p, layer), H = c->hidden_size, F = c->intermediate_size;

    project_qkv(p, layer);
    bs_stage_mark(clock, BS_STAGE_QKV);
    bs_attention_forward(p, layer);
    bs_stage_mark(clock, BS_STAGE_ATTENTION);

    bs_gemm g = product(p, layer, LINEAR_ATTENTION, y->sum1, H, y->context, H, R);
    bs_gemm_run(&p->gemm, &g, 1);
    bs_stage_mark(clock, BS_STAGE_ATTENTION_OUTPUT);
    residual_job job = residual_of(p, layer, BS_SITE_PROJECTION);
    bs_pool_run(p->n_threads, bs_row_blocks(R), residual_forward, &job);
    bs_stage_mark(clock, BS_STAGE_NORM1);

    linear_epilogue up = {.kernels = p->model->kernels, .out = p->activated, .x = y->up,
                          .bias = w + o->up_bias, .ld = F, .act = c->activation,
                          .to_round = p->options.precision == BS_INT8};
    bs_result into = {.of = BS_OF_ACTIVATION, .out = (char *)p->activated, .ld = 4 * F,
                      .bias = w + o->up_bias, .act = c->activation};
    g = product(p, layer, LINEAR_UP, y->up, F, y->hidden, H, R);
    g.epilogue = add_bias_activate, g.epilogue_arg = &up;
    if (p->options.precision == BS_INT8)
        g.into = &into;
    if (p->activated16.data != NULL) {
        into.bf16 = true, into.out = p->activated16.data, into.ld = p->activated16.ld;
        into.u = layer < p->keep_from ? NULL : y->up, into.ld_u = F;
        g.transient = true, g.into = &into, g.epilogue = NULL;
    }
    bs_gemm_run(&p->gemm, &g, 1);
    bs_stage_mark(clock, BS_STAGE_UP);

    g = product(p, layer, LINEAR_DOWN, y->sum2, H, p->activated, F, R);
    g.ready = p->activated16;
    bs_gemm_run(&p->gemm, &g, 1);
    bs_stage_mark(clock, BS_STAGE_DOWN);
    job = residual_of(p, layer, BS_SITE_OUTPUT);
    bs_pool_run(p->n_threads, bs_row_blocks(R), residual_forward, &job);
    bs_stage_mark(clock, BS_STAGE_NORM2);
}

void bs_layer_backward(bs_pass *p, int64_t layer, bool want_input, float *gradients)
{
    const bs_config *c = &p->model->config;
    const bs_layer_offsets *o = &p->model->table.layers[layer];
    const bs_layer_state *y = &p->layers[layer];
    const int64_t R = rows_of(p, layer), H = c->hidden_size, F = c->intermediate_size;
    const qkv_gradient d = qkv_gradient_of(p, layer);
    bs_stage_clock *clock = p->options.clock;

    /* through the second LayerNorm: d_a = d_sum2, d_b = d (act W2^T) */
    residual_job job = residual_of(p, layer, BS_SITE_OUTPUT);
    job.d = p->d_a, job.d_product = p->d_b;
    run_residual_backward(&job, bs_gradient_at(gradients, o->output_gamma),
                          bs_gradient_at(gradients, o->output_beta),
                          bs_gradient_at(gradients, o->down_bias));
    bs_stage_mark(clock, BS_STAGE_NORM2_BACKWARD);

    /* d_up = (d_b W2) act'(up), and act(up) again */
    linear_epilogue through = {.kernels = p->model->kernels, .out = p->activated, .x = p->d_up,
                               .bias = y->up, .ld = F, .act = c->activation};
    bs_gemm g = input_gradient(p, layer, LINEAR_DOWN, p->d_up, p->d_b, H, R, 0.0f);
    g.epilogue = through_activation, g.epilogue_arg = &through;
    bs_gemm_run(&p->gemm, &g, 1);
    bs_stage_mark(clock, BS_STAGE_DOWN_BACKWARD);

    /* d_a = d_hidden = d_sum2 + d_up W1 */
    linear_epilogue sums = {.kernels = p->model->kernels,
                            .out = bs_gradient_at(gradients, o->up_bias), .x = p->d_up, .rows = R,
                            .ld = F};
    bs_gemm group[3] = {
        weight_gradient(p, layer, LINEAR_DOWN, gradients, p->d_b, H, p->activated, R),
        weight_gradient(p, layer, LINEAR_UP, gradients, p->d_up, F, y->hidden, R),
        input_gradient(p, layer, LINEAR_UP, p->d_a, p->d_up, F, R, 1.0f),
    };
    group[1].epilogue = add_column_sums, group[1].epilogue_arg = &sums;
    run_backward(p, group, 2, 1);
    bs_stage_mark(clock, BS_STAGE_UP_BACKWARD);

    /* through the first LayerNorm: d_a = d_sum1, d_b = d (context Wo^T) */
    job = residual_of(p, layer, BS_SITE_PROJECTION);
    job.d = p->d_a, job.d_product = p->d_b;
    run_residual_backward(&job, bs_gradient_at(gradients, o->attention_gamma),
                          bs_gradient_at(gradients, o->attention_beta),
                          bs_gradient_at(gradients, o->attention_bias));
    bs_stage_mark(clock, BS_STAGE_NORM1_BACKWARD);

    /* d_c = d_context */
    group[0] = weight_gradient(p, layer, LINEAR_ATTENTION, gradients, p->d_b, H, y->context, R);
    group[1] = input_gradient(p, layer, LINEAR_ATTENTION, p->d_c, p->d_b, H, R, 0.0f);
    run_backward(p, group, 1, 1);
    bs_stage_mark(clock, BS_STAGE_ATTENTION_OUTPUT_BACKWARD);

    bs_attention_backward(p, layer, p->d_c, d.q, y->ld_q, d.k, d.v, y->ld_kv);
    bs_relative_backward(p, gradients);
    bs_stage_mark(clock, BS_STAGE_ATTENTION_BACKWARD);
    project_qkv_backward(p, layer, want_input, gradients);
    bs_stage_mark(clock, BS_STAGE_QKV_BACKWARD);
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t bs_layer_scratch(const bs_pass *p)
{
    const int64_t T = p->batch.n_tokens, H = p->model->config.hidden_size;
    const int64_t F = p->model->config.intermediate_size;
    const bs_precision precision = p->options.precision;
    /* For the largest number of rows. If queries are split from keys and values in the last layer,
     * that counts as one product for all tokens and one for the wanted rows. */
    const bs_kernels *k = p->model->kernels;
    const bs_packed held = {0};
    const bs_gemm narrow = {.m = T, .n = 3 * H, .k = H, .precision = precision, .packed = &held};
    const bs_gemm down = {.m = T, .n = H, .k = F, .precision = precision, .packed = &held};
    size_t size = most(2 * bs_gemm_scratch(k, &narrow), bs_gemm_scratch(k, &down));
    if (!p->keep)
        return size;
    const bs_gemm back_qkv = {.m = T, .n = H, .k = 3 * H, .precision = precision, .packed = &held};
    const bs_gemm for_qkv = {.trans_a = true, .m = 3 * H, .n = H, .k = T, .precision = precision,
                             .packs = true};
    const bs_gemm for_up = {.trans_a = true, .m = F, .n = H, .k = T, .precision = precision,
                            .packs = true};
    const bs_gemm for_down = {.trans_a = true, .m = H, .n = F, .k = T, .precision = precision,
                              .packs = true};
    size = most(size, 2 * (bs_gemm_scratch(k, &back_qkv) + bs_gemm_scratch(k, &for_qkv)));
    return most(size, bs_gemm_scratch(k, &down) + bs_gemm_scratch(k, &for_up) +
                          bs_gemm_scratch(k, &for_down));
}
