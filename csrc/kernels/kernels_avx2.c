#define BS_TABLE_ISA avx2
#define BS_LANES 8
#include "kernels/table.h"
