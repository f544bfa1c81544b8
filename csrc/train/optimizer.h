/* From gradients to parameters: global norm, clip, AdamW. */
#ifndef BS_TRAIN_OPTIMIZER_H
#define BS_TRAIN_OPTIMIZER_H

#include "model/model.h"

typedef struct {
    float learning_rate;
    float beta1, beta2, eps;
    float weight_decay;  /* of the matrices; biases and LayerNorm have none */
    float max_grad_norm; /* 0: no clipping */
    const float *rates;  /* (L + 2,) or NULL: factors of the rate for embeddings, layers, head */
} bs_adamw_options;

/* Sets the trained part of `gradients` to zero. */
void bs_gradients_clear(const bs_model *model, int64_t freeze, float *gradients, int n_threads);

/* One AdamW step (Loshchilov & Hutter 2019) over what is trained, the gradient scaled to
 * max_grad_norm if its norm is above. `step` counts from 0. The norm before clipping goes to
 * *norm. BS_ERR_NONFINITE, and nothing changed, if it is not finite. */
bs_status bs_optimizer_apply(bs_model *model, int64_t freeze, const float *gradients,
                             float *exp_avg, float *exp_avg_sq, int64_t step,
                             const bs_adamw_options *options, int n_threads, double *norm,
                             bs_error *e);

#endif
