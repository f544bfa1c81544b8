/* What each token contributes to an output, at a point on the straight line between the word
 * embeddings of a baseline and those of a text: integrated gradients (Sundararajan, Taly and Yan
 * 2017) are integrals of this along the line. Positions and token types are those of the text. */
#ifndef BS_MODEL_ATTRIBUTION_H
#define BS_MODEL_ATTRIBUTION_H

#include "model/pass.h"

/* Checks that the batch has a baseline whose ids are in the vocabulary, and that the place of every
 * sequence on its line is from 0 to 1. */
bs_status bs_attribution_check(const bs_batch *b, const bs_config *c, bs_error *e);

/* The output of a sequence is the sum of its logits, multiplied by its row of `weights` (B, C).
 * Writes `logits` (B, C) and `scores` (T,): the gradient of the output at each word embedding, times
 * the difference between the word embeddings of the text and of the baseline. If `gradients` (T, E)
 * is not NULL, writes these gradients to it. There is no dropout.
 *
 * Only the options precision, not int8, and tokens are read; the model must be packed for the
 * precision, with what the backward pass needs. Sequences are cut into chunks of about `tokens`
 * tokens, or of the default number, in their order. As in bs_score, threads share chunks or work on
 * one at a time, with the same bits. Fails with BS_ERR_NONFINITE if a result is not finite. */
bs_status bs_attribute(const bs_model *model, const bs_batch *batch, const float *weights,
                       const bs_pass_options *options, int n_threads, float *logits, float *scores,
                       float *gradients, bs_error *e);

#endif
