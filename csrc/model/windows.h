/* Texts read in windows: the logits of a text are a weighted mean over several sequences. */
#ifndef BS_MODEL_WINDOWS_H
#define BS_MODEL_WINDOWS_H

#include <stddef.h>

#include "model/batch.h"

typedef struct {
    int64_t n_texts;      /* N */
    const int64_t *first; /* (N + 1,) the first sequence of each text, and B */
    const float *shares;  /* (B,) the weight of each sequence; those of a text sum to 1 */
} bs_windows;

/* Checks that every text has a sequence, every sequence a text, and that shares are valid. */
bs_status bs_windows_check(const bs_windows *w, int64_t n_sequences, bs_error *e);

/* The first sequence of a text. Without windows every sequence is a text. */
static inline int64_t bs_text_begin(const bs_windows *w, int64_t text)
{
    return w != NULL ? w->first[text] : text;
}

/* Computes the logits (texts, C) of the texts [first, last) from those of their sequences: weighted
 * sums, in float64. */
void bs_windows_gather(const bs_windows *w, int64_t first, int64_t last, float *texts,
                       const float *sequences, int64_t C);

/* Computes the gradient at the sequences' logits from that at the texts'. */
void bs_windows_spread(const bs_windows *w, int64_t first, int64_t last, float *d_sequences,
                       const float *d_texts, int64_t C);

#endif
