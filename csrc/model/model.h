/* A model: its configuration, its parameters and the kernels that compute it. */
#ifndef BS_MODEL_MODEL_H
#define BS_MODEL_MODEL_H

#include "core/arena.h"
#include "model/config.h"
#include "model/parameters.h"
#include "model/weights.h"

typedef struct {
    bs_config config;
    bs_parameter_table table;
    const bs_kernels *kernels;
    float *parameters; /* (table.total,), owned by the caller */
    uint64_t *versions; /* (L,) of each layer's parameters, from 1 */
    bs_weights packed[BS_PRECISION_COUNT]; /* unused for fp32 where the BLAS computes it */
    bs_arena decoder; /* the packed decoder of masked tokens, see bs_mlm_pack */
} bs_model;

/* Fills in everything except config and parameters. Call bs_model_free even after a failure. */
bs_status bs_model_make(bs_model *m, bs_error *e);
void bs_model_free(bs_model *m);

/* Must be called after the parameters of `layer` or of a layer above it have changed. */
void bs_model_changed(bs_model *m, int64_t layer);

/* Whether the kernels in use can compute in this precision. */
bool bs_model_can(const bs_model *m, bs_precision precision);

/* Packs the weights that have changed since the last call, for products in this precision. With
 * `backward` also for those of the backward pass. No other thread may use the model meanwhile.
 * bs_model_fresh tells whether there is nothing to pack. */
bs_status bs_model_pack(bs_model *m, bs_precision precision, bool backward, int n_threads,
                        bs_error *e);
bool bs_model_fresh(const bs_model *m, bs_precision precision, bool backward);

/* The size of the packed weights in bytes. */
size_t bs_model_packed_size(const bs_model *m, bs_precision precision, bool backward);

#endif
