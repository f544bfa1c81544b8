/* A borrowed text, in the form in which its owner stores it. */
#ifndef BS_TOKENIZER_TEXT_H
#define BS_TOKENIZER_TEXT_H

#include <stdint.h>

typedef enum {
    BS_TEXT_LATIN1 = 1, /* the value is the number of bytes per unit */
    BS_TEXT_UCS2 = 2,
    BS_TEXT_UCS4 = 4,
    BS_TEXT_UTF8 = 8 /* except here: units are bytes */
} bs_text_form;

typedef struct {
    const void *data;
    int64_t length; /* in units */
    bs_text_form form;
} bs_text;

#define BS_CODE_BAD 0xFFFFFFFFu

/* Decodes the UTF-8 character that starts at *at < end and moves *at past it. Returns BS_CODE_BAD,
 * and leaves *at, if the bytes are not valid UTF-8. */
static inline uint32_t bs_utf8_next(const uint8_t *s, int64_t *at, int64_t end)
{
    const int64_t i = *at;
    const uint32_t c = s[i];
    if (c < 0x80) {
        *at = i + 1;
        return c;
    }
    const int extra = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
    if (c < 0xC2 || c > 0xF4 || end - i <= extra)
        return BS_CODE_BAD;
    uint32_t code = c & (0x3Fu >> extra);
    for (int k = 1; k <= extra; k++) {
        if ((s[i + k] & 0xC0) != 0x80)
            return BS_CODE_BAD;
        code = code << 6 | (s[i + k] & 0x3Fu);
    }
    if ((extra == 2 && (code < 0x800 || (code >= 0xD800 && code < 0xE000)))
        || (extra == 3 && (code < 0x10000 || code > 0x10FFFF)))
        return BS_CODE_BAD;
    *at = i + extra + 1;
    return code;
}

/* Decodes the character that starts at unit *at < end, in any form, and moves *at past it. */
static inline uint32_t bs_text_next(const bs_text *text, int64_t *at, int64_t end)
{
    switch (text->form) {
    case BS_TEXT_LATIN1:
        return ((const uint8_t *)text->data)[(*at)++];
    case BS_TEXT_UCS2:
        return ((const uint16_t *)text->data)[(*at)++];
    case BS_TEXT_UCS4:
        return ((const uint32_t *)text->data)[(*at)++];
    default:
        return bs_utf8_next(text->data, at, end);
    }
}

/* The unit at which the character before unit `at` > 0 starts. */
static inline int64_t bs_text_before(const bs_text *text, int64_t at)
{
    const uint8_t *bytes = text->data;
    at--;
    while (text->form == BS_TEXT_UTF8 && at > 0 && (bytes[at] & 0xC0) == 0x80)
        at--;
    return at;
}

/* Writes a character as UTF-8. Returns the number of bytes. */
static inline int bs_utf8_put(uint8_t *to, uint32_t code)
{
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (uint8_t)(0xC0 | code >> 6);
        to[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (uint8_t)(0xE0 | code >> 12);
        to[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        to[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    to[0] = (uint8_t)(0xF0 | code >> 18);
    to[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    to[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    to[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

#endif
