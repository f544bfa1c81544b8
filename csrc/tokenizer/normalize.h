/* Raw text -> lower-case UTF-8 without accents, with the boundaries of words marked.
 *
 * The output is a buffer of bytes with two bits for each byte: `word` means that it belongs to a
 * word, `cut` that a word does not continue from the byte before. */
#ifndef BS_TOKENIZER_NORMALIZE_H
#define BS_TOKENIZER_NORMALIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "tokenizer/charmap.h"
#include "tokenizer/text.h"

#define BS_BLOCK 64 /* characters that a scanner takes at a time */

/* No character becomes more bytes than this. */
#define BS_EXPANSION 16

typedef struct bs_normbuf bs_normbuf;

/* Takes whole blocks of plain ASCII (printable characters, tab, newline, carriage return) from the
 * start of `count` characters, until a block holds something else. Returns the number of characters
 * taken. */
typedef int64_t (*bs_scan_fn)(const void *chars, int64_t count, bool lower, bs_normbuf *out);

struct bs_normbuf {
    uint8_t *bytes;
    uint64_t *word, *cut;
    int64_t n, capacity;

    uint32_t *marks; /* pending: reordered once a character that is not a mark follows */
    uint8_t *ranks;
    int64_t n_marks, max_marks;

    bool keep_spaces; /* also write the spaces around CJK, to match the library's string */

    bool track;       /* fill the fields below as well; set before the first reservation */
    int64_t *sources; /* for each byte, the unit of the text at which its character starts */
    int64_t *mark_sources; /* of the pending marks, in order of arrival */
    int64_t n_mark_sources;
    int64_t before_marks; /* the source of what precedes them */
};

/* Room beyond the bytes written, so that scanners may write past the end. */
#define BS_NORM_SLACK (4 * BS_BLOCK)

void bs_normbuf_free(bs_normbuf *out);

/* Makes room for `chars` more characters. `max_marks` is the number of consecutive marks that
 * matter: a word with more is too long to be looked up, whatever their order. All of them matter
 * where sources are tracked. */
bs_status bs_normbuf_reserve(bs_normbuf *out, int64_t chars, int64_t max_marks, bs_error *e);

/* Empties the buffer except for the last `keep` bytes, which are part of a word; of these, only the
 * first `keep_at_most` are kept. */
void bs_normbuf_restart(bs_normbuf *out, int64_t keep, int64_t keep_at_most);

/* Writes the pending marks: the text ends here, or is cut. */
void bs_normbuf_flush(bs_normbuf *out);

typedef struct {
    const bs_charmap *map;
    bool lower;
    bs_scan_fn scan[3]; /* for characters of 1, 2 and 4 bytes */
} bs_normalizer;

/* Appends the units [from, to) of a text. There must be room. Fails on a surrogate or on invalid
 * UTF-8, with its position in *bad. */
bs_status bs_normalize(const bs_normalizer *how, const bs_text *text, int64_t from, int64_t to,
                       bs_normbuf *out, int64_t *bad);

/* Writes up to 64 bits into a bitmap whose bits at that place are zero. */
static inline void bs_bits_or(uint64_t *bits, int64_t at, uint64_t value)
{
    const int shift = (int)(at & 63);
    bits[at >> 6] |= value << shift;
    bits[(at >> 6) + 1] |= value >> 1 >> (63 - shift);
}

#endif
