/* The kernel table: one entry per operation, one table per instruction set.
 *
 * Kernels allocate nothing and take outputs, inputs, weights, sizes, in that
 * order. Outputs may be the same array as an input of the same shape where the
 * comment says "in place"; otherwise arrays do not overlap. Pointers need no
 * alignment. A row of n floats is contiguous. */
#ifndef BS_KERNELS_KERNELS_H
#define BS_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef enum { BS_GELU = 0, BS_GELU_NEW = 1, BS_RELU = 2 } bs_activation;

/* What names the random bits of one row of one dropout (see kernels/dropout.h). */
typedef struct {
    uint64_t key; /* of the sequence */
    uint32_t row; /* of the element within its sequence */
    uint32_t site; /* (layer + 1) << 8 | place in the layer */
    uint32_t head;
    uint32_t threshold; /* of 65536: an element whose 16 bits are below is dropped */
} bs_dropout_row;

static inline uint32_t bs_dropout_threshold(float rate)
{
    return (uint32_t)((double)rate * 65536.0 + 0.5);
}

typedef enum { BS_FLOAT32 = 0, BS_BFLOAT16 = 1, BS_INT8 = 2 } bs_precision;

/* Operands of products of our own are cut into groups of 4 bytes along k: two bf16, one fp32, or
 * as many int8 as the table says. The left one lies in rows of groups, with zeros up to a multiple of BS_LOW_GROUPS
 * groups. The right one is packed: panels of as many columns as a tile of registers has, and in a
 * panel group after group, those of all its columns side by side. Columns past the last are zero. */
#define BS_LOW_GROUPS 16
/* Rows of the left operand are read up to a multiple of this; what is there does not matter. */
#define BS_LOW_ROWS 32
/* Elements of a group. */
#define BS_FLOAT32_ELEMENTS 1
#define BS_BFLOAT16_ELEMENTS 2
/* Parts of bfloat16 in which an fp32 element can be. */
#define BS_PARTS 3

/* One panel of a right operand: from x (k, n) or, transposed, from x (n, k), n <= columns. */
typedef void (*bs_panel_kernel)(void *out, const float *x, int64_t rows, int64_t n, int64_t ld);

/* c (rows, cols) = A B, or += with `add`; a has rows lda bytes apart, b begins with a panel and its
 * panels lie ld_panel bytes apart. */
typedef void (*bs_product_kernel)(float *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                                  int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups,
                                  bool add);

/* What is made of a product while it is in registers. */
typedef struct {
    enum { BS_OF_NOTHING, BS_OF_BIAS, BS_OF_ACTIVATION, BS_OF_EXP } of;
    bool low;  /* rows of bfloat16 for the next product, or else of float */
    char *out; /* rows ld bytes apart */
    int64_t ld;
    const float *bias; /* (cols,) added, */
    bs_activation act; /* then that */
    float *u;          /* before it, rows ld_u apart; may be NULL */
    int64_t ld_u;
    float scale; /* e^(scale x), with zeros up to a whole panel, */
    float *sum;  /* whose sums, unrounded, are the first `rows` of these 16 rows */
} bs_result;

/* What a product of int8 stands for, see int8_restore. */
typedef struct {
    const float *row_scale, *row_offset, *col_scale, *col_sum;
} bs_int8_scales;

typedef struct {
    const char *name;

    /* Columns of a panel, and rows that a tile of registers takes. */
    int64_t columns, tall;

    /* Elements of a group of int8: 4 bytes, or, without a dot product of bytes, 2 that are kept in
     * 16 bits. */
    int64_t int8_elements;

    /* Rows of a packed product's left operand, and groups along k, that a tile takes at a time: a
     * panel that deep stays in the first-level cache, or comes from the second as fast as it is
     * needed, and these rows stay in the second. */
    int64_t tile_rows, tile_groups;

    /* mask[j] = 0 or 65536 / (65536 - threshold). */
    void (*dropout_mask)(float *mask, const bs_dropout_row *r, int64_t n);

    /* x[j] += bias[j] for each of `rows` rows that lie ld apart. In place. */
    void (*bias_add)(float *x, const float *bias, int64_t rows, int64_t n, int64_t ld);

    /* u += bias, then a = act(u), over rows that lie ld apart. u in place; a may be u, which is
     * then lost. */
    void (*bias_activation)(float *a, float *u, const float *bias, int64_t rows, int64_t n,
                            int64_t ld, bs_activation act);

    /* The same for an a that is to be rounded to 8 bits: GELU is only absolutely exact. */
    void (*bias_activation_to_round)(float *a, float *u, const float *bias, int64_t rows,
                                     int64_t n, int64_t ld, bs_activation act);

    /* a = act(u) and d_u = d_a * act'(u), over rows that lie ld apart. d in place:
     * holds d_a before and d_u after. */
    void (*activation_backward)(float *a, float *d, const float *u, int64_t rows, int64_t n,
                                int64_t ld, bs_activation act);

    /* z = residual + mask * (y + bias) for one row; mask NULL: 1. z may be y. */
    void (*residual_row)(float *z, const float *y, const float *bias, const float *mask,
                         const float *residual, int64_t n);

    /* y = gamma * (x - mean) * rstd + beta for one row, rstd = 1 / sqrt(var + eps);
     * mean and rstd are written. y may be x. */
    void (*layernorm_row)(float *y, float *mean, float *rstd, const float *x, const float *gamma,
                          const float *beta, int64_t n, float eps);

    /* The gradient of that row. d_x is written; d_gamma and d_beta are added to. d_x may be d_y. */
    void (*layernorm_backward_row)(float *d_x, float *d_gamma, float *d_beta, const float *d_y,
                                   const float *x, const float *gamma, float mean, float rstd,
                                   int64_t n);

    /* s = softmax(s) * mask for one row in place; returns log sum exp of the input. */
    float (*softmax_row)(float *s, const float *mask, int64_t n);

    /* The gradient of that row. s holds scores before and softmax * mask after; d holds the
     * gradient at softmax * mask before and scale * the gradient at the scores after. */
    void (*softmax_backward_row)(float *s, float *d, const float *mask, float lse, float scale,
                                 int64_t n);

    /* y += a * x */
    void (*axpy)(float *y, const float *x, float a, int64_t n);

    /* y = a * x */
    void (*scale)(float *y, const float *x, float a, int64_t n);

    /* y = x * mask */
    void (*multiply)(float *y, const float *x, const float *mask, int64_t n);

    /* sum[j] += x[i * ld + j] over the rows, from the first to the last. */
    void (*column_sum)(float *sum, const float *x, int64_t rows, int64_t n, int64_t ld);

    /* The sum of squares, accumulated in float64. */
    double (*sum_squares)(const float *x, int64_t n);

    /* One AdamW step over n parameters. The gradient is multiplied by `clip` first;
     * correct1 = 1 - beta1^t, correct2 = 1 - beta2^t.
     *   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
     *   w = w (1 - lr decay) - lr / correct1 * m / (sqrt(v / correct2) + eps) */
    void (*adamw)(float *w, float *m, float *v, const float *g, float clip, float lr, float beta1,
                  float beta2, float eps, float decay, float correct1, float correct2, int64_t n);

    /* ---- fp32 over a packed right operand, a group being one element; NULL: the BLAS is used.
     * The left one needs no zeros and no rows behind it. ---- */
    bs_panel_kernel fp32_panel, fp32_panel_transposed;
    bs_product_kernel fp32_product;
    /* The same with the left operand transposed: a has `groups` rows of `rows` elements. */
    bs_product_kernel fp32_product_transposed;

    /* ---- fp32 in three parts of bfloat16, where that is faster; NULL: as above. A chunk of 32
     * elements takes as many groups as three of bfloat16 (kernels/parts.h); products count elements,
     * as those above ---- */
    bs_panel_kernel parts_panel, parts_panel_transposed;
    bs_product_kernel parts_product, parts_product_transposed;

    /* ---- bfloat16, rounded to nearest even; NULL without the hardware ---- */

    /* The left operand from x (rows, n); ld_out in bytes. */
    void (*bf16_rows)(void *out, int64_t ld_out, const float *x, int64_t rows, int64_t n,
                      int64_t ld);

    /* The left operand x^T from x (rows, n): n rows of `rows` elements. */
    void (*bf16_rows_transposed)(void *out, int64_t ld_out, const float *x, int64_t rows,
                                 int64_t n, int64_t ld);

    bs_panel_kernel bf16_panel, bf16_panel_transposed;

    /* The same three of an x that is bfloat16 already; ld in bytes. */
    void (*bf16_rows_transposed_low)(void *out, int64_t ld_out, const void *x, int64_t rows,
                                     int64_t n, int64_t ld);
    void (*bf16_panel_low)(void *out, const void *x, int64_t k, int64_t n, int64_t ld);
    void (*bf16_panel_transposed_low)(void *out, const void *x, int64_t n, int64_t k, int64_t ld);

    /* out = bfloat16(c + bias), rows ld_out bytes apart. */
    void (*bf16_bias_rows)(void *out, int64_t ld_out, const float *c, int64_t ldc,
                           const float *bias, int64_t rows, int64_t n);

    /* u = c + bias, out = bfloat16(act(u)); u may be NULL. */
    void (*bf16_bias_activation)(void *out, int64_t ld_out, float *u, int64_t ld_u, const float *c,
                                 int64_t ldc, const float *bias, int64_t rows, int64_t n,
                                 bs_activation act);

    /* A row of a left operand: e^(scale (s - max)) * mask, not yet divided by its sum without the
     * mask; writes the reciprocal of that sum and returns scale * max. scale > 0. */
    float (*bf16_softmax_row)(void *out, float *reciprocal, const float *s, const float *mask,
                              float scale, int64_t n);

    /* Its gradient, rows of left operands: with P = e^(scale s - lse) and g = d * mask,
     * out_p = P * mask and out_d = scale P (g - sum(P g)). s and d are used up. */
    void (*bf16_softmax_backward_row)(void *out_p, void *out_d, float *s, float *d,
                                      const float *mask, float lse, float scale, int64_t n);

    /* `groups` is a multiple of BS_LOW_GROUPS. */
    bs_product_kernel bf16_product;

    /* A product (rows, cols) that becomes bfloat16 while in registers; NULL: the functions above do
     * it, whose bits it has but for BS_OF_EXP. That subtracts nothing first: where a sum is not
     * between 2^-64 and 2^64, bf16_softmax_row is what to use. */
    void (*bf16_product_into)(const bs_result *r, const void *a, int64_t lda, const void *b,
                              int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups);

    /* Called by a thread after the last of some products; NULL: need not. */
    void (*end_products)(void);

    /* ---- int8: unsigned rows, signed panels ---- */

    /* The left operand: x[i][j] = scale[i] * out[i][j] + offset[i] as nearly as 8 bits allow.
     * scale[i] is NaN if the row is not finite. */
    void (*int8_rows)(void *out, int64_t ld_out, float *scale, float *offset, const float *x,
                      int64_t rows, int64_t n, int64_t ld);

    /* As bf16_product, exact in int32. */
    void (*int8_product)(int32_t *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                         int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups, bool add);

    /* What the product stands for, in place: c holds int32 before and floats after.
     * c[i][j] = col_scale[j] * (row_scale[i] * c[i][j] + row_offset[i] * col_sum[j]) */
    void (*int8_restore)(float *c, int64_t ldc, int64_t rows, int64_t cols,
                         const float *row_scale, const float *row_offset, const float *col_scale,
                         const float *col_sum);

    /* As bf16_product_into, of what the product stands for; of a bias to bfloat16 or float, of
     * nothing and of an activation (that of bias_activation_to_round, u NULL) to float. */
    void (*int8_product_into)(const bs_result *r, const bs_int8_scales *s, const void *a,
                              int64_t lda, const void *b, int64_t ld_panel, int64_t rows,
                              int64_t cols, int64_t groups);
} bs_kernels;

/* X(entry) for every entry of the table that computes; tests compare it with their twins. */
#define BS_KERNELS_ENTRIES(X)                                                                     \
    X(dropout_mask) X(bias_add) X(bias_activation) X(bias_activation_to_round)                    \
    X(activation_backward) X(residual_row) X(layernorm_row) X(layernorm_backward_row)             \
    X(softmax_row) X(softmax_backward_row) X(axpy) X(scale) X(multiply) X(column_sum)             \
    X(sum_squares) X(adamw) X(fp32_panel) X(fp32_panel_transposed) X(fp32_product)                \
    X(fp32_product_transposed) X(parts_panel) X(parts_panel_transposed) X(parts_product)          \
    X(parts_product_transposed) X(bf16_rows) X(bf16_rows_transposed) X(bf16_panel)                \
    X(bf16_panel_transposed) X(bf16_rows_transposed_low) X(bf16_panel_low)                        \
    X(bf16_panel_transposed_low) X(bf16_bias_rows) X(bf16_bias_activation) X(bf16_softmax_row)    \
    X(bf16_softmax_backward_row) X(bf16_product) X(bf16_product_into) X(int8_rows) X(int8_product) \
    X(int8_restore) X(int8_product_into)

#define BS_KERNELS_ONE(entry) +1
_Static_assert(sizeof(bs_kernels) ==
                   sizeof(const char *) + 5 * sizeof(int64_t) +
                       (1 BS_KERNELS_ENTRIES(BS_KERNELS_ONE)) * sizeof(void (*)(void)),
               "BS_KERNELS_ENTRIES and the table differ");
#undef BS_KERNELS_ONE

/* The table in use: the best that the processor has, or the one that BERTSENT_ISA
 * names. The choice is made once; an unknown or unavailable name is an error. */
const bs_kernels *bs_kernels_get(bs_error *e);

/* A table by name, or NULL if there is none or the processor lacks what it needs. */
const bs_kernels *bs_kernels_find(const char *name);

/* What `end_products` is for. */
static inline void bs_end_products(const bs_kernels *table)
{
    if (table->end_products != NULL)
        table->end_products();
}

/* Whether its bfloat16 products are faster than fp32. */
bool bs_kernels_prefer_bf16(const bs_kernels *table);

/* The i-th table that this machine can run, best last; NULL past the end. */
const bs_kernels *bs_kernels_list(int i);

#endif
