/* Scoring: logits of any number of sequences, nothing kept. */
#ifndef BS_MODEL_SCORE_H
#define BS_MODEL_SCORE_H

#include "model/pass.h"

/* Tokens of a chunk unless the options say otherwise: enough to use each packed weight often, few
 * enough to stay near the cache. */
int64_t bs_chunk_tokens(bs_precision precision);

/* Writes `logits` (B, C), in the order of the batch. Of the options, precision and tokens count; the
 * model must be packed for the precision. Sequences are taken by falling length, in chunks of about
 * `tokens` that one thread carries through all layers; a few chunks are worked on by all threads
 * together. Both give the same bits. */
bs_status bs_score(const bs_model *model, const bs_batch *batch, const bs_pass_options *options,
                   int n_threads, float *logits, bs_error *e);

#endif
