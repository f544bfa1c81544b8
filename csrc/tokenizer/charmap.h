/* What each code point becomes under one set of normaliser options.
 *
 * The generated tables hold the library's answers for each step; a character map is their
 * composition, computed once when a tokenizer is created. */
#ifndef BS_TOKENIZER_CHARMAP_H
#define BS_TOKENIZER_CHARMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

/* An entry is a kind in the low 3 bits and a payload above it. */
enum {
    BS_CHAR_WORD,   /* part of a word; payload: the character it becomes, 0 for itself */
    BS_CHAR_ALONE,  /* a word by itself; same payload */
    BS_CHAR_SPACE,  /* separates words; payload: the character, 0 for U+0020 */
    BS_CHAR_DROP,   /* removed; payload: an accent's rank among the marks */
    BS_CHAR_BREAK,  /* removed; marks are not reordered across it */
    BS_CHAR_MARK,   /* part of a word, reordered among marks; payload: its rank */
    BS_CHAR_MANY,   /* becomes several; payload: start << 3 | count in the map's `many` */
    BS_CHAR_OTHER   /* payload: one of the kinds below in its low 3 bits */
};

enum {
    BS_OTHER_CJK,     /* alone, with a space on each side; above: the character, 0 for itself */
    BS_OTHER_HANGUL,  /* a syllable that decomposes into two or three jamo */
    BS_OTHER_INVALID  /* a surrogate */
};

#define BS_CHAR_KIND(entry) ((entry) & 7u)
#define BS_CHAR_PAYLOAD(entry) ((entry) >> 3)

typedef struct {
    bool clean_text, tokenize_chinese_chars, strip_accents, lowercase;
} bs_charmap_options;

typedef struct {
    uint16_t page[0x1100]; /* indexed by code >> 8 */
    uint32_t *entries;     /* pages of 256 entries */
    uint32_t *many;        /* entries, but the payload of a mark is its code, not its rank */
    int n_pages, n_many;
    int cap_pages, cap_many;
} bs_charmap;

bs_status bs_charmap_init(bs_charmap *map, const bs_charmap_options *options, bs_error *e);
void bs_charmap_clear(bs_charmap *map);

static inline uint32_t bs_charmap_get(const bs_charmap *map, uint32_t code)
{
    return map->entries[(uint32_t)map->page[code >> 8] * 256 + (code & 255)];
}

/* Whether the code point counts as part of a word next to an added token. */
bool bs_char_is_letter(uint32_t code);

/* Whether the code point is white space, next to an added token and elsewhere. */
bool bs_char_is_space(uint32_t code);

#endif
