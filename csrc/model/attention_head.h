/* One attention head over one sequence, which every implementation of attention works on. */
#ifndef BS_MODEL_ATTENTION_HEAD_H
#define BS_MODEL_ATTENTION_HEAD_H

#include "model/pass_state.h"

/* The rows of one (sequence, head). */
typedef struct {
    const bs_pass *p;
    const bs_layer_state *y;
    int64_t s, head, D;
    int64_t keys, queries;        /* the number of each */
    int64_t key_row, query_row;   /* the first row of each */
    const float *q, *k, *v;       /* in fp32, or */
    const char *q16, *k16, *v16;  /* in bfloat16, rows ld16 bytes apart */
    int64_t ld16;
    const float *relative;        /* see bs_relative_row */
    float *lse;                   /* (queries,) */
    float scale;
    bs_dropout_row dropout;
    bool drops;
} bs_attention_head;

/* The arguments of bs_attention_forward or bs_attention_backward (model/attention.h). */
typedef struct {
    bs_pass *p;
    int64_t layer;
    const float *d_context;
    float *d_q, *d_k, *d_v;
    int64_t ld_dq, ld_dkv;
} bs_attention_job;

bs_attention_head bs_attention_head_of(const bs_pass *p, int64_t layer, int64_t task);

/* The dropout mask of query i of the sequence, or NULL. */
const float *bs_attention_head_mask(bs_attention_head *h, float *mask, int64_t i);

/* Adds a multiple of the biases by distance, if there are any, to the scores of query i. */
static inline void bs_attention_head_bias(const bs_attention_head *h, float *s, int64_t i,
                                          float factor)
{
    if (h->relative != NULL)
        h->p->model->kernels->axpy(s, h->relative - i, factor, h->keys);
}

/* The worker's sums of gradients by distance, cleared for the head's sequence; NULL if the biases
 * are not trained. */
float *bs_attention_head_distances(const bs_attention_head *h, int worker);

/* Whether the layer's attention multiplies in bfloat16. */
bool bs_attention_in_bf16(const bs_pass *p, int64_t layer);

#endif
