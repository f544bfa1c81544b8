/* Word, position and type embeddings, LayerNorm and dropout, and perhaps a linear layer. */
#ifndef BS_MODEL_EMBEDDINGS_H
#define BS_MODEL_EMBEDDINGS_H

#include "model/pass_state.h"

/* Computes p->embedding_out (T, H). */
void bs_embeddings_forward(bs_pass *p);

/* Adds the gradient of the embeddings to `gradients`, given that at p->embedding_out in p->d_a. */
void bs_embeddings_backward(bs_pass *p, float *gradients);

/* Returns the gradient at the word embeddings (T, E), given that at p->embedding_out in p->d_a. */
const float *bs_embeddings_backward_to_words(bs_pass *p);

/* The number of bytes of scratch that the products of the linear layer need; 0 without one. */
size_t bs_embeddings_scratch(const bs_pass *p);

#endif
