/* The state of one pass through the model: its options, its buffers, and what every layer needs of
 * them. The layers include this file; model/pass.h includes the layers.
 *
 * Axes: T tokens, B sequences, R wanted rows (those that a layer computes: all T, or in the last
 * layer one [CLS] row a sequence unless all rows are read), H hidden size, A heads, D head size,
 * F intermediate size, C labels, E embedding size, which usually is H. */
#ifndef BS_MODEL_PASS_STATE_H
#define BS_MODEL_PASS_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "kernels/gemm.h"
#include "model/batch.h"
#include "model/model.h"
#include "model/stages.h"

/* The places where dropout acts: the low byte of a bs_dropout_row's site. */
enum {
    BS_SITE_EMBEDDING,
    BS_SITE_ATTENTION,
    BS_SITE_PROJECTION,
    BS_SITE_OUTPUT,
    BS_SITE_HEAD_OUTPUT, /* before the head's output layer, */
    BS_SITE_HEAD_DENSE   /* before its dense layer */
};

typedef struct {
    int64_t freeze;         /* k > 0: embeddings and the first k layers are frozen; L: all layers */
    bool training;          /* dropout acts */
    bool freeze_dropout;    /* no dropout in frozen layers */
    bool to_words;          /* the backward pass ends at the word embeddings, without a gradient of
                               parameters: `gradients` is NULL in all its functions; freeze is 0 */
    uint64_t seed;
    uint32_t step;
    int64_t tokens;         /* of a micro-batch or chunk, about; 0: a size that suits the caches */
    bs_precision precision; /* of the encoder's products; the weights must be packed for it */
    bs_stage_clock *clock;  /* or NULL; for one pass at a time */
} bs_pass_options;

/* The buffers of one layer. Layers that keep nothing for the backward pass share them. */
typedef struct {
    const float *x;       /* (T, H) the layer's input */
    float *wanted;        /* (R, H) the wanted rows of x; x itself if all are wanted */
    float *q, *k, *v;     /* rows are ld_q, ld_kv and ld_kv floats apart */
    int64_t ld_q, ld_kv;
    bs_bf16_matrix qkv;   /* (T, 3H) replaces q, k and v for attention in bfloat16 */
    float *lse;           /* (A, R) the log-sum-exp of each row of scores */
    float *context;       /* (R, H) */
    float *sum1, *hidden; /* (R, H) before and after the first LayerNorm */
    float *up;            /* (R, F) before the activation */
    float *sum2, *out;    /* (R, H) before and after the second LayerNorm */
    float *mean1, *rstd1, *mean2, *rstd2; /* (R,) */
} bs_layer_state;

typedef struct {
    const bs_model *model;
    bs_batch batch;
    bs_pass_options options;
    int n_threads;
    bool keep;         /* buffers are kept for the backward pass */
    int64_t keep_from; /* the first layer whose buffers are kept; L: only the head's are */
    int64_t first;     /* the first layer computed: 0, or with stored rows the first trained one */
    bs_arena *arena;

    int64_t longest;          /* the length of the longest sequence */
    uint64_t *sequence_keys;  /* (B,) */
    int32_t *sequence_of;     /* (T,) */
    int64_t *first_rows;      /* (B,) the first row of each sequence, its [CLS] */
    int32_t *positions;       /* (T,) if the model skips padding and the batch has none, or NULL */
    float *relative;          /* (A, relative_ld) biases by distance, or NULL; see model/relative.h */
    int64_t relative_ld;
    float *embedding_sum, *embedding_mean, *embedding_rstd; /* (T, E), (T,), (T,) */
    float *embedding_normed;  /* (T, E) the input of the projection to H; otherwise embedding_out */
    float *embedding_out;     /* (T, H) the input of the first layer, also from stored rows */
    bs_layer_state *layers;   /* (L,) */
    float *activated;         /* (T, F) scratch */
    bs_bf16_matrix activated16; /* the same in bfloat16, if that is the precision */
    bs_gemm_workers gemm;
    float *worker_scratch;    /* n_threads x worker_floats */
    int64_t worker_floats;
    const float *tokens;      /* the last layer's output: (B, H) of [CLS], or (T, H) of all */
    float *means;             /* (B, H) their means, or NULL if the head does not read these */
    const float *encoded;     /* (B, H) the input of the head: tokens or means */
    float *dense_in;          /* (B, H) encoded after dropout, or NULL without this dropout */
    float *dense_sum, *dense; /* (B, H) before and after the activation of the head's dense layer;
                                 dense_sum is NULL unless the backward pass reads it */
    float *output_in;         /* (B, H) the input of the head's output layer, after dropout */
    float *logits;            /* (B, C) */

    /* scratch of the backward pass */
    float *d_a, *d_b, *d_c;   /* (T, H) */
    float *d_embedding;       /* (T, E) if there is a projection that is trained, or NULL */
    float *d_up;              /* (T, F) */
    float *d_qkv;             /* (T, 3H) */
    float *partials;          /* sums over blocks of rows, 3H each (embeddings: 2E) */
    float *d_distances;       /* n_threads x relative_ld, or NULL if the biases are not trained */
    float *d_relative;        /* (B, A, BS_RELATIVE_BUCKETS) of one layer, or NULL */
} bs_pass;

/* Where the gradient of the parameter at `offset` is added; NULL if no gradients are wanted. */
static inline float *bs_gradient_at(float *gradients, int64_t offset)
{
    return gradients != NULL ? gradients + offset : NULL;
}

/* Whether dropout acts in a layer; -1 stands for the embeddings, L for the head. */
bool bs_pass_drops(const bs_pass *p, int64_t layer);

/* Writes the mask of one row at one dropout site to `mask` and returns it, or returns NULL if
 * nothing is dropped there. `row` is the index of a token in the batch. */
const float *bs_pass_mask(const bs_pass *p, float *mask, float rate, int64_t layer, int site,
                          int64_t row, int64_t n);

/* The scratch of one worker: p->worker_floats floats. */
static inline float *bs_pass_scratch(const bs_pass *p, int worker)
{
    return p->worker_scratch + worker * p->worker_floats;
}

/* The number of rows that one task of a row-wise operation processes. */
#define BS_ROW_BLOCK 64

static inline int64_t bs_row_blocks(int64_t rows)
{
    return (rows + BS_ROW_BLOCK - 1) / BS_ROW_BLOCK;
}

#endif
