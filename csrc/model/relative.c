#include "model/relative.h"

#include <string.h>

/* Distances up to this have buckets of their own; the others share buckets that are wider by a
 * factor of sqrt(2) each, the last of which has no end. */
#define EXACT 8
#define HALF (BS_RELATIVE_BUCKETS / 2)

/* The bucket of a key at a distance after the query, or before it if the distance is negative. */
static int64_t bucket_of(int64_t distance)
{
    const int64_t n = distance < 0 ? -distance : distance;
    int64_t bucket = n < EXACT ? n : EXACT;
    /* The bucket EXACT + i begins at EXACT * 2^(i / 2). */
    for (int64_t square = 2 * EXACT * EXACT; bucket >= EXACT && bucket < HALF - 1 && n * n >= square;
         square *= 2)
        bucket++;
    return distance > 0 ? HALF + bucket : bucket;
}

int64_t bs_relative_size(int64_t longest)
{
    return (2 * longest - 1 + 15) / 16 * 16;
}

void bs_relative_forward(bs_pass *p)
{
    const int64_t A = p->model->config.num_heads, most = p->longest - 1;
    if (p->relative == NULL)
        return;
    const float *weight = p->model->parameters + p->model->table.relative;
    for (int64_t distance = -most; distance <= most; distance++) {
        const float *of_heads = weight + bucket_of(distance) * A;
        for (int64_t head = 0; head < A; head++)
            p->relative[head * p->relative_ld + most + distance] = of_heads[head];
    }
}

void bs_relative_fold(bs_pass *p, int64_t sequence, int64_t head, const float *d_distances,
                      int64_t keys)
{
    float *sums = p->d_relative +
                  (sequence * p->model->config.num_heads + head) * BS_RELATIVE_BUCKETS;
    memset(sums, 0, BS_RELATIVE_BUCKETS * sizeof *sums);
    for (int64_t distance = 1 - keys; distance < keys; distance++)
        sums[bucket_of(distance)] += d_distances[keys - 1 + distance];
}

void bs_relative_backward(bs_pass *p, float *gradients)
{
    const int64_t A = p->model->config.num_heads;
    if (p->d_relative == NULL)
        return;
    float *to = gradients + p->model->table.relative;
    for (int64_t s = 0; s < p->batch.n_sequences; s++)
        for (int64_t head = 0; head < A; head++) {
            const float *sums = p->d_relative + (s * A + head) * BS_RELATIVE_BUCKETS;
            for (int64_t bucket = 0; bucket < BS_RELATIVE_BUCKETS; bucket++)
                to[bucket * A + head] += sums[bucket];
        }
}
