/* Products of bfloat16, and the conversion of their operands. The processor's own instruction
 * rounds to nearest even and treats subnormals as zero. */

#if defined(__AMX_BF16__)
AMX_PRODUCT(bf16_product, float, _tile_dpbf16ps)
#else
#define PRODUCT_NAME(x) bf16_##x
#define PRODUCT_T float
#define PRODUCT_V vf
#define PRODUCT_LOAD masked_load_floats
#define PRODUCT_STORE masked_store_floats
#define PRODUCT_LEFT LEFT_BY_ROWS
#define PRODUCT_DOT(acc, a, b) (vf)_mm512_dpbf16_ps((__m512)(acc), (__m512bh)(a), (__m512bh)(b))
#define PRODUCT_UNROLLED 1
#include "kernels/packed_product.h"
#endif

/* The first n of 16 floats; the rest are 0. */
static inline __m512 bf16_some(const float *x, int64_t n)
{
    return n >= 16 ? _mm512_loadu_ps(x)
                   : _mm512_maskz_loadu_ps((__mmask16)(n > 0 ? (1u << n) - 1 : 0), x);
}

/* 32 floats as 16 groups of adjacent elements. */
static inline __m512i bf16_neighbours(const float *x, int64_t n)
{
    return (__m512i)_mm512_cvtne2ps_pbh(bf16_some(x + 16, n - 16), bf16_some(x, n));
}

/* 16 groups, one per column, each with the elements of the first and the second row. */
static inline __m512i bf16_columns(__m512 first, __m512 second)
{
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first);
    const __m512i order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
        19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, both);
}

/* The number of elements in a row, zero padding included. */
static inline int64_t bf16_padded(int64_t n)
{
    return (n + 2 * BS_PACKED_GROUPS - 1) / (2 * BS_PACKED_GROUPS) * (2 * BS_PACKED_GROUPS);
}

static void bf16_rows(void *out, int64_t ld_out, const float *x, int64_t rows, int64_t n,
                      int64_t ld)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j += 32)
            _mm512_storeu_si512((char *)out + i * ld_out + 2 * j,
                                bf16_neighbours(x + i * ld + j, n - j));
}

static void bf16_rows_transposed(void *out, int64_t ld_out, const float *x, int64_t rows,
                                 int64_t n, int64_t ld)
{
    const int64_t padded = bf16_padded(rows);
    for (int64_t j = 0; j < n; j += 16)
        for (int64_t i = 0; i < padded; i += 32) {
            __m512i r[16];
            for (int p = 0; p < 16; p++) {
                const float *pair = x + (i + 2 * p) * ld + j;
                const int64_t left = rows - i - 2 * p;
                r[p] = bf16_columns(left > 0 ? bf16_some(pair, n - j) : _mm512_setzero_ps(),
                                    left > 1 ? bf16_some(pair + ld, n - j) : _mm512_setzero_ps());
            }
            packed_transpose(r);
            for (int64_t q = 0; q < 16 && j + q < n; q++)
                _mm512_storeu_si512((char *)out + (j + q) * ld_out + 2 * i, r[q]);
        }
}

static void bf16_panel(void *out, const float *x, int64_t k, int64_t n, int64_t ld)
{
    const int64_t padded = bf16_padded(k);
    char *to = out;
    for (int64_t i = 0; i < padded; i += 2)
        for (int64_t j = 0; j < PANEL_COLUMNS; j += 16, to += 64) {
            const float *pair = x + i * ld + j;
            _mm512_storeu_si512(
                to, bf16_columns(i < k ? bf16_some(pair, n - j) : _mm512_setzero_ps(),
                                 i + 1 < k ? bf16_some(pair + ld, n - j) : _mm512_setzero_ps()));
        }
}

static void bf16_panel_transposed(void *out, const float *x, int64_t n, int64_t k, int64_t ld)
{
    const int64_t padded = bf16_padded(k);
    for (int64_t j = 0; j < PANEL_COLUMNS; j += 16)
        for (int64_t i = 0; i < padded; i += 32) {
            __m512i r[16];
            for (int q = 0; q < 16; q++)
                r[q] = j + q < n ? bf16_neighbours(x + (j + q) * ld + i, k - i)
                                 : _mm512_setzero_si512();
            packed_transpose(r);
            for (int p = 0; p < 16; p++)
                _mm512_storeu_si512((char *)out + (i / 2 + p) * (4 * PANEL_COLUMNS) + 4 * j, r[p]);
        }
}

/* ---- the same for rows that are already bfloat16 ---- */

/* The first n of 32 elements; the rest are 0. */
static inline __m512i bf16_load(const void *x, int64_t n)
{
    return _mm512_maskz_loadu_epi16(n >= 32 ? 0xffffffffu : n > 0 ? (1u << n) - 1 : 0, x);
}

/* 16 groups, one per column, each with the elements of the first and the second row. */
static inline __m512i bf16_join(__m256i first, __m256i second)
{
    return _mm512_or_si512(_mm512_cvtepu16_epi32(first),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
}

static inline __m256i bf16_load_half(const void *x, int64_t n)
{
    return _mm256_maskz_loadu_epi16(n >= 16 ? 0xffff : n > 0 ? (__mmask16)((1u << n) - 1) : 0, x);
}

static void bf16_rows_transposed_from_bf16(void *out, int64_t ld_out, const void *x, int64_t rows,
                                           int64_t n, int64_t ld)
{
    const int64_t padded = bf16_padded(rows);
    for (int64_t j = 0; j < n; j += 16)
        for (int64_t i = 0; i < padded; i += 32) {
            __m512i r[16];
            for (int p = 0; p < 16; p++) {
                const char *pair = (const char *)x + (i + 2 * p) * ld + 2 * j;
                const int64_t left = rows - i - 2 * p;
                r[p] = bf16_join(bf16_load_half(pair, left > 0 ? n - j : 0),
                                 bf16_load_half(pair + ld, left > 1 ? n - j : 0));
            }
            packed_transpose(r);
            for (int64_t q = 0; q < 16 && j + q < n; q++)
                _mm512_storeu_si512((char *)out + (j + q) * ld_out + 2 * i, r[q]);
        }
}

static void bf16_panel_from_bf16(void *out, const void *x, int64_t k, int64_t n, int64_t ld)
{
    const int64_t padded = bf16_padded(k);
    char *to = out;
    for (int64_t i = 0; i < padded; i += 2)
        for (int64_t j = 0; j < PANEL_COLUMNS; j += 16, to += 64) {
            const char *pair = (const char *)x + i * ld + 2 * j;
            _mm512_storeu_si512(to, bf16_join(bf16_load_half(pair, i < k ? n - j : 0),
                                              bf16_load_half(pair + ld, i + 1 < k ? n - j : 0)));
        }
}

static void bf16_panel_transposed_from_bf16(void *out, const void *x, int64_t n, int64_t k,
                                            int64_t ld)
{
    const int64_t padded = bf16_padded(k);
    for (int64_t j = 0; j < PANEL_COLUMNS; j += 16)
        for (int64_t i = 0; i < padded; i += 32) {
            __m512i r[16];
            for (int q = 0; q < 16; q++)
                r[q] = bf16_load((const char *)x + (j + q) * ld + 2 * i, j + q < n ? k - i : 0);
            packed_transpose(r);
            for (int p = 0; p < 16; p++)
                _mm512_storeu_si512((char *)out + (i / 2 + p) * (4 * PANEL_COLUMNS) + 4 * j, r[p]);
        }
}
