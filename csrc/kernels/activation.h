/* The activations of the feed-forward layer and their derivatives. */

/* Phi(x), the normal distribution function, and e = exp(-x^2/2).
 * Phi(-|x|) = e Q(t), t = 1 / (1 + |x|/4), Q a minimax polynomial for the Mills
 * ratio / sqrt(2 pi) on 0 <= |x| <= 14; relative error below 5e-7. */
static inline vf normal_cdf(vf x, vf *e)
{
    const vf z = vf_max(x, -x);
    const vf t = vf_reciprocal(1.0f + 0.25f * z);
    *e = vf_exp(-0.5f * z * z);
    vf q = vf_set(3.3946748822927475e-2f);
    q = q * t - 1.9617745280265808e-1f;
    q = q * t + 3.9500170946121216e-1f;
    q = q * t - 3.3346956968307495e-1f;
    q = q * t + 3.0448710918426514e-1f;
    q = q * t - 2.0384170114994049e-2f;
    q = q * t + 1.2156797200441360e-1f;
    q = q * t + 9.4820246100425720e-2f;
    q = q * t + 1.0022900253534317e-1f;
    q = q * t - 2.1600118998321705e-5f;
    const vf tail = *e * q;
    return vf_select(x > 0.0f, 1.0f - tail, tail);
}

/* For gelu_new: the tanh argument's logistic, sigmoid(2 y), y = sqrt(2/pi) (x + 0.044715 x^3). */
static inline vf tanh_gate(vf x)
{
    const vf y2 = 1.5957691216f * (x + 0.044715f * x * x * x);
    return 1.0f / (1.0f + vf_exp(-y2));
}

static inline vf activation(vf x, bs_activation act)
{
    vf e;
    switch (act) {
    case BS_GELU:
        return x * normal_cdf(x, &e);
    case BS_GELU_NEW:
        return x * tanh_gate(x);
    default:
        return vf_select(x <= 0.0f, vf_set(0.0f), x);
    }
}

/* Returns act(x), and act'(x) in *slope. */
static inline vf activation_slope(vf x, bs_activation act, vf *slope)
{
    if (act == BS_GELU) {
        vf e;
        const vf cdf = normal_cdf(x, &e);
        *slope = cdf + x * e * 0.3989422804f;
        return x * cdf;
    }
    if (act == BS_GELU_NEW) {
        const vf g = tanh_gate(x);
        *slope = g + x * g * (1.0f - g) * 1.5957691216f * (1.0f + 0.134145f * x * x);
        return x * g;
    }
    *slope = vf_select(x <= 0.0f, vf_set(0.0f), vf_set(1.0f));
    return vf_select(x <= 0.0f, vf_set(0.0f), x);
}

static inline void bias_activation_rows(float *a, float *u, const float *bias, int64_t rows,
                                        int64_t n, int64_t ld, bs_activation act)
{
    for (int64_t i = 0; i < rows; i++, a += ld, u += ld) {
        int64_t j = 0;
        for (; j + BS_LANES <= n; j += BS_LANES) {
            const vf x = vf_load(u + j) + vf_load(bias + j);
            vf_store(u + j, x);
            vf_store(a + j, activation(x, act));
        }
        if (j < n) {
            const vf x = vf_load_part(u + j, n - j) + vf_load_part(bias + j, n - j);
            vf_store_part(u + j, x, n - j);
            vf_store_part(a + j, activation(x, act), n - j);
        }
    }
}

static inline void activation_backward_rows(float *a, float *d, const float *u, int64_t rows,
                                            int64_t n, int64_t ld, bs_activation act)
{
    for (int64_t i = 0; i < rows; i++, a += ld, d += ld, u += ld) {
        int64_t j = 0;
        vf slope;
        for (; j + BS_LANES <= n; j += BS_LANES) {
            vf_store(a + j, activation_slope(vf_load(u + j), act, &slope));
            vf_store(d + j, vf_load(d + j) * slope);
        }
        if (j < n) {
            vf_store_part(a + j, activation_slope(vf_load_part(u + j, n - j), act, &slope), n - j);
            vf_store_part(d + j, vf_load_part(d + j, n - j) * slope, n - j);
        }
    }
}

/* The choice is made once a call, so that the loops hold no branch. */
static void bias_activation(float *a, float *u, const float *bias, int64_t rows, int64_t n,
                            int64_t ld, bs_activation act)
{
    if (act == BS_GELU)
        bias_activation_rows(a, u, bias, rows, n, ld, BS_GELU);
    else if (act == BS_GELU_NEW)
        bias_activation_rows(a, u, bias, rows, n, ld, BS_GELU_NEW);
    else
        bias_activation_rows(a, u, bias, rows, n, ld, BS_RELU);
}

static void activation_backward(float *a, float *d, const float *u, int64_t rows, int64_t n,
                                int64_t ld, bs_activation act)
{
    if (act == BS_GELU)
        activation_backward_rows(a, d, u, rows, n, ld, BS_GELU);
    else if (act == BS_GELU_NEW)
        activation_backward_rows(a, d, u, rows, n, ld, BS_GELU_NEW);
    else
        activation_backward_rows(a, d, u, rows, n, ld, BS_RELU);
}
