#define BS_TABLE_ISA avx512
#define BS_LANES 16
#include "kernels/table.h"
