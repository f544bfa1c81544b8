/* Row-wise operations that write bfloat16 for the next product. */

/* Stores the first n of 32 floats, rounded. */
static inline void bf16_store(void *out, __m512 low, __m512 high, int64_t n)
{
    _mm512_mask_storeu_epi16(out, n >= 32 ? 0xffffffffu : (1u << n) - 1,
                             (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

static void bf16_bias_rows(void *out, int64_t ld_out, const float *c, int64_t ldc,
                           const float *bias, int64_t rows, int64_t n)
{
    for (int64_t i = 0; i < rows; i++, c += ldc)
        for (int64_t j = 0; j < n; j += 32)
            bf16_store((char *)out + i * ld_out + 2 * j,
                       bf16_some(c + j, n - j) + bf16_some(bias + j, n - j),
                       bf16_some(c + j + 16, n - j - 16) + bf16_some(bias + j + 16, n - j - 16),
                       n - j);
}

/* Adds the bias to 32 floats, of which the first n count, stores the sums in u unless it is NULL,
 * and stores act of them, rounded. */
static inline __attribute__((always_inline)) void bf16_activate(void *out, float *u, __m512 low,
                                                                __m512 high, const float *bias,
                                                                int64_t n, bs_activation act)
{
    const __m512 a = low + bf16_some(bias, n), b = high + bf16_some(bias + 16, n - 16);
    if (u != NULL) {
        _mm512_mask_storeu_ps(u, first_lanes(n), a);
        _mm512_mask_storeu_ps(u + 16, first_lanes(n - 16), b);
    }
    bf16_store(out, (__m512)activation_to_round((vf)a, act),
               (__m512)activation_to_round((vf)b, act), n);
}

static inline void bf16_bias_activation_rows(void *out, int64_t ld_out, float *u, int64_t ld_u,
                                             const float *c, int64_t ldc, const float *bias,
                                             int64_t rows, int64_t n, bs_activation act)
{
    for (int64_t i = 0; i < rows; i++, c += ldc)
        for (int64_t j = 0; j < n; j += 32)
            bf16_activate((char *)out + i * ld_out + 2 * j, u != NULL ? u + i * ld_u + j : NULL,
                          bf16_some(c + j, n - j), bf16_some(c + j + 16, n - j - 16), bias + j,
                          n - j, act);
}

static void bf16_bias_activation(void *out, int64_t ld_out, float *u, int64_t ld_u,
                                 const float *c, int64_t ldc, const float *bias, int64_t rows,
                                 int64_t n, bs_activation act)
{
#define CALL(constant)                                                                             \
    bf16_bias_activation_rows(out, ld_out, u, ld_u, c, ldc, bias, rows, n, constant)
    FOR_ACTIVATION(act)
#undef CALL
}

/* For the first n of 32: 2^(factor x - shift), accumulated in sums, then multiplied by the mask, if
 * any, and rounded. The rest are stored as zeros. */
static inline __attribute__((always_inline)) void bf16_exp2_pair(
    void *out, __m512 sums[2], __m512 low, __m512 high, const float *mask, float factor,
    float shift, const int64_t n)
{
    __m512 x[2] = {low, high};
    for (int half = 0; half < 2; half++) {
        const __mmask16 some = first_lanes(n - 16 * half);
        x[half] = (__m512)vf_exp2((vf)_mm512_fmsub_ps(x[half], _mm512_set1_ps(factor),
                                                      _mm512_set1_ps(shift)));
        x[half] = _mm512_maskz_mov_ps(some, x[half]);
        sums[half] += x[half];
        if (mask != NULL)
            x[half] *= _mm512_maskz_loadu_ps(some, mask + 16 * half);
    }
    _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(x[1], x[0]));
}

static float bf16_softmax_row(void *out, float *reciprocal, const float *s, const float *mask,
                              float scale, int64_t n)
{
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 top = lowest, more = lowest;
    int64_t j = 0;
    for (; j + 32 <= n; j += 32) {
        top = _mm512_max_ps(top, _mm512_loadu_ps(s + j));
        more = _mm512_max_ps(more, _mm512_loadu_ps(s + j + 16));
    }
    top = _mm512_max_ps(top, more);
    for (; j < n; j += 16) {
        const __mmask16 some = n - j >= 16 ? 0xffff : (__mmask16)((1u << (n - j)) - 1);
        top = _mm512_max_ps(top, _mm512_mask_loadu_ps(lowest, some, s + j));
    }
    const float high = _mm512_reduce_max_ps(top), factor = scale * LOG2_E;
    __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (j = 0; j + 32 <= n; j += 32)
        bf16_exp2_pair((char *)out + 2 * j, sums, _mm512_loadu_ps(s + j),
                       _mm512_loadu_ps(s + j + 16), mask != NULL ? mask + j : NULL, factor,
                       factor * high, 32);
    if (j < n)
        bf16_exp2_pair((char *)out + 2 * j, sums, bf16_some(s + j, n - j),
                       bf16_some(s + j + 16, n - j - 16), mask != NULL ? mask + j : NULL, factor,
                       factor * high, n - j);
    *reciprocal = 1.0f / _mm512_reduce_add_ps(sums[0] + sums[1]);
    return scale * high;
}

static void bf16_softmax_backward_row(void *out_p, void *out_d, float *s, float *d,
                                      const float *mask, float lse, float scale, int64_t n)
{
    const __m512 factor = _mm512_set1_ps(scale * LOG2_E);
    const __m512 shift = _mm512_set1_ps(lse * LOG2_E);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t j = 0; j < n; j += 32) {
        __m512 masked[2];
        for (int half = 0; half < 2; half++) {
            const int64_t at = j + 16 * half, left = n - at;
            const __mmask16 some =
                left >= 16 ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
            const __m512 score = _mm512_maskz_loadu_ps(some, s + at);
            const __m512 p = _mm512_maskz_mov_ps(
                some, (__m512)vf_exp2((vf)_mm512_fmsub_ps(score, factor, shift)));
            __m512 g = _mm512_maskz_loadu_ps(some, d + at);
            masked[half] = p;
            if (mask != NULL) {
                const __m512 m = _mm512_maskz_loadu_ps(some, mask + at);
                g *= m;
                masked[half] *= m;
                _mm512_mask_storeu_ps(d + at, some, g);
            }
            _mm512_mask_storeu_ps(s + at, some, p);
            sum = _mm512_fmadd_ps(p, g, sum);
        }
        _mm512_storeu_si512((char *)out_p + 2 * j,
                            (__m512i)_mm512_cvtne2ps_pbh(masked[1], masked[0]));
    }
    const __m512 dot = _mm512_set1_ps(_mm512_reduce_add_ps(sum)), by = _mm512_set1_ps(scale);
    for (int64_t j = 0; j < n; j += 32) {
        const __m512 low = by * bf16_some(s + j, n - j) * (bf16_some(d + j, n - j) - dot);
        const __m512 high = by * bf16_some(s + j + 16, n - j - 16) *
                            (bf16_some(d + j + 16, n - j - 16) - dot);
        _mm512_storeu_si512((char *)out_d + 2 * j, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}
