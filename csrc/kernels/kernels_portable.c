#define BS_LANES 4
#define BS_TABLE bs_kernels_portable
#define BS_TABLE_NAME "portable"
#include "kernels/table.h"
