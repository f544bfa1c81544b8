#include "model/pass.h"

#include <string.h>

#include "core/philox.h"
#include "core/pool.h"
#include "model/attention.h"
#include "model/attention_head.h"
#include "model/classifier_head.h"
#include "model/embeddings.h"
#include "model/encoder.h"
#include "model/relative.h"
#include "model/stored.h"

/* A bfloat16 operand, with the rows and elements that products read beyond its end. */
static bs_bf16_matrix take_bf16_matrix(bs_arena *a, int64_t rows, int64_t n)
{
    bs_bf16_matrix matrix = {.ld = bs_left_ld(bs_packed_groups(BS_BFLOAT16_ELEMENTS, n))};
    const int64_t size = matrix.ld * bs_round_up(rows, BS_PACKED_ROWS);
    matrix.data = bs_arena_take(a, (size_t)size, 1);
    if (matrix.data != NULL && bs_packed_groups(BS_BFLOAT16_ELEMENTS, n) * 2 != n)
        memset(matrix.data, 0, (size_t)size); /* the zeros after each row stay */
    return matrix;
}

static void lay_out_layer(bs_pass *p, bs_layer_state *y, bool kept, bool narrow, bool bf16,
                          const bs_layer_state *shared, const float *x, float *out)
{
    bs_arena *a = p->arena;
    const bs_config *c = &p->model->config;
    const int64_t T = p->batch.n_tokens, H = c->hidden_size, F = c->intermediate_size;
    const int64_t R = narrow ? p->batch.n_sequences : T;
    if (kept) {
        *y = (bs_layer_state){0};
        if (bf16)
            y->qkv = take_bf16_matrix(a, T, 3 * H);
        else
            y->q = bs_arena_floats(a, narrow ? R * H + T * 2 * H : T * 3 * H);
        y->lse = bs_arena_floats(a, c->num_heads * R);
        y->context = bs_arena_floats(a, R * H);
        y->sum1 = bs_arena_floats(a, R * H);
        y->hidden = bs_arena_floats(a, R * H);
        y->up = bs_arena_floats(a, R * F);
        y->sum2 = bs_arena_floats(a, R * H);
        y->out = bs_arena_floats(a, R * H);
        y->mean1 = bs_arena_floats(a, 4 * R);
        y->wanted = narrow ? bs_arena_floats(a, R * H) : NULL;
    } else {
        *y = *shared;
        y->sum2 = y->out = out;
    }
    y->x = x;
    if (y->q != NULL) { /* NULL while counting, or if qkv replaces it */
        y->k = narrow ? y->q + R * H : y->q + H;
        y->v = y->k + H;
    }
    if (y->mean1 != NULL) {
        y->rstd1 = y->mean1 + R;
        y->mean2 = y->mean1 + 2 * R;
        y->rstd2 = y->mean1 + 3 * R;
    }
    y->ld_q = narrow ? H : 3 * H;
    y->ld_kv = narrow ? 2 * H : 3 * H;
    if (!narrow)
        y->wanted = (float *)x; /* never written, see bs_layer_state */
}

/* Takes every buffer from p->arena, in an order that depends only on the sizes. */
static void lay_out(bs_pass *p)
{
    bs_arena *a = p->arena;
    const bs_config *c = &p->model->config;
    const int64_t B = p->batch.n_sequences, L = c->num_layers;
    const int64_t T = p->first < L ? p->batch.n_tokens : B; /* rows that are computed */
    const int64_t H = c->hidden_size, F = c->intermediate_size, E = c->embedding_size;
    const int64_t wide = H > E ? H : E;
    const bool projects = bs_projects_embeddings(c);
    const bool keep_embedding = p->keep && p->options.freeze == 0;

    p->layers = bs_arena_take(a, (size_t)L, sizeof *p->layers);
    p->sequence_keys = bs_arena_take(a, (size_t)B, sizeof *p->sequence_keys);
    p->sequence_of = bs_arena_take(a, (size_t)p->batch.n_tokens, sizeof *p->sequence_of);
    p->first_rows = bs_arena_take(a, (size_t)B, sizeof *p->first_rows);
    const int64_t attention = bs_attention_scratch(p);
    p->worker_floats = attention > wide ? attention : wide;
    if (p->options.precision != BS_FLOAT32 && p->worker_floats < BS_GEMM_TILE)
        p->worker_floats = BS_GEMM_TILE;
    p->worker_floats = (p->worker_floats + 15) / 16 * 16;
    p->worker_scratch = bs_arena_floats(a, p->n_threads * p->worker_floats);
    const size_t layers = bs_layer_scratch(p), embeddings = bs_embeddings_scratch(p);
    const size_t scratch = layers > embeddings ? layers : embeddings;
    p->gemm = (bs_gemm_workers){p->model->kernels, p->n_threads,
                                bs_arena_take(a, scratch, 1), p->worker_scratch,
                                p->worker_floats};

    if (c->skips_padding && p->batch.positions == NULL)
        p->positions = bs_arena_take(a, (size_t)p->batch.n_tokens, sizeof *p->positions);
    p->relative_ld = bs_relative_size(p->longest);
    p->relative = c->relative_bias ? bs_arena_floats(a, c->num_heads * p->relative_ld) : NULL;
    p->embedding_out = bs_arena_floats(a, T * H);
    p->embedding_normed = projects ? bs_arena_floats(a, T * E) : p->embedding_out;
    p->embedding_sum = keep_embedding ? bs_arena_floats(a, T * E) : p->embedding_normed;
    p->embedding_mean = bs_arena_floats(a, T);
    p->embedding_rstd = bs_arena_floats(a, T);
    p->activated = bs_arena_floats(a, T * F);
    if (p->options.precision == BS_BFLOAT16)
        p->activated16 = take_bf16_matrix(a, T, F);

    /* What layers that keep nothing share, and two outputs that take turns. */
    bs_layer_state shared = {0}, counted;
    float *outs[2] = {NULL, NULL};
    if (p->keep_from > p->first) {
        shared.q = bs_arena_floats(a, T * 3 * H);
        if (bs_attention_in_bf16(p, 0))
            shared.qkv = take_bf16_matrix(a, T, 3 * H);
        shared.lse = bs_arena_floats(a, c->num_heads * T);
        shared.context = bs_arena_floats(a, T * H);
        shared.sum1 = shared.hidden = bs_arena_floats(a, T * H);
        shared.up = p->activated;
        shared.mean1 = bs_arena_floats(a, 4 * T);
        shared.wanted = bs_arena_floats(a, B * H);
        outs[0] = bs_arena_floats(a, T * H);
        outs[1] = bs_arena_floats(a, T * H);
    }
    const float *x = p->embedding_out;
    for (int64_t l = p->first; l < L; l++) {
        bs_layer_state *y = p->layers != NULL ? &p->layers[l] : &counted;
        lay_out_layer(p, y, l >= p->keep_from, bs_layer_is_narrow(c, l),
                      bs_attention_in_bf16(p, l), &shared, x, outs[l % 2]);
        x = y->out;
    }
    p->tokens = x;
    const bool means = c->mean_pooling && p->first < L; /* stored rows are means already */
    p->means = means ? bs_arena_floats(a, B * H) : NULL;
    p->encoded = means ? p->means : x;
    const bs_head_parts *head = &bs_heads[c->head];
    p->dense_in = head->drops_input ? bs_arena_floats(a, B * H) : NULL;
    p->dense = head->dense != BS_NO_DENSE ? bs_arena_floats(a, B * H) : NULL;
    p->dense_sum = p->keep && head->dense == BS_DENSE_ACTIVATION ? bs_arena_floats(a, B * H) : NULL;
    p->output_in = bs_arena_floats(a, B * H);
    p->logits = bs_arena_floats(a, B * c->num_labels);
    if (!p->keep)
        return;
    p->d_a = bs_arena_floats(a, T * H);
    p->d_b = bs_arena_floats(a, T * H);
    p->d_c = bs_arena_floats(a, T * H);
    p->d_up = bs_arena_floats(a, T * F);
    p->d_qkv = bs_arena_floats(a, T * 3 * H);
    p->d_embedding = projects && keep_embedding ? bs_arena_floats(a, T * E) : NULL;
    p->partials = bs_arena_floats(a, bs_row_blocks(T) * (3 * H > 2 * E ? 3 * H : 2 * E));
    if (c->relative_bias && p->options.freeze == 0 && !p->options.to_words) {
        p->d_distances = bs_arena_floats(a, p->n_threads * p->relative_ld);
        p->d_relative = bs_arena_floats(a, B * c->num_heads * BS_RELATIVE_BUCKETS);
    }
}

static void set_up(bs_pass *p, const bs_model *model, const bs_batch *batch,
                   const bs_pass_options *options, bool keep, int n_threads, bs_arena *arena)
{
    const int64_t L = model->config.num_layers;
    memset(p, 0, sizeof *p);
    p->model = model;
    p->batch = *batch;
    p->options = *options;
    p->n_threads = n_threads < 1 ? 1 : n_threads > BS_MAX_THREADS ? BS_MAX_THREADS : n_threads;
    p->keep = keep;
    p->keep_from = keep ? options->freeze : L;
    p->first = batch->stored != NULL ? options->freeze : 0;
    p->longest = bs_batch_longest(batch);
    p->arena = arena;
}

size_t bs_pass_size(const bs_model *model, const bs_batch *batch, const bs_pass_options *options,
                    bool keep, int n_threads)
{
    bs_pass counting;
    bs_arena nowhere = {0};
    set_up(&counting, model, batch, options, keep, n_threads, &nowhere);
    lay_out(&counting);
    return nowhere.used;
}

/* Numbers the tokens that are not padding. */
static void count_positions(bs_pass *p)
{
    const bs_batch *b = &p->batch;
    for (int64_t s = 0; p->positions != NULL && s < b->n_sequences; s++) {
        int32_t next = 0;
        for (int64_t t = bs_batch_begin(b, s); t < bs_batch_begin(b, s + 1); t++)
            p->positions[t] = b->ids[t] != p->model->config.pad_token_id ? next++ : -1;
    }
}

bs_status bs_pass_begin(bs_pass *p, const bs_model *model, const bs_batch *batch,
                        const bs_pass_options *options, bool keep, int n_threads, bs_arena *arena,
                        bs_error *e)
{
    const size_t size = bs_pass_size(model, batch, options, keep, n_threads);
    if (bs_arena_reserve(arena, size, e) != BS_OK)
        return e->status;
    set_up(p, model, batch, options, keep, n_threads, arena);
    lay_out(p);
    for (int64_t s = 0; s < batch->n_sequences; s++) {
        const uint64_t key = batch->keys != NULL ? batch->keys[s] : (uint64_t)s;
        p->sequence_keys[s] = bs_sequence_key(options->seed, key, options->step);
        p->first_rows[s] = bs_batch_begin(batch, s);
        for (int64_t t = bs_batch_begin(batch, s); t < bs_batch_begin(batch, s + 1); t++)
            p->sequence_of[t] = (int32_t)s;
    }
    count_positions(p);
    return BS_OK;
}

/* Computes the input of a layer. */
static void forward_until(bs_pass *p, int64_t layer)
{
    const bool stored = p->batch.stored != NULL;
    if (stored)
        bs_stored_read(p);
    else
        bs_embeddings_forward(p);
    bs_relative_forward(p);
    bs_stage_mark(p->options.clock, stored ? BS_STAGE_STORED : BS_STAGE_EMBEDDINGS);
    for (int64_t l = p->first; l < layer; l++)
        bs_layer_forward(p, l);
}

void bs_pass_encode(bs_pass *p)
{
    forward_until(p, p->model->config.num_layers);
}

const float *bs_pass_encode_until(bs_pass *p, int64_t layer)
{
    forward_until(p, layer);
    if (layer < p->model->config.num_layers)
        return p->layers[layer].x;
    bs_means_forward(p);
    return p->encoded;
}

void bs_pass_forward(bs_pass *p)
{
    bs_pass_encode(p);
    bs_classifier_head_forward(p);
    bs_stage_mark(p->options.clock, BS_STAGE_HEAD);
}

void bs_pass_encode_backward(bs_pass *p, float *gradients)
{
    const int64_t L = p->model->config.num_layers, freeze = p->options.freeze;
    for (int64_t l = L - 1; l >= freeze; l--)
        bs_layer_backward(p, l, l > freeze || freeze == 0, gradients);
    if (freeze == 0)
        bs_embeddings_backward(p, gradients);
    bs_stage_mark(p->options.clock, BS_STAGE_EMBEDDINGS_BACKWARD);
}

const float *bs_pass_backward_to_words(bs_pass *p, const float *d_logits)
{
    bs_classifier_head_backward(p, d_logits, NULL);
    for (int64_t l = p->model->config.num_layers - 1; l >= 0; l--)
        bs_layer_backward(p, l, true, NULL);
    return bs_embeddings_backward_to_words(p);
}

void bs_pass_backward(bs_pass *p, const float *d_logits, float *gradients)
{
    bs_classifier_head_backward(p, d_logits, gradients);
    bs_stage_mark(p->options.clock, BS_STAGE_HEAD_BACKWARD);
    bs_pass_encode_backward(p, gradients);
}
