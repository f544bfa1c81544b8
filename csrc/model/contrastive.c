#include "model/contrastive.h"

#include <math.h>
#include <stddef.h>

static double weight_of(const bs_contrast *c, int64_t i)
{
    return c->weights != NULL ? c->weights[i] : 1.0;
}

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t k = 0; k < n; k++)
        sum += (double)a[k] * (double)b[k];
    return sum;
}

/* Computes the cosines (N, N) and the lengths (N,) of the vectors. */
static void compare(double *cosines, double *lengths, const bs_contrast *c)
{
    const int64_t N = c->N, H = c->H;
    const float *x = c->vectors;
    for (int64_t i = 0; i < N; i++) {
        lengths[i] = sqrt(dot(x + i * H, x + i * H, H));
        for (int64_t j = 0; j <= i; j++)
            cosines[i * N + j] = cosines[j * N + i] =
                dot(x + i * H, x + j * H, H) / (lengths[i] * lengths[j]);
    }
}

/* Returns loss_i, and writes its derivatives at the cosines of i to `slopes` (N,). */
static double text_loss(double *slopes, const double *cosines, const bs_contrast *c, int64_t i)
{
    double same = 0.0, sum = 0.0, loss = 0.0;
    for (int64_t j = 0; j < c->N; j++) {
        slopes[j] = 0.0;
        if (j == i)
            continue;
        same += c->ids[j] == c->ids[i] ? weight_of(c, j) : 0.0;
        /* Cosines are at most 1, which is taken off all of them; the loss stays the same. */
        sum += weight_of(c, j) * exp((cosines[j] - 1.0) / c->temperature);
    }
    if (!(same > 0.0))
        return 0.0;
    for (int64_t j = 0; j < c->N; j++) {
        if (j == i)
            continue;
        const double s = (cosines[j] - 1.0) / c->temperature;
        const double p = weight_of(c, j) * exp(s) / sum;
        const double q = c->ids[j] == c->ids[i] ? weight_of(c, j) / same : 0.0;
        loss += q * (log(sum) - s);
        slopes[j] = (p - q) / c->temperature;
    }
    return loss;
}

/* The gradient at x_i, given that at each cosine, which is both s_ij and s_ji. It is the gradient
 * at z_i, without its part in the direction of z_i, divided by |x_i|. */
static void vector_gradient(float *d, const double *slopes, const double *cosines,
                            const double *lengths, const bs_contrast *c, int64_t i)
{
    const int64_t N = c->N, H = c->H;
    double along = 0.0;
    for (int64_t j = 0; j < N; j++)
        along += (slopes[i * N + j] + slopes[j * N + i]) * cosines[i * N + j];
    for (int64_t k = 0; k < H; k++) {
        double sum = -along * (double)c->vectors[i * H + k] / lengths[i];
        for (int64_t j = 0; j < N; j++)
            sum += (slopes[i * N + j] + slopes[j * N + i]) * (double)c->vectors[j * H + k] /
                   lengths[j];
        d[k] = (float)(sum / lengths[i]);
    }
}

double bs_contrastive(float *d_vectors, const bs_contrast *c, double *scratch)
{
    const int64_t N = c->N;
    double *cosines = scratch, *slopes = cosines + N * N, *lengths = slopes + N * N;
    double total = 0.0, loss = 0.0;
    compare(cosines, lengths, c);
    for (int64_t i = 0; i < N; i++)
        total += weight_of(c, i);
    for (int64_t i = 0; i < N; i++) {
        const double share = total > 0.0 ? weight_of(c, i) / total : 0.0;
        loss += share * text_loss(slopes + i * N, cosines + i * N, c, i);
        for (int64_t j = 0; j < N; j++)
            slopes[i * N + j] *= share;
    }
    for (int64_t i = 0; i < N; i++)
        vector_gradient(d_vectors + i * c->H, slopes, cosines, lengths, c, i);
    return loss;
}
