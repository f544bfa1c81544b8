/* The update of a step: global norm, clipping, AdamW. */
#ifndef BS_TRAIN_OPTIMIZER_H
#define BS_TRAIN_OPTIMIZER_H

#include "model/model.h"

typedef struct {
    float learning_rate;
    float beta1, beta2, eps;
    float weight_decay;  /* of matrices; none for biases and LayerNorm */
    float max_grad_norm; /* 0: no clipping */
    const float *rates;  /* (L + 2,) or NULL: learning-rate factors of embeddings, layers, head */
} bs_adamw_options;

/* Sets the trained part of `gradients` to zero. */
void bs_gradients_clear(const bs_model *model, int64_t freeze, float *gradients, int n_threads);

/* Applies one AdamW step (Loshchilov & Hutter 2019) to the trained parameters, with the gradient
 * scaled down to a norm of max_grad_norm if it is larger. `step` counts from 0. *norm receives the
 * norm before clipping. Fails with BS_ERR_NONFINITE and changes nothing if it is not finite. */
bs_status bs_optimizer_apply(bs_model *model, int64_t freeze, const float *gradients,
                             float *exp_avg, float *exp_avg_sq, int64_t step,
                             const bs_adamw_options *options, int n_threads, double *norm,
                             bs_error *e);

#endif
