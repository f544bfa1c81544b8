/* One layer of the encoder. */
#ifndef BS_MODEL_ENCODER_H
#define BS_MODEL_ENCODER_H

#include "model/pass_state.h"

void bs_layer_forward(bs_pass *p, int64_t layer);

/* Takes the gradient at the layer's output (R, H) in p->d_a and adds the gradient of its parameters
 * to `gradients`. With want_input, leaves the gradient at its input (T, H) in p->d_a. */
void bs_layer_backward(bs_pass *p, int64_t layer, bool want_input, float *gradients);

/* The number of bytes of scratch that the products of any layer need. */
size_t bs_layer_scratch(const bs_pass *p);

#endif
