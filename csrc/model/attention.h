/* Multi-head self-attention of one layer. */
#ifndef BS_MODEL_ATTENTION_H
#define BS_MODEL_ATTENTION_H

#include "model/pass_state.h"

/* Computes the context from the layer's queries, keys and values. */
void bs_attention_forward(bs_pass *p, int64_t layer);

/* Computes the gradients at queries, keys and values from that at the context. */
void bs_attention_backward(bs_pass *p, int64_t layer, const float *d_context, float *d_q,
                           int64_t ld_dq, float *d_k, float *d_v, int64_t ld_dkv);

/* The number of scratch floats that one worker needs for attention over up to p->longest keys. */
int64_t bs_attention_scratch(const bs_pass *p);

#endif
