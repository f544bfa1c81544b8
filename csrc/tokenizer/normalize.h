/* Text as it comes -> lower-case UTF-8 without accents, with the ends of words marked.
 *
 * The output is a buffer of bytes and two bits for each byte: `word` says that it belongs to
 * a word, `cut` that no word goes on from the byte before into it. */
#ifndef BS_TOKENIZER_NORMALIZE_H
#define BS_TOKENIZER_NORMALIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "tokenizer/charmap.h"
#include "tokenizer/text.h"

#define BS_BLOCK 64 /* characters that a scanner takes at once */

/* No character becomes more bytes than this. */
#define BS_EXPANSION 16

typedef struct bs_normbuf bs_normbuf;

/* Takes whole blocks of plain ASCII (printable signs, tab, newline, carriage return) off the
 * front of `count` characters, until one holds something else. Returns how many it took. */
typedef int64_t (*bs_scan_fn)(const void *chars, int64_t count, bool lower, bs_normbuf *out);

struct bs_normbuf {
    uint8_t *bytes;
    uint64_t *word, *cut;
    int64_t n, capacity;

    uint32_t *marks; /* reordered among themselves once the next character is not one */
    uint8_t *ranks;
    int64_t n_marks, max_marks;

    bool keep_spaces; /* also write the spaces around CJK: the bytes are the library's string */

    bool track;       /* fill the following, too; set before the first reservation */
    int64_t *sources; /* of each byte, the unit of the text at which its character starts */
    int64_t *mark_sources; /* of the waiting marks, as they came */
    int64_t n_mark_sources;
    int64_t before_marks; /* the source of what comes before them */
};

/* What the bits take beyond the bytes written so that scanners may overshoot. */
#define BS_NORM_SLACK (4 * BS_BLOCK)

void bs_normbuf_free(bs_normbuf *out);

/* Makes room for `chars` more characters. `max_marks` is how many marks in a row matter: a word
 * with more is too long to be looked up, whatever their order. Where sources are tracked all
 * matter. */
bs_status bs_normbuf_reserve(bs_normbuf *out, int64_t chars, int64_t max_marks, bs_error *e);

/* Empties the buffer but for the last `keep` bytes, which are part of a word; of these only
 * the first `keep_at_most` stay. */
void bs_normbuf_restart(bs_normbuf *out, int64_t keep, int64_t keep_at_most);

/* Writes the marks that wait for their order: the text ends here, or is cut. */
void bs_normbuf_flush(bs_normbuf *out);

typedef struct {
    const bs_charmap *map;
    bool lower;
    bs_scan_fn scan[3]; /* for 1, 2 and 4 bytes a character */
} bs_normalizer;

/* Appends the units [from, to) of a text. There must be room. Fails on a surrogate or on
 * bytes that are not UTF-8; *bad is then where. */
bs_status bs_normalize(const bs_normalizer *how, const bs_text *text, int64_t from, int64_t to,
                       bs_normbuf *out, int64_t *bad);

/* Sets n bits (at most 64) of a bitmap whose bits there are zero. */
static inline void bs_bits_or(uint64_t *bits, int64_t at, uint64_t value)
{
    const int shift = (int)(at & 63);
    bits[at >> 6] |= value << shift;
    bits[(at >> 6) + 1] |= value >> 1 >> (63 - shift);
}

#endif
