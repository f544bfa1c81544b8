/* The peak rates of one core: multiply-adds from registers, and copying from each level of memory.
 * Prints one JSON object with rates in 10^9 per second, those of the fastest rounds.
 *
 * With the name of a rate as its argument, it measures that rate again for each line of input, over
 * all rounds, because a shared core is not always equally fast. Built and run by peaks.py. */
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 7
#define TIMES 2000000

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile float keep;

/* ACCUMULATORS independent sums, so that no instruction waits for the one before. */
#define MEASURE(NAME, TARGET, VECTOR, ACCUMULATORS, ZERO, STEP, LANE)                             \
    __attribute__((target(TARGET), noinline)) static void NAME##_loop(void)                       \
    {                                                                                             \
        VECTOR sum[ACCUMULATORS], a = ZERO, b = ZERO;                                             \
        __asm__ volatile("" : "+v"(a), "+v"(b));                                                  \
        for (int i = 0; i < ACCUMULATORS; i++)                                                    \
            sum[i] = ZERO;                                                                        \
        for (int t = 0; t < TIMES; t++) {                                                         \
            __asm__ volatile("" : "+v"(a), "+v"(b));                                              \
            _Pragma("GCC unroll 24") for (int i = 0; i < ACCUMULATORS; i++) sum[i] = STEP;        \
        }                                                                                         \
        for (int i = 1; i < ACCUMULATORS; i++)                                                    \
            sum[0] += sum[i];                                                                     \
        keep = LANE;                                                                              \
    }

MEASURE(avx2, "avx2,fma", __m256, 12, _mm256_setzero_ps(), _mm256_fmadd_ps(a, b, sum[i]),
        sum[0][0])
/* Sums of the type that the additions have: as __m256i, GCC would not keep them in registers. */
typedef int32_t ints8 __attribute__((vector_size(32)));
typedef int32_t ints16 __attribute__((vector_size(64)));

/* Two instructions on 16 bits in place of a dot product of bytes; the compiler would form the
 * product of the same two only once. */
__attribute__((target("avx2"))) static inline ints8 multiplied(ints8 a, ints8 b)
{
    ints8 product;
    __asm__ volatile("vpmaddwd %1, %2, %0" : "=x"(product) : "x"(a), "x"(b));
    return product;
}

MEASURE(avx2_int8, "avx2", ints8, 12, (ints8){0}, sum[i] + multiplied(a, b), (float)sum[0][0])
MEASURE(avx512, "avx512f", __m512, 24, _mm512_setzero_ps(), _mm512_fmadd_ps(a, b, sum[i]),
        sum[0][0])
MEASURE(bf16, "avx512f,avx512bf16", __m512, 24, _mm512_setzero_ps(),
        _mm512_dpbf16_ps(sum[i], (__m512bh)a, (__m512bh)b), sum[0][0])
MEASURE(vnni, "avx512f,avx512vnni", ints16, 24, (ints16){0},
        (ints16)_mm512_dpbusd_epi32((__m512i)sum[i], (__m512i)a, (__m512i)b), (float)sum[0][0])

static void amx_configure(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } __attribute__((packed)) layout;
    memset(&layout, 0, sizeof layout);
    layout.palette = 1;
    for (int i = 0; i < 8; i++) {
        layout.bytes[i] = 64;
        layout.rows[i] = 16;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(layout));
    __asm__ volatile("tilezero %%tmm0\n tilezero %%tmm1\n tilezero %%tmm2\n tilezero %%tmm3\n"
                     "tilezero %%tmm4\n tilezero %%tmm5\n tilezero %%tmm6\n tilezero %%tmm7" ::);
}

#define AMX_LOOP(NAME, INSTRUCTION)                                                               \
    static void NAME##_loop(void)                                                                 \
    {                                                                                             \
        amx_configure();                                                                          \
        for (int t = 0; t < TIMES; t++)                                                           \
            __asm__ volatile(INSTRUCTION " %%tmm6, %%tmm4, %%tmm0\n" INSTRUCTION                  \
                                         " %%tmm7, %%tmm4, %%tmm1\n" INSTRUCTION                  \
                                         " %%tmm6, %%tmm5, %%tmm2\n" INSTRUCTION                  \
                                         " %%tmm7, %%tmm5, %%tmm3" ::);                           \
        __asm__ volatile("tilerelease" ::);                                                       \
    }

AMX_LOOP(amx_bf16, "tdpbf16ps")
AMX_LOOP(amx_int8, "tdpbusd")

static double fastest(void (*loop)(void))
{
    double best = 1e9;
    loop();
    for (int i = 0; i < ROUNDS; i++) {
        const double began = now();
        loop();
        const double took = now() - began;
        best = took < best ? took : best;
    }
    return best;
}

typedef struct {
    const char *name;
    bool able;
    double operations; /* of one round */
    void (*loop)(void);
} peak;

static void print(const char *name, double rate)
{
    printf(", \"%s\": %.2f", name, rate / 1e9);
}

/* Bytes read and written in a second, copying `size` to and fro. */
static double copying(size_t size)
{
    char *a = aligned_alloc(64, size), *b = aligned_alloc(64, size);
    double best = 0.0;
    if (a == NULL || b == NULL)
        exit(1);
    memset(a, 1, size);
    memset(b, 2, size);
    const size_t times = ((size_t)1 << 28) / size + 1;
    for (int i = 0; i < ROUNDS; i++) {
        const double began = now();
        for (size_t t = 0; t < times; t++) {
            const __m256i *from = (const __m256i *)(t % 2 ? b : a);
            __m256i *to = (__m256i *)(t % 2 ? a : b);
            __asm__ volatile("" : : "r"(from), "r"(to) : "memory");
            memcpy(to, from, size);
        }
        const double rate = 2.0 * (double)(size * times) / (now() - began);
        best = rate > best ? rate : best;
    }
    free(a);
    free(b);
    return best;
}

/* Prints the rate of ROUNDS rounds for each line that it reads. */
static void sample(const peak *p)
{
    p->loop();
    while (getchar() == '\n') {
        const double began = now();
        for (int i = 0; i < ROUNDS; i++)
            p->loop();
        printf("%.2f\n", ROUNDS * p->operations / (now() - began) / 1e9);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    /* The kernel grants the tiles (feature 18) to those who ask. */
    const bool amx = getenv("PEAK_AMX") != NULL && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
    const peak peaks[] = {
        {"avx2_fp32", avx2, 2.0 * 8 * 12 * TIMES, avx2_loop},
        {"avx2_int8", avx2, 2.0 * 16 * 12 * TIMES, avx2_int8_loop},
        {"avx512_fp32", __builtin_cpu_supports("avx512f"), 2.0 * 16 * 24 * TIMES, avx512_loop},
        {"avx512_bf16", __builtin_cpu_supports("avx512bf16"), 2.0 * 32 * 24 * TIMES, bf16_loop},
        {"avx512_vnni", __builtin_cpu_supports("avx512vnni"), 2.0 * 64 * 24 * TIMES, vnni_loop},
        {"amx_bf16", amx, 2.0 * 16 * 16 * 32 * 4 * TIMES, amx_bf16_loop},
        {"amx_int8", amx, 2.0 * 16 * 16 * 64 * 4 * TIMES, amx_int8_loop},
    };
    if (argc == 1)
        printf("{\"unit\": \"1e9/s\"");
    for (size_t i = 0; i < sizeof peaks / sizeof *peaks; i++) {
        const peak *p = &peaks[i];
        if (!p->able || (argc > 1 && strcmp(argv[1], p->name) != 0))
            continue;
        if (argc > 1) {
            sample(p);
            return 0;
        }
        print(p->name, p->operations / fastest(p->loop));
    }
    if (argc > 1)
        return 1;
    print("copy_512_kb", copying((size_t)1 << 19));
    print("copy_4_mb", copying((size_t)1 << 22));
    print("copy_256_mb", copying((size_t)1 << 28));
    printf("}\n");
    return 0;
}
