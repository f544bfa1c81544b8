/* Scoring: the logits of any number of sequences, without keeping anything for a backward pass. */
#ifndef BS_MODEL_SCORE_H
#define BS_MODEL_SCORE_H

#include "model/pass.h"

/* The default number of tokens in a chunk: enough to reuse each packed weight often, few enough to
 * stay near the cache. */
int64_t bs_chunk_tokens(bs_precision precision);

/* Writes `logits` (B, C) in the order of the batch and, unless it is NULL, `pooled` (B, H), what the
 * head reads: the last layer's output for [CLS], or its mean over all tokens. Only the options
 * precision, tokens and clock are read; the model must be packed for the precision. Sequences are
 * sorted by length, longest first, and cut into chunks of about `tokens` tokens. Each thread carries
 * a chunk through all layers; if there are few chunks, all threads work on one at a time. Both give
 * the same bits. Fails with BS_ERR_NONFINITE if a logit or a pooled value is not finite. */
bs_status bs_score(const bs_model *model, const bs_batch *batch, const bs_pass_options *options,
                   int n_threads, float *logits, float *pooled, bs_error *e);

#endif
