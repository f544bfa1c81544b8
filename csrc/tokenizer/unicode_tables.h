/* What the reference library knows about Unicode, as recorded by generate_tables.py. */
#ifndef BS_TOKENIZER_UNICODE_TABLES_H
#define BS_TOKENIZER_UNICODE_TABLES_H

#include <stdint.h>

enum {
    BS_UNI_DROP = 1,    /* removed when text is cleaned */
    BS_UNI_BLANK = 2,   /* becomes a space when text is cleaned */
    BS_UNI_CJK = 4,     /* gets a space on each side */
    BS_UNI_PUNCT = 8,   /* a word by itself */
    BS_UNI_SPACE = 16,  /* separates words */
    BS_UNI_MARK = 32,   /* removed with the accents */
    BS_UNI_BREAK = 64,  /* such a mark, across which marks are not reordered */
    BS_UNI_LETTER = 128 /* counts as part of a word next to an added token */
};

/* `value` applies to every code point from first to last. The lists are sorted. */
typedef struct {
    uint32_t first, last;
    uint8_t value;
} bs_uni_range;

/* `code` becomes `count` code points of the pool, beginning at `start`. */
typedef struct {
    uint32_t code;
    uint16_t start;
    uint8_t count;
} bs_uni_map;

extern const char bs_uni_library[];

extern const bs_uni_range bs_uni_ranges[]; /* the flags above */
extern const int bs_uni_range_count;

/* Canonical ranks. Marks that stay have even ranks. Removed accents have the rank of the marks that
 * they are not reordered with, or an odd one in between. */
extern const bs_uni_range bs_uni_marks[];
extern const int bs_uni_mark_count;
extern const bs_uni_range bs_uni_accents[];
extern const int bs_uni_accent_count;

/* Classes of characters for byte-level tokenizers: values of bs_char_class (bytelevel.h). */
extern const bs_uni_range bs_uni_classes[];
extern const int bs_uni_class_count;

extern const bs_uni_map bs_uni_strip[]; /* decomposed and without accents; Hangul is not listed */
extern const int bs_uni_strip_count;
extern const uint32_t bs_uni_strip_pool[];

extern const bs_uni_map bs_uni_lower[];
extern const int bs_uni_lower_count;
extern const uint32_t bs_uni_lower_pool[];

#endif
