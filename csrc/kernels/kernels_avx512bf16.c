#define BS_LANES 16
#define BS_TABLE bs_kernels_avx512bf16
#define BS_TABLE_NAME "avx512_bf16"
#include "kernels/table.h"
