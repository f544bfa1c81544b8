/* A bias of attention scores by the distance of query and key, shared by all layers (Raffel et al.
 * 2020, as in MPNet).
 *
 * The score of query i and key j gets weight[bucket(j - i)][head]. Nothing of size (length, length)
 * is stored: biases are looked up in a table by distance, and gradients are summed by distance
 * before they are summed by bucket. If layers are frozen, so are the biases, like the embeddings. */
#ifndef BS_MODEL_RELATIVE_H
#define BS_MODEL_RELATIVE_H

#include "model/pass_state.h"

/* The number of floats of a table over the distances in sequences of up to `longest` tokens. */
int64_t bs_relative_size(int64_t longest);

/* Fills p->relative: for each head, the biases of the distances from 1 - longest to longest - 1. */
void bs_relative_forward(bs_pass *p);

/* The biases of the first query of any sequence by key, those of query i begin i floats earlier; or
 * NULL. */
static inline const float *bs_relative_row(const bs_pass *p, int64_t head)
{
    return p->relative != NULL ? p->relative + head * p->relative_ld + p->longest - 1 : NULL;
}

/* Sums a task's gradients of the distances from 1 - keys to keys - 1 by bucket. */
void bs_relative_fold(bs_pass *p, int64_t sequence, int64_t head, const float *d_distances,
                      int64_t keys);

/* Adds the sums of one layer's tasks to `gradients`, in the order of the sequences. */
void bs_relative_backward(bs_pass *p, float *gradients);

#endif
