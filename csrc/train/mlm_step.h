/* One step of masked language modelling: as train/step.h does it with labels. */
#ifndef BS_TRAIN_MLM_STEP_H
#define BS_TRAIN_MLM_STEP_H

#include "model/mlm_head.h"
#include "train/optimizer.h"

/* The mean loss over the masked tokens and its gradient, into `gradients` (table.total,), whose
 * trained part is overwritten; NULL: the loss alone. The model's head must be that of masked
 * tokens. BS_ERR_NONFINITE if the loss is not finite; 0 where nothing is masked. */
bs_status bs_mlm_loss_and_gradients(bs_model *model, const bs_batch *batch,
                                    const bs_mlm_targets *targets, const bs_pass_options *options,
                                    int n_threads, bs_arena *arena, float *gradients,
                                    bs_mlm_result *result, bs_error *e);

/* The above, then bs_optimizer_apply. Nothing is changed when either fails, nor when nothing is
 * masked. */
bs_status bs_mlm_train_step(bs_model *model, const bs_batch *batch, const bs_mlm_targets *targets,
                            const bs_pass_options *options, const bs_adamw_options *adamw,
                            int n_threads, bs_arena *arena, float *gradients, float *exp_avg,
                            float *exp_avg_sq, bs_mlm_result *result, double *norm, bs_error *e);

#endif
