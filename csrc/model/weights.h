/* The weights of the encoder's linear layers, packed for products of our own.
 *
 * Copies of the parameters: each layer's carry the version of the layer that they were made from
 * and are made anew when it has changed. */
#ifndef BS_MODEL_WEIGHTS_H
#define BS_MODEL_WEIGHTS_H

#include "core/arena.h"
#include "kernels/gemm.h"
#include "model/config.h"
#include "model/parameters.h"

/* The linear layers of one encoder layer. The last layer's queries are computed for other rows
 * than its keys and values, so there LINEAR_QKV is split. */
typedef enum { LINEAR_QKV, LINEAR_Q, LINEAR_KV, LINEAR_ATTENTION, LINEAR_UP, LINEAR_DOWN,
               BS_LINEARS } bs_linear;

typedef struct {
    bs_packed forward[BS_LINEARS], backward[BS_LINEARS]; /* panels NULL: there is none */
    uint64_t version;      /* of the layer; 0: not packed */
    bool has_backward;
} bs_layer_weights;

typedef struct {
    bs_layer_weights *layers; /* (L,), NULL until first packed */
    bs_arena arena;
    bool backward;            /* there is room for the way back */
} bs_weights;

/* Where a linear layer's weight (n, k) lies; n is 0 if this layer of the encoder has none. */
typedef struct {
    int64_t offset, n, k;
} bs_linear_shape;

bs_linear_shape bs_linear_shape_of(const bs_parameter_table *t, const bs_config *c, int64_t layer,
                                   bs_linear linear);

/* Whether bs_weights_pack has nothing to do. */
bool bs_weights_fresh(const bs_weights *w, const uint64_t *versions, int64_t layers, bool backward);

/* Packs the layers whose version has changed; `backward` for the way back as well (training). */
bs_status bs_weights_pack(bs_weights *w, bs_precision precision, bool backward,
                          const bs_kernels *kernels, const bs_parameter_table *t,
                          const bs_config *c, const float *parameters, const uint64_t *versions,
                          int n_threads, bs_error *e);

/* How many bytes that takes. */
size_t bs_weights_size(const bs_kernels *kernels, bs_precision precision, bool backward,
                       const bs_parameter_table *t, const bs_config *c);

void bs_weights_free(bs_weights *w);

#endif
