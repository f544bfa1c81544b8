/* Instruction sets: which exist (core/isa_rows.h), which this machine can run, and which is in
 * use. */
#ifndef BS_CORE_ISA_H
#define BS_CORE_ISA_H

#include <stdbool.h>

#include "core/status.h"

/* BS_ON_<architecture>(yes, no): `yes` in a build for that architecture, otherwise `no`. setup.py
 * defines BS_ARCH_<architecture>. */
#define BS_ON_any(yes, no) yes
#ifdef BS_ARCH_x86_64
#define BS_ON_x86_64(yes, no) yes
#else
#define BS_ON_x86_64(yes, no) no
#endif
#ifdef BS_ARCH_aarch64
#define BS_ON_aarch64(yes, no) yes
#else
#define BS_ON_aarch64(yes, no) no
#endif

typedef enum {
#define BS_ISA(name, ...) BS_ISA_##name,
#include "core/isa_rows.h"
#undef BS_ISA
    BS_ISA_COUNT
} bs_isa;

/* What the kernels of an instruction set can do, X(id, name). */
#define BS_ISA_CAPABILITIES(X)                                                                    \
    X(FP32, "fp32")   /* fp32 products of our own; without it the BLAS computes them */           \
    X(FUSED, "fused") /* products with their epilogue fused */                                    \
    X(BF16, "bf16")   /* products of bfloat16 */                                                  \
    X(TILES, "tiles") /* products in tile registers, among them fp32 in parts of bfloat16 */

enum {
#define BS_CAN(id, name) BS_CAN_INDEX_##id,
    BS_ISA_CAPABILITIES(BS_CAN)
#undef BS_CAN
    BS_CAPABILITY_COUNT
};
enum {
#define BS_CAN(id, name) BS_CAN_##id = 1 << BS_CAN_INDEX_##id,
    BS_ISA_CAPABILITIES(BS_CAN)
#undef BS_CAN
};

typedef struct {
    const char *name, *architecture;
    bs_isa base;
    bool built;            /* for the architecture of this build */
    unsigned features;     /* BS_CPU_..., those of the base not included */
    unsigned capabilities; /* BS_CAN_... */
} bs_isa_row;

extern const bs_isa_row bs_isa_rows[BS_ISA_COUNT];
extern const char *const bs_capability_names[BS_CAPABILITY_COUNT];

/* Whether this machine can run it. */
bool bs_isa_available(bs_isa isa);

/* Finds an instruction set that this machine can run by its name. */
bool bs_isa_find(const char *name, bs_isa *isa);

/* The instruction set in use: the one that BERTSENT_ISA names, or else the best that this machine
 * can run. The choice is made once per process and holds for kernels and tokenizer. A name that is
 * unknown or that this machine cannot run is an error. */
bs_status bs_isa_choose(bs_isa *isa, bs_error *e);

#endif
