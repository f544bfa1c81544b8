/* One pass through the model: forward and, if its buffers are kept, backward. */
#ifndef BS_MODEL_PASS_H
#define BS_MODEL_PASS_H

#include "model/pass_state.h"

/* Reserves the arena and lays out the buffers of the pass in it. It must outlive the pass. */
bs_status bs_pass_begin(bs_pass *p, const bs_model *model, const bs_batch *batch,
                        const bs_pass_options *options, bool keep, int n_threads, bs_arena *arena,
                        bs_error *e);

/* The number of bytes that bs_pass_begin would reserve. */
size_t bs_pass_size(const bs_model *model, const bs_batch *batch, const bs_pass_options *options,
                    bool keep, int n_threads);

/* Computes p->logits. */
void bs_pass_forward(bs_pass *p);

/* Computes p->tokens: everything except the head. */
void bs_pass_encode(bs_pass *p);

/* Computes and returns the input (T, H) of `layer`, or with L that of the head (B, H). */
const float *bs_pass_encode_until(bs_pass *p, int64_t layer);

/* Adds the gradient of the trained parameters to `gradients` (table.total,), given the gradient at
 * the logits (B, C). To be called once after bs_pass_forward, of a pass that keeps its buffers. */
void bs_pass_backward(bs_pass *p, const float *d_logits, float *gradients);

/* Computes and returns the gradient at the word embeddings (T, E), of a pass with the option
 * to_words; otherwise as bs_pass_backward. */
const float *bs_pass_backward_to_words(bs_pass *p, const float *d_logits);

/* The same as bs_pass_backward without the head, given the gradient at p->tokens in p->d_a. */
void bs_pass_encode_backward(bs_pass *p, float *gradients);

#endif
