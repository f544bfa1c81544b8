#include "tokenizer/scan.h"

#include <string.h>

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

/* The instruction sets that have scanners of their own. */
static const bs_scan_fn *const scanners[BS_ISA_COUNT] = {
    [BS_ISA_portable] = bs_scan_portable,
    [BS_ISA_avx2] = BS_ON_x86_64(bs_scan_avx2, NULL),
    [BS_ISA_avx512] = BS_ON_x86_64(bs_scan_avx512, NULL),
};

bs_isa bs_scan_isa(bs_isa isa)
{
    while (scanners[isa] == NULL)
        isa = bs_isa_rows[isa].base;
    return isa;
}

const bs_scan_fn *bs_scan_of(bs_isa isa)
{
    return scanners[bs_scan_isa(isa)];
}

bs_status bs_scan_choose(bs_normalizer *how, bs_error *e)
{
    bs_isa isa;
    const bs_status status = bs_isa_choose(&isa, e);
    if (status == BS_OK)
        memcpy(how->scan, bs_scan_of(isa), sizeof how->scan);
    return status;
}
