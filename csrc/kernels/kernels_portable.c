#define BS_TABLE_ISA portable
#define BS_LANES 4
#include "kernels/table.h"
