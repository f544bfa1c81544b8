#define BS_LANES 16
#define BS_TABLE bs_kernels_avx512
#define BS_TABLE_NAME "avx512"
#include "kernels/table.h"
