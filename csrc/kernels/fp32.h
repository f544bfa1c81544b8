/* Products of fp32 over a packed right operand. The left operand is read in place.
 *
 * With AVX2 each iteration takes many groups: the loop counter needs as many issue slots as a third
 * of the arithmetic, and another thread on the core competes for them. */
#define FP32_UNROLLED (BS_LANES == 8 ? 8 : 1)

#define PRODUCT_NAME(x) fp32_##x
#define PRODUCT_T float
#define PRODUCT_V vf
#define PRODUCT_LOAD masked_load_floats
#define PRODUCT_STORE masked_store_floats
#define PRODUCT_LEFT LEFT_BY_ROWS
#define PRODUCT_DOT packed_fma
#define PRODUCT_UNROLLED FP32_UNROLLED
#include "kernels/packed_product.h"

/* Groups of a transposed operand are a row apart, often on different pages. A tile has more groups
 * than the first-level TLB has entries, so each is prefetched before it is needed. The effect with
 * AVX2 was not measured. */
#if BS_LANES == 16
static inline void fp32_prefetch(const char *group, int64_t lda, int rows)
{
    const uintptr_t later = (uintptr_t)group + (uintptr_t)(16 * lda); /* may be past the end */
    __builtin_prefetch((const void *)later);
    __builtin_prefetch((const void *)(later + 4 * (uintptr_t)rows - 4));
}
#define PRODUCT_PREFETCH fp32_prefetch
#endif

#define PRODUCT_NAME(x) fp32_##x##_transposed
#define PRODUCT_T float
#define PRODUCT_V vf
#define PRODUCT_LOAD masked_load_floats
#define PRODUCT_STORE masked_store_floats
#define PRODUCT_LEFT LEFT_TRANSPOSED
#define PRODUCT_DOT packed_fma
#define PRODUCT_UNROLLED FP32_UNROLLED
#include "kernels/packed_product.h"

static void fp32_panel(void *out_, const float *x, int64_t k, int64_t n, int64_t ld)
{
    float *out = out_;
    for (int64_t i = 0; i < k; i++, out += PANEL_COLUMNS) {
        memcpy(out, x + i * ld, (size_t)n * sizeof(float));
        memset(out + n, 0, (size_t)(PANEL_COLUMNS - n) * sizeof(float));
    }
}

static void fp32_panel_transposed(void *out_, const float *x, int64_t n, int64_t k, int64_t ld)
{
    float *out = out_;
    for (int64_t j = 0; j < PANEL_COLUMNS; j += BS_LANES)
        for (int64_t i = 0; i < k; i += BS_LANES) {
            const int64_t deep = k - i < BS_LANES ? k - i : BS_LANES;
            const lane_mask some = first_lanes(deep);
            packed_v r[BS_LANES];
            for (int q = 0; q < BS_LANES; q++)
                r[q] = j + q < n ? (packed_v)masked_load_ints(some, x + (j + q) * ld + i)
                                 : (packed_v){0};
            packed_transpose(r);
            for (int64_t p = 0; p < deep; p++)
                memcpy(out + (i + p) * PANEL_COLUMNS + j, &r[p], sizeof r[p]);
        }
}
