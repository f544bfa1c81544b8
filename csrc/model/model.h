/* A model: its numbers, where its parameters are, and the kernels it runs on. */
#ifndef BS_MODEL_MODEL_H
#define BS_MODEL_MODEL_H

#include "core/arena.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/parameters.h"
#include "model/weights.h"

typedef struct {
    bs_config config;
    bs_parameter_table table;
    const bs_kernels *kernels;
    float *parameters; /* (table.total,), the caller's */
    uint64_t *versions; /* (L,) of each encoder layer's parameters, from 1 */
    bs_weights packed[3]; /* by bs_precision; none of fp32 where the BLAS does it all */
    bs_arena decoder; /* of masked tokens, packed: see bs_mlm_pack */
} bs_model;

/* Fills in all but config and parameters. bs_model_free undoes it, also after a failure. */
bs_status bs_model_make(bs_model *m, bs_error *e);
void bs_model_free(bs_model *m);

/* To be called when the parameters of layers from `layer` on have changed. */
void bs_model_changed(bs_model *m, int64_t layer);

/* Whether the machine's kernels compute in this precision. */
bool bs_model_can(const bs_model *m, bs_precision precision);

/* Packs what has changed since the last time for products in this precision; `backward` for a
 * training step. Needs the model for itself; `fresh` says whether there is nothing to do. */
bs_status bs_model_pack(bs_model *m, bs_precision precision, bool backward, int n_threads,
                        bs_error *e);
bool bs_model_fresh(const bs_model *m, bs_precision precision, bool backward);

/* Bytes that the packed weights take. */
size_t bs_model_packed_size(const bs_model *m, bs_precision precision, bool backward);

#endif
