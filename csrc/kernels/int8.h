/* Products of unsigned rows and signed columns of 8 bits, exact in 32 bits.
 *
 * No instruction used here saturates. Without a dot product of bytes (VNNI), elements of both
 * operands are widened to 16 bits; their products, and sums of two, are exact. */

#if defined(__AVX512VNNI__)
typedef uint8_t int8_left;
typedef int8_t int8_right;
#else
typedef uint16_t int8_left;
typedef int16_t int8_right;
#endif
#define INT8_ELEMENTS ((int64_t)(4 / sizeof(int8_left))) /* per group */

#if defined(__AMX_INT8__)
AMX_PRODUCT(int8_product, int32_t, _tile_dpbusd)
#elif BS_LANES >= 8
#define PRODUCT_NAME(x) int8_##x
#define PRODUCT_T int32_t
#define PRODUCT_V vi
#define PRODUCT_LOAD masked_load_ints
#define PRODUCT_STORE masked_store_ints
#define PRODUCT_LEFT LEFT_BY_ROWS
#if defined(__AVX512VNNI__)
#define PRODUCT_DOT(acc, a, b) (vi)_mm512_dpbusd_epi32((__m512i)(acc), a, b)
#elif BS_LANES == 16
#define PRODUCT_DOT(acc, a, b) ((acc) + (vi)_mm512_madd_epi16(a, b))
#else
#define PRODUCT_DOT(acc, a, b) ((acc) + (vi)_mm256_madd_epi16(a, b))
#endif
#define PRODUCT_UNROLLED 1
#include "kernels/packed_product.h"
#else
/* acc[q] += the product of one element of a row and those of a panel's columns, which are one group
 * apart. Operands may be at any address. */
static inline void int8_element(int32_t acc[PANEL_COLUMNS], const char *row, const char *columns)
{
    int8_left left;
    memcpy(&left, row, sizeof left);
    for (int q = 0; q < PANEL_COLUMNS; q++) {
        int8_right right;
        memcpy(&right, columns + 4 * q, sizeof right);
        acc[q] += left * right;
    }
}

static void int8_product(int32_t *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                         int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups, bool add)
{
    const int64_t size = sizeof(int8_left);
    for (int64_t j = 0; j < cols; j += PANEL_COLUMNS) {
        const char *panel = (const char *)b + j / PANEL_COLUMNS * ld_panel;
        const int64_t n = cols - j < PANEL_COLUMNS ? cols - j : PANEL_COLUMNS;
        for (int64_t i = 0; i < rows; i++) {
            const char *row = (const char *)a + i * lda;
            int32_t acc[PANEL_COLUMNS] = {0};
            if (add)
                memcpy(acc, c + i * ldc + j, (size_t)n * sizeof *acc);
            for (int64_t k = 0; k < INT8_ELEMENTS * groups; k++)
                int8_element(acc, row + size * k,
                             panel + k / INT8_ELEMENTS * (4 * PANEL_COLUMNS) +
                                 size * (k % INT8_ELEMENTS));
            memcpy(c + i * ldc + j, acc, (size_t)n * sizeof *acc);
        }
    }
}
#endif

typedef int8_left int8_lanes __attribute__((vector_size(sizeof(int8_left) * BS_LANES)));

/* The nearest integers, ties to even, at most 255. */
static inline int8_lanes int8_nearest(vf x)
{
#if BS_LANES == 16 && defined(__AVX512VNNI__)
    return (int8_lanes)_mm512_cvtusepi32_epi8(_mm512_cvtps_epi32((__m512)x));
#else
    /* Adding 2^23 leaves the rounded integer in the low bits. */
    const vf shifted = vf_min(x, vf_set(255.0f)) + 8388608.0f;
    return __builtin_convertvector((vi)shifted & 0xff, int8_lanes);
#endif
}

static void int8_rows(void *out, int64_t ld_out, float *scale, float *offset, const float *x,
                      int64_t rows, int64_t n, int64_t ld)
{
    const int64_t grain = INT8_ELEMENTS * BS_PACKED_GROUPS;
    const int64_t padded = (n + grain - 1) / grain * grain;
    for (int64_t i = 0; i < rows; i++) {
        const float *row = x + i * ld;
        char *to = (char *)out + i * ld_out;
        vf top = vf_set(row[0]), bottom = vf_set(row[0]), zero = vf_set(0.0f);
        int64_t j = 0;
        for (; j + BS_LANES <= n; j += BS_LANES) {
            const vf v = vf_load(row + j);
            top = vf_max(top, v);
            bottom = vf_min(bottom, v);
            zero += v * 0.0f; /* not 0 if a value is NaN or infinite, which max would hide */
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
        for (j = 0; j + BS_LANES <= n; j += BS_LANES) {
            const int8_lanes whole = int8_nearest((vf_load(row + j) - low) * inverse);
            memcpy(to + j * (int64_t)sizeof(int8_left), &whole, sizeof whole);
        }
        if (j < n) {
            const int8_lanes part = int8_nearest((vf_load_part(row + j, n - j) - low) * inverse);
            memcpy(to + j * (int64_t)sizeof(int8_left), &part,
                   (size_t)(n - j) * sizeof(int8_left));
        }
        memset(to + n * (int64_t)sizeof(int8_left), 0,
               (size_t)(padded - n) * sizeof(int8_left));
    }
}

/* The value that the integers v represent, bit-identical wherever it is computed. */
static inline vf int8_meaning(vf v, vf scale, vf offset, vf col_scale, vf col_sum)
{
#if BS_LANES >= 8
    return col_scale * packed_fma(offset * col_sum, (packed_v)scale, (packed_v)v);
#else
    return col_scale * (scale * v + offset * col_sum);
#endif
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
            vf_store(row + j, int8_meaning(v, scale, offset, vf_load(col_scale + j),
                                           vf_load(col_sum + j)));
        }
        if (j < cols) {
            const int64_t n = cols - j;
            const vf v = __builtin_convertvector((vi)vf_load_part(row + j, n), vf);
            vf_store_part(row + j, int8_meaning(v, scale, offset, vf_load_part(col_scale + j, n),
                                                vf_load_part(col_sum + j, n)), n);
        }
    }
}
