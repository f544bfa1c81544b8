/* Products of fp32 over a packed right operand. The left one is read where it lies.
 *
 * With AVX2 a turn of the loop takes many groups: what counts them takes as much of what a core can
 * begin in a cycle as a third of the arithmetic, and another thread on the core wants that, too. */
#define FP32_UNROLLED (BS_LANES == 8 ? 8 : 1)

#define LOW_NAME(x) fp32_##x
#define LOW_T float
#define LOW_V vf
#define LOW_LOAD low_load_floats
#define LOW_STORE low_store_floats
#define LOW_LEFT LOW_BY_ROWS
#define LOW_DOT low_fma
#define LOW_UNROLLED FP32_UNROLLED
#include "kernels/low_product.h"

/* Groups of a transposed operand lie a row apart, often on a page each: a tile has more of them than
 * a core knows addresses of pages, so it is asked for each before it is due. What that gives with
 * AVX2 was not measured. */
#if BS_LANES == 16
static inline void fp32_prefetch(const char *group, int64_t lda, int rows)
{
    const uintptr_t later = (uintptr_t)group + (uintptr_t)(16 * lda); /* may lie behind the end */
    __builtin_prefetch((const void *)later);
    __builtin_prefetch((const void *)(later + 4 * (uintptr_t)rows - 4));
}
#define LOW_PREFETCH fp32_prefetch
#endif

#define LOW_NAME(x) fp32_##x##_transposed
#define LOW_T float
#define LOW_V vf
#define LOW_LOAD low_load_floats
#define LOW_STORE low_store_floats
#define LOW_LEFT LOW_TRANSPOSED
#define LOW_DOT low_fma
#define LOW_UNROLLED FP32_UNROLLED
#include "kernels/low_product.h"

static void fp32_panel(void *out_, const float *x, int64_t k, int64_t n, int64_t ld)
{
    float *out = out_;
    for (int64_t i = 0; i < k; i++, out += LOW_COLUMNS) {
        memcpy(out, x + i * ld, (size_t)n * sizeof(float));
        memset(out + n, 0, (size_t)(LOW_COLUMNS - n) * sizeof(float));
    }
}

static void fp32_panel_transposed(void *out_, const float *x, int64_t n, int64_t k, int64_t ld)
{
    float *out = out_;
    for (int64_t j = 0; j < LOW_COLUMNS; j += BS_LANES)
        for (int64_t i = 0; i < k; i += BS_LANES) {
            const int64_t deep = k - i < BS_LANES ? k - i : BS_LANES;
            const low_mask some = low_first(deep);
            low_v r[BS_LANES];
            for (int q = 0; q < BS_LANES; q++)
                r[q] = j + q < n ? (low_v)low_load_ints(some, x + (j + q) * ld + i) : (low_v){0};
            low_transpose(r);
            for (int64_t p = 0; p < deep; p++)
                memcpy(out + (i + p) * LOW_COLUMNS + j, &r[p], sizeof r[p]);
        }
}
