/* Collects the kernels of one instruction set into its table. Included by kernels_<isa>.c, which
 * defines BS_LANES and BS_TABLE_ISA, the name of the row in core/isa_rows.h. */
#include "kernels/kernels.h"
#include "kernels/vec.h"

/* Columns of a panel of a packed operand: two vectors of groups. */
#define PANEL_COLUMNS (2 * BS_LANES)

#include "kernels/activation.h"
#include "kernels/dropout.h"
#include "kernels/layernorm.h"
#include "kernels/softmax.h"
#include "kernels/vector_ops.h"
#if BS_LANES >= 8
#include "kernels/ahead.h"
#include "kernels/packed_vec.h"
#endif
#if defined(__AMX_TILE__)
#include "kernels/amx.h"
#endif
#include "kernels/int8.h"
#if BS_LANES >= 8
#include "kernels/fp32.h"
#include "kernels/small.h"
#endif
#if defined(__AVX512BF16__)
#include "kernels/bf16.h"
#include "kernels/bf16_rows.h"
#endif
#if defined(__AMX_BF16__)
#include "kernels/parts.h"
#elif BS_LANES >= 8
#include "kernels/into.h"
#endif

#define TABLE_JOIN(prefix, isa) prefix##isa
#define TABLE_OF(prefix, isa) TABLE_JOIN(prefix, isa)

const bs_kernels TABLE_OF(bs_kernels_, BS_TABLE_ISA) = {
    .isa = TABLE_OF(BS_ISA_, BS_TABLE_ISA),
    .columns = PANEL_COLUMNS,
#if defined(__AMX_TILE__)
    .tall = BS_PACKED_ROWS,
#elif BS_LANES >= 8
    .tall = REGISTER_ROWS,
#else
    .tall = 1,
#endif
    .int8_elements = INT8_ELEMENTS,
    .tile_rows = BS_LANES == 8 ? 96 : 256,
    .tile_groups = BS_LANES == 8 ? 384 : 512,
    .dropout_mask = dropout_mask,
    .bias_add = bias_add,
    .bias_activation = bias_activation,
    .bias_activation_to_round = bias_activation_to_round,
    .activation_backward = activation_backward,
    .residual_row = residual_row,
    .layernorm_row = layernorm_row,
    .layernorm_backward_row = layernorm_backward_row,
    .softmax_row = softmax_row,
    .softmax_backward_row = softmax_backward_row,
    .axpy = axpy,
    .scale = scale,
    .multiply = multiply,
    .column_sum = column_sum,
    .sum_squares = sum_squares,
    .adamw = adamw,
#if BS_LANES >= 8
    .small_product = small_product,
    .fp32_panel = fp32_panel,
    .fp32_panel_transposed = fp32_panel_transposed,
    .fp32_product = fp32_product,
    .fp32_product_transposed = fp32_product_transposed,
#endif
#if defined(__AVX512BF16__)
    .bf16_rows = bf16_rows,
    .bf16_rows_transposed = bf16_rows_transposed,
    .bf16_panel = bf16_panel,
    .bf16_panel_transposed = bf16_panel_transposed,
    .bf16_rows_transposed_from_bf16 = bf16_rows_transposed_from_bf16,
    .bf16_panel_from_bf16 = bf16_panel_from_bf16,
    .bf16_panel_transposed_from_bf16 = bf16_panel_transposed_from_bf16,
    .bf16_bias_rows = bf16_bias_rows,
    .bf16_bias_activation = bf16_bias_activation,
    .bf16_softmax_row = bf16_softmax_row,
    .bf16_softmax_backward_row = bf16_softmax_backward_row,
    .bf16_product = bf16_product,
#if !defined(__AMX_BF16__)
    .bf16_product_into = bf16_product_into,
#endif
#endif
#if defined(__AMX_TILE__)
    .parts_panel = parts_panel,
    .parts_panel_transposed = parts_panel_transposed,
    .parts_product = parts_product,
    .parts_product_transposed = parts_product_transposed,
    .end_products = amx_end,
#endif
    .int8_rows = int8_rows,
    .int8_product = int8_product,
    .int8_restore = int8_restore,
#if BS_LANES >= 8 && !defined(__AMX_BF16__)
    .int8_product_into = int8_product_into,
#endif
};
