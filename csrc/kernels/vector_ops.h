/* Sums, scaled additions, and the AdamW update. */

static void bias_add(float *x, const float *bias, int64_t rows, int64_t n, int64_t ld)
{
    for (int64_t i = 0; i < rows; i++, x += ld) {
        int64_t j = 0;
        for (; j + BS_LANES <= n; j += BS_LANES)
            vf_store(x + j, vf_load(x + j) + vf_load(bias + j));
        for (; j < n; j++)
            x[j] += bias[j];
    }
}

static void axpy(float *y, const float *x, float a, int64_t n)
{
    int64_t j = 0;
    for (; j + BS_LANES <= n; j += BS_LANES)
        vf_store(y + j, vf_load(y + j) + a * vf_load(x + j));
    for (; j < n; j++)
        y[j] += a * x[j];
}

static void scale(float *y, const float *x, float a, int64_t n)
{
    int64_t j = 0;
    for (; j + BS_LANES <= n; j += BS_LANES)
        vf_store(y + j, a * vf_load(x + j));
    for (; j < n; j++)
        y[j] = a * x[j];
}

static void multiply(float *y, const float *x, const float *mask, int64_t n)
{
    int64_t j = 0;
    for (; j + BS_LANES <= n; j += BS_LANES)
        vf_store(y + j, vf_load(x + j) * vf_load(mask + j));
    for (; j < n; j++)
        y[j] = x[j] * mask[j];
}

/* Four vectors of columns stay in registers over all rows. */
static void column_sum(float *sum, const float *x, int64_t rows, int64_t n, int64_t ld)
{
    int64_t j = 0;
    for (; j + 4 * BS_LANES <= n; j += 4 * BS_LANES) {
        vf s0 = vf_load(sum + j), s1 = vf_load(sum + j + BS_LANES);
        vf s2 = vf_load(sum + j + 2 * BS_LANES), s3 = vf_load(sum + j + 3 * BS_LANES);
        for (int64_t i = 0; i < rows; i++) {
            const float *row = x + i * ld + j;
            s0 += vf_load(row);
            s1 += vf_load(row + BS_LANES);
            s2 += vf_load(row + 2 * BS_LANES);
            s3 += vf_load(row + 3 * BS_LANES);
        }
        vf_store(sum + j, s0);
        vf_store(sum + j + BS_LANES, s1);
        vf_store(sum + j + 2 * BS_LANES, s2);
        vf_store(sum + j + 3 * BS_LANES, s3);
    }
    for (; j < n; j++)
        for (int64_t i = 0; i < rows; i++)
            sum[j] += x[i * ld + j];
}

static double sum_squares(const float *x, int64_t n)
{
    vd sum = {0};
    int64_t j = 0;
    for (; j + BS_LANES <= n; j += BS_LANES) {
        const vd v = __builtin_convertvector(vf_load(x + j), vd);
        sum += v * v;
    }
    double total = 0.0;
    for (int i = 0; i < BS_LANES; i++)
        total += sum[i];
    for (; j < n; j++)
        total += (double)x[j] * (double)x[j];
    return total;
}

static void adamw(float *w, float *m, float *v, const float *g, float clip, float lr, float beta1,
                  float beta2, float eps, float decay, float correct1, float correct2, int64_t n)
{
    const float rate = lr / correct1, keep = 1.0f - lr * decay;
    const float root = 1.0f / sqrtf(correct2);
    for (int64_t j = 0; j < n; j += BS_LANES) {
        const int64_t count = n - j < BS_LANES ? n - j : BS_LANES;
        const int whole = count == BS_LANES;
        const vf gj = clip * (whole ? vf_load(g + j) : vf_load_part(g + j, count));
        vf mj = whole ? vf_load(m + j) : vf_load_part(m + j, count);
        vf vj = whole ? vf_load(v + j) : vf_load_part(v + j, count);
        vf wj = whole ? vf_load(w + j) : vf_load_part(w + j, count);
        mj = beta1 * mj + (1.0f - beta1) * gj;
        vj = beta2 * vj + (1.0f - beta2) * gj * gj;
        wj = keep * wj - rate * mj / (root * vf_sqrt(vj) + eps);
        if (whole) {
            vf_store(m + j, mj);
            vf_store(v + j, vj);
            vf_store(w + j, wj);
        } else {
            vf_store_part(m + j, mj, count);
            vf_store_part(v + j, vj, count);
            vf_store_part(w + j, wj, count);
        }
    }
}
