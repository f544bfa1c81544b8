/* The activations of the feed-forward layer and their derivatives. */

/* Phi(x), the normal cumulative distribution, and e = exp(-x^2/2).
 *   Phi(-|x|) = e Q(t), t = 1 / (1 + |x|/4)
 * Q is a minimax polynomial for the Mills ratio / sqrt(2 pi) on 0 <= |x| <= 14. The relative error
 * is below 5e-7. */
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

static inline vf gelu(vf x)
{
    vf e;
    return x * normal_cdf(x, &e);
}

/* Returns gelu(x), and its derivative in *slope. */
static inline vf gelu_slope(vf x, vf *slope)
{
    vf e;
    const vf cdf = normal_cdf(x, &e);
    *slope = cdf + x * e * 0.3989422804f;
    return x * cdf;
}

#if BS_LANES == 16
/* Phi(z) - 1/2 for z >= 0: one cubic for each multiple of 5.5 / 31 below 5.5, valid around it, and
 * a constant beyond. Each cubic is a Chebyshev interpolant; coefficients are sorted by degree. */
#define GELU_INTERVALS 31
static const float gelu_coefficients[4][GELU_INTERVALS + 1] = {
    {0.0f, 0.0704104304f, 0.138644665f, 0.2027262f, 0.261047721f, 0.31248644f, 0.356452376f,
     0.392869711f, 0.422102153f, 0.444841951f, 0.461984426f, 0.474507928f, 0.483374238f,
     0.489457339f, 0.493501902f, 0.496107966f, 0.497735202f, 0.498719901f, 0.499297351f,
     0.499625504f, 0.499806195f, 0.499902666f, 0.499952555f, 0.499977559f, 0.499989688f,
     0.49999541f, 0.499998003f, 0.499999166f, 0.499999672f, 0.499999881f, 0.49999994f, 0.5f},
    {0.0707800463f, 0.069674775f, 0.0664614439f, 0.0614318289f, 0.0550232902f, 0.0477561317f,
     0.0401643887f, 0.0327327587f, 0.0258495789f, 0.0197812524f, 0.0146684246f, 0.0105400467f,
     0.00733890012f, 0.00495163631f, 0.00323739625f, 0.00205103122f, 0.00125915138f,
     0.000749053608f, 0.00043179444f, 0.000241196176f, 0.000130554821f, 6.84769766e-05f,
     3.48036956e-05f, 1.71409611e-05f, 8.18038916e-06f, 3.78304753e-06f, 1.69526879e-06f,
     7.36146433e-07f, 3.09755279e-07f, 1.26299611e-07f, 4.99015549e-08f, 0.0f},
    {0.0f, -0.00109446677f, -0.00208811113f, -0.00289543136f, -0.00345834065f, -0.00375267444f,
     -0.00378819741f, -0.00360277551f, -0.00325262733f, -0.00280116918f, -0.00230885507f,
     -0.00182572997f, -0.00138745725f, -0.00101466698f, -0.000714821101f, -0.000485508732f,
     -0.000318133563f, -0.000201219227f, -0.00012290552f, -7.2523384e-05f, -4.13549315e-05f,
     -2.27948476e-05f, -1.21480734e-05f, -6.26076098e-06f, -3.1208458e-06f, -1.50490837e-06f,
     -7.02100976e-07f, -3.16951883e-07f, -1.38464387e-07f, -5.8543101e-08f, -2.39576252e-08f,
     0.0f},
    {-0.000370784168f, -0.000353521755f, -0.000304385758f, -0.000230765625f, -0.000143249199f,
     -5.35157669e-05f, 2.78055886e-05f, 9.28172522e-05f, 0.000137254334f, 0.000160527372f,
     0.000165053731f, 0.000155169313f, 0.000135949245f, 0.000112208021f, 8.7835826e-05f,
     6.55054246e-05f, 4.6689609e-05f, 3.18796046e-05f, 2.08892288e-05f, 1.31536126e-05f,
     7.96810218e-06f, 4.64767209e-06f, 2.61217315e-06f, 1.41552289e-06f, 7.39948518e-07f,
     3.73288088e-07f, 1.81805291e-07f, 8.55123403e-08f, 3.88537664e-08f, 1.70579515e-08f,
     7.23776905e-09f, 0.0f},
};

/* x Phi(x) = x/2 + |x| (Phi(|x|) - 1/2) to within 3e-7, or 3e-7 x where x > 1. That is accurate
 * enough for a result that is rounded to bfloat16 or int8, and takes half the time. Unlike gelu, it
 * loses relative accuracy far below 0. */
static inline vf gelu_to_round(vf x)
{
    const vf z = (vf)((vi)x & 0x7fffffff);
    /* With the bound as the first operand, NaN propagates. */
    const vf at = vf_min(vf_set(GELU_INTERVALS), z * (GELU_INTERVALS / 5.5f));
    /* Adding 2^23 leaves the rounded integer in the low bits. */
    const vf shifted = at + 8388608.0f;
    const vf rest = at - (shifted - 8388608.0f);
    __m512 c[4];
    for (int degree = 0; degree < 4; degree++)
        c[degree] = _mm512_permutex2var_ps(_mm512_loadu_ps(gelu_coefficients[degree]),
                                           (__m512i)shifted,
                                           _mm512_loadu_ps(gelu_coefficients[degree] + 16));
    const vf p = (((vf)c[3] * rest + (vf)c[2]) * rest + (vf)c[1]) * rest + (vf)c[0];
    return 0.5f * x + z * p;
}
#else
static inline vf gelu_to_round(vf x)
{
    return gelu(x);
}
#endif

/* For gelu_new: (1 + tanh(y)) / 2 = sigmoid(2 y), where y = sqrt(2/pi) (x + 0.044715 x^3). */
static inline vf tanh_gate(vf x)
{
    const vf y2 = 1.5957691216f * (x + 0.044715f * x * x * x);
    return 1.0f / (1.0f + vf_exp(-y2));
}

static inline vf gelu_new(vf x)
{
    return x * tanh_gate(x);
}

static inline vf gelu_new_slope(vf x, vf *slope)
{
    const vf g = tanh_gate(x);
    *slope = g + x * g * (1.0f - g) * 1.5957691216f * (1.0f + 0.134145f * x * x);
    return x * g;
}

static inline vf relu(vf x)
{
    return vf_select(x <= 0.0f, vf_set(0.0f), x);
}

static inline vf relu_slope(vf x, vf *slope)
{
    *slope = vf_select(x <= 0.0f, vf_set(0.0f), vf_set(1.0f));
    return relu(x);
}

/* Selects the functions of `act`, a compile-time constant wherever these are inlined. */
static inline vf activation(vf x, bs_activation act)
{
    switch (act) {
#define CASE(id, name, rounded)                                                                   \
    case BS_##id:                                                                                 \
        return name(x);
        BS_ACTIVATIONS(CASE)
#undef CASE
    default:
        __builtin_trap();
    }
}

static inline vf activation_to_round(vf x, bs_activation act)
{
    switch (act) {
#define CASE(id, name, rounded)                                                                   \
    case BS_##id:                                                                                 \
        return rounded(x);
        BS_ACTIVATIONS(CASE)
#undef CASE
    default:
        __builtin_trap();
    }
}

static inline vf activation_slope(vf x, bs_activation act, vf *slope)
{
    switch (act) {
#define CASE(id, name, rounded)                                                                   \
    case BS_##id:                                                                                 \
        return name##_slope(x, slope);
        BS_ACTIVATIONS(CASE)
#undef CASE
    default:
        __builtin_trap();
    }
}

/* Runs CALL(BS_<id>) for the activation `act`, so that the branch is outside the loops. */
#define ACTIVATION_CASE(id, name, rounded)                                                        \
    case BS_##id:                                                                                 \
        CALL(BS_##id);                                                                            \
        break;
#define FOR_ACTIVATION(act)                                                                       \
    switch (act) {                                                                                \
        BS_ACTIVATIONS(ACTIVATION_CASE)                                                           \
    default:                                                                                      \
        __builtin_trap();                                                                         \
    }

static inline __attribute__((always_inline)) void
bias_activation_rows(float *a, float *u, const float *bias, int64_t rows, int64_t n, int64_t ld,
                     bs_activation act, vf (*activate)(vf, bs_activation))
{
    for (int64_t i = 0; i < rows; i++, a += ld, u += ld) {
        int64_t j = 0;
        for (; j + BS_LANES <= n; j += BS_LANES) {
            const vf x = vf_load(u + j) + vf_load(bias + j);
            if (a != u)
                vf_store(u + j, x);
            vf_store(a + j, activate(x, act));
        }
        if (j < n) {
            const vf x = vf_load_part(u + j, n - j) + vf_load_part(bias + j, n - j);
            vf_store_part(u + j, x, n - j);
            vf_store_part(a + j, activate(x, act), n - j);
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

static void bias_activation(float *a, float *u, const float *bias, int64_t rows, int64_t n,
                            int64_t ld, bs_activation act)
{
#define CALL(constant) bias_activation_rows(a, u, bias, rows, n, ld, constant, activation)
    FOR_ACTIVATION(act)
#undef CALL
}

static void bias_activation_to_round(float *a, float *u, const float *bias, int64_t rows,
                                     int64_t n, int64_t ld, bs_activation act)
{
#define CALL(constant) bias_activation_rows(a, u, bias, rows, n, ld, constant, activation_to_round)
    FOR_ACTIVATION(act)
#undef CALL
}

static void activation_backward(float *a, float *d, const float *u, int64_t rows, int64_t n,
                                int64_t ld, bs_activation act)
{
#define CALL(constant) activation_backward_rows(a, d, u, rows, n, ld, constant)
    FOR_ACTIVATION(act)
#undef CALL
}
