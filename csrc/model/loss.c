#include "model/loss.h"

#include <math.h>
#include <stddef.h>

double bs_cross_entropy(float *d_logits, const float *logits, const int32_t *labels,
                        const float *weights, double weight, double smoothing, int64_t B,
                        int64_t C)
{
    const double own = 1.0 - smoothing, even = smoothing / (double)C;
    double loss = 0.0;
    for (int64_t i = 0; i < B; i++, logits += C, d_logits += C) {
        const double share = weight > 0.0 ? (weights != NULL ? weights[i] : 1.0) / weight : 0.0;
        double high = logits[0], sum = 0.0, all = 0.0;
        for (int64_t j = 1; j < C; j++)
            high = logits[j] > high ? logits[j] : high;
        for (int64_t j = 0; j < C; j++)
            sum += exp(logits[j] - high);
        for (int64_t j = 0; j < C; j++)
            all += logits[j];
        const double lse = high + log(sum);
        loss += share * (lse - own * logits[labels[i]] - even * all);
        for (int64_t j = 0; j < C; j++)
            d_logits[j] = (float)(share * (exp(logits[j] - lse) - own * (j == labels[i]) - even));
    }
    return loss;
}
