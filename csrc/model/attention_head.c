#include "model/attention_head.h"

#include <math.h>
#include <string.h>

#include "model/relative.h"

/* Not for single queries: packing all keys and values would take longer than it saves. */
bool bs_attention_in_bf16(const bs_pass *p, int64_t layer)
{
    return p->options.precision != BS_FLOAT32 && p->model->kernels->bf16_product != NULL &&
           !bs_layer_is_narrow(&p->model->config, layer);
}

bs_attention_head bs_attention_head_of(const bs_pass *p, int64_t layer, int64_t task)
{
    const bs_config *c = &p->model->config;
    const bs_layer_state *y = &p->layers[layer];
    const bool narrow = bs_layer_is_narrow(c, layer);
    bs_attention_head h = {.p = p, .y = y};
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
    h.relative = bs_relative_row(p, h.head);
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

const float *bs_attention_head_mask(bs_attention_head *h, float *mask, int64_t i)
{
    if (!h->drops)
        return NULL;
    h->dropout.row = (uint32_t)i;
    h->p->model->kernels->dropout_mask(mask, &h->dropout, h->keys);
    return mask;
}

float *bs_attention_head_distances(const bs_attention_head *h, int worker)
{
    if (h->p->d_distances == NULL)
        return NULL;
    float *d = h->p->d_distances + worker * h->p->relative_ld;
    memset(d, 0, (size_t)(2 * h->keys - 1) * sizeof *d);
    return d;
}
