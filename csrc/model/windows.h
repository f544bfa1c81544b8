/* Texts that are read in windows: several sequences of a batch, whose logits make one text's. */
#ifndef BS_MODEL_WINDOWS_H
#define BS_MODEL_WINDOWS_H

#include <stddef.h>

#include "model/batch.h"

typedef struct {
    int64_t n_texts;      /* N */
    const int64_t *first; /* (N + 1,) the first sequence of each text, and how many there are */
    const float *shares;  /* (B,) of each sequence in the logits of its text; their sum is 1 */
} bs_windows;

/* Every text has a sequence, and the batch no other ones; shares are finite and not negative. */
bs_status bs_windows_check(const bs_windows *w, int64_t n_sequences, bs_error *e);

/* Where a text begins among the sequences; without windows each is a text. */
static inline int64_t bs_text_begin(const bs_windows *w, int64_t text)
{
    return w != NULL ? w->first[text] : text;
}

/* Logits (texts, C) of the texts [first, last), from those of their sequences: sums weighted by
 * the shares, in float64. */
void bs_windows_gather(const bs_windows *w, int64_t first, int64_t last, float *texts,
                       const float *sequences, int64_t C);

/* The gradient at the sequences' logits from that at the texts'. */
void bs_windows_spread(const bs_windows *w, int64_t first, int64_t last, float *d_sequences,
                       const float *d_texts, int64_t C);

#endif
