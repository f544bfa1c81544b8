#define BS_TABLE_ISA amx
#define BS_LANES 16
#include "kernels/table.h"
