/* What frozen layers make of a batch, to be stored: see model/stored.h. */
#ifndef BS_TRAIN_FROZEN_H
#define BS_TRAIN_FROZEN_H

#include "model/pass.h"

/* Writes what `layer` reads of the batch (T, H), or with L what the head does (B, H), without
 * dropout. Micro-batches and products are those of a training step, so that a step over this very
 * batch computes the same bits from the rows as from the ids. In other company a text may differ
 * in the last bits: the BLAS sums in an order of its own for each size. */
bs_status bs_frozen_rows(bs_model *model, const bs_batch *batch, int64_t layer,
                         const bs_pass_options *options, int n_threads, bs_arena *arena,
                         float *rows, bs_error *e);

#endif
