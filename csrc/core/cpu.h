/* What the processor offers, and small things that only it can do. */
#ifndef BS_CORE_CPU_H
#define BS_CORE_CPU_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool avx2;   /* AVX2 and FMA, with the operating system saving the registers */
    bool avx512; /* AVX-512 F, BW, DQ, VL, likewise */
    bool avx512_vnni, avx512_bf16;
    bool intel;
    bool amx; /* tiles of bf16 and int8, which the operating system lets this process use */
} bs_cpu;

bs_cpu bs_cpu_detect(void);

/* Tells the core that this is a spinning wait. */
static inline void bs_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Makes subnormals zero in this thread (they cost a hundred cycles each and carry
 * nothing here); returns what bs_cpu_restore needs to undo it. */
static inline uint32_t bs_cpu_flush_subnormals(void)
{
#if defined(__x86_64__)
    const uint32_t saved = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(saved | 0x8040u);
    return saved;
#else
    return 0;
#endif
}

static inline void bs_cpu_restore(uint32_t saved)
{
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(saved);
#else
    (void)saved;
#endif
}

#endif
