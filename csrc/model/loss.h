/* Softmax cross-entropy. */
#ifndef BS_MODEL_LOSS_H
#define BS_MODEL_LOSS_H

#include <stdint.h>

/* Returns sum_i w_i ce_i / weight over B rows of C logits and writes its gradient d_logits (B, C).
 * `weights` (B,) or NULL for ones. `weight` is that of the whole step, of which these rows may
 * be a part; a step without weight has loss and gradient 0. `smoothing` is the part of each
 * target that is spread evenly over all classes. Computed in float64. */
double bs_cross_entropy(float *d_logits, const float *logits, const int32_t *labels,
                        const float *weights, double weight, double smoothing, int64_t B,
                        int64_t C);

#endif
