/* The numbers that make a BERT. */
#ifndef BS_MODEL_CONFIG_H
#define BS_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "kernels/kernels.h"

typedef struct {
    int64_t vocab_size;
    int64_t hidden_size;       /* H */
    int64_t num_layers;        /* L */
    int64_t num_heads;         /* A; D = H / A */
    int64_t intermediate_size; /* F */
    int64_t max_positions;
    int64_t type_vocab_size;
    int64_t num_labels;   /* C */
    int64_t pad_token_id; /* its embedding gets no gradient from look-ups; -1: none */
    bs_activation activation;
    bool mean_pooling; /* the head reads the mean of all tokens, not [CLS] */
    bool masked_lm; /* the head predicts masked tokens; neither pooler nor classifier */
    float layer_norm_eps;
    float hidden_dropout;
    float attention_dropout;
    float classifier_dropout;
} bs_config;

/* Whether a layer computes the [CLS] rows alone: the last one, if nobody reads the others. */
static inline bool bs_layer_is_narrow(const bs_config *c, int64_t layer)
{
    return layer == c->num_layers - 1 && !c->mean_pooling && !c->masked_lm;
}

/* Checks every number against its bounds; names the one at fault. */
bs_status bs_config_check(const bs_config *c, bs_error *e);

#endif
