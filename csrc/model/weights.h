/* The weights of the encoder's linear layers, packed for the engine's own matrix products.
 *
 * They are copies of the parameters. Each layer's copies record the version of the parameters that
 * they were made from, and are remade when that has changed. */
#ifndef BS_MODEL_WEIGHTS_H
#define BS_MODEL_WEIGHTS_H

#include "core/arena.h"
#include "kernels/gemm.h"
#include "model/config.h"
#include "model/parameters.h"

/* The linear layers of one encoder layer. Where the last layer computes its queries for fewer rows
 * than its keys and values, LINEAR_QKV is split into LINEAR_Q and LINEAR_KV. */
typedef enum { LINEAR_QKV, LINEAR_Q, LINEAR_KV, LINEAR_ATTENTION, LINEAR_UP, LINEAR_DOWN,
               BS_LINEARS } bs_linear;

typedef struct {
    bs_packed forward[BS_LINEARS], backward[BS_LINEARS]; /* panels are NULL if there is none */
    uint64_t version;      /* of the parameters; 0: not packed yet */
    bool has_backward;
} bs_layer_weights;

typedef struct {
    bs_layer_weights *layers; /* (L,); NULL until something is packed */
    bs_arena arena;
    bool backward;            /* there is space for the backward pass */
} bs_weights;

/* The offset and shape (n, k) of a linear layer's weight; n is 0 if the layer has none. */
typedef struct {
    int64_t offset, n, k;
} bs_linear_shape;

bs_linear_shape bs_linear_shape_of(const bs_parameter_table *t, const bs_config *c, int64_t layer,
                                   bs_linear linear);

/* Whether everything is packed. */
bool bs_weights_fresh(const bs_weights *w, const uint64_t *versions, int64_t layers, bool backward);

/* Packs the layers whose version has changed, with `backward` also for the backward pass. */
bs_status bs_weights_pack(bs_weights *w, bs_precision precision, bool backward,
                          const bs_kernels *kernels, const bs_parameter_table *t,
                          const bs_config *c, const float *parameters, const uint64_t *versions,
                          int n_threads, bs_error *e);

/* The size of the packed weights in bytes. */
size_t bs_weights_size(const bs_kernels *kernels, bs_precision precision, bool backward,
                       const bs_parameter_table *t, const bs_config *c);

void bs_weights_free(bs_weights *w);

#endif
