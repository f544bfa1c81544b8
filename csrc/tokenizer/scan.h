/* The ASCII fast path: 64 characters at a time, one set of functions per instruction set. */
#ifndef BS_TOKENIZER_SCAN_H
#define BS_TOKENIZER_SCAN_H

#include "core/isa.h"
#include "tokenizer/normalize.h"

/* Sets how->scan to the scanners of the instruction set in use (core/isa.h). */
bs_status bs_scan_choose(bs_normalizer *how, bs_error *e);

/* The instruction set whose scanners serve `isa`, which is itself or the nearest base that has
 * some; and those scanners. */
bs_isa bs_scan_isa(bs_isa isa);
const bs_scan_fn *bs_scan_of(bs_isa isa);

extern const bs_scan_fn bs_scan_none[3]; /* takes nothing: the map handles every character */
extern const bs_scan_fn bs_scan_portable[3];
extern const bs_scan_fn bs_scan_avx2[3];
extern const bs_scan_fn bs_scan_avx512[3];

/* Adds a block whose bytes have been written past the end of the buffer. `word` has a bit for each
 * character that is not white space, `punct` for each that is a word by itself. */
static inline void bs_scan_append(bs_normbuf *out, uint64_t word, uint64_t punct, int count)
{
    const int64_t n = out->n;
    bs_bits_or(out->word, n, word);
    bs_bits_or(out->cut, n, punct | punct << 1);
    out->cut[(n + 64) >> 6] |= punct >> 63 << (n & 63);
    out->n = n + count;
}

/* Defines a scanner by BLOCK(chars, lower, to, &word, &punct), which writes 64 bytes and returns
 * whether all 64 characters are plain. The last block is padded with spaces. */
#define BS_SCAN_DEFINE(name, unit, block)                                                        \
    static int64_t name(const void *data, int64_t count, bool lower, bs_normbuf *out)            \
    {                                                                                            \
        const unit *chars = data;                                                                \
        uint64_t word, punct;                                                                    \
        int64_t at = 0;                                                                          \
        for (; at + BS_BLOCK <= count; at += BS_BLOCK) {                                         \
            if (!block(chars + at, lower, out->bytes + out->n, &word, &punct))                   \
                return at;                                                                       \
            bs_scan_append(out, word, punct, BS_BLOCK);                                          \
        }                                                                                        \
        if (at < count) {                                                                        \
            unit rest[BS_BLOCK];                                                                 \
            for (int i = 0; i < BS_BLOCK; i++)                                                   \
                rest[i] = at + i < count ? chars[at + i] : ' ';                                  \
            if (!block(rest, lower, out->bytes + out->n, &word, &punct))                         \
                return at;                                                                       \
            bs_scan_append(out, word, punct, (int)(count - at));                                 \
        }                                                                                        \
        return count;                                                                            \
    }

#endif
