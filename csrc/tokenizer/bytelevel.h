/* Splits text into words as GPT-2 does (Radford et al. 2019): runs of letters, of digits, or of
 * other characters, each with the space before it; the endings of English contractions; and the
 * rest of the white space. */
#ifndef BS_TOKENIZER_BYTELEVEL_H
#define BS_TOKENIZER_BYTELEVEL_H

#include <stdbool.h>

#include "core/status.h"
#include "tokenizer/text.h"

typedef enum {
    BS_CLASS_OTHER,
    BS_CLASS_LETTER,
    BS_CLASS_NUMBER,
    BS_CLASS_WHITE,
    BS_CLASS_COUNT
} bs_char_class;

/* The class of each code point. */
typedef struct {
    uint16_t page[0x1100]; /* indexed by code >> 8 */
    uint8_t *classes;      /* pages of 256 */
} bs_classes;

bs_status bs_classes_init(bs_classes *classes, bs_error *e);
void bs_classes_clear(bs_classes *classes);

/* Text as UTF-8, and the class of each byte's character. */
typedef struct {
    uint8_t *bytes, *classes;
    uint8_t *cuts; /* whether a word begins there */
    int64_t n, capacity;
    bool begins;      /* the next stretch begins a text, or follows an added token */
    bool added;       /* the first byte is a space that is not in the text */
    bool wide_white;  /* there may be white space of several bytes */
    bool track;       /* fill `sources` too; set before the first reservation */
    int64_t *sources; /* for each byte, the unit of the text at which its character starts */
} bs_bytes;

#define BS_BYTES_SLACK 64 /* bytes past the end that may be read and written */

void bs_bytes_free(bs_bytes *buffer);

/* Empties a buffer that may be in any state, for a text. */
void bs_bytes_begin(bs_bytes *buffer, bool track);

/* Makes room for `chars` more characters. */
bs_status bs_bytes_reserve(bs_bytes *buffer, int64_t chars, bs_error *e);

/* Appends a space that is not in the text; its source is that of the character after it. */
void bs_bytes_add_space(bs_bytes *buffer, int64_t source);

/* Appends the units [from, to) of a text. There must be room. Fails on a surrogate or on invalid
 * UTF-8, with its position in *bad. */
bs_status bs_bytes_append(bs_bytes *buffer, const bs_classes *classes, const bs_text *text,
                          int64_t from, int64_t to, int64_t *bad);

/* Removes the units [from, to) of a text, which are the last that were appended. */
void bs_bytes_take_back(bs_bytes *buffer, const bs_text *text, int64_t from, int64_t to);

/* Sets the cuts, and returns how many bytes are certain: the first word that may change when more
 * text follows begins there. If this is the `last` text, all bytes are. */
int64_t bs_bytes_cut(bs_bytes *buffer, bool last);

/* Removes the first `count` bytes. */
void bs_bytes_drop(bs_bytes *buffer, int64_t count);

#endif
