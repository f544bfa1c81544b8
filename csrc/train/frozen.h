/* Computes the rows of frozen layers that model/stored.h reads. */
#ifndef BS_TRAIN_FROZEN_H
#define BS_TRAIN_FROZEN_H

#include "model/pass.h"

/* Writes the input (T, H) of `layer`, or with L that of the head (B, H), computed without dropout.
 * Micro-batches and products are those of a training step, so a step over the same batch gives the
 * same bits from these rows as from the ids. In another batch a text may differ in the last bits,
 * since the BLAS's order of summation depends on the size. */
bs_status bs_frozen_rows(bs_model *model, const bs_batch *batch, int64_t layer,
                         const bs_pass_options *options, int n_threads, bs_arena *arena,
                         float *rows, bs_error *e);

#endif
