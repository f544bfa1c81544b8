/* Products of fp32 over a packed right operand. The left one is read where it lies. */

#define LOW_NAME(x) fp32_##x
#define LOW_T float
#define LOW_V __m512
#define LOW_DOT(acc, a, b) _mm512_fmadd_ps((__m512)(a), (__m512)(b), acc)
#define LOW_LOAD(mask, p) _mm512_maskz_loadu_ps(mask, p)
#define LOW_STORE(p, mask, v) _mm512_mask_storeu_ps(p, mask, v)
#include "kernels/low_product.h"

/* Transposes 16 x 16 elements of 4 bytes. */
static inline void transpose_16x16(__m512i r[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
            r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; j++) {
            t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0x88);
            t[i + j + 4] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        r[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0x88);
        r[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0xdd);
    }
}

static void fp32_panel(void *out_, const float *x, int64_t k, int64_t n, int64_t ld)
{
    float *out = out_;
    for (int64_t i = 0; i < k; i++, out += BS_LOW_COLUMNS) {
        memcpy(out, x + i * ld, (size_t)n * sizeof(float));
        memset(out + n, 0, (size_t)(BS_LOW_COLUMNS - n) * sizeof(float));
    }
}

static void fp32_panel_transposed(void *out_, const float *x, int64_t n, int64_t k, int64_t ld)
{
    float *out = out_;
    for (int64_t j = 0; j < BS_LOW_COLUMNS; j += 16)
        for (int64_t i = 0; i < k; i += 16) {
            const int64_t deep = k - i < 16 ? k - i : 16;
            const __mmask16 some = (__mmask16)((1u << deep) - 1);
            __m512i r[16];
            for (int q = 0; q < 16; q++)
                r[q] = j + q < n ? _mm512_maskz_loadu_epi32(some, x + (j + q) * ld + i)
                                 : _mm512_setzero_si512();
            transpose_16x16(r);
            for (int64_t p = 0; p < deep; p++)
                _mm512_storeu_si512(out + (i + p) * BS_LOW_COLUMNS + j, r[p]);
        }
}
