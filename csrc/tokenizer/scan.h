/* The ASCII fast path: 64 characters at a time, one set of functions per instruction set. */
#ifndef BS_TOKENIZER_SCAN_H
#define BS_TOKENIZER_SCAN_H

#include "tokenizer/normalize.h"

/* Fills how->scan with the best that the processor has. */
void bs_scan_choose(bs_normalizer *how);

extern const bs_scan_fn bs_scan_none[3]; /* takes nothing: every character goes by the map */
extern const bs_scan_fn bs_scan_portable[3];
#ifdef BS_X86
extern const bs_scan_fn bs_scan_avx2[3];
extern const bs_scan_fn bs_scan_avx512[3];
#endif

/* Adds a block whose bytes were written behind the end of the buffer. `word` has a bit for each
 * character that is not white space, `punct` for each that stands alone. */
static inline void bs_scan_append(bs_normbuf *out, uint64_t word, uint64_t punct, int count)
{
    const int64_t n = out->n;
    bs_bits_or(out->word, n, word);
    bs_bits_or(out->cut, n, punct | punct << 1);
    out->cut[(n + 64) >> 6] |= punct >> 63 << (n & 63);
    out->n = n + count;
}

/* The body of a scanner, given BLOCK(chars, lower, to, &word, &punct), which writes 64 bytes and
 * says whether all 64 characters are plain. The rest at the end is filled up with spaces. */
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
