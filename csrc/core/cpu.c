#include "core/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

/* Linux grants the tile registers to a process that asks, for all its threads. */
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
    if (!osxsave || !avx || !fma || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return cpu;
    const uint64_t state = saved_state();
    const bool ymm = (state & 0x6) == 0x6, zmm = (state & 0xe6) == 0xe6;
    const unsigned need = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    cpu.avx2 = ymm && (b & (1u << 5));
    cpu.avx512 = cpu.avx2 && zmm && (b & need) == need;
    cpu.avx512_vnni = cpu.avx512 && (c & (1u << 11));
    const unsigned tiles = 1u << 22 | 1u << 24 | 1u << 25; /* bf16, tiles, int8 */
    const bool has_tiles = (d & tiles) == tiles && (state & 0x60000) == 0x60000;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d))
        cpu.avx512_bf16 = cpu.avx512_vnni && (a & (1u << 5));
    cpu.amx = cpu.avx512_bf16 && has_tiles && tiles_granted();
    return cpu;
}
#else
bs_cpu bs_cpu_detect(void)
{
    return (bs_cpu){0};
}
#endif
