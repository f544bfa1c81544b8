/* Softmax over one row of attention scores, and its gradient. */

/* e^x for x <= 0, but at least 2^-126. */
static inline vf softmax_exp(vf x)
{
    return vf_exp2(vf_max(vf_set(-126.0f), x * LOG2_E)); /* the second operand if that is NaN */
}

static float softmax_row(float *s, const float *mask, int64_t n)
{
    const int64_t whole = n - n % BS_LANES, rest = n - whole;
    vf top = vf_set(-INFINITY);
    for (int64_t j = 0; j < whole; j += BS_LANES)
        top = vf_max(top, vf_load(s + j));
    float high = vf_highest(top);
    for (int64_t j = whole; j < n; j++)
        high = s[j] > high ? s[j] : high;

    vf sum = {0};
    for (int64_t j = 0; j < whole; j += BS_LANES) {
        const vf e = softmax_exp(vf_load(s + j) - high);
        vf_store(s + j, e);
        sum += e;
    }
    if (rest > 0) {
        const vf e = softmax_exp(vf_load_part(s + whole, rest) - high);
        vf_store_part(s + whole, e, rest);
        sum += vf_first(e, rest);
    }
    const float total = vf_sum(sum), inverse = 1.0f / total;

    for (int64_t j = 0; j < whole; j += BS_LANES) {
        vf p = vf_load(s + j) * inverse;
        if (mask != NULL)
            p *= vf_load(mask + j);
        vf_store(s + j, p);
    }
    if (rest > 0) {
        vf p = vf_load_part(s + whole, rest) * inverse;
        if (mask != NULL)
            p *= vf_load_part(mask + whole, rest);
        vf_store_part(s + whole, p, rest);
    }
    return high + logf(total);
}

/* With p = exp(s - lse) and g = d * mask: d_s = scale p (g - sum(p g)). */
static void softmax_backward_row(float *s, float *d, const float *mask, float lse, float scale,
                                 int64_t n)
{
    const int64_t whole = n - n % BS_LANES, rest = n - whole;
    vf sum = {0};
    for (int64_t j = 0; j < whole; j += BS_LANES) {
        const vf p = softmax_exp(vf_load(s + j) - lse);
        vf g = vf_load(d + j);
        if (mask != NULL) {
            g *= vf_load(mask + j);
            vf_store(d + j, g);
        }
        vf_store(s + j, p);
        sum += p * g;
    }
    if (rest > 0) {
        const vf p = softmax_exp(vf_load_part(s + whole, rest) - lse);
        vf g = vf_load_part(d + whole, rest);
        if (mask != NULL) {
            g *= vf_load_part(mask + whole, rest);
            vf_store_part(d + whole, g, rest);
        }
        vf_store_part(s + whole, p, rest);
        sum += vf_first(p * g, rest);
    }
    const float dot = vf_sum(sum);
    for (int64_t j = 0; j < whole; j += BS_LANES) {
        const vf p = vf_load(s + j);
        vf_store(d + j, scale * p * (vf_load(d + j) - dot));
        if (mask != NULL)
            vf_store(s + j, p * vf_load(mask + j));
    }
    if (rest > 0) {
        const vf p = vf_load_part(s + whole, rest);
        vf_store_part(d + whole, scale * p * (vf_load_part(d + whole, rest) - dot), rest);
        if (mask != NULL)
            vf_store_part(s + whole, p * vf_load_part(mask + whole, rest), rest);
    }
}
