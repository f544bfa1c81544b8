/* Attention with bfloat16 products. */
#ifndef BS_MODEL_ATTENTION_BF16_H
#define BS_MODEL_ATTENTION_BF16_H

#include "model/pass_state.h"

/* Tasks for the pool, one per (sequence, head); `job` is a bs_attention_job. */
void bs_attention_bf16_forward(void *job, int64_t task, int worker);
void bs_attention_bf16_backward(void *job, int64_t task, int worker);

/* The number of scratch floats that a task over so many keys needs. */
int64_t bs_attention_bf16_scratch(const bs_kernels *kernels, int64_t keys, int64_t head_size,
                                  bool backward);

#endif
