/* One training step: forward, loss and backward over micro-batches, then the update. */
#ifndef BS_TRAIN_STEP_H
#define BS_TRAIN_STEP_H

#include "model/loss.h"
#include "model/pass.h"
#include "train/optimizer.h"

/* The default number of tokens in a micro-batch: few enough that what is kept for the backward pass
 * stays near the cache, enough to reuse each packed weight often. The gradient of a batch is the
 * sum over its micro-batches, so memory does not grow with the batch. Another size changes the
 * order of that sum and so the last bits, but not the dropout. */
int64_t bs_micro_batch_tokens(bs_precision precision);

/* The end of the micro-batch that starts with sequence `first`. It has at least one sequence. */
int64_t bs_micro_batch_end(const bs_batch *b, const bs_pass_options *options, int64_t first);

/* Computes the loss of the batch, the logits (N, C) of its texts, and the gradient, which
 * overwrites the trained part of `gradients` (table.total,). Fails with BS_ERR_NONFINITE if the
 * loss is not finite.
 *
 * If the windows of a text do not fit into one micro-batch, all of its micro-batches first go
 * forward. Then, given the gradient at the text's logits, the last one goes backward, and each of
 * the others goes forward again, with the same dropout, and backward. So the gradient is that of
 * the whole text, in the memory of one micro-batch. The same is done with all texts of the step if
 * the loss compares them with each other. */
bs_status bs_loss_and_gradients(bs_model *model, const bs_batch *batch,
                                const bs_targets *targets, const bs_pass_options *options,
                                int n_threads, bs_arena *arena, float *logits, float *gradients,
                                double *loss, bs_error *e);

/* Calls bs_loss_and_gradients and then bs_optimizer_apply. Parameters and moments stay unchanged if
 * either fails or all weights are 0. */
bs_status bs_train_step(bs_model *model, const bs_batch *batch, const bs_targets *targets,
                        const bs_pass_options *options, const bs_adamw_options *adamw,
                        int n_threads, bs_arena *arena, float *logits, float *gradients,
                        float *exp_avg, float *exp_avg_sq, double *loss, double *norm,
                        bs_error *e);

#endif
