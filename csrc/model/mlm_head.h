/* Predicts masked tokens from the last layer's output, and goes back from there. */
#ifndef BS_MODEL_MLM_HEAD_H
#define BS_MODEL_MLM_HEAD_H

#include "model/pass.h"

typedef struct {
    int64_t count;         /* M */
    const int64_t *tokens; /* (M,) which tokens are predicted, rising; counted from `origin` on */
    const int32_t *labels; /* (M,) what they are */
    int64_t origin;        /* the number of the batch's first token */
} bs_mlm_targets;

typedef struct {
    double loss;  /* mean over all masked tokens of the step */
    int64_t hits; /* of them that no other token was more likely than */
} bs_mlm_result;

/* Tokens in range and rising, labels in the vocabulary, naming the one at fault. */
bs_status bs_mlm_targets_check(const bs_mlm_targets *t, const bs_batch *b, const bs_config *c,
                               bs_error *e);

/* Packs the word embeddings for products below fp32: before every step, as every step changes
 * them. Needs the model for itself. */
bs_status bs_mlm_pack(bs_model *m, bs_precision precision, bool backward, int n_threads,
                      bs_error *e);

/* Bytes that bs_mlm_head takes of the arena, after those of the pass. */
size_t bs_mlm_size(const bs_model *m, bs_precision precision, int64_t count, bool backward);

/* After bs_pass_encode, with targets within the batch: adds their part of the loss and their hits
 * to `result`. `weight` is the number of masked tokens of the whole step. With `gradients`
 * (table.total,) also adds those of the head and leaves the gradient at p->tokens in p->d_a, for
 * bs_pass_encode_backward. */
void bs_mlm_head(bs_pass *p, const bs_mlm_targets *targets, int64_t weight, float *gradients,
                 bs_mlm_result *result);

#endif
