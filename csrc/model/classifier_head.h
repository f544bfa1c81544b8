/* The head of a classifier, from the last layer's output to logits; see model/head_kinds.h. */
#ifndef BS_MODEL_CLASSIFIER_HEAD_H
#define BS_MODEL_CLASSIFIER_HEAD_H

#include "model/pass_state.h"

/* Computes p->encoded if it is a mean. */
void bs_means_forward(bs_pass *p);

/* Computes p->logits. */
void bs_classifier_head_forward(bs_pass *p);

/* Adds the gradient of the head to `gradients`. Unless all layers are frozen, leaves the gradient
 * at p->tokens in p->d_a. */
void bs_classifier_head_backward(bs_pass *p, const float *d_logits, float *gradients);

#endif
