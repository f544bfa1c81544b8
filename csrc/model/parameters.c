#include "model/parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_FLOATS 16 /* 64 bytes */

enum { NEXT_TO = 1, NO_DECAY = 2 };

/* Appends a tensor, or a vector if cols is 0. NEXT_TO leaves no gap before it. */
static int64_t add(bs_parameter_table *t, int layer, const char *name, int64_t rows, int64_t cols,
                   int flags)
{
    bs_parameter *p = &t->entries[t->count++];
    if (layer >= 0)
        snprintf(p->name, sizeof p->name, "layer.%d.%s", layer, name);
    else
        snprintf(p->name, sizeof p->name, "%s", name);
    if (!(flags & NEXT_TO))
        t->total = (t->total + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    p->shape[0] = rows;
    p->shape[1] = cols;
    p->size = cols > 0 ? rows * cols : rows;
    p->offset = t->total;
    p->decay = !(flags & NO_DECAY);
    p->layer = layer;
    t->total += p->size;
    return p->offset;
}

static void add_layer(bs_parameter_table *t, int l, const bs_config *c)
{
    bs_layer_offsets *o = &t->layers[l];
    const int64_t H = c->hidden_size, F = c->intermediate_size;
    const int next = NEXT_TO, plain = NO_DECAY;
    o->qkv_weight = add(t, l, "attention.query.weight", H, H, 0);
    add(t, l, "attention.key.weight", H, H, next);
    add(t, l, "attention.value.weight", H, H, next);
    o->qkv_bias = add(t, l, "attention.query.bias", H, 0, plain);
    add(t, l, "attention.key.bias", H, 0, plain | next);
    add(t, l, "attention.value.bias", H, 0, plain | next);
    o->attention_weight = add(t, l, "attention.output.weight", H, H, 0);
    o->attention_bias = add(t, l, "attention.output.bias", H, 0, plain);
    o->attention_gamma = add(t, l, "attention.norm.weight", H, 0, plain);
    o->attention_beta = add(t, l, "attention.norm.bias", H, 0, plain);
    o->up_weight = add(t, l, "feed_forward.up.weight", F, H, 0);
    o->up_bias = add(t, l, "feed_forward.up.bias", F, 0, plain);
    o->down_weight = add(t, l, "feed_forward.down.weight", H, F, 0);
    o->down_bias = add(t, l, "feed_forward.down.bias", H, 0, plain);
    o->output_gamma = add(t, l, "feed_forward.norm.weight", H, 0, plain);
    o->output_beta = add(t, l, "feed_forward.norm.bias", H, 0, plain);
}

static void add_classifier(bs_parameter_table *t, const bs_config *c)
{
    const int64_t H = c->hidden_size;
    t->dense_weight = t->dense_bias = -1;
    if (bs_heads[c->head].dense != BS_NO_DENSE) {
        t->dense_weight = add(t, -1, "head.dense.weight", H, H, 0);
        t->dense_bias = add(t, -1, "head.dense.bias", H, 0, NO_DECAY);
    }
    t->output_weight = add(t, -1, "head.output.weight", c->num_labels, H, 0);
    t->output_bias = add(t, -1, "head.output.bias", c->num_labels, 0, NO_DECAY);
}

static void add_masked_lm(bs_parameter_table *t, const bs_config *c)
{
    const int64_t H = c->hidden_size;
    t->transform_weight = add(t, -1, "masked_lm.dense.weight", H, H, 0);
    t->transform_bias = add(t, -1, "masked_lm.dense.bias", H, 0, NO_DECAY);
    t->transform_gamma = add(t, -1, "masked_lm.norm.weight", H, 0, NO_DECAY);
    t->transform_beta = add(t, -1, "masked_lm.norm.bias", H, 0, NO_DECAY);
    t->decoder_bias = add(t, -1, "masked_lm.output.bias", c->vocab_size, 0, NO_DECAY);
}

bs_status bs_parameter_table_make(bs_parameter_table *t, const bs_config *c, bs_error *e)
{
    const int64_t E = c->embedding_size, L = c->num_layers;
    memset(t, 0, sizeof *t);
    t->entries = calloc((size_t)(14 + 16 * L), sizeof *t->entries);
    t->layers = calloc((size_t)L, sizeof *t->layers);
    if (t->entries == NULL || t->layers == NULL) {
        bs_parameter_table_free(t);
        return bs_error_set(e, BS_ERR_MEMORY, -1, "cannot allocate the parameter table");
    }
    t->word = add(t, -1, "embeddings.word.weight", c->vocab_size, E, 0);
    const int64_t positions = c->position_offset + c->max_positions;
    t->position = add(t, -1, "embeddings.position.weight", positions, E, 0) + c->position_offset * E;
    t->type = c->type_vocab_size > 0
                  ? add(t, -1, "embeddings.token_type.weight", c->type_vocab_size, E, 0)
                  : -1;
    t->embedding_gamma = add(t, -1, "embeddings.norm.weight", E, 0, NO_DECAY);
    t->embedding_beta = add(t, -1, "embeddings.norm.bias", E, 0, NO_DECAY);
    t->projection_weight = t->projection_bias = -1;
    if (bs_projects_embeddings(c)) {
        t->projection_weight = add(t, -1, "embeddings.projection.weight", c->hidden_size, E, 0);
        t->projection_bias = add(t, -1, "embeddings.projection.bias", c->hidden_size, 0, NO_DECAY);
    }
    t->relative = c->relative_bias ? add(t, -1, "embeddings.relative_bias.weight",
                                         BS_RELATIVE_BUCKETS, c->num_heads, NO_DECAY)
                                   : -1;
    for (int l = 0; l < (int)L; l++)
        add_layer(t, l, c);
    const int64_t head = t->count;
    if (!bs_returns_vectors(c))
        (bs_predicts_masked(c) ? add_masked_lm : add_classifier)(t, c);
    for (int64_t i = head; i < t->count; i++)
        t->entries[i].layer = (int)L;
    t->total = (t->total + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    t->head = head < t->count ? t->entries[head].offset : t->total;
    return BS_OK;
}

void bs_parameter_table_free(bs_parameter_table *t)
{
    free(t->entries);
    free(t->layers);
    memset(t, 0, sizeof *t);
}

int64_t bs_parameter_table_trained_from(const bs_parameter_table *t, const bs_config *c,
                                        int64_t freeze)
{
    if (freeze <= 0)
        return 0;
    return freeze < c->num_layers ? t->layers[freeze].qkv_weight : t->head;
}
