#include "tokenizer/scan.h"

#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"

enum { PLAIN = 1, WORD = 2, PUNCT = 4, UPPER = 8 };

#define P PLAIN
#define L (PLAIN | WORD)
#define S (PLAIN | WORD | PUNCT)
#define U (PLAIN | WORD | UPPER)
static const uint8_t classes[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, P, P, 0, 0, P, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    P, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, L, L, L, L, L, L, L, L, L, L, S, S, S, S, S, S,
    S, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, S, S, S, S, S,
    S, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, S, S, S, S, 0,
};
#undef P
#undef L
#undef S
#undef U

#define BLOCK_DEFINE(name, unit)                                                                 \
    static bool name(const unit *chars, bool lower, uint8_t *to, uint64_t *word,                 \
                     uint64_t *punct)                                                            \
    {                                                                                            \
        uint64_t words = 0, puncts = 0;                                                          \
        for (int i = 0; i < BS_BLOCK; i++) {                                                     \
            const unsigned class = chars[i] < 128 ? classes[chars[i]] : 0;                       \
            if (class == 0)                                                                      \
                return false;                                                                    \
            words |= (uint64_t)(class >> 1 & 1) << i;                                            \
            puncts |= (uint64_t)(class >> 2 & 1) << i;                                           \
            to[i] = (uint8_t)(chars[i] | (lower && class & UPPER ? 0x20 : 0));                   \
        }                                                                                        \
        *word = words;                                                                           \
        *punct = puncts;                                                                         \
        return true;                                                                             \
    }

BLOCK_DEFINE(block_1, uint8_t)
BLOCK_DEFINE(block_2, uint16_t)
BLOCK_DEFINE(block_4, uint32_t)
BS_SCAN_DEFINE(scan_1, uint8_t, block_1)
BS_SCAN_DEFINE(scan_2, uint16_t, block_2)
BS_SCAN_DEFINE(scan_4, uint32_t, block_4)

const bs_scan_fn bs_scan_portable[3] = {scan_1, scan_2, scan_4};

static int64_t take_nothing(const void *chars, int64_t count, bool lower, bs_normbuf *out)
{
    (void)chars, (void)count, (void)lower, (void)out;
    return 0;
}

const bs_scan_fn bs_scan_none[3] = {take_nothing, take_nothing, take_nothing};

void bs_scan_choose(bs_normalizer *how)
{
    const bs_scan_fn *best = bs_scan_portable;
#ifdef BS_X86
    const bs_cpu cpu = bs_cpu_detect();
    const char *forced = getenv("BERTSENT_ISA");
    const bool free_choice = forced == NULL || *forced == '\0';
    if (cpu.avx2 && (free_choice || strcmp(forced, "avx2") == 0))
        best = bs_scan_avx2;
    if (cpu.avx512 && (free_choice || strncmp(forced, "avx512", 6) == 0))
        best = bs_scan_avx512;
#endif
    memcpy(how->scan, best, sizeof how->scan);
}
