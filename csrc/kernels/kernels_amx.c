#define BS_LANES 16
#define BS_TABLE bs_kernels_amx
#define BS_TABLE_NAME "amx"
#include "kernels/table.h"
