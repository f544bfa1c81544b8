/* The sizes and settings of a model. */
#ifndef BS_MODEL_CONFIG_H
#define BS_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "kernels/kernels.h"
#include "model/head_kinds.h"

typedef struct {
    int64_t vocab_size;
    int64_t hidden_size;       /* H */
    int64_t embedding_size;    /* E; unless it is H, a linear layer leads from E to H */
    int64_t num_layers;        /* L */
    int64_t num_heads;         /* A; D = H / A */
    int64_t intermediate_size; /* F */
    int64_t max_positions;
    int64_t position_offset; /* rows of the position embeddings before the first position's */
    int64_t type_vocab_size; /* 0: there are no token-type embeddings */
    int64_t num_labels;   /* C */
    int64_t pad_token_id; /* look-ups give its embedding no gradient; -1: no such token */
    bool skips_padding; /* positions count other tokens than pad_token_id, which has position -1 */
    bool relative_bias; /* attention scores get a bias by distance (model/relative.h) */
    bs_activation activation;
    bool mean_pooling; /* the head reads the mean of all tokens instead of [CLS] */
    bs_head_kind head;
    float layer_norm_eps;
    float hidden_dropout;
    float attention_dropout;        /* of probabilities */
    float attention_output_dropout; /* of the product after them; usually hidden_dropout */
    float classifier_dropout;
} bs_config;

static inline bool bs_predicts_masked(const bs_config *c)
{
    return c->head == BS_HEAD_MASKED_LM;
}

/* Whether the output is what the head of a classifier reads, so that C is H. */
static inline bool bs_returns_vectors(const bs_config *c)
{
    return c->head == BS_HEAD_VECTORS;
}

static inline bool bs_projects_embeddings(const bs_config *c)
{
    return c->embedding_size != c->hidden_size;
}

/* Whether a layer computes only the [CLS] rows: the last one does, unless all rows are read. */
static inline bool bs_layer_is_narrow(const bs_config *c, int64_t layer)
{
    return layer == c->num_layers - 1 && !c->mean_pooling && !bs_predicts_masked(c);
}

/* Checks that every value is within its bounds. The message names the first that is not. */
bs_status bs_config_check(const bs_config *c, bs_error *e);

#endif
