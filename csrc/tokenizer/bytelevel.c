#include "tokenizer/bytelevel.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/unicode_tables.h"

#define PAGES 0x1100
#define MOST_BYTES 4   /* of a character */
#define LOOKS_AHEAD 4  /* bytes after a place that decide whether a word begins there */

bs_status bs_classes_init(bs_classes *classes, bs_error *e)
{
    bool mixed[PAGES] = {false};
    int n_pages = BS_CLASS_COUNT; /* at first, one page for each class */

    for (int i = 0; i < bs_uni_class_count; i++) {
        const bs_uni_range *range = &bs_uni_classes[i];
        if (range->first & 255)
            mixed[range->first >> 8] = true;
        if ((range->last & 255) != 255)
            mixed[range->last >> 8] = true;
    }
    for (int i = 0; i < PAGES; i++) {
        classes->page[i] = BS_CLASS_OTHER;
        if (mixed[i])
            classes->page[i] = (uint16_t)n_pages++;
    }
    classes->classes = calloc((size_t)n_pages, 256);
    if (classes->classes == NULL)
        return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for the classes of characters");
    for (int i = 0; i < BS_CLASS_COUNT; i++)
        memset(classes->classes + 256 * i, i, 256);
    for (int i = 0; i < bs_uni_class_count; i++) {
        const bs_uni_range *range = &bs_uni_classes[i];
        for (uint32_t code = range->first; code <= range->last; code++) {
            if (mixed[code >> 8])
                classes->classes[256 * classes->page[code >> 8] + (code & 255)] = range->value;
            else
                classes->page[code >> 8] = range->value;
        }
    }
    return BS_OK;
}

void bs_classes_clear(bs_classes *classes)
{
    free(classes->classes);
    classes->classes = NULL;
}

static inline uint8_t class_of(const bs_classes *classes, uint32_t code)
{
    return classes->classes[256 * classes->page[code >> 8] + (code & 255)];
}

void bs_bytes_free(bs_bytes *buffer)
{
    free(buffer->bytes);
    free(buffer->classes);
    free(buffer->cuts);
    free(buffer->sources);
    memset(buffer, 0, sizeof *buffer);
}

void bs_bytes_begin(bs_bytes *buffer, bool track)
{
    buffer->n = 0;
    buffer->begins = true;
    buffer->added = false;
    buffer->wide_white = false;
    buffer->track = track;
}

static bool grow(void **block, int64_t items, size_t size)
{
    void *grown = realloc(*block, (size_t)items * size);
    if (grown != NULL)
        *block = grown;
    return grown != NULL;
}

bs_status bs_bytes_reserve(bs_bytes *buffer, int64_t chars, bs_error *e)
{
    if (chars > (INT64_MAX / 16 - buffer->n) / MOST_BYTES)
        return bs_error_set(e, BS_ERR_MEMORY, -1, "the text is too long");
    const int64_t wanted = buffer->n + chars * MOST_BYTES + BS_BYTES_SLACK;
    if (buffer->capacity >= wanted)
        return BS_OK;
    const int64_t capacity = wanted + buffer->capacity / 2;
    /* Whatever has grown remains valid; the capacity only changes if all have. */
    if (!grow((void **)&buffer->bytes, capacity, 1) || !grow((void **)&buffer->classes, capacity, 1)
        || !grow((void **)&buffer->cuts, capacity, 1)
        || (buffer->track
            && !grow((void **)&buffer->sources, capacity, sizeof *buffer->sources)))
        return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for a text");
    buffer->capacity = capacity;
    return BS_OK;
}

void bs_bytes_add_space(bs_bytes *buffer, int64_t source)
{
    buffer->bytes[buffer->n] = ' ';
    buffer->classes[buffer->n] = BS_CLASS_WHITE;
    if (buffer->track)
        buffer->sources[buffer->n] = source;
    buffer->n++;
    buffer->added = true;
}

/* Appends ASCII from the start of [at, to); returns the unit after it. */
static int64_t ascii_append(bs_bytes *buffer, const uint8_t *ascii, const bs_text *text, int64_t at,
                            int64_t to)
{
    const uint8_t *from = text->data;
    uint8_t *bytes = buffer->bytes + buffer->n, *classes = buffer->classes + buffer->n;
    const int64_t first = at;
    if (text->form != BS_TEXT_LATIN1 && text->form != BS_TEXT_UTF8)
        return at;
    for (; at + 8 <= to; at += 8) {
        uint64_t eight;
        memcpy(&eight, from + at, 8);
        if (eight & 0x8080808080808080u)
            break;
        memcpy(bytes + at - first, &eight, 8);
        for (int k = 0; k < 8; k++)
            classes[at - first + k] = ascii[from[at + k]];
    }
    buffer->n += at - first;
    for (int64_t i = first; buffer->track && i < at; i++)
        buffer->sources[buffer->n - at + i] = i;
    return at;
}

bs_status bs_bytes_append(bs_bytes *buffer, const bs_classes *classes, const bs_text *text,
                          int64_t from, int64_t to, int64_t *bad)
{
    const uint8_t *ascii = classes->classes + 256 * classes->page[0];
    for (int64_t at = from; at < to;) {
        at = ascii_append(buffer, ascii, text, at, to);
        /* Some characters one by one, before ASCII is expected again. */
        for (int k = 0; k < 8 && at < to; k++) {
            const int64_t source = at;
            const uint32_t code = bs_text_next(text, &at, to);
            if (code >= 0x110000 || (code >= 0xD800 && code < 0xE000)) {
                *bad = source;
                return BS_ERR_VALUE;
            }
            const uint8_t class = class_of(classes, code);
            const int n = bs_utf8_put(buffer->bytes + buffer->n, code);
            memset(buffer->classes + buffer->n, class, MOST_BYTES);
            buffer->wide_white |= class == BS_CLASS_WHITE && n > 1;
            for (int i = 0; buffer->track && i < n; i++)
                buffer->sources[buffer->n + i] = source;
            buffer->n += n;
        }
    }
    return BS_OK;
}

void bs_bytes_take_back(bs_bytes *buffer, const bs_text *text, int64_t from, int64_t to)
{
    uint8_t bytes[MOST_BYTES];
    while (from < to)
        buffer->n -= bs_utf8_put(bytes, bs_text_next(text, &from, to));
    if (buffer->added && buffer->n == 1) /* nothing is left for which it was added */
        buffer->n = 0;
}

/* The length of an ending such as 's at `at`, or 0. */
static int contraction(const bs_bytes *buffer, int64_t at)
{
    const uint8_t *s = buffer->bytes + at;
    const int64_t left = buffer->n - at;
    if (left >= 2 && (s[1] == 's' || s[1] == 't' || s[1] == 'm' || s[1] == 'd'))
        return 2;
    if (left >= 3
        && ((s[1] == 'r' && s[2] == 'e') || (s[1] == 'v' && s[2] == 'e')
            || (s[1] == 'l' && s[2] == 'l')))
        return 3;
    return 0;
}

/* Words begin at an ending such as 's, unless the apostrophe belongs to the word before it, and
 * after it. */
static void contractions_cut(bs_bytes *buffer)
{
    const uint8_t *s = buffer->bytes;
    for (int64_t at = 0; at < buffer->n; at++) {
        const uint8_t *found = memchr(s + at, '\'', (size_t)(buffer->n - at));
        if (found == NULL)
            return;
        at = found - s;
        const int n = buffer->cuts[at] ? contraction(buffer, at) : 0;
        if (n == 0)
            continue;
        buffer->cuts[at + 1] = 0;
        buffer->cuts[at + n] = 1; /* past the end, it has no effect */
    }
}

/* The last white space before a word, if it is not the first, is a word of its own or belongs to
 * the word. Where it has several bytes, its cut was set at the last one. */
static void wide_white_cut(bs_bytes *buffer)
{
    for (int64_t at = 1; at < buffer->n; at++)
        if (buffer->classes[at] == BS_CLASS_WHITE && buffer->cuts[at]
            && (buffer->bytes[at] & 0xC0) == 0x80) {
            int64_t lead = at;
            buffer->cuts[at] = 0;
            while ((buffer->bytes[lead] & 0xC0) == 0x80)
                lead--;
            buffer->cuts[lead] = 1;
        }
}

/* All but contractions and white space of several bytes. */
static void plain_cut(const uint8_t *restrict bytes, const uint8_t *restrict classes, int64_t n,
                      uint8_t *restrict cuts)
{
    cuts[0] = 1;
    for (int64_t i = 1; i < n; i++) {
        const uint8_t white = classes[i] == BS_CLASS_WHITE;
        const uint8_t starts = classes[i] != classes[i - 1];
        const uint8_t white_ends = classes[i + 1] != BS_CLASS_WHITE;
        const uint8_t joined = bytes[i - 1] == ' ';
        cuts[i] = (uint8_t)((white & (starts | white_ends)) | (starts & !joined & !white));
    }
}

int64_t bs_bytes_cut(bs_bytes *buffer, bool last)
{
    const int64_t n = buffer->n;
    if (n == 0)
        return 0;
    uint8_t *cuts = buffer->cuts;
    buffer->classes[n] = BS_CLASS_WHITE; /* at the end, all white space is one word */
    plain_cut(buffer->bytes, buffer->classes, n, cuts);
    if (buffer->wide_white)
        wide_white_cut(buffer);
    contractions_cut(buffer);
    cuts[n] = 1;
    if (last)
        return n;
    for (int64_t i = n - LOOKS_AHEAD; i > 0; i--)
        if (cuts[i])
            return i;
    return 0;
}

void bs_bytes_drop(bs_bytes *buffer, int64_t count)
{
    const size_t left = (size_t)(buffer->n - count);
    buffer->n -= count;
    buffer->wide_white &= left > 0;
    buffer->added &= count == 0;
    if (left == 0 || count == 0)
        return;
    memmove(buffer->bytes, buffer->bytes + count, left);
    memmove(buffer->classes, buffer->classes + count, left);
    if (buffer->track)
        memmove(buffer->sources, buffer->sources + count, left * sizeof *buffer->sources);
}
