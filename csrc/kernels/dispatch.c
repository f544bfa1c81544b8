#include "kernels/kernels.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"

extern const bs_kernels bs_kernels_portable;
#if defined(BS_X86)
extern const bs_kernels bs_kernels_avx2, bs_kernels_avx512, bs_kernels_avx512vnni,
    bs_kernels_avx512bf16, bs_kernels_amx;
#endif

const bs_kernels *bs_kernels_list(int i)
{
    const bs_kernels *tables[7] = {&bs_kernels_portable};
#if defined(BS_X86)
    const bs_cpu cpu = bs_cpu_detect();
    int n = 1;
    if (cpu.avx2)
        tables[n++] = &bs_kernels_avx2;
    if (cpu.avx512)
        tables[n++] = &bs_kernels_avx512;
    if (cpu.avx512_vnni)
        tables[n++] = &bs_kernels_avx512vnni;
    if (cpu.avx512_bf16)
        tables[n++] = &bs_kernels_avx512bf16;
    if (cpu.amx)
        tables[n++] = &bs_kernels_amx;
#endif
    return i >= 0 && i < 7 ? tables[i] : NULL;
}

const bs_kernels *bs_kernels_find(const char *name)
{
    const bs_kernels *table;
    for (int i = 0; (table = bs_kernels_list(i)) != NULL; i++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

bool bs_kernels_prefer_bf16(const bs_kernels *table)
{
#if defined(BS_X86)
    /* Without tiles, Intel's processors multiply bfloat16 at half the rate of fp32. */
    return table->bf16_product != NULL && (table == &bs_kernels_amx || !bs_cpu_detect().intel);
#else
    return table->bf16_product != NULL;
#endif
}

const bs_kernels *bs_kernels_get(bs_error *e)
{
    static _Atomic(const bs_kernels *) chosen;
    const bs_kernels *table = atomic_load(&chosen);
    if (table != NULL)
        return table;
    const char *name = getenv("BERTSENT_ISA");
    if (name != NULL && name[0] != '\0') {
        table = bs_kernels_find(name);
        if (table == NULL) {
            bs_error_set(e, BS_ERR_VALUE, -1,
                         "BERTSENT_ISA=%s is not one that this machine can run; unset it, or "
                         "choose one of those that bertsent._core.isa_list() names",
                         name);
            return NULL;
        }
    } else {
        const bs_kernels *better;
        for (int i = 0; (better = bs_kernels_list(i)) != NULL; i++)
            table = better;
    }
    atomic_store(&chosen, table);
    return table;
}
