/* The kernel table: one entry per operation, one table per instruction set.
 *
 * Kernels allocate nothing. Arguments are outputs, inputs, weights and sizes, in that order. An
 * output may be the same array as an input of the same shape where the comment says "in place";
 * otherwise arrays do not overlap. Pointers need no alignment. A row of n floats is contiguous. */
#ifndef BS_KERNELS_KERNELS_H
#define BS_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/isa.h"
#include "core/status.h"

/* The activations, X(id, name, rounded). Configurations use `name`. kernels/activation.h has the
 * formulas: name(x), its derivative in name_slope(x, &slope), and rounded(x), which may be less
 * accurate and is used where the result is rounded to bfloat16 or int8. */
#define BS_ACTIVATIONS(X)                                                                         \
    X(GELU, gelu, gelu_to_round)                                                                  \
    X(GELU_NEW, gelu_new, gelu_new)                                                               \
    X(RELU, relu, relu)

#define BS_ACTIVATION_ID(id, name, rounded) BS_##id,
typedef enum { BS_ACTIVATIONS(BS_ACTIVATION_ID) BS_ACTIVATION_COUNT } bs_activation;
#undef BS_ACTIVATION_ID

extern const char *const bs_activation_names[BS_ACTIVATION_COUNT];

/* Identifies the random bits of one row of one dropout (see kernels/dropout.h). */
typedef struct {
    uint64_t key; /* of the sequence */
    uint32_t row; /* within its sequence */
    uint32_t site; /* (layer + 1) << 8 | place in the layer */
    uint32_t head;
    uint32_t threshold; /* out of 65536: elements whose 16 bits are below it are dropped */
} bs_dropout_row;

static inline uint32_t bs_dropout_threshold(float rate)
{
    return (uint32_t)((double)rate * 65536.0 + 0.5);
}

#define BS_PRECISIONS(X) X(FLOAT32, "float32") X(BFLOAT16, "bfloat16") X(INT8, "int8")

#define BS_PRECISION_ID(id, name) BS_##id,
typedef enum { BS_PRECISIONS(BS_PRECISION_ID) BS_PRECISION_COUNT } bs_precision;
#undef BS_PRECISION_ID

extern const char *const bs_precision_names[BS_PRECISION_COUNT];

/* Our own products cut their operands into groups of 4 bytes along k: two bf16, one fp32, or as
 * many int8 as the table says. The left operand is stored as rows of groups, padded with zeros to a
 * multiple of BS_PACKED_GROUPS groups. The right operand is packed into panels as wide as a
 * register tile. A panel stores one group after the other, each for all its columns side by side.
 * Columns beyond the last are zero. */
#define BS_PACKED_GROUPS 16
/* The left operand is read up to a multiple of this many rows; the contents of the extra rows do
 * not matter. */
#define BS_PACKED_ROWS 32
/* Elements per group. */
#define BS_FLOAT32_ELEMENTS 1
#define BS_BFLOAT16_ELEMENTS 2
/* Number of bfloat16 parts that an fp32 element can be split into. */
#define BS_PARTS 3

/* Packs one panel of a right operand from x (k, n) or, transposed, from x (n, k); n <= columns. */
typedef void (*bs_panel_kernel)(void *out, const float *x, int64_t rows, int64_t n, int64_t ld);

/* c (rows, cols) = A B, or += with `add`. Rows of a are lda bytes apart; b points to a panel, and
 * panels are ld_panel bytes apart. */
typedef void (*bs_product_kernel)(float *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                                  int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups,
                                  bool add);

/* The epilogue fused into a product. */
typedef struct {
    enum { BS_OF_NOTHING, BS_OF_BIAS, BS_OF_ACTIVATION, BS_OF_EXP } of;
    bool bf16; /* the result is bfloat16, for the next product; otherwise float */
    char *out; /* rows are ld bytes apart */
    int64_t ld;
    const float *bias; /* (cols,), added first */
    bs_activation act; /* applied next */
    float *u;          /* the values before `act`, rows ld_u apart; may be NULL */
    int64_t ld_u;
    float scale; /* of BS_OF_EXP: e^(scale x), padded with zeros to a whole panel */
    float *sum;  /* 16 * rows floats, of which the first `rows` are the unrounded row sums */
} bs_result;

/* C (m, n) = alpha op(A) (m, k) B (k, n) + beta C, or with trans_b and not trans_a
 * alpha A B^T + beta C; rows are ld floats apart. With beta 0, C is not read. */
typedef struct {
    bool trans_a, trans_b;
    int64_t m, n, k;
    float alpha, beta;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc;
} bs_small_product;

/* Scales and offsets of an int8 product, see int8_restore. */
typedef struct {
    const float *row_scale, *row_offset, *col_scale, *col_sum;
} bs_int8_scales;

typedef struct {
    bs_isa isa;

    /* Columns of a panel, and rows of a register tile. */
    int64_t columns, tall;

    /* Elements of int8 per group: 4, or 2 widened to 16 bits where there is no dot product of
     * bytes. */
    int64_t int8_elements;

    /* Rows of the left operand and groups along k that a packed product works on at a time. A panel
     * of that depth stays in the first-level cache, or comes from the second as fast as it is
     * needed; the rows stay in the second. */
    int64_t tile_rows, tile_groups;

    /* mask[j] = 0 or 65536 / (65536 - threshold). */
    void (*dropout_mask)(float *mask, const bs_dropout_row *r, int64_t n);

    /* x[j] += bias[j] in each of `rows` rows that are ld apart. In place. */
    void (*bias_add)(float *x, const float *bias, int64_t rows, int64_t n, int64_t ld);

    /* u += bias, then a = act(u), over rows that are ld apart. u is updated in place; a may be u,
     * which is then overwritten. */
    void (*bias_activation)(float *a, float *u, const float *bias, int64_t rows, int64_t n,
                            int64_t ld, bs_activation act);

    /* The same for a result that will be rounded to 8 bits: GELU is then accurate in absolute terms
     * only. */
    void (*bias_activation_to_round)(float *a, float *u, const float *bias, int64_t rows,
                                     int64_t n, int64_t ld, bs_activation act);

    /* a = act(u) and d_u = d_a * act'(u), over rows that are ld apart. In place: d holds d_a before
     * and d_u after. */
    void (*activation_backward)(float *a, float *d, const float *u, int64_t rows, int64_t n,
                                int64_t ld, bs_activation act);

    /* z = residual + mask * (y + bias) for one row; a NULL mask means 1. z may be y. */
    void (*residual_row)(float *z, const float *y, const float *bias, const float *mask,
                         const float *residual, int64_t n);

    /* y = gamma * (x - mean) * rstd + beta for one row, where rstd = 1 / sqrt(var + eps). Also
     * writes mean and rstd. y may be x. */
    void (*layernorm_row)(float *y, float *mean, float *rstd, const float *x, const float *gamma,
                          const float *beta, int64_t n, float eps);

    /* The gradient of that row. Writes d_x and adds to d_gamma and d_beta. d_x may be d_y. */
    void (*layernorm_backward_row)(float *d_x, float *d_gamma, float *d_beta, const float *d_y,
                                   const float *x, const float *gamma, float mean, float rstd,
                                   int64_t n);

    /* s = softmax(s) * mask for one row, in place. Returns the log sum exp of the input. */
    float (*softmax_row)(float *s, const float *mask, int64_t n);

    /* The gradient of that row. s holds the scores before and softmax * mask after. d holds the
     * gradient of softmax * mask before, and scale times the gradient of the scores after. */
    void (*softmax_backward_row)(float *s, float *d, const float *mask, float lse, float scale,
                                 int64_t n);

    /* y += a * x */
    void (*axpy)(float *y, const float *x, float a, int64_t n);

    /* y = a * x */
    void (*scale)(float *y, const float *x, float a, int64_t n);

    /* y = x * mask */
    void (*multiply)(float *y, const float *x, const float *mask, int64_t n);

    /* sum[j] += x[i * ld + j] over the rows, from first to last. */
    void (*column_sum)(float *sum, const float *x, int64_t rows, int64_t n, int64_t ld);

    /* The sum of squares, accumulated in float64. */
    double (*sum_squares)(const float *x, int64_t n);

    /* One AdamW step over n parameters. The gradient is multiplied by `clip` first;
     * correct1 = 1 - beta1^t, correct2 = 1 - beta2^t.
     *   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
     *   w = w (1 - lr decay) - lr / correct1 * m / (sqrt(v / correct2) + eps) */
    void (*adamw)(float *w, float *m, float *v, const float *g, float clip, float lr, float beta1,
                  float beta2, float eps, float decay, float correct1, float correct2, int64_t n);

    /* A product in fp32 that is too small to pack an operand for. NULL: the BLAS is used. */
    void (*small_product)(const bs_small_product *g);

    /* ---- fp32 over a packed right operand, one element per group. NULL: the BLAS is used. The
     * left operand needs no padding. ---- */
    bs_panel_kernel fp32_panel, fp32_panel_transposed;
    bs_product_kernel fp32_product;
    /* The same with a transposed left operand: a has `groups` rows of `rows` elements. */
    bs_product_kernel fp32_product_transposed;

    /* ---- fp32 split into three parts of bfloat16, where that is faster. NULL: the entries above
     * are used. A chunk of 32 elements takes as many groups as three of bfloat16 (kernels/parts.h);
     * products count elements, as those above do. ---- */
    bs_panel_kernel parts_panel, parts_panel_transposed;
    bs_product_kernel parts_product, parts_product_transposed;

    /* ---- bfloat16, rounded to nearest even. NULL without hardware support. ---- */

    /* The left operand, from x (rows, n). ld_out is in bytes. */
    void (*bf16_rows)(void *out, int64_t ld_out, const float *x, int64_t rows, int64_t n,
                      int64_t ld);

    /* The left operand x^T, from x (rows, n): n rows of `rows` elements. */
    void (*bf16_rows_transposed)(void *out, int64_t ld_out, const float *x, int64_t rows,
                                 int64_t n, int64_t ld);

    bs_panel_kernel bf16_panel, bf16_panel_transposed;

    /* The same three for an x that is already bfloat16. ld is in bytes. */
    void (*bf16_rows_transposed_from_bf16)(void *out, int64_t ld_out, const void *x, int64_t rows,
                                           int64_t n, int64_t ld);
    void (*bf16_panel_from_bf16)(void *out, const void *x, int64_t k, int64_t n, int64_t ld);
    void (*bf16_panel_transposed_from_bf16)(void *out, const void *x, int64_t n, int64_t k,
                                            int64_t ld);

    /* out = bfloat16(c + bias). Rows of out are ld_out bytes apart. */
    void (*bf16_bias_rows)(void *out, int64_t ld_out, const float *c, int64_t ldc,
                           const float *bias, int64_t rows, int64_t n);

    /* u = c + bias, out = bfloat16(act(u)). u may be NULL. */
    void (*bf16_bias_activation)(void *out, int64_t ld_out, float *u, int64_t ld_u, const float *c,
                                 int64_t ldc, const float *bias, int64_t rows, int64_t n,
                                 bs_activation act);

    /* One row of a left operand: e^(scale (s - max)) * mask, not divided by its sum. Writes the
     * reciprocal of the sum, which leaves out the mask, and returns scale * max. scale > 0. */
    float (*bf16_softmax_row)(void *out, float *reciprocal, const float *s, const float *mask,
                              float scale, int64_t n);

    /* Its gradient, as rows of left operands. Overwrites s and d. With P = e^(scale s - lse) and g
     * = d * mask:
     *   out_p = P * mask,  out_d = scale P (g - sum(P g)) */
    void (*bf16_softmax_backward_row)(void *out_p, void *out_d, float *s, float *d,
                                      const float *mask, float lse, float scale, int64_t n);

    /* `groups` is a multiple of BS_PACKED_GROUPS. */
    bs_product_kernel bf16_product;

    /* A product (rows, cols) with a fused epilogue, written as bfloat16. NULL: use the functions
     * above, to which it is bit-identical except for BS_OF_EXP. BS_OF_EXP subtracts no maximum: if
     * a row's sum is outside 2^-64 to 2^64, use bf16_softmax_row instead. */
    void (*bf16_product_into)(const bs_result *r, const void *a, int64_t lda, const void *b,
                              int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups);

    /* Called by a thread when it has finished a series of products. NULL: not needed. */
    void (*end_products)(void);

    /* ---- int8: unsigned rows, signed panels ---- */

    /* The left operand: x[i][j] = scale[i] * out[i][j] + offset[i], as closely as 8 bits allow.
     * scale[i] is NaN if the row is not finite. */
    void (*int8_rows)(void *out, int64_t ld_out, float *scale, float *offset, const float *x,
                      int64_t rows, int64_t n, int64_t ld);

    /* Like bf16_product, exact in int32. */
    void (*int8_product)(int32_t *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                         int64_t ld_panel, int64_t rows, int64_t cols, int64_t groups, bool add);

    /* Scales the product, in place: c holds int32 before and floats after.
     *   c[i][j] = col_scale[j] * (row_scale[i] * c[i][j] + row_offset[i] * col_sum[j]) */
    void (*int8_restore)(float *c, int64_t ldc, int64_t rows, int64_t cols,
                         const float *row_scale, const float *row_offset, const float *col_scale,
                         const float *col_sum);

    /* Like bf16_product_into, for the scaled product. The result is float, or bfloat16 if the
     * epilogue is a bias. An activation is that of bias_activation_to_round, with u NULL. */
    void (*int8_product_into)(const bs_result *r, const bs_int8_scales *s, const void *a,
                              int64_t lda, const void *b, int64_t ld_panel, int64_t rows,
                              int64_t cols, int64_t groups);
} bs_kernels;

/* X(entry) for every entry that computes something; tests check that each has a twin. */
#define BS_KERNELS_ENTRIES(X)                                                                     \
    X(dropout_mask) X(bias_add) X(bias_activation) X(bias_activation_to_round)                    \
    X(activation_backward) X(residual_row) X(layernorm_row) X(layernorm_backward_row)             \
    X(softmax_row) X(softmax_backward_row) X(axpy) X(scale) X(multiply) X(column_sum)             \
    X(sum_squares) X(adamw) X(small_product) X(fp32_panel) X(fp32_panel_transposed) X(fp32_product)                \
    X(fp32_product_transposed) X(parts_panel) X(parts_panel_transposed) X(parts_product)          \
    X(parts_product_transposed) X(bf16_rows) X(bf16_rows_transposed) X(bf16_panel)                \
    X(bf16_panel_transposed) X(bf16_rows_transposed_from_bf16) X(bf16_panel_from_bf16)            \
    X(bf16_panel_transposed_from_bf16) X(bf16_bias_rows) X(bf16_bias_activation)                  \
    X(bf16_softmax_row) X(bf16_softmax_backward_row) X(bf16_product) X(bf16_product_into)         \
    X(int8_rows) X(int8_product) X(int8_restore) X(int8_product_into)

#define BS_KERNELS_ONE(entry) +1
_Static_assert(sizeof(bs_kernels) ==
                   offsetof(bs_kernels, dropout_mask) +
                       (1 BS_KERNELS_ENTRIES(BS_KERNELS_ONE)) * sizeof(void (*)(void)),
               "BS_KERNELS_ENTRIES and the table differ");
#undef BS_KERNELS_ONE

/* The table of the instruction set in use, or NULL with the error of bs_isa_choose. */
const bs_kernels *bs_kernels_get(bs_error *e);

/* The table of one instruction set; NULL if this machine cannot run it. */
const bs_kernels *bs_kernels_of(bs_isa isa);

/* Calls end_products if the table has it. */
static inline void bs_end_products(const bs_kernels *table)
{
    if (table->end_products != NULL)
        table->end_products();
}

/* Whether the table can multiply in that precision. */
static inline bool bs_kernels_can(const bs_kernels *table, bs_precision precision)
{
    return precision != BS_BFLOAT16 || table->bf16_product != NULL;
}

/* Whether bfloat16 products are faster than fp32. */
bool bs_kernels_prefer_bf16(const bs_kernels *table);

#endif
