#define BS_LANES 16
#define BS_TABLE bs_kernels_avx512vnni
#define BS_TABLE_NAME "avx512_vnni"
#include "kernels/table.h"
