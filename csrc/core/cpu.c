#include "core/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

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
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return cpu;
    const bool fma = c & (1u << 12), osxsave = c & (1u << 27), avx = c & (1u << 28);
    if (!osxsave || !avx || !fma || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return cpu;
    const uint64_t state = saved_state();
    const bool ymm = (state & 0x6) == 0x6, zmm = (state & 0xe6) == 0xe6;
    const unsigned need = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    cpu.avx2 = ymm && (b & (1u << 5));
    cpu.avx512 = cpu.avx2 && zmm && (b & need) == need;
    return cpu;
}
#else
bs_cpu bs_cpu_detect(void)
{
    return (bs_cpu){0};
}
#endif
