/* Epilogues fused into products of bfloat16 and int8. */

#if defined(__AVX512BF16__)
static inline __attribute__((always_inline)) void bf16_finish(const bs_result *r, int64_t i,
                                                              const vf acc[2], int64_t n,
                                                              const int of, bs_activation act)
{
    char *out = r->out + i * r->ld;
    const __m512 low = (__m512)acc[0], high = (__m512)acc[1];
    if (of == BS_OF_EXP) {
        float *sum = r->sum + 16 * i;
        __m512 sums[2] = {_mm512_loadu_ps(sum), _mm512_setzero_ps()};
        bf16_exp2_pair(out, sums, low, high, NULL, r->scale * LOG2_E, 0.0f, n);
        _mm512_storeu_ps(sum, sums[0] + sums[1]);
    } else if (of == BS_OF_BIAS) {
        bf16_store(out, low + bf16_some(r->bias, n), high + bf16_some(r->bias + 16, n - 16), n);
    } else {
        bf16_activate(out, r->u != NULL ? r->u + i * r->ld_u : NULL, low, high, r->bias, n, act);
    }
}

static inline void bf16_next(bs_result *r)
{
    r->out += 2 * PANEL_COLUMNS;
    r->bias = r->bias != NULL ? r->bias + PANEL_COLUMNS : NULL;
    r->u = r->u != NULL ? r->u + PANEL_COLUMNS : NULL;
}

#define INTO_NAME(x) bf16_##x
#define INTO_R bs_result
#define INTO_V vf
#define INTO_OTHER BS_OF_EXP
#include "kernels/into_product.h"

static void bf16_product_into(const bs_result *r, const void *a, int64_t lda, const void *b,
                              int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups)
{
    if (r->of == BS_OF_EXP)
        memset(r->sum, 0, (size_t)(16 * rows) * sizeof(float));
    bf16_all_into(*r, r, a, lda, b, ld_panel, rows, cols, groups);
    for (int64_t i = 0; i < rows && r->of == BS_OF_EXP; i++)
        r->sum[i] = _mm512_reduce_add_ps(_mm512_loadu_ps(r->sum + 16 * i));
}
#endif

typedef struct {
    bs_result to;
    bs_int8_scales by;
} int8_into;

static inline __attribute__((always_inline)) void int8_finish(const int8_into *r, int64_t i,
                                                              const vi acc[2], int64_t n,
                                                              const int of, bs_activation act)
{
    const vf scale = vf_set(r->by.row_scale[i]), offset = vf_set(r->by.row_offset[i]);
    char *out = r->to.out + i * r->to.ld;
    vf x[2];
    for (int v = 0; v < 2; v++) {
        const int64_t at = v * BS_LANES;
        const lane_mask some = first_lanes(n - at);
        x[v] = int8_meaning(__builtin_convertvector(acc[v], vf), scale, offset,
                            masked_load_floats(some, r->by.col_scale + at),
                            masked_load_floats(some, r->by.col_sum + at));
        if (of != BS_OF_NOTHING)
            x[v] += masked_load_floats(some, r->to.bias + at);
        if (of == BS_OF_ACTIVATION)
            x[v] = activation_to_round(x[v], act);
    }
#if defined(__AVX512BF16__)
    if (of == BS_OF_BIAS && r->to.bf16) {
        bf16_store(out, (__m512)x[0], (__m512)x[1], n);
        return;
    }
#endif
    for (int v = 0; v < 2; v++)
        masked_store_floats(out + 4 * v * BS_LANES, first_lanes(n - v * BS_LANES), x[v]);
}

static inline void int8_next(int8_into *r)
{
    r->to.out += (r->to.bf16 ? 2 : 4) * PANEL_COLUMNS;
    r->to.bias = r->to.bias != NULL ? r->to.bias + PANEL_COLUMNS : NULL;
    r->by.col_scale += PANEL_COLUMNS;
    r->by.col_sum += PANEL_COLUMNS;
}

#define INTO_NAME(x) int8_##x
#define INTO_R int8_into
#define INTO_V vi
#define INTO_OTHER BS_OF_NOTHING
#include "kernels/into_product.h"

static void int8_product_into(const bs_result *r, const bs_int8_scales *s, const void *a,
                              int64_t lda, const void *b, int64_t ld_panel, int64_t rows,
                              int64_t cols, int64_t groups)
{
    const int8_into both = {*r, *s};
    int8_all_into(both, r, a, lda, b, ld_panel, rows, cols, groups);
}
