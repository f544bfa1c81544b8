/* What the processor can do, and small operations that depend on it. */
#ifndef BS_CORE_CPU_H
#define BS_CORE_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* Processor features that instruction sets need, X(id, name), under the names that Linux uses. */
#define BS_CPU_FEATURES(X)                                                                        \
    X(AVX2, "avx2")                                                                               \
    X(FMA, "fma")                                                                                 \
    X(AVX512F, "avx512f")                                                                         \
    X(AVX512BW, "avx512bw")                                                                       \
    X(AVX512DQ, "avx512dq")                                                                       \
    X(AVX512VL, "avx512vl")                                                                       \
    X(AVX512_VNNI, "avx512_vnni")                                                                 \
    X(AVX512_BF16, "avx512_bf16")                                                                 \
    X(AMX_TILE, "amx_tile")                                                                       \
    X(AMX_BF16, "amx_bf16")                                                                       \
    X(AMX_INT8, "amx_int8")

enum {
#define BS_CPU(id, name) BS_CPU_INDEX_##id,
    BS_CPU_FEATURES(BS_CPU)
#undef BS_CPU
    BS_CPU_FEATURE_COUNT
};
enum {
#define BS_CPU(id, name) BS_CPU_##id = 1 << BS_CPU_INDEX_##id,
    BS_CPU_FEATURES(BS_CPU)
#undef BS_CPU
};

extern const char *const bs_cpu_feature_names[BS_CPU_FEATURE_COUNT];

typedef struct {
    unsigned features; /* BS_CPU_..., only those whose registers the operating system saves */
    bool intel;
} bs_cpu;

/* On Linux, requests permission to use tile registers if the processor has them. */
bs_cpu bs_cpu_detect(void);

/* Tells the processor that this is a spin-wait loop. */
static inline void bs_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Flushes subnormals to zero in this thread: each costs about a hundred cycles, and their values do
 * not matter here. Returns what bs_cpu_restore needs to undo it. */
static inline uint32_t bs_cpu_flush_subnormals(void)
{
#if defined(__x86_64__)
    const uint32_t saved = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(saved | 0x8040u);
    return saved;
#elif defined(__aarch64__)
    uint64_t saved;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(saved));
    const uint64_t flushed = saved | (1u << 24);
    __asm__ __volatile__("msr fpcr, %0" : : "r"(flushed));
    return (uint32_t)saved;
#else
    return 0;
#endif
}

static inline void bs_cpu_restore(uint32_t saved)
{
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(saved);
#elif defined(__aarch64__)
    __asm__ __volatile__("msr fpcr, %0" : : "r"((uint64_t)saved));
#else
    (void)saved;
#endif
}

#endif
