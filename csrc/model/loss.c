#include "model/loss.h"

#include <math.h>
#include <stddef.h>

double bs_cross_entropy(float *d_logits, const float *logits, const int32_t *labels,
                        const float *weights, double weight, int64_t B, int64_t C)
{
    double loss = 0.0;
    for (int64_t i = 0; i < B; i++, logits += C, d_logits += C) {
        const double share = weight > 0.0 ? (weights != NULL ? weights[i] : 1.0) / weight : 0.0;
        double high = logits[0], sum = 0.0;
        for (int64_t j = 1; j < C; j++)
            high = logits[j] > high ? logits[j] : high;
        for (int64_t j = 0; j < C; j++)
            sum += exp(logits[j] - high);
        const double lse = high + log(sum);
        loss += share * (lse - logits[labels[i]]);
        for (int64_t j = 0; j < C; j++)
            d_logits[j] = (float)(share * (exp(logits[j] - lse) - (j == labels[i])));
    }
    return loss;
}
