#include "model/head_kinds.h"

#define BS_HEAD_ROW(id, name, drops_input, dense, activation)                                     \
    {name, drops_input, dense, activation},
const bs_head_parts bs_heads[BS_HEAD_COUNT] = {BS_HEADS(BS_HEAD_ROW)};
#undef BS_HEAD_ROW
