/* The parameter table: the name, shape and offset of every tensor.
 *
 * A name says what the tensor does in the engine, such as "layer.3.attention.query.weight". The
 * caller knows what a family of models calls it in its files.
 *
 * Parameters, gradients and both moments are flat buffers of `total` floats that share these
 * offsets. The order is embeddings, layers, head, so the trained parameters always are one range
 * that ends with the buffer. The head of a classifier has an output layer and may have a dense
 * layer before it. The head for masked tokens uses the word embeddings as its output layer. A model
 * that returns vectors has no parameters in its head: its buffer begins like a classifier's. */
#ifndef BS_MODEL_PARAMETERS_H
#define BS_MODEL_PARAMETERS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "model/config.h"

/* The buckets of the bias by distance, see model/relative.h. */
#define BS_RELATIVE_BUCKETS 32

typedef struct {
    char name[96];
    int64_t shape[2]; /* shape[1] is 0 for a vector */
    int64_t offset, size;
    int layer; /* -1 for embeddings, L for the head */
    bool decay; /* whether weight decay applies */
} bs_parameter;

/* Offsets of one layer. Query, key and value are adjacent: (3H, H) and (3H,). */
typedef struct {
    int64_t qkv_weight, qkv_bias;
    int64_t attention_weight, attention_bias, attention_gamma, attention_beta;
    int64_t up_weight, up_bias;     /* (F, H) */
    int64_t down_weight, down_bias; /* (H, F) */
    int64_t output_gamma, output_beta;
} bs_layer_offsets;

typedef struct {
    int64_t total; /* floats */
    int64_t count;
    bs_parameter *entries;
    int64_t word, type, embedding_gamma, embedding_beta; /* type is -1 if there is none */
    int64_t position; /* the row of the first position */
    int64_t projection_weight, projection_bias; /* (H, E), (H,); -1 if E is H */
    int64_t relative; /* (BS_RELATIVE_BUCKETS, A), shared by all layers; -1 if there is none */
    bs_layer_offsets *layers;
    int64_t head; /* the first offset of the head, or `total` if it has no parameters */
    int64_t dense_weight, dense_bias; /* of a classifier; -1 if there is none */
    int64_t output_weight, output_bias;
    int64_t transform_weight, transform_bias, transform_gamma, transform_beta, decoder_bias;
} bs_parameter_table;

bs_status bs_parameter_table_make(bs_parameter_table *t, const bs_config *c, bs_error *e);
void bs_parameter_table_free(bs_parameter_table *t);

/* The offset of the first trained parameter when the first `freeze` layers are frozen, and with
 * them the embeddings: 0 if none are, that of the head if all L are. */
int64_t bs_parameter_table_trained_from(const bs_parameter_table *t, const bs_config *c,
                                        int64_t freeze);

#endif
