/* What the forms of attention share: fp32 by the BLAS, or packed, and bfloat16. */
#ifndef BS_MODEL_ATTENTION_H
#define BS_MODEL_ATTENTION_H

#include "model/pass.h"

/* The rows of one (sequence, head). */
typedef struct {
    const bs_pass *p;
    const bs_layer_state *y;
    int64_t s, head, D;
    int64_t keys, queries;        /* how many */
    int64_t key_row, query_row;   /* the first of each */
    const float *q, *k, *v;       /* in fp32; */
    const char *q16, *k16, *v16;  /* in bfloat16, rows ld16 bytes apart */
    int64_t ld16;
    float *lse;                   /* (queries,) */
    float scale;
    bs_dropout_row dropout;
    bool drops;
} bs_head;

/* Where the gradients go, as in bs_attention_backward. */
typedef struct {
    bs_pass *p;
    int64_t layer;
    const float *d_context;
    float *d_q, *d_k, *d_v;
    int64_t ld_dq, ld_dkv;
} bs_attention_job;

bs_head bs_head_of(const bs_pass *p, int64_t layer, int64_t task);

/* The mask of query i of the sequence, or NULL. */
const float *bs_head_mask(bs_head *h, float *mask, int64_t i);

/* The tasks of bfloat16, and the scratch floats that one of so many keys needs. */
void bs_attention_bf16_forward(void *job, int64_t task, int worker);
void bs_attention_bf16_backward(void *job, int64_t task, int worker);
int64_t bs_attention_bf16_scratch(const bs_kernels *kernels, int64_t keys, int64_t head_size,
                                  bool backward);

/* Those of fp32 where the kernels have products of their own. */
void bs_attention_packed_forward(void *job, int64_t task, int worker);
void bs_attention_packed_backward(void *job, int64_t task, int worker);
int64_t bs_attention_packed_scratch(const bs_kernels *kernels, int64_t keys, int64_t head_size,
                                    bool backward);

/* The task of a sequence, where single queries attend to the layer's input. */
void bs_attention_wanted_forward(void *job, int64_t task, int worker);
int64_t bs_attention_wanted_scratch(const bs_config *c, int64_t longest);

#endif
