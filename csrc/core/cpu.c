#include "core/cpu.h"

const char *const bs_cpu_feature_names[BS_CPU_FEATURE_COUNT] = {
#define NAME(id, name) name,
    BS_CPU_FEATURES(NAME)
#undef NAME
};

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

/* Linux grants tile registers to a process on request, for all its threads. */
static bool tiles_granted(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#else
static bool tiles_granted(void)
{
    return false;
}
#endif

/* Which register files the operating system saves (XCR0). */
static uint64_t saved_state(void)
{
    uint32_t low, high;
    __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

bs_cpu bs_cpu_detect(void)
{
    bs_cpu cpu = {0};
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d))
        return cpu;
    cpu.intel = b == signature_INTEL_ebx && c == signature_INTEL_ecx && d == signature_INTEL_edx;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return cpu;
    const bool fma = c & (1u << 12), osxsave = c & (1u << 27), avx = c & (1u << 28);
    if (!osxsave || !avx || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return cpu;
    const uint64_t state = saved_state();
    const bool ymm = (state & 0x6) == 0x6, zmm = (state & 0xe6) == 0xe6;
    const bool tiles = (state & 0x60000) == 0x60000 && (d & (1u << 24)) && tiles_granted();
#define FEATURE(id, there) cpu.features |= (there) ? BS_CPU_##id : 0u
    FEATURE(FMA, ymm && fma);
    FEATURE(AVX2, ymm && (b & (1u << 5)));
    FEATURE(AVX512F, zmm && (b & (1u << 16)));
    FEATURE(AVX512DQ, zmm && (b & (1u << 17)));
    FEATURE(AVX512BW, zmm && (b & (1u << 30)));
    FEATURE(AVX512VL, zmm && (b & (1u << 31)));
    FEATURE(AVX512_VNNI, zmm && (c & (1u << 11)));
    FEATURE(AMX_BF16, tiles && (d & (1u << 22)));
    FEATURE(AMX_TILE, tiles);
    FEATURE(AMX_INT8, tiles && (d & (1u << 25)));
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d))
        FEATURE(AVX512_BF16, zmm && (a & (1u << 5)));
#undef FEATURE
    return cpu;
}
#else
bs_cpu bs_cpu_detect(void)
{
    return (bs_cpu){0};
}
#endif
