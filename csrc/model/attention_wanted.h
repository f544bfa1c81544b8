/* Attention with one query per sequence. */
#ifndef BS_MODEL_ATTENTION_WANTED_H
#define BS_MODEL_ATTENTION_WANTED_H

#include "model/pass_state.h"

/* Whether the layer's attention reads the layer's input directly, without computing keys and
 * values. */
bool bs_attention_of_input(const bs_pass *p, int64_t layer);

/* A task for the pool, one per sequence; `job` is a bs_attention_job. */
void bs_attention_wanted_forward(void *job, int64_t task, int worker);

/* The number of scratch floats that a task over up to `longest` tokens needs. */
int64_t bs_attention_wanted_scratch(const bs_config *c, int64_t longest);

#endif
