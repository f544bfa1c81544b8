/* Products of unsigned rows and signed columns of 8 bits, exact in 32.
 *
 * No instruction used here saturates: where there is no dot product of bytes (VNNI), bytes are
 * widened to 16 bits first. */

#if defined(__AMX_INT8__)
AMX_PRODUCT(int8_product, int32_t, _tile_dpbusd)
#elif defined(__AVX512VNNI__)
#define LOW_NAME(x) int8_##x
#define LOW_T int32_t
#define LOW_V __m512i
#define LOW_DOT(acc, a, b) _mm512_dpbusd_epi32(acc, a, b)
#define LOW_LOAD(mask, p) _mm512_maskz_loadu_epi32(mask, p)
#define LOW_STORE(p, mask, v) _mm512_mask_storeu_epi32(p, mask, v)
#include "kernels/low_product.h"
#else

/* acc[j] += the dot product of group g of one row and column j of a panel. */
static inline void int8_group(int32_t acc[BS_LOW_COLUMNS], const uint8_t *a, const int8_t *b)
{
#if defined(__AVX2__)
    int32_t group;
    memcpy(&group, a, 4);
    const __m256i left = _mm256_set1_epi32(group);
    const __m256i left_even = _mm256_and_si256(left, _mm256_set1_epi16(0xff));
    const __m256i left_odd = _mm256_srli_epi16(left, 8);
    for (int j = 0; j < BS_LOW_COLUMNS; j += 8) {
        const __m256i right = _mm256_loadu_si256((const __m256i *)(b + 4 * j));
        const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(right, 8), 8);
        const __m256i odd = _mm256_srai_epi16(right, 8);
        __m256i sum = _mm256_loadu_si256((const __m256i *)(acc + j));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(left_even, even));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(left_odd, odd));
        _mm256_storeu_si256((__m256i *)(acc + j), sum);
    }
#else
    for (int j = 0; j < BS_LOW_COLUMNS; j++)
        for (int i = 0; i < 4; i++)
            acc[j] += (int32_t)a[i] * b[4 * j + i];
#endif
}

static void int8_product(int32_t *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                         int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups, bool add)
{
    for (int64_t j = 0; j < cols; j += BS_LOW_COLUMNS) {
        const int8_t *panel = (const int8_t *)b + j / BS_LOW_COLUMNS * ld_panel;
        const int64_t n = cols - j < BS_LOW_COLUMNS ? cols - j : BS_LOW_COLUMNS;
        for (int64_t i = 0; i < rows; i++) {
            const uint8_t *row = (const uint8_t *)a + i * lda;
            int32_t acc[BS_LOW_COLUMNS] = {0};
            if (add)
                memcpy(acc, c + i * ldc + j, (size_t)n * sizeof *acc);
            for (int64_t g = 0; g < groups; g++)
                int8_group(acc, row + 4 * g, panel + g * (4 * BS_LOW_COLUMNS));
            memcpy(c + i * ldc + j, acc, (size_t)n * sizeof *acc);
        }
    }
}
#endif

typedef uint8_t vbytes __attribute__((vector_size(BS_LANES)));

static void int8_rows(void *out, int64_t ld_out, float *scale, float *offset, const float *x,
                      int64_t rows, int64_t n, int64_t ld)
{
    const int64_t padded = (n + 4 * BS_LOW_GROUPS - 1) / (4 * BS_LOW_GROUPS) * (4 * BS_LOW_GROUPS);
    for (int64_t i = 0; i < rows; i++) {
        const float *row = x + i * ld;
        uint8_t *to = (uint8_t *)out + i * ld_out;
        vf top = vf_set(row[0]), bottom = vf_set(row[0]), zero = vf_set(0.0f);
        int64_t j = 0;
        for (; j + BS_LANES <= n; j += BS_LANES) {
            const vf v = vf_load(row + j);
            top = vf_max(top, v);
            bottom = vf_min(bottom, v);
            zero += v * 0.0f; /* unless it is NaN or infinite, which maxima and bytes hide */
        }
        float high = vf_highest(top), low = -vf_highest(-bottom), wrong = vf_sum(zero);
        for (; j < n; j++) {
            high = row[j] > high ? row[j] : high;
            low = row[j] < low ? row[j] : low;
            wrong += row[j] * 0.0f;
        }
        const float step = (high - low) / 255.0f + wrong;
        const float inverse = step > 0.0f ? 1.0f / step : 0.0f;
        scale[i] = step;
        offset[i] = low;
        for (j = 0; j < n; j += BS_LANES) {
            const vf v = n - j >= BS_LANES ? vf_load(row + j) : vf_load_part(row + j, n - j);
            /* 2^23 + a whole number: the number is in the low bits */
            const vf shifted = vf_min((v - low) * inverse, vf_set(255.0f)) + 8388608.0f;
            const vbytes bytes = __builtin_convertvector((vi)shifted & 0xff, vbytes);
            memcpy(to + j, &bytes, (size_t)(n - j < BS_LANES ? n - j : BS_LANES));
        }
        memset(to + n, 0, (size_t)(padded - n));
    }
}

static void int8_restore(float *c, int64_t ldc, int64_t rows, int64_t cols, const float *row_scale,
                         const float *row_offset, const float *col_scale, const float *col_sum)
{
    for (int64_t i = 0; i < rows; i++) {
        float *row = c + i * ldc;
        const vf scale = vf_set(row_scale[i]), offset = vf_set(row_offset[i]);
        int64_t j = 0;
        for (; j + BS_LANES <= cols; j += BS_LANES) {
            const vf v = __builtin_convertvector((vi)vf_load(row + j), vf);
            vf_store(row + j,
                     vf_load(col_scale + j) * (scale * v + offset * vf_load(col_sum + j)));
        }
        if (j < cols) {
            const int64_t n = cols - j;
            const vf v = __builtin_convertvector((vi)vf_load_part(row + j, n), vf);
            vf_store_part(row + j,
                          vf_load_part(col_scale + j, n) *
                              (scale * v + offset * vf_load_part(col_sum + j, n)), n);
        }
    }
}
