#define BS_TABLE_ISA avx512_vnni
#define BS_LANES 16
#include "kernels/table.h"
