#include "core/isa.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"

/* Short names for use in the rows. */
enum {
#define SHORT(id, name) id = BS_CPU_##id,
    BS_CPU_FEATURES(SHORT)
#undef SHORT
#define SHORT(id, name) id = BS_CAN_##id,
    BS_ISA_CAPABILITIES(SHORT)
#undef SHORT
};

const bs_isa_row bs_isa_rows[BS_ISA_COUNT] = {
#define BS_ISA(name, arch, base, flags, features, capabilities)                                   \
    {#name, #arch, BS_ISA_##base, BS_ON_##arch(true, false), features, capabilities},
#include "core/isa_rows.h"
#undef BS_ISA
};

const char *const bs_capability_names[BS_CAPABILITY_COUNT] = {
#define NAME(id, name) name,
    BS_ISA_CAPABILITIES(NAME)
#undef NAME
};

static bool can_run(bs_isa isa, const bs_cpu *cpu)
{
    if (!bs_isa_rows[isa].built)
        return false;
    unsigned needed = bs_isa_rows[isa].features;
    while (bs_isa_rows[isa].base != isa) {
        isa = bs_isa_rows[isa].base;
        needed |= bs_isa_rows[isa].features;
    }
    return (cpu->features & needed) == needed;
}

bool bs_isa_available(bs_isa isa)
{
    const bs_cpu cpu = bs_cpu_detect();
    return can_run(isa, &cpu);
}

bool bs_isa_find(const char *name, bs_isa *isa)
{
    for (int i = 0; i < BS_ISA_COUNT; i++)
        if (strcmp(bs_isa_rows[i].name, name) == 0 && bs_isa_available((bs_isa)i)) {
            *isa = (bs_isa)i;
            return true;
        }
    return false;
}

static bs_status refuse(const char *name, bs_error *e)
{
    const bs_cpu cpu = bs_cpu_detect();
    char known[128];
    size_t n = 0;
    known[0] = '\0';
    for (int i = 0; i < BS_ISA_COUNT && n < sizeof known; i++)
        if (can_run((bs_isa)i, &cpu))
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n > 0 ? ", " : "",
                                  bs_isa_rows[i].name);
    return bs_error_set(e, BS_ERR_VALUE, -1,
                        "BERTSENT_ISA=%.40s is not one of the instruction sets that this machine "
                        "can run (%s); unset it or name one of these",
                        name, known);
}

bs_status bs_isa_choose(bs_isa *isa, bs_error *e)
{
    static atomic_int chosen = -1;
    int choice = atomic_load(&chosen);
    if (choice < 0) {
        const char *name = getenv("BERTSENT_ISA");
        if (name != NULL && name[0] != '\0') {
            bs_isa named;
            if (!bs_isa_find(name, &named))
                return refuse(name, e);
            choice = (int)named;
        } else {
            const bs_cpu cpu = bs_cpu_detect();
            for (int i = 0; i < BS_ISA_COUNT; i++)
                if (can_run((bs_isa)i, &cpu))
                    choice = i;
        }
        atomic_store(&chosen, choice);
    }
    *isa = (bs_isa)choice;
    return BS_OK;
}
