/* Attention of one (sequence, head) with bfloat16 products. Scores, softmax and the sums over
 * queries are fp32; operands of products are rounded. The backward pass rounds the same operands as
 * the forward pass, so it computes the same scores. */
#include "model/attention_bf16.h"

#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "model/attention_head.h"
#include "model/relative.h"

/* The approximate number of scores in a block: they stay in the first-level cache. Scores that are
 * rounded before they are stored take half the space. */
#define BLOCK_SCORES (1 << 13)
/* The least number of queries in a block, since every block reads all keys and values. */
#define BLOCK_ROWS 24

/* The buffers of one task, in its worker's scratch. */
typedef struct {
    const bs_kernels *k;
    int64_t D, block;                   /* head size, queries in a block */
    int64_t ld;                         /* of scores: the number of keys, rounded up */
    int64_t ld_keys, ld_head, ld_block; /* bytes of a bf16 row of keys, D, or `block` elements */
    int64_t panel_keys, panel_head, panel_block; /* bytes of a panel of that depth */
    float *s, *d, *mask;                /* (block, ld), the same, (keys,) */
    float *context, *reciprocal;        /* (block, ld_context), (block,) */
    int64_t ld_context;
    char *rows_head;                    /* (block, D) left operand */
    char *rows_keys, *rows_p;           /* (block, keys) left operands */
    char *columns;                      /* (keys, block) left operand */
    char *k_across, *v_across;          /* right operands K^T and V^T */
    char *k_down, *v_down;              /* right operands K and V */
    char *block_down;                   /* right operand of the block's rows: (block, D) */
} workspace;

static char *take(bs_arena *a, int64_t bytes)
{
    return bs_arena_take(a, (size_t)bytes, 1);
}

/* Takes the workspace from `a`, or only counts if `a` has no block. */
static void lay_out(workspace *w, bs_arena *a, int64_t keys, int64_t D, bool backward)
{
    const int64_t wide = w->k->columns, ld = bs_round_up(keys, wide);
    /* The backward pass also sums over the block. */
    const int64_t grain = backward ? BS_PACKED_ROWS : w->k->tall, most = bs_round_up(keys, grain);
    const bool rounded = !backward && w->k->bf16_product_into != NULL;
    int64_t block = (rounded ? 2 : 1) * BLOCK_SCORES / ld / grain * grain;
    block = block < BLOCK_ROWS ? bs_round_up(BLOCK_ROWS, grain) : block;
    block = block > most ? most : block;
    w->D = D;
    w->block = block;
    w->ld = ld;
    const int64_t deep_keys = bs_packed_groups(BS_BFLOAT16_ELEMENTS, keys) * 4;
    const int64_t deep_head = bs_packed_groups(BS_BFLOAT16_ELEMENTS, D) * 4;
    const int64_t deep_block = bs_packed_groups(BS_BFLOAT16_ELEMENTS, block) * 4;
    w->panel_keys = deep_keys * wide;
    w->panel_head = deep_head * wide;
    w->panel_block = deep_block * wide;
    /* One cache line more, so that rows do not fall into the same cache sets. */
    w->ld_keys = deep_keys + 64;
    w->ld_head = deep_head;
    w->ld_block = deep_block + 64;
    const int64_t across = ld / wide * w->panel_head;
    const int64_t down = bs_panels(w->k, D) * w->panel_keys;
    w->s = bs_arena_floats(a, block * ld);
    w->mask = bs_arena_floats(a, ld);
    w->rows_head = take(a, block * w->ld_head);
    w->rows_keys = take(a, block * w->ld_keys);
    w->k_across = take(a, across);
    if (!backward) {
        w->ld_context = bs_round_up(D, wide);
        w->context = bs_arena_floats(a, block * w->ld_context);
        w->reciprocal = bs_arena_floats(a, block);
        w->v_down = take(a, down);
        return;
    }
    w->d = bs_arena_floats(a, block * ld);
    w->rows_p = take(a, block * w->ld_keys);
    w->columns = take(a, ld * w->ld_block);
    w->v_across = take(a, across);
    w->k_down = take(a, down);
    w->block_down = take(a, bs_panels(w->k, D) * w->panel_block);
}

int64_t bs_attention_bf16_scratch(const bs_kernels *kernels, int64_t keys, int64_t head_size,
                                  bool backward)
{
    workspace w = {.k = kernels};
    bs_arena nowhere = {0};
    lay_out(&w, &nowhere, keys, head_size, backward);
    return (int64_t)(nowhere.used / sizeof(float)) + 16;
}

static workspace workspace_of(const bs_attention_head *h, int worker, bool backward)
{
    workspace w = {.k = h->p->model->kernels};
    bs_arena scratch = {.block = (char *)bs_pass_scratch(h->p, worker)};
    lay_out(&w, &scratch, h->keys, h->D, backward);
    return w;
}

/* The right operand x^T of x (keys, D). */
static void pack_across(const workspace *w, char *out, const char *x, int64_t keys, int64_t ld)
{
    for (int64_t j = 0; j < keys; j += w->k->columns, out += w->panel_head)
        w->k->bf16_panel_transposed_from_bf16(out, x + j * ld, bs_panel_columns(w->k, keys, j),
                                              w->D, ld);
}

/* The right operand x of x (rows, D). */
static void pack_down(const workspace *w, char *out, int64_t ld_panel, const char *x,
                      int64_t rows, int64_t ld)
{
    for (int64_t j = 0; j < w->D; j += w->k->columns, out += ld_panel)
        w->k->bf16_panel_from_bf16(out, x + 2 * j, rows, bs_panel_columns(w->k, w->D, j), ld);
}

static int64_t groups_of(int64_t elements)
{
    return bs_packed_groups(BS_BFLOAT16_ELEMENTS, elements);
}

/* The rows of a block that are multiplied; a single row takes as long as four. */
static int64_t rows_up(const workspace *w, int64_t rows)
{
    return bs_round_up(rows, w->k->tall < BS_PACKED_ROWS ? 4 : BS_PACKED_ROWS);
}

/* The queries of the block that starts at `row` as a left operand; stores its ld in *ld. */
static const char *block_queries(const bs_attention_head *h, const workspace *w, int64_t row,
                                 int64_t rows, int64_t *ld)
{
    const char *q = h->q16 + row * h->ld16;
    *ld = h->ld16;
    if (2 * groups_of(w->D) == w->D)
        return q;
    for (int64_t i = 0; i < rows; i++) { /* what follows a row must be 0 */
        memcpy(w->rows_head + i * w->ld_head, q + i * *ld, (size_t)(2 * w->D));
        memset(w->rows_head + i * w->ld_head + 2 * w->D, 0, (size_t)(w->ld_head - 2 * w->D));
    }
    *ld = w->ld_head;
    return w->rows_head;
}

/* s (rows, keys) = Q K^T, and biases by distance, of the block that starts at query `row`. Rows and
 * columns are rounded up to whole tiles. */
static void block_scores(const bs_attention_head *h, const workspace *w, int64_t row, int64_t rows)
{
    int64_t ld;
    const char *q = block_queries(h, w, row, rows, &ld);
    w->k->bf16_product(w->s, w->ld, q, ld, w->k_across, w->panel_head,
                       rows_up(w, rows), w->ld, groups_of(w->D), false);
    for (int64_t i = 0; i < rows; i++) /* scaled with the scores, later */
        bs_attention_head_bias(h, w->s + i * w->ld, row + i, 1.0f / h->scale);
}

/* y += a x for n elements of x in bfloat16 */
static void add_bf16(float *restrict y, const char *x, float a, int64_t n)
{
    const uint16_t *upper = (const uint16_t *)x; /* halves of float32 */
    for (int64_t j = 0; j < n; j++) {
        const uint32_t bits = (uint32_t)upper[j] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        y[j] += a * value;
    }
}

/* Computes e^(scale Q K^T), the reciprocals of its row sums, and the log-sum-exp if it is kept. */
static void block_softmax(bs_attention_head *h, const workspace *w, int64_t row, int64_t rows)
{
    block_scores(h, w, row, rows);
    for (int64_t i = 0; i < rows; i++) {
        const float top = w->k->bf16_softmax_row(
            w->rows_keys + i * w->ld_keys, &w->reciprocal[i], w->s + i * w->ld,
            bs_attention_head_mask(h, w->mask, row + i), h->scale, h->keys);
        if (h->p->keep)
            h->lse[row + i] = top - logf(w->reciprocal[i]);
    }
}

/* The same in one product, without dropout and biases, and without subtracting the largest score
 * first. Returns false if there are any or a sum is out of range; the block must then be done as
 * above. */
static bool block_exp(const bs_attention_head *h, const workspace *w, int64_t row, int64_t rows)
{
    if (h->drops || h->relative != NULL || w->k->bf16_product_into == NULL)
        return false;
    int64_t ld;
    const char *q = block_queries(h, w, row, rows, &ld);
    float *sum = w->s; /* 16 floats a row */
    const bs_result weights = {.of = BS_OF_EXP, .bf16 = true, .out = w->rows_keys,
                               .ld = w->ld_keys, .scale = h->scale, .sum = sum};
    w->k->bf16_product_into(&weights, q, ld, w->k_across, w->panel_head, rows, h->keys,
                            groups_of(w->D));
    for (int64_t i = 0; i < rows; i++) {
        if (!(sum[i] > 0x1p-64f && sum[i] < 0x1p64f)) /* nor NaN */
            return false;
        w->reciprocal[i] = 1.0f / sum[i];
        if (h->p->keep)
            h->lse[row + i] = logf(sum[i]);
    }
    return true;
}

void bs_attention_bf16_forward(void *job_, int64_t task, int worker)
{
    const bs_attention_job *job = job_;
    const bs_pass *p = job->p;
    bs_attention_head h = bs_attention_head_of(p, job->layer, task);
    const workspace w = workspace_of(&h, worker, false);
    const int64_t H = p->model->config.hidden_size;
    pack_across(&w, w.k_across, h.k16, h.keys, h.ld16);
    pack_down(&w, w.v_down, w.panel_keys, h.v16, h.keys, h.ld16);
    for (int64_t row = 0; row < h.queries; row += w.block) {
        const int64_t rows = h.queries - row < w.block ? h.queries - row : w.block;
        float *context = h.y->context + (h.query_row + row) * H + h.head * h.D;
        if (!block_exp(&h, &w, row, rows))
            block_softmax(&h, &w, row, rows);
        w.k->bf16_product(w.context, w.ld_context, w.rows_keys, w.ld_keys, w.v_down, w.panel_keys,
                          rows_up(&w, rows), bs_round_up(h.D, w.k->columns),
                          groups_of(h.keys), false);
        for (int64_t i = 0; i < rows; i++)
            w.k->scale(context + i * H, w.context + i * w.ld_context, w.reciprocal[i], h.D);
    }
    bs_end_products(w.k);
}

/* As in fp32: dP = d_context V^T;  dV = (P mask)^T d_context;  dQ = dS K;  dK = dS^T Q */
void bs_attention_bf16_backward(void *job_, int64_t task, int worker)
{
    const bs_attention_job *job = job_;
    const bs_pass *p = job->p;
    bs_attention_head h = bs_attention_head_of(p, job->layer, task);
    const workspace w = workspace_of(&h, worker, true);
    const int64_t H = p->model->config.hidden_size, at = h.head * h.D;
    float *distances = bs_attention_head_distances(&h, worker);
    float *d_k = job->d_k + h.key_row * job->ld_dkv + at;
    float *d_v = job->d_v + h.key_row * job->ld_dkv + at;
    pack_across(&w, w.k_across, h.k16, h.keys, h.ld16);
    pack_across(&w, w.v_across, h.v16, h.keys, h.ld16);
    pack_down(&w, w.k_down, w.panel_keys, h.k16, h.keys, h.ld16);
    for (int64_t row = 0; row < h.queries; row += w.block) {
        const int64_t rows = h.queries - row < w.block ? h.queries - row : w.block;
        const int64_t whole = rows_up(&w, rows);
        const float *d_context = job->d_context + (h.query_row + row) * H + at;
        const bool add = row > 0; /* to the sums of earlier blocks */
        block_scores(&h, &w, row, rows);
        w.k->bf16_rows(w.rows_head, w.ld_head, d_context, rows, h.D, H);
        w.k->bf16_product(w.d, w.ld, w.rows_head, w.ld_head, w.v_across, w.panel_head, whole, w.ld,
                          groups_of(h.D), false);
        for (int64_t i = 0; i < rows; i++) {
            w.k->bf16_softmax_backward_row(w.rows_p + i * w.ld_keys, w.rows_keys + i * w.ld_keys,
                                           w.s + i * w.ld, w.d + i * w.ld,
                                           bs_attention_head_mask(&h, w.mask, row + i),
                                           h.lse[row + i], h.scale, h.keys);
            if (distances != NULL)
                add_bf16(distances + h.keys - 1 - (row + i), w.rows_keys + i * w.ld_keys,
                         1.0f / h.scale, h.keys);
        }
        w.k->bf16_rows_transposed_from_bf16(w.columns, w.ld_block, w.rows_p, rows, h.keys,
                                            w.ld_keys);
        pack_down(&w, w.block_down, w.panel_block, w.rows_head, rows, w.ld_head);
        w.k->bf16_product(d_v, job->ld_dkv, w.columns, w.ld_block, w.block_down, w.panel_block,
                          h.keys, h.D, groups_of(rows), add);
        w.k->bf16_product(job->d_q + (h.query_row + row) * job->ld_dq + at, job->ld_dq,
                          w.rows_keys, w.ld_keys, w.k_down, w.panel_keys, rows, h.D,
                          groups_of(h.keys), false);
        w.k->bf16_rows_transposed_from_bf16(w.columns, w.ld_block, w.rows_keys, rows, h.keys,
                                            w.ld_keys);
        pack_down(&w, w.block_down, w.panel_block, h.q16 + row * h.ld16, rows, h.ld16);
        w.k->bf16_product(d_k, job->ld_dkv, w.columns, w.ld_block, w.block_down, w.panel_block,
                          h.keys, h.D, groups_of(rows), add);
    }
    if (distances != NULL)
        bs_relative_fold(job->p, h.s, h.head, distances, h.keys);
    bs_end_products(w.k);
}
