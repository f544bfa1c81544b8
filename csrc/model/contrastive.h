/* The supervised contrastive loss: vectors of texts of one class should be near each other, and far
 * from those of others. */
#ifndef BS_MODEL_CONTRASTIVE_H
#define BS_MODEL_CONTRASTIVE_H

#include <stdint.h>

/* N vectors x_i of H numbers, and what they are of. */
typedef struct {
    const float *vectors;  /* (N, H), none of them 0 */
    const int32_t *ids;    /* (N,) classes */
    const float *weights;  /* (N,) or NULL: ones */
    double temperature;    /* at least 0.01, so that exponentials do not underflow */
    int64_t N, H;
} bs_contrast;

/* The number of doubles that bs_contrastive needs as scratch. */
static inline int64_t bs_contrastive_scratch(int64_t N)
{
    return N * (2 * N + 1);
}

/* Returns sum_i w_i loss_i / sum_i w_i and writes its gradient to d_vectors (N, H), in float64. If
 * all weights are 0, so are loss and gradient. As Khosla et al. (2020) have it, their L_out, with
 * z_i = x_i / |x_i| and s_ij = z_i . z_j / temperature,
 *
 *   loss_i = -sum_j q_ij log(exp(s_ij) / sum_k w_k exp(s_ik))    for j and k other than i
 *   q_ij = w_j / (the sum of these weights)    for j of the class of i, and 0 for others.
 *
 * A weight counts like so many equal texts. A text that is alone in its class has no loss. */
double bs_contrastive(float *d_vectors, const bs_contrast *c, double *scratch);

#endif
