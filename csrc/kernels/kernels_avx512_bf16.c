#define BS_TABLE_ISA avx512_bf16
#define BS_LANES 16
#include "kernels/table.h"
