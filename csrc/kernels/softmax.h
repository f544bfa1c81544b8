/* Softmax over one row of attention scores, and its gradient. */

static float softmax_row(float *s, const float *mask, int64_t n)
{
    const vf lowest = vf_set(-INFINITY);
    vf top = lowest;
    int64_t j = 0;
    for (; j + BS_LANES <= n; j += BS_LANES)
        top = vf_max(top, vf_load(s + j));
    float high = vf_highest(top);
    for (int64_t k = j; k < n; k++)
        high = s[k] > high ? s[k] : high;

    vf sum = {0};
    for (j = 0; j + BS_LANES <= n; j += BS_LANES) {
        const vf e = vf_exp(vf_load(s + j) - high);
        vf_store(s + j, e);
        sum += e;
    }
    float total = 0.0f;
    if (j < n) {
        const vf e = vf_exp(vf_load_part(s + j, n - j) - high);
        vf_store_part(s + j, e, n - j);
        for (int64_t k = 0; k < n - j; k++)
            total += s[j + k];
    }
    total += vf_sum(sum);

    const float inverse = 1.0f / total;
    for (j = 0; j + BS_LANES <= n; j += BS_LANES) {
        vf p = vf_load(s + j) * inverse;
        if (mask != NULL)
            p *= vf_load(mask + j);
        vf_store(s + j, p);
    }
    for (; j < n; j++)
        s[j] = s[j] * inverse * (mask != NULL ? mask[j] : 1.0f);
    return high + logf(total);
}

/* With p = exp(s - lse) and g = d * mask: d_s = scale p (g - sum(p g)). */
static void softmax_backward_row(float *s, float *d, const float *mask, float lse, float scale,
                                 int64_t n)
{
    vf sum = {0};
    float rest = 0.0f;
    int64_t j = 0;
    for (; j + BS_LANES <= n; j += BS_LANES) {
        const vf p = vf_exp(vf_load(s + j) - lse);
        vf g = vf_load(d + j);
        if (mask != NULL) {
            g *= vf_load(mask + j);
            vf_store(d + j, g);
        }
        vf_store(s + j, p);
        sum += p * g;
    }
    if (j < n) {
        vf_store_part(s + j, vf_exp(vf_load_part(s + j, n - j) - lse), n - j);
        for (int64_t k = j; k < n; k++) {
            d[k] *= mask != NULL ? mask[k] : 1.0f;
            rest += s[k] * d[k];
        }
    }
    const float dot = vf_sum(sum) + rest;
    for (j = 0; j + BS_LANES <= n; j += BS_LANES) {
        const vf p = vf_load(s + j);
        vf_store(d + j, scale * p * (vf_load(d + j) - dot));
        if (mask != NULL)
            vf_store(s + j, p * vf_load(mask + j));
    }
    for (; j < n; j++) {
        d[j] = scale * s[j] * (d[j] - dot);
        if (mask != NULL)
            s[j] *= mask[j];
    }
}
