#include "kernels/kernels.h"

#include <stddef.h>

#include "core/cpu.h"

#define BS_ISA(name, ...) extern const bs_kernels bs_kernels_##name;
#include "core/isa_rows.h"
#undef BS_ISA

static const bs_kernels *const tables[BS_ISA_COUNT] = {
#define BS_ISA(name, arch, ...) BS_ON_##arch(&bs_kernels_##name, NULL),
#include "core/isa_rows.h"
#undef BS_ISA
};

const char *const bs_activation_names[BS_ACTIVATION_COUNT] = {
#define NAME(id, name, rounded) #name,
    BS_ACTIVATIONS(NAME)
#undef NAME
};

const char *const bs_precision_names[BS_PRECISION_COUNT] = {
#define NAME(id, name) name,
    BS_PRECISIONS(NAME)
#undef NAME
};

const bs_kernels *bs_kernels_of(bs_isa isa)
{
    return bs_isa_available(isa) ? tables[isa] : NULL;
}

const bs_kernels *bs_kernels_get(bs_error *e)
{
    bs_isa isa;
    return bs_isa_choose(&isa, e) == BS_OK ? tables[isa] : NULL;
}

bool bs_kernels_prefer_bf16(const bs_kernels *table)
{
    /* Without tiles, Intel processors run bfloat16 products at half the rate of fp32. */
    const bool fast = bs_isa_rows[table->isa].capabilities & BS_CAN_TILES;
    return table->bf16_product != NULL && (fast || !bs_cpu_detect().intel);
}
