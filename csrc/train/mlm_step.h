/* One step of masked language modelling, the counterpart of train/step.h. */
#ifndef BS_TRAIN_MLM_STEP_H
#define BS_TRAIN_MLM_STEP_H

#include "model/mlm_head.h"
#include "train/optimizer.h"

/* Computes the mean loss over the masked tokens and, unless `gradients` (table.total,) is NULL, its
 * gradient, which overwrites the trained part. The model's head must be masked_lm. Fails with
 * BS_ERR_NONFINITE if the loss is not finite. Without masked tokens the loss is 0. */
bs_status bs_mlm_loss_and_gradients(bs_model *model, const bs_batch *batch,
                                    const bs_mlm_targets *targets, const bs_pass_options *options,
                                    int n_threads, bs_arena *arena, float *gradients,
                                    bs_mlm_result *result, bs_error *e);

/* Calls bs_mlm_loss_and_gradients and then bs_optimizer_apply. Parameters and moments stay
 * unchanged if either fails or nothing is masked. */
bs_status bs_mlm_train_step(bs_model *model, const bs_batch *batch, const bs_mlm_targets *targets,
                            const bs_pass_options *options, const bs_adamw_options *adamw,
                            int n_threads, bs_arena *arena, float *gradients, float *exp_avg,
                            float *exp_avg_sq, bs_mlm_result *result, double *norm, bs_error *e);

#endif
