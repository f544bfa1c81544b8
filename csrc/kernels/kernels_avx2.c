#define BS_LANES 8
#define BS_TABLE bs_kernels_avx2
#define BS_TABLE_NAME "avx2"
#include "kernels/table.h"
