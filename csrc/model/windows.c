#include "model/windows.h"

#include <math.h>
#include <string.h>

bs_status bs_windows_check(const bs_windows *w, int64_t n_sequences, bs_error *e)
{
    if (w->n_texts < 1 || w->first[0] != 0 || w->first[w->n_texts] != n_sequences)
        return bs_error_set(e, BS_ERR_VALUE, -1,
                            "windows must begin with 0 and end with the number of sequences, %lld",
                            (long long)n_sequences);
    for (int64_t i = 0; i < w->n_texts; i++)
        if (w->first[i + 1] <= w->first[i])
            return bs_error_set(e, BS_ERR_VALUE, i, "text %lld has no window", (long long)i);
    for (int64_t i = 0; i < n_sequences; i++)
        if (!(w->shares[i] >= 0.0f && isfinite(w->shares[i])))
            return bs_error_set(e, BS_ERR_VALUE, i,
                                "window %lld has share %g, expected a finite number >= 0",
                                (long long)i, (double)w->shares[i]);
    return BS_OK;
}

void bs_windows_gather(const bs_windows *w, int64_t first, int64_t last, float *texts,
                       const float *sequences, int64_t C)
{
    if (w == NULL) {
        memcpy(texts, sequences, (size_t)((last - first) * C) * sizeof *texts);
        return;
    }
    const int64_t begin = w->first[first];
    for (int64_t text = first; text < last; text++, texts += C)
        for (int64_t j = 0; j < C; j++) {
            double sum = 0.0;
            for (int64_t s = w->first[text]; s < w->first[text + 1]; s++)
                sum += (double)w->shares[s] * (double)sequences[(s - begin) * C + j];
            texts[j] = (float)sum;
        }
}

void bs_windows_spread(const bs_windows *w, int64_t first, int64_t last, float *d_sequences,
                       const float *d_texts, int64_t C)
{
    if (w == NULL) {
        memcpy(d_sequences, d_texts, (size_t)((last - first) * C) * sizeof *d_texts);
        return;
    }
    for (int64_t text = first; text < last; text++, d_texts += C)
        for (int64_t s = w->first[text]; s < w->first[text + 1]; s++)
            for (int64_t j = 0; j < C; j++)
                *d_sequences++ = w->shares[s] * d_texts[j];
}
