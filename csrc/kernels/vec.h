/* Vectors of floats for the kernels of one instruction set.
 *
 * Included by one file per instruction set (kernels_<isa>.c), which defines BS_LANES and is
 * compiled with that set's flags. Arithmetic uses the vector types of GCC and Clang; intrinsics
 * cover only what these lack. */
#ifndef BS_KERNELS_VEC_H
#define BS_KERNELS_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && BS_LANES >= 8
#include <immintrin.h>
#endif

typedef float vf __attribute__((vector_size(4 * BS_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * BS_LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * BS_LANES)));
typedef double vd __attribute__((vector_size(8 * BS_LANES)));

static inline vf vf_set(float x)
{
    return x - (vf){0};
}

static inline vf vf_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vf_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

/* The first n < BS_LANES floats at p. The other lanes are zero, and their memory is not read. */
static inline vf vf_load_part(const float *p, int64_t n)
{
#if BS_LANES == 16
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vf v = {0};
    memcpy(&v, p, (size_t)n * sizeof(float));
    return v;
#endif
}

static inline void vf_store_part(float *p, vf v, int64_t n)
{
#if BS_LANES == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    memcpy(p, &v, (size_t)n * sizeof(float));
#endif
}

/* The first n < BS_LANES lanes of v; the others are zero. */
static inline vf vf_first(vf v, int64_t n)
{
#if BS_LANES == 16
    return (vf)_mm512_maskz_mov_ps((__mmask16)((1u << n) - 1), (__m512)v);
#else
    vf part = {0};
    memcpy(&part, &v, (size_t)n * sizeof(float));
    return part;
#endif
}

static inline vf vf_select(vi mask, vf yes, vf no)
{
    return (vf)(((vi)yes & mask) | ((vi)no & ~mask));
}

static inline vf vf_max(vf a, vf b)
{
#if BS_LANES == 16
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif BS_LANES == 8
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return vf_select(a > b, a, b);
#endif
}

static inline vf vf_min(vf a, vf b)
{
#if BS_LANES == 16
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif BS_LANES == 8
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return vf_select(a < b, a, b);
#endif
}

static inline vf vf_sqrt(vf a)
{
#if BS_LANES == 16
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif BS_LANES == 8
    return (vf)_mm256_sqrt_ps((__m256)a);
#else
    for (int i = 0; i < BS_LANES; i++)
        a[i] = sqrtf(a[i]);
    return a;
#endif
}

/* Sums and maxima over the lanes by halving, in a fixed order. */
static inline float vf_sum(vf v)
{
#if BS_LANES == 16
    return _mm512_reduce_add_ps((__m512)v);
#else
    for (int half = BS_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] += v[i + half];
    return v[0];
#endif
}

static inline float vf_highest(vf v)
{
#if BS_LANES == 16
    return _mm512_reduce_max_ps((__m512)v);
#else
    for (int half = BS_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] = v[i] > v[i + half] ? v[i] : v[i + half];
    return v[0];
#endif
}

/* Added to a number below 2^22, it leaves the nearest integer in the low bits. */
#define VF_TO_WHOLE 12582912.0f /* 1.5 * 2^23 */

/* The nearest integer, ties to even; |x| < 2^22. */
static inline vf vf_nearest(vf x)
{
#if BS_LANES == 16
    return (vf)_mm512_roundscale_ps((__m512)x, 8);
#elif BS_LANES == 8
    return (vf)_mm256_round_ps((__m256)x, 8);
#else
    return (x + VF_TO_WHOLE) - VF_TO_WHOLE;
#endif
}

/* p * 2^n for p from 1/2 to 2 and integer n. The result must be normal. */
static inline vf vf_times_power(vf p, vf n)
{
#if BS_LANES == 16
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)n);
#elif BS_LANES == 8
    /* n is added to the exponent. */
    return (vf)((vi)p + ((vi)_mm256_cvtps_epi32((__m256)n) << 23));
#else
    /* 2^n as two factors, because n can be 128 */
    const vi bits = (vi)(n + VF_TO_WHOLE) - 0x4b400000, low = bits >> 1;
    return p * (vf)((low + 127) << 23) * (vf)((bits - low + 127) << 23);
#endif
}

#define LOG2_E 1.44269504f

/* e^x to within 2 ulp for x in [-87.3, 88.7]; clamped outside, NaN stays NaN. x = n ln 2 + r with
 * |r| <= ln 2 / 2, and e^r is a minimax polynomial of degree 6. At both ends the result is normal:
 * p < 1 for n = 128, p >= 1 for n = -126. */
static inline vf vf_exp(vf x)
{
    /* With the bound as the first operand, NaN propagates. */
    const vf bounded = vf_min(vf_set(88.72283f), vf_max(vf_set(-87.33654f), x));
    const vf n = vf_nearest(bounded * LOG2_E);
    const vf r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
    vf p = vf_set(1.3836844433e-3f);
    p = p * r + 8.3748157957e-3f;
    p = p * r + 4.1668225597e-2f;
    p = p * r + 1.6666420170e-1f;
    p = p * r + 4.9999992080e-1f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return vf_times_power(p, n);
}

/* 2^x to within 2e-7 for -126 <= x <= 1, with AVX-512 for all finite x; NaN stays NaN.
 * x = n + r with |r| <= 1/2; 2^r by a minimax polynomial of degree 5. */
static inline vf vf_exp2(vf x)
{
    const vf n = vf_nearest(x), r = x - n;
    vf p = vf_set(1.3264727161e-03f);
    p = p * r + 9.6715128376e-03f;
    p = p * r + 5.5507337452e-02f;
    p = p * r + 2.4022242082e-01f;
    p = p * r + 6.9314697760e-01f;
    p = p * r + 1.0f;
    return vf_times_power(p, n);
}

/* 1 / x to within 2 ulp for x in [1, 2^126]; less than 1e-37 above that. */
static inline vf vf_reciprocal(vf x)
{
#if BS_LANES == 16
    /* Bounded, as infinity times 0 would be NaN. A NaN in the second operand propagates. */
    const vf bounded = vf_min(vf_set(0x1p126f), x);
    const vf t = (vf)_mm512_rcp14_ps((__m512)bounded);
    return t + t * (1.0f - bounded * t);
#else
    return 1.0f / x;
#endif
}

/* The high and low words of the products a[i] * m. */
static inline void vu_multiply(vu a, uint32_t m, vu *high, vu *low)
{
#if BS_LANES == 16
    const __m512i v = (__m512i)a, k = _mm512_set1_epi32((int)m);
    const __m512i even = _mm512_mul_epu32(v, k);
    const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(v, 32), k);
    *low = (vu)_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
    *high = (vu)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
#elif BS_LANES == 8
    const __m256i v = (__m256i)a, k = _mm256_set1_epi32((int)m);
    const __m256i even = _mm256_mul_epu32(v, k);
    const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(v, 32), k);
    *low = (vu)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    *high = (vu)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
#else
    for (int i = 0; i < BS_LANES; i++) {
        const uint64_t product = (uint64_t)a[i] * m;
        (*high)[i] = (uint32_t)(product >> 32);
        (*low)[i] = (uint32_t)product;
    }
#endif
}

#endif
