/* Attention of one (sequence, head) with the engine's own fp32 products. Operands are packed once
 * per head. */
#include "model/attention_packed.h"

#include "kernels/gemm.h"
#include "model/attention_head.h"
#include "model/relative.h"

/* The approximate number of scores in a block. In the forward pass they stay in the first-level
 * cache. */
#define FORWARD_SCORES (1 << 13)
#define BACKWARD_SCORES (1 << 14)
/* A multiple of the rows of every register tile. */
#define BLOCK_GRAIN 12

/* The buffers of one task, in its worker's scratch. */
typedef struct {
    const bs_kernels *k;
    int64_t D, block;           /* head size, queries in a block */
    int64_t columns, ld;        /* of scores: the number of keys, rounded up; and a cache line more,
                                   so that rows do not fall into the same cache sets */
    float *s, *d, *mask;        /* (block, ld), the same, (keys,) */
    float *scaled;              /* (block, D) queries times the scale */
    float *k_across, *v_across; /* right operands K^T and V^T */
    float *k_down, *v_down;     /* right operands K and V */
    float *block_down;          /* right operand of the block's rows: (block, D) */
} workspace;

/* The number of floats of a right operand (k, n). */
static int64_t panels(const workspace *w, int64_t k, int64_t n)
{
    return k * bs_round_up(n, w->k->columns);
}

/* Takes the workspace from `a`, or only counts if `a` has no block. */
static void lay_out(workspace *w, bs_arena *a, int64_t keys, int64_t D, bool backward)
{
    w->D = D;
    w->columns = bs_round_up(keys, w->k->columns);
    w->ld = w->columns + 16;
    w->block = (backward ? BACKWARD_SCORES : FORWARD_SCORES) / w->columns / BLOCK_GRAIN;
    w->block = w->block < 1 ? BLOCK_GRAIN : w->block * BLOCK_GRAIN;
    w->block = w->block < keys ? w->block : keys;
    w->s = bs_arena_floats(a, w->block * w->ld);
    w->mask = bs_arena_floats(a, w->columns);
    w->scaled = bs_arena_floats(a, w->block * D);
    w->k_across = bs_arena_floats(a, panels(w, D, keys));
    if (!backward) {
        w->v_down = bs_arena_floats(a, panels(w, keys, D));
        return;
    }
    w->d = bs_arena_floats(a, w->block * w->ld);
    w->v_across = bs_arena_floats(a, panels(w, D, keys));
    w->k_down = bs_arena_floats(a, panels(w, keys, D));
    w->block_down = bs_arena_floats(a, panels(w, w->block, D));
}

int64_t bs_attention_packed_scratch(const bs_kernels *kernels, int64_t keys, int64_t head_size,
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
static void pack_across(const workspace *w, float *out, const float *x, int64_t keys, int64_t ld)
{
    for (int64_t j = 0; j < keys; j += w->k->columns)
        w->k->fp32_panel_transposed(out + panels(w, w->D, j), x + j * ld,
                                    bs_panel_columns(w->k, keys, j), w->D, ld);
}

/* The right operand x of x (rows, D). */
static void pack_down(const workspace *w, float *out, const float *x, int64_t rows, int64_t ld)
{
    for (int64_t j = 0; j < w->D; j += w->k->columns)
        w->k->fp32_panel(out + panels(w, rows, j), x + j, rows,
                         bs_panel_columns(w->k, w->D, j), ld);
}

/* c (rows, columns of b) = a b, with a (rows, k) and b packed. Columns after the last are 0. */
static void product(const workspace *w, float *c, int64_t ldc, const float *a, int64_t lda,
                    const float *b, int64_t rows, int64_t columns, int64_t k)
{
    w->k->fp32_product(c, ldc, a, 4 * lda, b, 4 * w->k->columns * k, rows, columns, k, false);
}

/* s (rows, keys) = scale Q K^T, and biases by distance, of the block that starts at query `row`. */
static void block_scores(const bs_attention_head *h, const workspace *w, int64_t row, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++)
        w->k->scale(w->scaled + i * w->D, h->q + (row + i) * h->y->ld_q, h->scale, w->D);
    product(w, w->s, w->ld, w->scaled, w->D, w->k_across, rows, w->columns, w->D);
    for (int64_t i = 0; i < rows; i++)
        bs_attention_head_bias(h, w->s + i * w->ld, row + i, 1.0f);
}

void bs_attention_packed_forward(void *job_, int64_t task, int worker)
{
    const bs_attention_job *job = job_;
    const bs_pass *p = job->p;
    bs_attention_head h = bs_attention_head_of(p, job->layer, task);
    const workspace w = workspace_of(&h, worker, false);
    const int64_t H = p->model->config.hidden_size;
    pack_across(&w, w.k_across, h.k, h.keys, h.y->ld_kv);
    pack_down(&w, w.v_down, h.v, h.keys, h.y->ld_kv);
    for (int64_t row = 0; row < h.queries; row += w.block) {
        const int64_t rows = h.queries - row < w.block ? h.queries - row : w.block;
        block_scores(&h, &w, row, rows);
        for (int64_t i = 0; i < rows; i++)
            h.lse[row + i] = w.k->softmax_row(w.s + i * w.ld,
                                              bs_attention_head_mask(&h, w.mask, row + i), h.keys);
        product(&w, h.y->context + (h.query_row + row) * H + h.head * h.D, H, w.s, w.ld, w.v_down,
                rows, h.D, h.keys);
    }
}

/* d (keys, D) += left^T right, or = with `first`; left is (rows, keys) and right (rows, D). */
static void add_of_block(const workspace *w, float *d, int64_t ld_d, const float *left,
                         const float *right, int64_t ld_right, int64_t rows, int64_t keys,
                         bool first)
{
    pack_down(w, w->block_down, right, rows, ld_right);
    w->k->fp32_product_transposed(d, ld_d, left, 4 * w->ld, w->block_down,
                                  4 * w->k->columns * rows, keys, w->D, rows, !first);
}

/* dP = d_context V^T;  dV = (P mask)^T d_context;  dQ = dS K;  dK = dS^T Q */
void bs_attention_packed_backward(void *job_, int64_t task, int worker)
{
    const bs_attention_job *job = job_;
    const bs_pass *p = job->p;
    bs_attention_head h = bs_attention_head_of(p, job->layer, task);
    const workspace w = workspace_of(&h, worker, true);
    const int64_t H = p->model->config.hidden_size, at = h.head * h.D;
    float *distances = bs_attention_head_distances(&h, worker);
    float *d_k = job->d_k + h.key_row * job->ld_dkv + at;
    float *d_v = job->d_v + h.key_row * job->ld_dkv + at;
    pack_across(&w, w.k_across, h.k, h.keys, h.y->ld_kv);
    pack_across(&w, w.v_across, h.v, h.keys, h.y->ld_kv);
    pack_down(&w, w.k_down, h.k, h.keys, h.y->ld_kv);
    for (int64_t row = 0; row < h.queries; row += w.block) {
        const int64_t rows = h.queries - row < w.block ? h.queries - row : w.block;
        const float *d_context = job->d_context + (h.query_row + row) * H + at;
        block_scores(&h, &w, row, rows);
        product(&w, w.d, w.ld, d_context, H, w.v_across, rows, w.columns, h.D);
        for (int64_t i = 0; i < rows; i++) {
            w.k->softmax_backward_row(w.s + i * w.ld, w.d + i * w.ld,
                                      bs_attention_head_mask(&h, w.mask, row + i), h.lse[row + i],
                                      h.scale, h.keys);
            if (distances != NULL)
                w.k->axpy(distances + h.keys - 1 - (row + i), w.d + i * w.ld, 1.0f / h.scale,
                          h.keys);
        }
        add_of_block(&w, d_v, job->ld_dkv, w.s, d_context, H, rows, h.keys, row == 0);
        product(&w, job->d_q + (h.query_row + row) * job->ld_dq + at, job->ld_dq, w.d, w.ld,
                w.k_down, rows, h.D, h.keys);
        add_of_block(&w, d_k, job->ld_dkv, w.d, h.q + row * h.y->ld_q, h.y->ld_q, rows, h.keys,
                     row == 0);
    }
    if (distances != NULL)
        bs_relative_fold(job->p, h.s, h.head, distances, h.keys);
}
