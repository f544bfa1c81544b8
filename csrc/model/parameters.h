/* The parameter table: every tensor's Hugging Face name, shape and place.
 *
 * Parameters, gradients and both moments are flat buffers of `total` floats with
 * equal offsets. The order is embeddings, layers, head, so that what is trained is
 * always one range up to the end. The head is pooler and classifier, or what predicts
 * masked tokens; its decoder is the table of word embeddings. */
#ifndef BS_MODEL_PARAMETERS_H
#define BS_MODEL_PARAMETERS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "model/config.h"

typedef struct {
    char name[96];
    int64_t shape[2]; /* a vector has shape[1] == 0 */
    int64_t offset, size;
    int layer; /* -1 embeddings, 0 .. L-1, L the head */
    bool decay; /* weight decay applies */
} bs_parameter;

/* Offsets of one layer. Query, key and value stand next to each other: (3H, H) and (3H,). */
typedef struct {
    int64_t qkv_weight, qkv_bias;
    int64_t attention_weight, attention_bias, attention_gamma, attention_beta;
    int64_t up_weight, up_bias;     /* intermediate.dense, (F, H) */
    int64_t down_weight, down_bias; /* output.dense, (H, F) */
    int64_t output_gamma, output_beta;
} bs_layer_offsets;

typedef struct {
    int64_t total; /* floats */
    int64_t count;
    bs_parameter *entries;
    int64_t word, position, type, embedding_gamma, embedding_beta;
    bs_layer_offsets *layers;
    int64_t head; /* where it begins */
    int64_t pooler_weight, pooler_bias, classifier_weight, classifier_bias;
    int64_t transform_weight, transform_bias, transform_gamma, transform_beta, decoder_bias;
} bs_parameter_table;

bs_status bs_parameter_table_make(bs_parameter_table *t, const bs_config *c, bs_error *e);
void bs_parameter_table_free(bs_parameter_table *t);

/* The first float that is trained when `freeze` layers (and the embeddings, if > 0) are not:
 * 0 for none frozen, the head's for L. */
int64_t bs_parameter_table_trained_from(const bs_parameter_table *t, const bs_config *c,
                                        int64_t freeze);

#endif
