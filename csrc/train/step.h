/* One training step: forward, loss and backward over micro-batches, then the update. */
#ifndef BS_TRAIN_STEP_H
#define BS_TRAIN_STEP_H

#include "model/pass.h"
#include "model/windows.h"
#include "train/optimizer.h"

/* Tokens that go through the model at once unless the options say otherwise: what is kept for the
 * way back should stay near the cache while each packed weight is used often. The gradient of a
 * larger batch is the sum over micro-batches of about this size, so memory does not grow with the
 * batch. Another size changes the order of that sum, and so the last bits; dropout stays. */
int64_t bs_micro_batch_tokens(bs_precision precision);

/* The end of the micro-batch that begins with sequence `first`: at least one sequence. */
int64_t bs_micro_batch_end(const bs_batch *b, const bs_pass_options *options, int64_t first);

typedef struct {
    const int32_t *labels;  /* (N,) */
    const float *weights;   /* (N,) or NULL: ones */
    float label_smoothing;  /* part of a target spread over all classes, below 1 */
    const bs_windows *windows; /* the N texts; NULL: each sequence of the batch is one */
} bs_targets;

/* Labels in range, weights finite and not negative, naming the row at fault; smoothing in range. */
bs_status bs_targets_check(const bs_targets *t, int64_t N, const bs_config *c, bs_error *e);

/* The windows of a text that is too long for a micro-batch go through the model in several: all of
 * them forward; then, with the gradient at the text's logits, the last one back, and each other one
 * forward again, drawing the same dropout, and back. So the gradient is that of the whole text, in
 * the memory of a micro-batch.
 *
 * The loss of the batch, the logits (N, C) of its texts and its gradient, into `gradients`
 * (table.total,), whose trained part is overwritten. BS_ERR_NONFINITE if the loss is not finite. */
bs_status bs_loss_and_gradients(bs_model *model, const bs_batch *batch,
                                const bs_targets *targets, const bs_pass_options *options,
                                int n_threads, bs_arena *arena, float *logits, float *gradients,
                                double *loss, bs_error *e);

/* The above, then bs_optimizer_apply. Nothing is changed when either fails, nor when the whole
 * batch has weight 0. */
bs_status bs_train_step(bs_model *model, const bs_batch *batch, const bs_targets *targets,
                        const bs_pass_options *options, const bs_adamw_options *adamw,
                        int n_threads, bs_arena *arena, float *logits, float *gradients,
                        float *exp_avg, float *exp_avg_sq, double *loss, double *norm,
                        bs_error *e);

#endif
