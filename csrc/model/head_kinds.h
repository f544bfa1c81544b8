/* The heads that a model can have: X(id, name, drops input, dense, activation).
 *
 * The head of a classifier reads the last layer's output for [CLS], or its mean over all tokens,
 * and applies in this order
 *
 *   dropout        if `drops input`
 *   dense layer    followed by tanh or an activation, unless BS_NO_DENSE
 *   dropout
 *   output layer   logits = x W^T + b
 *
 * vectors has none of them, and no parameters: its logits are what a head reads. masked_lm predicts
 * masked tokens and is implemented apart (model/mlm_head.h). */
#ifndef BS_MODEL_HEAD_KINDS_H
#define BS_MODEL_HEAD_KINDS_H

#include <stdbool.h>

#include "kernels/kernels.h"

#define BS_HEADS(X)                                                                               \
    X(POOLED, "pooled", false, BS_DENSE_TANH, 0)                          /* BERT */              \
    X(PLAIN, "plain", false, BS_NO_DENSE, 0)                                                      \
    X(DENSE_RELU, "dense_relu", false, BS_DENSE_ACTIVATION, BS_RELU)      /* DistilBERT */        \
    X(DROPOUT_DENSE_GELU, "dropout_dense_gelu", true, BS_DENSE_ACTIVATION, BS_GELU) /* ELECTRA */ \
    X(DROPOUT_DENSE_TANH, "dropout_dense_tanh", true, BS_DENSE_TANH, 0)   /* RoBERTa, MPNet */    \
    X(VECTORS, "vectors", false, BS_NO_DENSE, 0)                                                  \
    X(MASKED_LM, "masked_lm", false, BS_NO_DENSE, 0)

#define BS_HEAD_ID(id, name, drops_input, dense, activation) BS_HEAD_##id,
typedef enum { BS_HEADS(BS_HEAD_ID) BS_HEAD_COUNT } bs_head_kind;
#undef BS_HEAD_ID

typedef enum { BS_NO_DENSE, BS_DENSE_TANH, BS_DENSE_ACTIVATION } bs_head_dense;

typedef struct {
    const char *name;
    bool drops_input;
    bs_head_dense dense;
    bs_activation activation; /* for BS_DENSE_ACTIVATION */
} bs_head_parts;

extern const bs_head_parts bs_heads[BS_HEAD_COUNT];

#endif
