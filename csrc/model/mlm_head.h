/* The head that predicts masked tokens from the last layer's output, forward and backward. */
#ifndef BS_MODEL_MLM_HEAD_H
#define BS_MODEL_MLM_HEAD_H

#include "model/pass_state.h"

typedef struct {
    int64_t count;         /* M */
    const int64_t *tokens; /* (M,) the masked tokens in ascending order, counted from `origin` */
    const int32_t *labels; /* (M,) their true ids */
    int64_t origin;        /* the index of the batch's first token */
} bs_mlm_targets;

typedef struct {
    double loss;  /* the mean over all masked tokens of the step */
    int64_t hits; /* masked tokens whose true id has the largest logit */
} bs_mlm_result;

/* Checks that tokens are in range and ascending, and labels within the vocabulary. The message
 * names the one at fault. */
bs_status bs_mlm_targets_check(const bs_mlm_targets *t, const bs_batch *b, const bs_config *c,
                               bs_error *e);

/* Packs the word embeddings for products below fp32. Needed before every step, since every step
 * changes them. No other thread may use the model meanwhile. */
bs_status bs_mlm_pack(bs_model *m, bs_precision precision, bool backward, int n_threads,
                      bs_error *e);

/* The number of bytes that bs_mlm_head takes from the arena after the pass. */
size_t bs_mlm_size(const bs_model *m, bs_precision precision, int64_t count, bool backward);

/* To be called after bs_pass_encode, with the targets of this batch. Adds their share of the loss
 * and their hits to `result`. `weight` is the number of masked tokens of the whole step. Unless
 * `gradients` (table.total,) is NULL, also adds the gradient of the head and leaves the gradient at
 * p->tokens in p->d_a, for bs_pass_encode_backward. */
void bs_mlm_head(bs_pass *p, const bs_mlm_targets *targets, int64_t weight, float *gradients,
                 bs_mlm_result *result);

#endif
