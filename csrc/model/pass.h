/* One pass through the model: forward, and where asked for, the way back.
 *
 * Axes: T tokens, B sequences, R wanted rows (of the last layer: one [CLS] a
 * sequence, unless their mean is pooled), H hidden, A heads, D head size,
 * F intermediate, C labels. */
#ifndef BS_MODEL_PASS_H
#define BS_MODEL_PASS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "kernels/gemm.h"
#include "model/model.h"
#include "model/stages.h"

/* Places where dropout acts, in the low byte of a bs_dropout_row's site. */
enum { BS_SITE_EMBEDDING, BS_SITE_ATTENTION, BS_SITE_PROJECTION, BS_SITE_OUTPUT, BS_SITE_POOLED };

typedef struct {
    int64_t freeze; /* 0: all trained; k: embeddings and the first k layers not; L: the head alone */
    bool training;  /* dropout */
    bool freeze_dropout; /* none in what is frozen */
    uint64_t seed;
    uint32_t step;
    int64_t tokens; /* that go through the model at once, about; 0 for what suits the caches */
    bs_precision precision; /* of the products in the encoder; the weights are packed for it */
    bs_stage_clock *clock;  /* or NULL: for one pass at a time */
} bs_pass_options;

/* What one layer computes. Where nothing is kept, layers share these buffers. */
typedef struct {
    const float *x;       /* (T, H) its input */
    float *wanted;        /* (R, H) the wanted rows of x; x itself where all are wanted */
    float *q, *k, *v;     /* rows ld_q, ld_kv, ld_kv apart */
    int64_t ld_q, ld_kv;
    bs_low_rows qkv;      /* (T, 3H) instead of q, k and v, for attention in bfloat16 */
    float *lse;           /* (A, R) log sum exp of each row of scores */
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
    bool keep;         /* keep what backward needs */
    int64_t keep_from; /* the first layer that does; L: only the head */
    int64_t first;     /* the first layer that is computed: 0, or of stored rows the first trained */
    bs_arena *arena;

    int64_t longest;          /* of the batch's sequences */
    uint64_t *sequence_keys;  /* (B,) */
    int32_t *sequence_of;     /* (T,) */
    int64_t *first_rows;      /* (B,) = where each sequence begins: the wanted rows */
    float *embedding_sum, *embedding_mean, *embedding_rstd; /* (T, H), (T,), (T,) */
    float *embedding_out;     /* (T, H) what the first layer reads; stored rows lie here as well */
    bs_layer_state *layers;   /* (L,) */
    float *activated;         /* (T, F) scratch */
    bs_low_rows activated16;  /* the same in bfloat16, where that is the precision */
    bs_gemm_workers gemm;
    float *worker_scratch;    /* n_threads times worker_floats */
    int64_t worker_floats;
    const float *tokens;      /* the last layer's output: (B, H) for [CLS], or (T, H) for all */
    float *means;             /* (B, H) of these; NULL without */
    const float *encoded;     /* (B, H) what the head reads: tokens or means */
    float *pooled, *dropped;  /* (B, H) */
    float *logits;            /* (B, C) */

    /* backward's scratch */
    float *d_a, *d_b, *d_c;   /* (T, H) */
    float *d_up;              /* (T, F) */
    float *d_qkv;             /* (T, 3H) */
    float *partials;          /* sums of row blocks, 3H each */
} bs_pass;

/* Lays the pass out in `arena` and reserves it. The arena must outlive the pass. */
bs_status bs_pass_begin(bs_pass *p, const bs_model *model, const bs_batch *batch,
                        const bs_pass_options *options, bool keep, int n_threads, bs_arena *arena,
                        bs_error *e);

/* How many bytes that would reserve. */
size_t bs_pass_size(const bs_model *model, const bs_batch *batch, const bs_pass_options *options,
                    bool keep, int n_threads);

/* Computes p->logits. */
void bs_pass_forward(bs_pass *p);

/* The same without the head: computes p->tokens. */
void bs_pass_encode(bs_pass *p);

/* Computes what `layer` reads (T, H), or with L what the head does (B, H). */
const float *bs_pass_encode_until(bs_pass *p, int64_t layer);

/* From the gradient at the logits (B, C); adds to the trained part of `gradients`
 * (table.total,). Once after each forward; the pass must have kept. */
void bs_pass_backward(bs_pass *p, const float *d_logits, float *gradients);

/* The same from the gradient at p->tokens, which the caller has left in p->d_a. */
void bs_pass_encode_backward(bs_pass *p, float *gradients);

/* Whether dropout acts in a layer; -1: the embeddings, L: the head. */
bool bs_pass_drops(const bs_pass *p, int64_t layer);

/* The mask of one row of one dropout site into `mask`; NULL where the rate is 0 or
 * nothing is trained. `row` counts the batch's tokens. */
const float *bs_pass_mask(const bs_pass *p, float *mask, float rate, int64_t layer, int site,
                          int64_t row, int64_t n);

/* The scratch of one worker, p->worker_floats long. */
static inline float *bs_pass_scratch(const bs_pass *p, int worker)
{
    return p->worker_scratch + worker * p->worker_floats;
}

/* The steps of the way, each in its own file. */
void bs_embeddings_forward(bs_pass *p);
void bs_embeddings_backward(bs_pass *p, float *gradients);
void bs_attention_forward(bs_pass *p, int64_t layer);
void bs_attention_backward(bs_pass *p, int64_t layer, const float *d_context, float *d_q,
                           int64_t ld_dq, float *d_k, float *d_v, int64_t ld_dkv);
void bs_layer_forward(bs_pass *p, int64_t layer);
/* From the gradient at the layer's output (R, H) in p->d_a to that at its input (T, H), left there
 * too unless want_input is false. */
void bs_layer_backward(bs_pass *p, int64_t layer, bool want_input, float *gradients);
/* Computes p->encoded where that is a mean. */
void bs_means_forward(bs_pass *p);
void bs_head_forward(bs_pass *p);
/* Leaves the gradient at the last layer's output, as p->tokens is, in p->d_a unless all layers are
 * frozen. */
void bs_head_backward(bs_pass *p, const float *d_logits, float *gradients);

/* Scratch floats that one worker needs for attention over p->longest keys. */
int64_t bs_attention_scratch(const bs_pass *p);

/* Whether the layer's attention multiplies bfloat16. */
bool bs_attention_in_bf16(const bs_pass *p, int64_t layer);

/* Whether it reads the layer's input, so that there are neither keys nor values. */
bool bs_attention_of_input(const bs_pass *p, int64_t layer);

/* Bytes of scratch that the products of a layer need at most. */
size_t bs_layer_scratch(const bs_pass *p);

/* Rows that one task of a row-wise operation takes. */
#define BS_ROW_BLOCK 64

static inline int64_t bs_row_blocks(int64_t rows)
{
    return (rows + BS_ROW_BLOCK - 1) / BS_ROW_BLOCK;
}

#endif
