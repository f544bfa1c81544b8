/* Residual sum and layer normalisation (Ba et al. 2016), one row at a time. */

static void residual_row(float *z, const float *y, const float *bias, const float *mask,
                         const float *residual, int64_t n)
{
    int64_t j = 0;
    for (; j + BS_LANES <= n; j += BS_LANES) {
        vf x = vf_load(y + j) + vf_load(bias + j);
        if (mask != NULL)
            x *= vf_load(mask + j);
        vf_store(z + j, x + vf_load(residual + j));
    }
    if (j < n) {
        vf x = vf_load_part(y + j, n - j) + vf_load_part(bias + j, n - j);
        if (mask != NULL)
            x *= vf_load_part(mask + j, n - j);
        vf_store_part(z + j, x + vf_load_part(residual + j, n - j), n - j);
    }
}

/* Partial sums, which do not depend on each other. */
#define LAYERNORM_SUMS 4

static inline vf layernorm_total(const vf sums[LAYERNORM_SUMS])
{
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Mean first, then the variance around it: E[x^2] - mean^2 would cancel. */
static void layernorm_row(float *y, float *mean_, float *rstd_, const float *x, const float *gamma,
                          const float *beta, int64_t n, float eps)
{
    vf sums[LAYERNORM_SUMS] = {0}, squares[LAYERNORM_SUMS] = {0};
    const int64_t step = LAYERNORM_SUMS * BS_LANES;
    int64_t j = 0;
    for (; j + step <= n; j += step)
        for (int p = 0; p < LAYERNORM_SUMS; p++)
            sums[p] += vf_load(x + j + p * BS_LANES);
    for (; j + BS_LANES <= n; j += BS_LANES)
        sums[0] += vf_load(x + j);
    if (j < n)
        sums[0] += vf_load_part(x + j, n - j);
    const float mean = vf_sum(layernorm_total(sums)) / (float)n;
    for (j = 0; j + step <= n; j += step)
        for (int p = 0; p < LAYERNORM_SUMS; p++) {
            const vf c = vf_load(x + j + p * BS_LANES) - mean;
            squares[p] += c * c;
        }
    for (; j + BS_LANES <= n; j += BS_LANES) {
        const vf c = vf_load(x + j) - mean;
        squares[0] += c * c;
    }
    float rest = 0.0f;
    for (; j < n; j++)
        rest += (x[j] - mean) * (x[j] - mean);
    const float rstd = 1.0f / sqrtf((vf_sum(layernorm_total(squares)) + rest) / (float)n + eps);
    for (j = 0; j + BS_LANES <= n; j += BS_LANES)
        vf_store(y + j, (vf_load(x + j) - mean) * rstd * vf_load(gamma + j) + vf_load(beta + j));
    for (; j < n; j++)
        y[j] = (x[j] - mean) * rstd * gamma[j] + beta[j];
    *mean_ = mean;
    *rstd_ = rstd;
}

/* With h = (x - mean) rstd and g = d_y gamma:
 *   d_x = rstd (g - mean(g) - h mean(g h)),  d_gamma += d_y h,  d_beta += d_y */
static void layernorm_backward_row(float *d_x, float *d_gamma, float *d_beta, const float *d_y,
                                   const float *x, const float *gamma, float mean, float rstd,
                                   int64_t n)
{
    vf sum_g = {0}, sum_gh = {0};
    int64_t j = 0;
    for (; j + BS_LANES <= n; j += BS_LANES) {
        const vf dy = vf_load(d_y + j), h = (vf_load(x + j) - mean) * rstd;
        const vf g = dy * vf_load(gamma + j);
        sum_g += g;
        sum_gh += g * h;
        vf_store(d_gamma + j, vf_load(d_gamma + j) + dy * h);
        vf_store(d_beta + j, vf_load(d_beta + j) + dy);
    }
    /* No scalar loop for the rest: how a compiler rounds one may depend on the alignment of the
     * arrays. */
    if (j < n) {
        const vf dy = vf_load_part(d_y + j, n - j), h = (vf_load_part(x + j, n - j) - mean) * rstd;
        const vf g = dy * vf_load_part(gamma + j, n - j);
        sum_g += g;
        sum_gh += g * h;
        vf_store_part(d_gamma + j, vf_load_part(d_gamma + j, n - j) + dy * h, n - j);
        vf_store_part(d_beta + j, vf_load_part(d_beta + j, n - j) + dy, n - j);
    }
    const float mean_g = vf_sum(sum_g) / (float)n, mean_gh = vf_sum(sum_gh) / (float)n;
    for (j = 0; j + BS_LANES <= n; j += BS_LANES) {
        const vf h = (vf_load(x + j) - mean) * rstd, g = vf_load(d_y + j) * vf_load(gamma + j);
        vf_store(d_x + j, rstd * (g - mean_g - h * mean_gh));
    }
    if (j < n) {
        const vf h = (vf_load_part(x + j, n - j) - mean) * rstd;
        const vf g = vf_load_part(d_y + j, n - j) * vf_load_part(gamma + j, n - j);
        vf_store_part(d_x + j, rstd * (g - mean_g - h * mean_gh), n - j);
    }
}
